"""What counts as matched, that every trained picture is counted once, and that a searcher that searches is told from one that does not."""

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from benchmarks import recorded, regret
from benchmarks.recorded import Run, Table, axes_of, recorded_sweep
from benchmarks.regret import Moment, compared, matched, random_search, replayed, sweep
from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.data.dataset import Dataset
from peoria.records.folder import SweepFolder
from peoria.sweep.sampler import TrialSampler
from peoria.sweep.trial_store import TrialStore

POINTS = (250, 500, 750, 1000)


def toy_sweep() -> Sweep:
    space = Space(task=("regression", "hybrid"), learning_rate=LogUniform(1e-6, 1.0), head_multiplier=LogUniform(1.0, 10.0), outlier_sd=(None, 2.0))
    shared = {"pictures": POINTS[-1], "batch_size": 10, "evaluations": 4, "curve_points": 4}
    return Sweep(name="toy", shards="nowhere", space=space, shared=shared, startup_per_task=2)


def toy_table(run: Callable[[float], Run]) -> Table:
    """400 learning rates; ``run`` tells what each does, by its distance from the best one in parts of the axis."""
    toy = toy_sweep()
    axes = axes_of(toy) | {"learning_rate": tuple(float(rate) for rate in np.geomspace(1e-6, 1.0, 801)[1::2])}
    places = product(*(range(len(values)) for values in axes.values()))
    return Table(toy, axes, {at: run(abs(at[1] - 270) / 400) for at in places})


def peak(distance: float) -> Run:
    final = 0.8 - distance
    return Run(tuple(final * step / POINTS[-1] for step in POINTS), final)


def explodes(distance: float) -> Run:
    return Run((0.1, 0.2), None)


def test_matched_means_from_there_to_the_end() -> None:
    moments = [Moment(10, math.inf), Moment(20, 0.1), Moment(30, 0.3), Moment(40, 0.2), Moment(50, 0.2)]
    assert matched(moments, 0.2) == 40  # at 20 it was met and lost again
    assert matched(moments, 0.3) == 20
    assert matched(moments, math.inf) == 10
    assert matched(moments, 0.1) is None


def test_the_value_is_a_ratio_of_medians() -> None:
    random = [[Moment(50, 0.5), Moment(100, last)] for last in (0.1, 0.2, 0.3)]  # the target is 0.2, the budget 100
    ours = [[Moment(at, 0.2), Moment(200, 0.2)] for at in (10, 30, 90)]
    assert compared(ours, random)[0] == pytest.approx(0.3)
    assert compared([*ours[:1], *[[Moment(10, 0.21)]] * 2], random)[0] == regret.NEVER
    with pytest.raises(ValueError, match="zip"):
        compared(ours[:2], random)


def test_quarters_tell_the_regret_of_what_had_ended_by_then() -> None:
    found = [[Moment(30, 0.5), Moment(60, 0.2), Moment(110, 0.1)]]
    assert regret.at_quarters(found, 100) == [math.inf, 0.5, 0.2, 0.2]


def test_every_trained_picture_is_counted_once(tmp_path: Path) -> None:
    table = toy_table(peak)
    store = TrialStore(SweepFolder(tmp_path), table.sweep.model_copy(update={"trials": 12}))
    moments = list(replayed(store, table))
    trials = store.searched.get_trials()
    assert len(moments) == len(trials) == 12
    assert {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}
    assert moments[-1].pictures == sum(max(trial.intermediate_values) for trial in trials)
    assert moments[-1].pictures < 12 * POINTS[-1]  # control: pruning saved some
    best = max(trial.value for trial in trials if trial.value is not None)
    assert moments[-1].regret == moments[-1].on_val == pytest.approx(table.best_test - best)


def test_random_search_is_pruned_by_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    table = toy_table(peak)
    studies: list[optuna.Study] = []
    create = optuna.create_study

    def kept(**arguments: object) -> optuna.Study:
        studies.append(create(**arguments))
        return studies[-1]

    monkeypatch.setattr(optuna, "create_study", kept)
    moments = random_search(table, seed=0, trials=30)
    trials = studies[0].get_trials()
    assert moments[-1].pictures == sum(max(trial.intermediate_values) for trial in trials) < 30 * POINTS[-1]
    at_rung = [trial.intermediate_values[500] for trial in trials if 500 in trial.intermediate_values]
    went_on = [trial for trial in trials if len(trial.intermediate_values) > 2]
    assert len(at_rung) > len(went_on) >= 2
    assert max(at_rung) in [trial.intermediate_values[500] for trial in went_on]


@pytest.mark.parametrize("search", [sweep, random_search])
def test_a_diverged_trial_costs_what_it_trained_and_is_no_incumbent(search: Callable[..., list[Moment]]) -> None:
    moments = search(toy_table(explodes), 0, 2)  # two: no rung prunes yet
    assert moments == [Moment(750, math.inf), Moment(1500, math.inf)]


@pytest.mark.parametrize("search", [sweep, random_search])
def test_a_seed_gives_one_sweep(search: Callable[..., list[Moment]]) -> None:
    table = toy_table(peak)
    assert search(table, 3, 8) == search(table, 3, 8) != search(table, 4, 8)


class Knows(TrialSampler):
    """A searcher as good as can be."""

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        if param_name.endswith("learning_rate"):
            return toy_table(peak).axes["learning_rate"][270]
        return super().sample_independent(study, trial, param_name, param_distribution)


def test_a_searcher_that_knows_is_told_from_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    table, seeds = toy_table(peak), range(5)
    random = [random_search(table, seed, 20) for seed in seeds]
    blind = Table(table.sweep.model_copy(update={"startup_per_task": 1000}), table.axes, table.runs)  # never models anything
    assert compared([sweep(blind, seed, 20) for seed in seeds], random)[0] > 0.5
    monkeypatch.setattr("peoria.sweep.trial_store.TrialSampler", Knows)
    value, detail = compared([sweep(table, seed, 20) for seed in seeds], random)
    assert value == pytest.approx(POINTS[-1] / detail["random_pictures"], rel=1e-3)  # its first trial


def test_a_run_stands_for_an_equal_share_of_the_space() -> None:
    toy = toy_sweep()
    axes = axes_of(toy)
    runs = {at: Run(tuple(map(float, at)), 0.0) for at in product(*(range(len(values)) for values in axes.values()))}
    table = Table(toy, axes, runs)
    rates = np.geomspace(1e-6, 1.0, 2001)[1::2]
    found = [table.nearest(toy.trial({"task": "hybrid", "learning_rate": float(rate), "outlier_sd": 2.0}, seed=0, threads=1)).val for rate in rates]
    assert {at[0] for at in found} == {1.0}
    assert {at[3] for at in found} == {1.0}
    assert np.bincount([int(at[1]) for at in found]).tolist() == [100] * 10


def test_the_committed_table_is_whole() -> None:
    table = Table.load(recorded.DATA / "recorded-both.json")
    assert set(table.runs) == set(product(*(range(len(values)) for values in table.axes.values())))
    points = table.sweep.trial({"task": "hybrid", "learning_rate": 1.0}, seed=0, threads=1).evaluation_points()
    for run in table.runs.values():
        assert len(run.val) == len(points) if run.test is not None else len(run.val) < len(points)
        assert all(-1 <= value <= 1 for value in (*run.val, run.test or 0.0))


def test_a_recorded_run_is_a_real_trial(dataset: Dataset) -> None:
    short = {"net": "tiny", "target_scale": "log1p", "pictures": 320, "batch_size": 16, "evaluations": 4, "curve_points": 4}
    toy = toy_sweep().model_copy(update={"shared": short})
    config = toy.trial({"task": "regression", "learning_rate": 3e-3}, seed=1, threads=1)
    run = recorded.run_trial(config, dataset, dataset.val)
    assert len(run.val) == 4
    assert run.test == run.val[-1]  # judged on val itself: the model that is loaded again is the one that was trained
    assert recorded.run_trial(config, dataset, dataset.train).test != run.test
    exploded = recorded.run_trial(config.model_copy(update={"learning_rate": 1e9}), dataset, dataset.val)
    assert exploded.test is None
    assert len(exploded.val) < 4


def test_recording_goes_on_where_it_was(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[float] = []

    def stub(config: object, *_: object) -> Run:
        if len(ran) == 5:
            ran.append(0.0)
            raise KeyboardInterrupt
        ran.append(len(ran) / 100)
        return Run((ran[-1],), ran[-1])

    monkeypatch.setattr(recorded, "PARTS", {"learning_rate": 2, "head_multiplier": 1})
    monkeypatch.setattr(recorded, "planted", lambda *_: dataset)
    monkeypatch.setattr(recorded, "run_trial", stub)
    out = tmp_path / "table.json"
    with pytest.raises(KeyboardInterrupt):
        recorded.record("both", tmp_path, out)
    assert not out.exists()
    recorded.record("both", tmp_path, out)
    table = Table.load(out)
    assert len(table.runs) == 3 * 2 * 4 == len(ran) - 1  # none twice
    assert len({run.test for run in table.runs.values()}) == len(table.runs)
    assert table.sweep == recorded_sweep()
    assert json.loads(out.read_text())["command"] == "python -m benchmarks.recorded both"
