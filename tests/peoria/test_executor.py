"""Ray executes: relative paths, fractions, and the end of a sweep whose trials all fail."""

import json
from pathlib import Path

import pytest
import torch
from small import small_sweep

from peoria.models import build
from peoria.records import read_trials
from peoria.sweep import RunOptions, run_sweep


def weights_of_tiny(path: Path) -> None:
    net, _ = build("tiny", num_outputs=1, seed=5)
    torch.save(net.trunk.state_dict(), path)


@pytest.mark.slow
def test_paths_in_a_sweep_start_where_the_command_was_given(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights_of_tiny(tmp_path / "tiny.pth")
    sweep = small_sweep(planted_shards, trials=2, shared=small_sweep(planted_shards).shared | {"weights": "tiny.pth"})
    said: list[str] = []
    result = run_sweep(sweep, RunOptions(home=Path("home"), concurrent=2, tracking="off"), said.append)
    assert result.complete
    assert "weights     tiny.pth: " in said[0]
    assert all(trial.status in ("done", "pruned") for trial in read_trials(result.folder))
    assert (result.folder / "baselines" / "frozen-trunk-ridge" / "baseline.json").exists()  # the trunk that was loaded is a baseline too

    # The same sweep where every trial fails: it stops by itself, and says why.
    gone = sweep.model_copy(update={"name": "gone", "trials": 50})
    home = Path("home2")
    monkeypatch.setattr("peoria.sweep.write_baselines", lambda *_: (tmp_path / "tiny.pth").unlink())
    result = run_sweep(gone, RunOptions(home=home, concurrent=2, tracking="off"), said.append)
    assert not result.complete
    assert result.exit_code == 3
    assert 3 <= result.counts["failed"] <= 5  # what was under way when the third failed
    assert any("stopped: 3 trials in a row failed; the last one" in line and "tiny.pth" in line for line in said)
    assert json.loads((result.folder / "finished.json").read_text())["status"] == "failed"
