"""What is trained of the winners once the search is over, and that it remains, is resumed and dropped as it should."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.config.sweep import Sweep
from peoria.data.images import ArrayPictures
from peoria.errors import RecordError
from peoria.records.folder import SweepFolder
from peoria.records.selection import Choice, Standings, choice_of
from peoria.records.trials import TrialRecord, read_trials
from peoria.sweep.check import keeps_model
from peoria.sweep.follow_ups import OWNER_SHARES, follow_ups, time_cutoff
from peoria.sweep.trial_store import TrialStore
from peoria.training.messages import TrialReport
from peoria.verdict.judged import Judged
from peoria.verdict.predictors import network_score, val_score
from tests.helpers.damage import define
from tests.helpers.played import STEPS, message, run
from tests.helpers.small import small_sweep, trial_config
from tests.helpers.worlds import world

ASKED = ("learning-curve", "leak", "time")


@pytest.fixture
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    return small_sweep(Path("nowhere"), trials=6, shared=shared, seeds=3, questions=ASKED)


def keys(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("trials/*/config.json") if "-" in path.parent.name)


def known(candidates: dict[str, tuple[str, ...]], winners: dict[str, str]) -> Choice:
    return Choice(True, {}, candidates, winners, {}, (), ())


def judged_of(folder: Path, sweep: Sweep) -> tuple[Judged, list[TrialRecord]]:
    define(SweepFolder(folder), sweep)
    trials = read_trials(SweepFolder(folder))
    return Judged.of(SweepFolder(folder).read_definition(), trials), trials


def test_each_target_has_its_leader_on_val() -> None:
    done = {
        "0000": {"val/rho_views": 0.1, "val/gini_fav": 0.4},
        "0001": {"val/rho_views": 0.3, "val/gini_fav": 0.4},
        "0002": {"val/rho_views": 0.2},
    }
    standings = Standings()
    assert (standings.leaders, standings.by_objective) == ({}, [])
    for number, key in enumerate(reversed(done)):  # in any order
        standings.add(key, number / 10, done[key])
    assert standings.leaders == {"views": "0001", "favorites": "0000"}  # the earlier one among equals
    assert standings.by_objective == ["0000", "0001", "0002"]
    standings.add("10000", 0.2, done["0001"])
    assert standings.leaders["views"] == "0001"  # the tenth thousand comes after, whatever letters say


def test_what_is_trained_again_differs_in_seed_and_pictures_alone(sweep: Sweep) -> None:
    config = trial_config()
    candidates = {"views": ("0004", "0001", "0002"), "favorites": ("0002", "0004", "0003")}
    configs = dict.fromkeys(("0001", "0002", "0003", "0004"), config)
    to_choose = [f"{of}-seed-{k}" for of in ("0004", "0001", "0002", "0003") for k in (1, 2)]  # shared ones once
    assert [again.key for again in follow_ups(sweep, known(candidates, {}), configs, "2014-05-01")] == to_choose
    found = follow_ups(sweep, known(candidates, {"views": "0004", "favorites": "0002"}), configs, "2014-05-01")
    assert [again.key for again in found] == [
        *to_choose,
        "0004-seed-3",
        "0002-seed-3",
        *(f"0004-owners-{share:g}" for share in OWNER_SHARES),
        "0004-pictures-0.8",
        "0004-before-2014-05-01",
        *(f"0004-matched-2014-05-01-{k}" for k in (1, 2, 3)),
        *("0004-owners-0.5-2", "0004-before-2014-05-01-2"),
        *("0004-owners-0.5-3", "0004-before-2014-05-01-3"),
    ]
    assert len({again.config.seed for again in found} | {config.seed}) == len(found) + 1
    assert {json.dumps(again.config.model_dump(exclude={"seed", "subset"})) for again in found} == {
        json.dumps(config.model_dump(exclude={"seed", "subset"}))
    }
    both = follow_ups(sweep, known({"views": ("0004",), "favorites": ("0004",)}, {"views": "0004", "favorites": "0004"}), configs, None)
    assert len(both) == 3 + 6  # one recipe serves both targets; without dates there is no past
    one = known({"views": ("0004",)}, {"views": "0004"})
    assert follow_ups(sweep.model_copy(update={"seeds": 0, "questions": ()}), one, configs, None) == []
    assert follow_ups(sweep, replace(one, over=False), configs, None) == []


def test_probes_are_owed_once_the_search_is_over(sweep: Sweep, tmp_path: Path) -> None:
    asked: list[int] = []

    def cutoff() -> str:
        asked.append(len(asked))
        return "2014-05-01"

    store = TrialStore(SweepFolder(tmp_path), sweep, cutoff=cutoff)
    ran = run(store)
    assert ran[:6] == [f"{n:04d}" for n in range(6)]
    winner, candidates = store.choice.winners["views"], store.choice.candidates["views"]
    assert winner in candidates
    assert ran[6:] == [*(f"{of}-seed-{k}" for of in candidates for k in (1, 2)), f"{winner}-seed-3", *ran[13:]]
    assert len(candidates) == 3
    assert len(ran) == 6 + 3 * 2 + 1 + 12
    assert store.counts()["unsearched_remaining"] == 0
    assert run(TrialStore(SweepFolder(tmp_path), sweep, cutoff=cutoff)) == []  # none twice
    judged, trials = judged_of(tmp_path, sweep)
    assert judged.winners["views"].key == choice_of(trials, seeds=3, wanted=6).winners["views"] == winner
    assert {trial.of for trial in trials if trial.purpose == "subset"} == {winner}
    assert Counter(trial.purpose for trial in trials) == {"search": 6, "reseed": 7, "subset": 12}
    assert [trial.key for trial in judged.seeds[winner]] == [f"{winner}-seed-{k}" for k in (1, 2, 3)]
    assert len(judged.subsets) == 12
    assert judged.name("views") == f"recipe-{winner}"


def test_a_seed_that_diverges_counts_as_ranking_nothing(sweep: Sweep, tmp_path: Path) -> None:
    """Left out, a recipe would be judged by the seeds that went well."""
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"questions": ()}))
    while (assignment := store.ask()) is not None:
        if assignment.key.endswith("seed-3"):
            store.report(assignment.key, TrialReport(step=250, status="diverged", objective=None, error="loss was inf"))
            continue
        for step in STEPS:
            if not store.report(assignment.key, message(assignment, step)):
                break
    judged, _ = judged_of(tmp_path, sweep.model_copy(update={"questions": ()}))
    again = judged.seeds[judged.winners["views"].key]
    assert [trial.status for trial in again] == ["done", "done", "diverged"]
    pictures = ArrayPictures(np.zeros((5, 2, 2, 3), np.uint8))
    assert network_score(again[2], pictures).tolist() == val_score(again[2], 5).tolist() == [0.0] * 5
    with pytest.raises(RecordError, match=r"model.json: No such file"):  # control: of any other trial there has to be a model
        network_score(again[0], pictures)


def test_a_killed_sweep_owes_the_rest_of_its_probes(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    while (assignment := store.ask()) is not None and not assignment.key.endswith("seed-2"):
        for step in STEPS:
            if not store.report(assignment.key, message(assignment, step)):
                break
    assert assignment is not None
    ran = run(TrialStore(SweepFolder(tmp_path), sweep))
    assert ran[0] == assignment.key  # it was under way
    assert len(keys(tmp_path)) == 3 * 2 + 1 + 6
    assert not {assignment.key.replace("seed-2", "seed-1")} & set(ran)


def test_a_search_that_goes_on_drops_what_waits_of_a_winner_that_may_change(sweep: Sweep, tmp_path: Path) -> None:
    few = sweep.model_copy(update={"trials": 2})
    store = TrialStore(SweepFolder(tmp_path), few)
    while (assignment := store.ask()) is not None and "seed" not in assignment.key:
        for step in STEPS:
            if not store.report(assignment.key, message(assignment, step)):
                break
    assert assignment is not None
    first = store.choice.leaders["views"]
    more = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"trials": 40}))
    ran = run(more)
    winner, candidates = more.choice.winners["views"], more.choice.candidates["views"]
    assert first not in candidates  # 40 draws are better than 2
    assert ran[0] == assignment.key == f"{first}-seed-1"
    assert ran[1:39] == [f"{n:04d}" for n in range(2, 40)]
    assert [key for key in ran[39:] if key.startswith(first)] == []
    assert [key for key in ran[39:] if "seed" in key] == [*(f"{of}-seed-{k}" for of in candidates for k in (1, 2)), f"{winner}-seed-3"]
    assert more.counts()["unsearched_remaining"] == 0


@pytest.mark.parametrize(("seeds", "may_win"), [(0, ["0000"]), (3, ["0000", "0001", "0002"])])
def test_those_that_may_win_keep_their_weights(sweep: Sweep, tmp_path: Path, seeds: int, may_win: list[str]) -> None:
    """The best by the objective are not always the best for views: here the objective runs the other way."""
    asked = sweep.model_copy(update={"trials": 8, "prune": False, "seeds": seeds, "questions": ()})
    store = TrialStore(SweepFolder(tmp_path), asked)
    while (assignment := store.ask()) is not None and assignment.key.isdigit():
        assignment.folder.model.write_bytes(b"weights")
        number = int(assignment.key)
        changes = {"objective": number / 10, "metrics": {"val/rho_views": 1 - number / 10}}
        store.report(assignment.key, message(assignment, STEPS[-1]).model_copy(update=changes))
    kept = sorted(path.parent.name for path in tmp_path.glob("trials/*/model.safetensors"))
    assert kept == [*may_win, "0005", "0006", "0007"]
    define(SweepFolder(tmp_path), asked)
    assert [trial.key for trial in keeps_model(SweepFolder(tmp_path))] == kept


def test_the_past_ends_where_most_of_train_lies_before() -> None:
    _, labels = world()
    cutoff = time_cutoff(labels)
    assert cutoff is not None
    assert labels.uploaded_at is not None
    assert np.mean(labels.uploaded_at < np.datetime64(cutoff)) == pytest.approx(0.8, abs=0.01)
    assert time_cutoff(replace(labels, uploaded_at=None)) is None
    mostly = np.where(np.arange(len(labels)) % 3 == 0, labels.uploaded_at, np.datetime64("NaT"))
    assert time_cutoff(replace(labels, uploaded_at=mostly)) is None
