"""The searcher draws what Optuna's own would, at a cost that does not grow with the sweep, and a journal is on the disk when it must be."""

import os
import random
import re
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.sweep.sampler import TrialSampler
from peoria.sweep.storage import Journal
from tests.helpers.small import small_sweep


@pytest.fixture
def sweep() -> Sweep:
    space = Space(task=("regression", "classification", "hybrid"), learning_rate=LogUniform(1e-6, 1e-2), head_multiplier=LogUniform(1.0, 100.0))
    return small_sweep(Path("nowhere"), startup_per_task=2, seed=3, space=space)


ROOT = Path(__file__).parents[3]
PRIVATE = re.compile(r"^\s*(?:from|import) optuna(?:\.\w+)*(?:\._\w+| import .*\b_\w+)|(?<!self)\._(?:storage|trial_id|study_id)\b", re.MULTILINE)


def optunas(sweep: Sweep, number: int, name: str = "") -> optuna.samplers.TPESampler:
    seed = int(np.random.SeedSequence((sweep.seed, number, 7, *name.encode())).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=6)


class Optunas(optuna.samplers.BaseSampler):
    """A sampler of Optuna's own for each trial, and for each parameter that is drawn alone."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.joint: dict[int, optuna.samplers.TPESampler] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: Any) -> dict[str, Any]:
        self.joint[trial.number] = optunas(self.sweep, trial.number)
        return self.joint[trial.number].infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return self.joint[trial.number].sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return optunas(self.sweep, trial.number, param_name).sample_independent(study, trial, param_name, param_distribution)


def drawn(sweep: Sweep, sampler: optuna.samplers.BaseSampler, num: int, finished: Any = None, concurrent: int = 3) -> list[tuple[Any, ...]]:
    """A sweep of so many trials at a time that end in any order as anything: what was drawn and told."""
    study, dice = optuna.create_study(direction="maximize", sampler=sampler), random.Random(0)
    running: list[optuna.Trial] = []
    for _ in range(num):
        running.append(trial := study.ask())
        sweep.space.suggest(trial)
        if len(running) < concurrent:
            continue
        trial, end = running.pop(dice.randrange(concurrent)), dice.random()
        for step in (250, 750)[: dice.randint(1, 2)]:
            trial.report(round(dice.uniform(-0.2, 0.6), 1), step)  # with ties
        if end < 0.5:
            told = study.tell(trial, round(dice.uniform(-0.2, 0.6), 1))
        else:
            told = study.tell(trial, state=TrialState.PRUNED if end < 0.9 else TrialState.FAIL)
        if finished is not None and told.state != TrialState.FAIL:
            finished.add(told)
    return [(t.number, t.state, t.value, t.params) for t in study.get_trials()]


@pytest.mark.parametrize("concurrent", [3, 30])
def test_the_draws_are_optunas_own(sweep: Sweep, concurrent: int) -> None:
    ours = TrialSampler(sweep)
    found = drawn(sweep, ours, 120, ours.finished, concurrent)
    assert found == drawn(sweep, Optunas(sweep), 120, concurrent=concurrent)
    assert len(ours.finished) > 60
    # The control: a searcher that is told nothing draws at random, and differently.
    assert found != drawn(sweep, TrialSampler(sweep), 120)


def test_one_minor_version_of_optuna_is_admitted_for_what_is_not_public() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    floor, ceiling = next(re.findall(r"[\d.]+", line) for line in dependencies if line.startswith("optuna"))
    major, minor = optuna.__version__.split(".")[:2]
    assert floor == f"{major}.{minor}"
    assert ceiling == f"{major}.{int(minor) + 1}"
    found = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "peoria").rglob("*.py")) if PRIVATE.search(path.read_text())]
    assert found == ["peoria/sweep/sampler.py"]  # itself the control
    for line in ("from optuna.storages.journal._file import lock", "from optuna.search_space import Space, _Group", "study._storage.get_trial(0)"):
        assert PRIVATE.search(line)


def begun(sweep: Sweep, num: int) -> list[Any]:
    """Points that are drawn before any trial has finished."""
    study = optuna.create_study(sampler=TrialSampler(sweep))
    return [sweep.space.suggest(study.ask({"task": optuna.distributions.CategoricalDistribution(["hybrid"])})) for _ in range(num)]


def test_start_up_points_lie_about_what_is_typical_but_for_one_in_four(sweep: Sweep) -> None:
    """A wide range and a narrow width, so that the two kinds are told apart; of any four in a row just one lies anywhere."""
    rates = LogUniform(1e-9, 1.0, typical=1e-3, width=0.01)
    told = sweep.model_copy(update={"space": Space(task=("hybrid",), learning_rate=rates)})
    points = begun(told, 80)
    near = np.array([abs(np.log10(point["learning_rate"]) + 3) < 0.1 for point in points])
    assert near.reshape(-1, 4).sum(axis=1).tolist() == [3] * 20
    assert len({tuple(four) for four in near.reshape(-1, 4).tolist()}) > 1  # not always the same of them
    assert begun(told, 80) == points
    plain = begun(told.model_copy(update={"space": Space(task=("hybrid",), learning_rate=LogUniform(1e-9, 1.0))}), 80)
    assert sum(abs(np.log10(point["learning_rate"]) + 3) < 0.1 for point in plain) < 10  # control
    assert [point["learning_rate"] for point, is_near in zip(points, near, strict=True) if not is_near] == [
        point["learning_rate"] for point, is_near in zip(plain, near, strict=True) if not is_near
    ]


def test_after_the_start_up_nothing_is_typical(sweep: Sweep) -> None:
    typical = sweep.model_copy(
        update={
            "space": sweep.space.model_copy(update={"learning_rate": LogUniform(1e-6, 1e-2, typical=1e-3), "head_multiplier": LogUniform(1, 100)})
        }
    )
    plain = sweep.model_copy(update={"space": typical.space.model_copy(update={"learning_rate": LogUniform(1e-6, 1e-2)})})
    ended = optuna.create_study(direction="maximize", sampler=(random_ones := TrialSampler(plain)))
    for number in range(20):
        plain.space.suggest(trial := ended.ask())
        random_ones.finished.add(ended.tell(trial, number / 20))
    following = []
    for one in (typical, plain):
        sampler = TrialSampler(one)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(ended.get_trials())
        for told in ended.get_trials():
            sampler.finished.add(told)
        following.append([one.space.suggest(study.ask()) for _ in range(4)])
    assert following[0] == following[1]


@pytest.mark.parametrize("typical", [1e-5, 3e-3, 1e-1])
def test_points_about_what_is_typical_stay_in_the_range(typical: float) -> None:
    span = LogUniform(1e-5, 1e-1, typical=typical)
    found = [span.about_typical(draw) for draw in np.linspace(0, 1, 1001)]
    assert all(1e-5 <= value <= 1e-1 for value in found)
    assert found == sorted(found)
    inner = LogUniform(1e-9, 1e3, typical=typical)
    assert np.log10([inner.about_typical(draw) for draw in (0.1587, 0.5, 0.8413)]) == pytest.approx(
        [np.log10(typical) + sd for sd in (-1, 0, 1)], abs=0.01
    )


def test_a_searcher_that_reads_the_trials_later_draws_the_same(sweep: Sweep) -> None:
    """As after a kill: in the order of their numbers, not of their ends."""
    ours = TrialSampler(sweep)
    study, dice = optuna.create_study(direction="maximize", sampler=ours), random.Random(1)
    running = [study.ask() for _ in range(20)]
    for trial in running:
        sweep.space.suggest(trial)
    for trial in dice.sample(running, 20):
        ours.finished.add(study.tell(trial, dice.random()))
    again = TrialSampler(sweep)
    for told in study.get_trials():
        again.finished.add(told)
    following = [optuna.create_study(direction="maximize", sampler=sampler) for sampler in (ours, again)]
    points = []
    for one in following:
        one.add_trials(study.get_trials())
        points.append([sweep.space.suggest(one.ask()) for _ in range(3)])
    assert points[0] == points[1]


def test_the_disk_is_waited_for_at_a_sync_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    journal = Journal(tmp_path / "j")
    journal.append_logs([{"op_code": 99}, {"op_code": 99}])
    assert waited == []
    assert [log["op_code"] for log in journal.read_logs(0)] == [99, 99]
    journal.sync()
    assert len(waited) == 1
    optuna.storages.journal.JournalFileBackend(str(tmp_path / "j")).append_logs([{"op_code": 99}])  # the control: Optuna's own waits
    assert len(waited) == 2
