"""A sweep with a task and nets from outside the package, from its first trial to predictions without the file."""

import subprocess
import sys
from pathlib import Path

import pytest

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.errors import SweepError
from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from tests.helpers.plugin_files import TASK

SHARED = {"pictures": 32, "batch_size": 16, "evaluations": 1, "curve_points": 1, "schedule": "constant"}


def sweep_of(name: str, shards: Path, plugin: Path, net: str) -> Sweep:
    space = Space(task=("poisson",), learning_rate=LogUniform(1e-4, 1e-3), head_multiplier=LogUniform(1, 2), outlier_sd=(None,))
    given = {"shards": str(shards), "space": space, "shared": SHARED | {"net": net}, "seeds": 0, "questions": ()}
    return Sweep(name=name, trials=2, startup_per_task=1, plugins=(str(plugin),), **given)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_plugin_task_on_a_timm_trunk(planted_shards: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(TASK)
    said: list[str] = []
    options = RunOptions(home=tmp_path, local=True, tracking="off", cache_dir=home / "cache")
    sweep = sweep_of("own", planted_shards, plugin, "timm:test_resnet")
    assert run_sweep(sweep.model_copy(update={"trials": 1}), options, said.append).counts["done"] == 1
    assert run_sweep(sweep, options, said.append).counts["done"] == 2  # gone on with
    plugin.write_text(f"{TASK}# changed\n")
    with pytest.raises(SweepError, match=r"own: plugins.mine.py: .* before, .* now"):
        run_sweep(sweep_of("own", planted_shards, plugin, "timm:test_resnet"), options, said.append)
    plugin.unlink()
    monkeypatch.chdir("/")
    verdict = report(tmp_path, "own", tracking="off", cache=home / "cache", say=said.append)
    assert any("constants (poisson)" in str(predictor) for predictor in verdict.predictors)
    picture = next((planted_shards.parent / "pictures").rglob("*.jpg"))
    command = [sys.executable, "-m", "peoria", "predict", "own", str(picture), "--home", str(tmp_path)]
    ran = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert " views\tabove " in ran.stdout
    assert "plugin: mine.py (sha256 " in ran.stderr  # whose code runs is said
    for path in tmp_path.glob("sweeps/own/**/*.json"):  # control: without the copies nothing can be predicted
        path.write_text(path.read_text().replace("poisson_nll_loss", "poisson_nll_lose"))
    ran = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
