"""The searcher finds what is there and draws the same after a kill, at a cost that does not grow; and the journal is on the disk when it must be."""

import os
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.errors import RecordError
from peoria.sweep.sampler import TrialSampler
from peoria.sweep.storage import Journal
from peoria.sweep.surrogate import NOISE, Kernel, Trend, stays_finite
from tests.helpers.small import small_sweep


@pytest.fixture
def sweep() -> Sweep:
    space = Space(task=("regression", "classification", "hybrid"), learning_rate=LogUniform(1e-6, 1e-2), head_multiplier=LogUniform(1.0, 100.0))
    return small_sweep(Path("nowhere"), startup_per_task=2, seed=3, space=space)


ROOT = Path(__file__).parents[3]
PRIVATE = re.compile(r"^\s*(?:from|import) optuna(?:\.\w+)*(?:\._\w+| import .*\b_\w+)|(?<!self)\._(?:storage|trial_id|study_id)\b", re.MULTILINE)


def ended(sweep: Sweep, values: list[float | None], *, about: TrialSampler | None = None) -> tuple[optuna.Study, TrialSampler]:
    """A sweep of random trials that ended with these values; None: pruned after a first one of 0."""
    sampler = about or TrialSampler(sweep)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    for value in values:
        sweep.space.suggest(trial := study.ask())
        if value is None:
            trial.report(0.0, 250)
        sampler.finished.add(study.tell(trial, value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE))
    study.sampler = sampler
    return study, sampler


def worth(point: dict[str, Any], dice: np.random.Generator) -> float:
    """A peak with a cliff behind, hidden in as much noise as a small val has: hybrid, a rate of 1e-3, a multiplier of 3."""
    off = np.log10(point["learning_rate"]) + 3
    if off > 0.5:
        return -1.0
    peak = 0.4 - 0.1 * off**2 - 0.05 * (np.log10(point["head_multiplier"]) - 0.5) ** 2 - 0.1 * (point["task"] != "hybrid")
    return float(max(peak, -0.5) + 0.06 * dice.standard_normal())


def searched(sweep: Sweep, num: int, *, told: bool = True) -> list[dict[str, Any]]:
    """Points of a search, one after another."""
    sampler, dice = TrialSampler(sweep), np.random.default_rng(sweep.seed)
    study, found = optuna.create_study(direction="maximize", sampler=sampler), []
    for _ in range(num):
        found.append(sweep.space.suggest(trial := study.ask()))
        ended = study.tell(trial, worth(found[-1], dice))
        if told:
            sampler.finished.add(ended)
    return found


def test_it_finds_a_peak_before_a_cliff(sweep: Sweep) -> None:
    """Of the later half of 40 trials most lie within a decade below the cliff; of a searcher that is told nothing a quarter."""

    def near(told: bool) -> float:
        points = [point for seed in range(8) for point in searched(sweep.model_copy(update={"seed": seed}), 40, told=told)[20:]]
        return float(np.mean([10**-3.5 < point["learning_rate"] < 10**-2.5 for point in points]))

    assert near(told=True) > 0.5
    assert near(told=False) < 0.35  # control


def test_a_task_that_is_asked_for_gets_what_is_known_of_it(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    study, sampler = ended(sweep, [0.1 * number for number in range(12)])
    alone: list[str] = []
    draw = TrialSampler.sample_independent
    monkeypatch.setattr(TrialSampler, "sample_independent", lambda *a: (alone.append(a[3]), draw(*a))[1])
    tasks = set()
    for task in sweep.space.task * 3:
        study.enqueue_trial({"task": task})
        tasks.add(sweep.space.suggest(study.ask())["task"])
    assert tasks == set(sweep.space.task)
    assert len(alone) <= 4  # a task without a hopeful candidate
    monkeypatch.setattr(sampler.finished, "_points", {})  # the control: nobody has finished, so that all is drawn at random
    sweep.space.suggest(study.ask())
    assert len(alone) >= 4


def test_what_is_under_way_moves_no_mean_and_narrows_what_is_unknown() -> None:
    rng = np.random.default_rng(0)
    points, running, candidates = (np.column_stack([rng.integers(0, 3, (num, 2)), rng.random((num, 2))]) for num in (20, 6, 40))
    values = rng.standard_normal(20)
    alone, beside = (Trend(points, values, others, candidates, 0.5) for others in (running[:0], running))
    assert beside.mean == pytest.approx(alone.mean, abs=1e-9)
    assert (beside.sd < alone.sd).all()
    # By the textbook (Rasmussen and Williams 2006, eqs. 2.25 and 2.26), written out.
    kernel = Kernel(0.5, 1.0)
    inverse, across = np.linalg.inv(kernel(points, points) + NOISE * np.eye(20)), kernel(candidates, points)
    assert alone.mean == pytest.approx(across @ inverse @ values)
    assert alone.sd**2 == pytest.approx(1 - np.einsum("ij,jk,ik->i", across, inverse, across))
    drawn = np.array([alone.sample(np.arange(40), np.random.default_rng(seed)) for seed in range(400)])
    assert drawn.mean(axis=0) == pytest.approx(alone.mean, abs=0.2)
    assert np.cov(drawn.T) == pytest.approx(kernel(candidates, candidates) - across @ inverse @ across.T, abs=0.3)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(40)).max() > 0.8  # the control: one function, not a number for each


def test_divergence_is_expected_where_others_diverged() -> None:
    finite, diverged = (np.array([[0.0, 0.0, rate, 0.5] for rate in rates]) for rates in ((0.1, 0.3, 0.5), (0.8, 0.9)))
    at = np.array([[0.0, 0.0, rate, 0.5] for rate in (0.3, 0.65, 0.85)])
    low, edge, high = stays_finite(at, finite, diverged)
    assert low > 0.95 > edge > 0.2 > high
    assert (stays_finite(at, finite, diverged[:0]) == 1).all()


def test_a_draw_is_reckoned_from_so_many_trials(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best half, and the latest of the others."""
    values = [number / 30 for number in range(30)]
    random.Random(0).shuffle(values)
    _, sampler = ended(sweep, [*values, *[-1.0] * 20])
    everybody, quantiles, diverged = sampler.finished.known()
    assert len(everybody) == 30
    assert len(diverged) == 20
    assert quantiles.tolist() == sorted(quantiles, reverse=True)
    assert np.std(quantiles) == pytest.approx(1, abs=0.1)
    monkeypatch.setattr("peoria.sweep.sampler.MOST", 10)
    fewer, kept, latest = sampler.finished.known()
    by_value = np.argsort(values)[::-1].tolist()
    chosen = {*by_value[:5], *sorted(set(by_value[5:]))[-5:]}
    assert kept.tolist() == [quantiles[place] for place, number in enumerate(by_value) if number in chosen]
    assert fewer.tolist() == [everybody[place].tolist() for place, number in enumerate(by_value) if number in chosen]
    assert latest.tolist() == diverged[-10:].tolist()


def test_equal_results_are_equally_good(sweep: Sweep) -> None:
    """As those of collapsed networks are: which of them came first says nothing."""
    _, sampler = ended(sweep, [0.3, *[0.0] * 9, None, None])
    values = sampler.finished.known()[1]
    assert values[0] > values[1] > values[-1]
    assert set(values[1:10]) == {values[1]}
    assert values[10] == values[11]
    _, level = ended(sweep, [0.0] * 12)
    assert level.finished.known()[1] == pytest.approx(np.zeros(12), abs=1e-12)


def test_the_start_up_stays_random_after_a_queue_as_long(sweep: Sweep) -> None:
    """Rates of a start-up point, where as many queued points have ended; of another trial then, drawn by what these say: the control."""
    about = sweep.space.model_copy(update={"learning_rate": LogUniform(1e-6, 1e-2, typical=1e-3, width=0.01)})
    one = sweep.model_copy(update={"space": about})
    rates = []
    for origin in ("start-up hybrid 0", "queue"):
        study, _ = ended(one, [0.1 * number for number in range(12)])
        for _ in range(8):
            study.enqueue_trial({"task": "hybrid"}, user_attrs={"origin": origin})
            rates.append(one.space.suggest(study.ask())["learning_rate"])
    near = [abs(np.log10(rate) + 3) < 0.1 for rate in rates]
    assert sum(near[:8]) == 6  # three in four
    assert sum(near[8:]) < 5


def test_where_all_diverged_it_draws_where_none_was(sweep: Sweep) -> None:
    high = sweep.model_copy(update={"space": Space(task=("hybrid",), learning_rate=LogUniform(1e-6, 1e-2), outlier_sd=(None,))})
    sampler = TrialSampler(high)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for rate in np.geomspace(1e-4, 1e-2, 12):
        study.enqueue_trial({"task": "hybrid", "hybrid/learning_rate": float(rate)})
        high.space.suggest(trial := study.ask())
        sampler.finished.add(study.tell(trial, -1.0))
    found = [high.space.suggest(study.ask())["learning_rate"] for _ in range(40)]
    assert np.mean([rate < 1e-4 for rate in found]) > 0.65  # half of the range


def test_a_draw_sees_what_runs(sweep: Sweep) -> None:
    study, _ = ended(sweep, [0.1 * number for number in range(12)])
    alone = sweep.space.suggest(study.ask())
    beside, sampler = ended(sweep, [0.1 * number for number in range(12)])
    for _ in range(12):
        beside.enqueue_trial({"task": alone["task"], f"{alone['task']}/learning_rate": alone["learning_rate"]})
    running = [sweep.space.suggest(beside.ask()) for _ in range(12)]
    assert len(running) == len(sampler._under_way(beside, beside.get_trials()[0]))
    after = [sampler.sample_relative(study, study.get_trials()[12], {}), sampler.sample_relative(beside, study.get_trials()[12], {})]
    assert after[0] != after[1]


def test_a_half_drawn_trial_gets_the_rest_of_what_it_would_have_got(sweep: Sweep) -> None:
    study, _ = ended(sweep, [0.1 * number for number in range(12)])
    whole, half = study.ask(), None
    wanted = sweep.space.suggest(whole)
    again, _ = ended(sweep, [0.1 * number for number in range(12)])
    half = again.ask()
    half.suggest_categorical("task", sweep.space.task)
    taken_up = optuna.Trial(again, again.get_trials()[-1]._trial_id)
    assert sweep.space.suggest(taken_up) == wanted


def test_a_trial_of_another_space_is_named(sweep: Sweep) -> None:
    other = sweep.model_copy(update={"space": sweep.space.model_copy(update={"outlier_sd": (9.0,)})})
    with pytest.raises(RecordError, match=r"trial 0: .*settings of the sweep's own space"):
        ended(other, [0.1], about=TrialSampler(sweep))


def test_the_ranks_are_of_values_then_of_how_far_a_trial_came(sweep: Sweep) -> None:
    study, sampler = ended(sweep, [0.2, None, 0.5, -1.0, None])
    places = [sampler.finished._settings.point(study.trials[number].params) for number in (2, 0, 1, 4)]
    assert sampler.finished.known()[0].tolist() == places


@pytest.mark.parametrize("values", [[-1.0] * 8, [None] * 8, [0.3] * 8])
def test_it_goes_on_whatever_came_before(sweep: Sweep, values: list[float | None]) -> None:
    study, _ = ended(sweep, values)
    for _ in range(6):
        point = sweep.space.suggest(study.ask())
        assert 1e-6 <= point["learning_rate"] <= 1e-2
        assert 1.0 <= point["head_multiplier"] <= 100.0


def test_ranges_of_one_value_and_of_each_task() -> None:
    space = Space(
        task=("regression", "hybrid"),
        learning_rate={"regression": LogUniform(1e-4, 1e-4), "hybrid": LogUniform(1e-3, 1e-1)},
        head_multiplier=LogUniform(5.0, 5.0),
        outlier_sd=(None,),
    )
    one = small_sweep(Path("nowhere"), space=space, startup_per_task=1)
    study, _ = ended(one, [0.1, 0.2, 0.3, -1.0])
    for _ in range(8):
        point = one.space.suggest(study.ask())
        assert point["outlier_sd"] is None
        assert point["head_multiplier"] == 5.0
        low, high = (1e-4, 1e-4) if point["task"] == "regression" else (1e-3, 1e-1)
        assert low <= point["learning_rate"] <= high


def test_nothing_of_optuna_is_used_that_is_not_public() -> None:
    found = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "peoria").rglob("*.py")) if PRIVATE.search(path.read_text())]
    assert found == []
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


def test_a_searcher_that_reads_the_trials_later_draws_the_same(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill: in the order of their numbers, not of their ends. With equal values, and more trials than a draw is reckoned from."""
    monkeypatch.setattr("peoria.sweep.sampler.MOST", 8)
    ours = TrialSampler(sweep)
    study, dice = optuna.create_study(direction="maximize", sampler=ours), random.Random(1)
    running = [study.ask() for _ in range(60)]
    for trial in running:
        sweep.space.suggest(trial)
    for trial in dice.sample(running, 60):
        ours.finished.add(study.tell(trial, dice.choice([-1.0, 0.1, 0.1, 0.2, 0.3])))
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
