"""What a sweep is to train: counted by hand, and pruning against sweeps whose trials are played through the real record."""

import random
from pathlib import Path

import pytest

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.records.folder import SweepFolder
from peoria.records.trials import read_trials
from peoria.sweep.plan import budget_text, startup_text
from peoria.sweep.pruner import sweep_rungs
from peoria.sweep.trial_store import TrialStore
from peoria.sweep.workload import expected_shares, workload
from peoria.training.messages import TrialReport
from tests.helpers.small import small_sweep
from tests.helpers.sweep_folder import WrittenSweep

CUTOFF = "2014-01-01"


def test_trainings_and_pictures_counted_by_hand(tmp_path: Path) -> None:
    shared = small_sweep(tmp_path).shared | {"pictures": 1000}
    sweep = small_sweep(tmp_path, seeds=3, questions=("learning-curve", "leak", "time"), prune=False, paper=True, shared=shared)
    found = workload(sweep, favorites=True, cutoff=CUTOFF)
    # 4 searched, the paper's regression and hybrid, 2 seeds of 4 candidates (3 for each target, of which 4 trials share at least two), a third of 2
    # winners, 3 shares of owners, 1 of pictures, 1 of the past and its control, of which half of the owners, the past and the control three times: 28
    assert (found.trials, found.paper, found.to_choose, found.reseeds, found.subsets) == (4, (1000, 1000), 8, 10, 12)
    assert (found.trainings, found.pictures, found.share) == (28, 28_000, 1.0)
    many = workload(sweep.model_copy(update={"trials": 60, "seeds": 5}), favorites=True, cutoff=CUTOFF)
    assert (many.to_choose, many.reseeds) == (12, 18)
    one_winner = workload(sweep, favorites=False, cutoff=None)  # and no dates
    assert (one_winner.to_choose, one_winner.reseeds, one_winner.subsets, one_winner.trainings) == (6, 7, 6, 19)
    none = workload(sweep.model_copy(update={"seeds": 0}), favorites=True, cutoff=CUTOFF)
    assert (none.to_choose, none.reseeds, none.subsets) == (0, 0, 6)
    alone = workload(sweep.model_copy(update={"trials": 1}), favorites=True, cutoff=CUTOFF)  # nothing to choose
    assert (alone.to_choose, alone.reseeds) == (0, 3)


def test_what_a_record_has_is_no_longer_to_be_trained(tmp_path: Path) -> None:
    sweep = small_sweep(tmp_path, trials=8, seeds=3, prune=True, shared=small_sweep(tmp_path).shared | {"pictures": 8000})
    written = WrittenSweep(tmp_path / "small")
    for number in range(7):  # six of them pruned at the half
        key = f"{number:04}"
        written.trial(key)
        written.points(key, 2 if number else 4)
        written.outcome(key, "pruned" if number else "done")
    found = workload(sweep, favorites=False, cutoff=None, trials=read_trials(written.folder))
    assert (found.trials, found.reseeds, found.measured) == (1, 7, True)
    assert found.share == pytest.approx((8000 + 6 * 4000) / (7 * 8000))
    fewer = workload(sweep, favorites=False, cutoff=None, trials=read_trials(written.folder)[:5])
    assert not fewer.measured  # control: of five trials nothing is told
    written.trial("0007")
    written.points("0007")
    written.outcome("0007", objective=0.4)

    def left() -> tuple[int, int]:
        found = workload(sweep, favorites=False, cutoff=None, trials=read_trials(written.folder))
        assert found.trainings == found.reseeds
        return found.to_choose, found.reseeds

    assert left() == (4, 5)  # two candidates
    for turn, (key, objective) in enumerate((("0000-seed-1", 0.3), ("0007-seed-1", 0.1), ("0000-seed-2", 0.2), ("0007-seed-2", 0.1))):
        written.trial(key, purpose="reseed")
        written.outcome(key, objective=objective)
        assert left() == (3 - turn, 4 - turn)
    written.trial("0000-seed-3", purpose="reseed")  # which wins
    written.outcome("0000-seed-3")
    assert left() == (0, 0)


@pytest.mark.parametrize(("trials", "factor"), [(30, 3), (14, 3), (40, 2)])
def test_expected_pruning_is_that_of_a_played_sweep(tmp_path: Path, trials: int, factor: int) -> None:
    """Through Optuna and the store: trials of a random quality, one after another."""
    settings = {"net": "tiny", "pictures": 9000, "batch_size": 16, "evaluations": 9, "curve_points": 9}
    space = Space(task=("regression",), learning_rate=LogUniform(1e-3, 1e-2))
    sweep = Sweep(
        name="s",
        shards=str(tmp_path),
        trials=trials,
        space=space,
        shared=settings,
        startup_per_task=trials,
        seeds=0,
        questions=(),
        reduction_factor=factor,
    )
    assert sweep_rungs(sweep)  # else nothing is pruned
    expected = expected_shares(sweep, trials)
    played = []
    for turn in range(6):
        draws, shares = random.Random(1000 + turn), []
        store = TrialStore(SweepFolder(tmp_path / str(turn) / "s"), sweep.model_copy(update={"seed": turn}))
        while (assignment := store.ask()) is not None:
            quality = draws.random()
            for step in assignment.config.evaluation_points():
                done = step == assignment.config.pictures
                if not store.report(assignment.key, TrialReport(step=step, status="done" if done else "running", objective=quality)):
                    break
            shares.append(step / assignment.config.pictures)
        played.append(sum(shares) / trials)
    mean = sum(played) / len(played)
    assert sum(expected) / trials == pytest.approx(mean, abs=0.08)
    assert max(expected) == 1.0 > mean  # control: not all go on


def test_a_budget_of_pictures_is_enough_for_so_many(tmp_path: Path) -> None:
    shared = small_sweep(tmp_path).shared | {"pictures": 1000}
    sweep = small_sweep(tmp_path, trials=60, prune=False, shared=shared)
    assert workload(sweep, favorites=False, cutoff=None).trials == 60  # control
    budget = sweep.model_copy(update={"pictures": 3500})
    found = workload(budget, favorites=False, cutoff=None)
    assert (found.trials, found.pictures) == (4, 4000)  # the last one is begun before they are spent
    assert budget_text(budget, found).startswith("3,500 pictures of the search, then no further trial is begun: enough for 4 further trials")
    written = WrittenSweep(tmp_path / "small")
    for number in range(2):
        written.trial(key := f"{number:04}")
        written.outcome(key, pictures=1000)
    assert workload(budget, favorites=False, cutoff=None, trials=read_trials(written.folder)).trials == 2
    spent = budget.model_copy(update={"pictures": 2000})
    assert workload(spent, favorites=False, cutoff=None, trials=read_trials(written.folder)).trials == 0


def test_what_the_search_begins_with_is_said(tmp_path: Path) -> None:
    told = "2 random points of each task: learning_rate about 0.001 (sd 1 decade), head_multiplier about 20 (sd 1 decade), one in 4 anywhere"
    assert startup_text(Sweep(name="s", shards=str(tmp_path))) == told
    rates = {"regression": LogUniform(1e-4, 1e-1, typical=1e-2, width=2.0), "hybrid": LogUniform(1e-4, 1e-1)}
    space = Space(task=("regression", "hybrid"), learning_rate=rates, head_multiplier=LogUniform(1, 10))
    part = Sweep(name="s", shards=str(tmp_path), startup_per_task=1, space=space)
    assert startup_text(part) == "1 random point of each task: learning_rate about 0.01 (sd 2 decades) of regression, one in 4 anywhere"
    assert startup_text(small_sweep(tmp_path)) == "1 random point of each task, anywhere in its ranges"


def test_without_pruning_every_trial_sees_all(tmp_path: Path) -> None:
    assert expected_shares(small_sweep(tmp_path, prune=False), 9) == (1.0,) * 9
    assert sum(expected_shares(small_sweep(tmp_path, prune=True), 9)) < 9  # control


def test_a_long_sweep_is_counted_at_once(tmp_path: Path) -> None:
    assert len(expected_shares(small_sweep(tmp_path, prune=True), 10_000)) == 10_000


def test_the_trial_in_common_is_one_of_the_sweep(tmp_path: Path) -> None:
    from peoria.sweep.workload import any_trial

    assert isinstance(any_trial(small_sweep(tmp_path)), TrialConfig)
