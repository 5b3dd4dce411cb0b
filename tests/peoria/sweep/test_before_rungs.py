"""A sweep that was begun before rungs were a setting: read with those of its time, and refused by name where it would go on with others."""

from pathlib import Path
from typing import Any

import pytest

from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.errors import SweepError
from peoria.sweep.definition import refuse_another
from peoria.sweep.owed import sweep_of
from peoria.sweep.pruner import sweep_rungs
from peoria.sweep.rebuild import decisions
from tests.helpers.small import small_sweep, trial_config
from tests.helpers.sweep_folder import IDENTITY, WrittenSweep


def begun_before(path: Path, **changes: Any) -> tuple[WrittenSweep, Sweep]:
    """With the definition that was written then."""
    now = small_sweep(Path("nowhere"), reduction_factor=3, **changes)
    return WrittenSweep(path / "small", definition={name: value for name, value in now.definition().items() if name != "rungs"}, trials=4), now


@pytest.mark.parametrize(
    ("evaluations", "factor", "rungs"),
    [(8, 3, (1000, 3000)), (8, 2, (1000, 2000, 4000)), (4, 3, (2000, 4000)), (40, 3, (200, 400, 1000, 2800)), (1, 3, ())],
)
def test_it_is_read_with_the_rungs_of_its_time(evaluations: int, factor: int, rungs: tuple[int, ...], tmp_path: Path) -> None:
    """As `rungs` was then: the first of the even evaluations at or after length / factor^k, worked out by hand."""
    shared = {"net": "tiny", "pictures": 8000, "evaluations": evaluations, "curve_points": 40}
    written, _ = begun_before(tmp_path, shared=shared)
    about = written.folder.read_definition()
    found = sweep_of(about.model_copy(update={"definition": about.definition | {"reduction_factor": factor}}))
    assert sweep_rungs(found) == rungs
    even = tuple(8000 * k // evaluations for k in range(1, evaluations + 1))
    assert found.trial({"task": "hybrid", "learning_rate": 1e-3}, seed=0, threads=1).evaluation_points() == even


def test_what_was_decided_of_its_trials_is_found_at_its_own_rungs(tmp_path: Path) -> None:
    written, _ = begun_before(tmp_path, shared={"net": "tiny", "pictures": 8000, "evaluations": 8, "curve_points": 40})
    written.trial("0000")
    written.points("0000", 3, every=1000)
    written.outcome("0000", "pruned")
    trial, sweep = written.folder.trial("0000"), sweep_of(written.folder.read_definition())
    assert decisions(trial, sweep, "val/rank_mean") == {"1000": "kept", "3000": "pruned"}
    assert decisions(trial, sweep.model_copy(update={"rungs": (0.05, 0.125, 0.25, 0.5)}), "val/rank_mean") != decisions(trial, sweep, "val/rank_mean")


def test_it_does_not_go_on_with_others(tmp_path: Path) -> None:
    written, now = begun_before(tmp_path)
    with pytest.raises(SweepError, match=r"small: rungs: null before, \[0.05, 0.125, 0.25, 0.5\] now; a sweep goes on as it was defined"):
        refuse_another(written.folder, now, IDENTITY, None)
    same = WrittenSweep(tmp_path / "same", definition=now.definition())  # control
    refuse_another(same.folder, now, IDENTITY, None)


def test_the_settings_of_a_trial_of_then_have_the_digest_that_they_had() -> None:
    """It names a checkpoint, a curve and an outcome."""
    config = trial_config()
    assert "rungs" not in config.model_dump(mode="json")
    assert TrialConfig.model_validate(config.model_dump(mode="json")).sha256 == config.sha256
    with_rungs = config.model_copy(update={"rungs": (0.5,)})
    assert with_rungs.sha256 != config.sha256  # control
    assert TrialConfig.model_validate(with_rungs.model_dump(mode="json")) == with_rungs
