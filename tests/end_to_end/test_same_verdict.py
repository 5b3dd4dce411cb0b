"""The same sweep twice, from nothing: the same verdict to the byte."""

from pathlib import Path

import pytest

from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from tests.helpers.small import small_sweep

pytestmark = pytest.mark.slow


def verdict_of(home: Path, shards: Path, seed: int) -> bytes:
    """Its own cache, its own test split's record: nothing is shared with another run."""
    sweep = small_sweep(shards, seed=seed, seeds=3, questions=("learning-curve", "leak", "time"))
    run_sweep(sweep, RunOptions(home=home, local=True, tracking="off"), say=lambda line: None)
    report(home, "small", tracking="off", say=lambda line: None)
    return (home / "sweeps" / "small" / "report" / "verdict.json").read_bytes()


def test_a_sweep_run_twice_in_one_process_ends_with_the_same_verdict(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    found = []
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        own = tmp_path / name
        shutil.copytree(planted_shards, own / "shards", ignore=shutil.ignore_patterns("*openings*"))
        monkeypatch.chdir(own)  # so that the name of the set is the same
        found.append(verdict_of(own / "home", Path("shards"), seed))
    assert found[0] == found[1]
    assert found[0] != found[2]  # control: another seed, another verdict
