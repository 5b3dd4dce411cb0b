"""The winner through a sweep's record: the same in whatever order trials end and whatever is killed in between; asked of by all who tell it."""

import random
import shutil
from pathlib import Path

import pytest

from peoria.config.sweep import Sweep
from peoria.errors import ConfigError, ReportError
from peoria.records.folder import SweepFolder
from peoria.records.selection import choice_in, seed_key, winners_of
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.serving.scorer import winner_for
from peoria.sweep.progress import Ends
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from peoria.sweep.status import status
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.tracking.reader import SweepReader, read_sweep
from peoria.training.messages import TrialReport
from peoria.verdict.judged import Judged
from peoria.verdict.ready import refuse_without_winner
from tests.helpers.damage import define, ends
from tests.helpers.played import STEPS, leave_model, message
from tests.helpers.small import small_sweep

SHARED = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
SWEEP = small_sweep(Path("nowhere"), trials=6, seeds=4, questions=("leak",), shared=SHARED, prune=False)


def value(key: str, metric: str) -> float:
    """Of the last evaluation, by key alone. Fresh seeds turn the candidates round."""
    of, _, number = key.partition("-seed-")
    dice = random.Random(f"{of}{metric}")
    searched = dice.uniform(0.1, 0.5)
    return searched if not number else 0.6 - searched + random.Random(f"{key}{metric}").uniform(-0.01, 0.01)


def report_of(assignment: Assignment, step: int) -> TrialReport:
    found = message(assignment, step)
    metrics = {name: value(assignment.key, name) for name in ("val/rho_views", "val/gini_fav")}
    points = [(at, of | (metrics if at == step else {})) for at, of in found.points or []]
    return found.model_copy(update={"objective": metrics["val/rho_views"], "metrics": metrics, "points": points})


def end(store: TrialStore, assignment: Assignment) -> None:
    leave_model(assignment)
    for step in STEPS:
        store.report(assignment.key, report_of(assignment, step))


def search(folder: SweepFolder, sweep: Sweep) -> TrialStore:
    """A sweep whose search is over, and of which nothing further has been trained."""
    define(folder, sweep)
    store = TrialStore(folder, sweep)
    for _ in range(sweep.trials):
        assignment = store.ask()
        assert assignment is not None
        end(store, assignment)
    return store


def further(folder: SweepFolder, sweep: Sweep, seed: int | None) -> None:
    """What is owed of it: one after another, or with a seed in any order, three at a time, killed now and then."""
    dice = random.Random(seed)
    store = TrialStore(folder, sweep, concurrent=3)
    running: list[Assignment] = []
    while True:
        while len(running) < (1 if seed is None else 3) and (assignment := store.ask()) is not None:
            running.append(assignment)
        if not running:
            return
        if seed is not None and dice.random() < 0.2:
            store, running = TrialStore(folder, sweep, concurrent=3), []
            continue
        end(store, running.pop(dice.randrange(len(running))))


def test_the_order_in_which_trials_end_and_kills_change_no_winner(tmp_path: Path) -> None:
    search(SweepFolder(tmp_path / "searched"), SWEEP)
    found = []
    for seed in (None, *range(12)):
        folder = SweepFolder(tmp_path / str(seed))
        shutil.copytree(tmp_path / "searched", folder.path)
        further(folder, SWEEP, seed)
        choice = choice_in(folder.read_definition(), read_trials(folder))
        assert choice == TrialStore(folder, SWEEP).choice
        found.append((choice, ends(folder)))
    assert all(one == found[0] for one in found)
    choice = found[0][0]
    assert choice.winners.keys() == {"views", "favorites"}
    assert not set(choice.winners.items()) & set(choice.leaders.items())  # else the rule decided nothing


def told(home: Path, store: TrialStore, reader: SweepReader) -> dict[str, str]:
    """Who wins for views, by all who tell it; "" of one who says that nobody does yet."""
    folder = SweepFolder.of(home, SWEEP.name)
    about, trials = folder.read_definition(), read_trials(folder)
    found = {"selection": winners_of(about, trials).get("views"), "verdict": Judged.of(about, trials).winners.get("views")}
    keys = {name: "" if trial is None else trial.key for name, trial in found.items()}
    keys["store"] = store.choice.winners.get("views", "")
    try:
        keys["predict"] = winner_for(home, SWEEP.name, "views")[2].key
    except ReportError as error:
        assert "no winner yet" in str(error)  # noqa: PT017
        keys["predict"] = ""
    said = next(line for line in status(home, SWEEP.name).splitlines() if " for views (" in line)
    keys["status"] = said.rpartition(" on val: ")[2][:4] if said.startswith("  winner for views") else ""
    said = SweepResult(folder, {}, {}, None).won
    keys["last line"] = said.partition("): ")[2][:4] if said.startswith("winner for views") else ""
    reader.look()
    for name, runs in (("MLflow", reader.read()), ("MLflow, anew", read_sweep(folder))):
        tag = runs[0].tags["winner_for_views"]
        keys[name] = tag[:4] if ", winner for views" in tag else ""
    return keys


def test_all_who_tell_the_winner_tell_the_same_one_at_every_moment(tmp_path: Path) -> None:
    folder = SweepFolder.of(tmp_path, SWEEP.name)
    store = search(folder, SWEEP)
    said: list[str] = []
    tells, moments, reader = Ends(store, said.append), [], SweepReader(folder, None)
    while True:
        keys = told(tmp_path, store, reader)
        assert len(set(keys.values())) == 1, keys
        moments.append(keys["store"])
        if (assignment := store.ask()) is None:
            break
        end(store, assignment)
        tells.ended(assignment.key)
    choice = store.choice
    assert set(moments) == {"", choice.winners["views"]}
    num = moments.index(choice.winners["views"])
    assert num >= 6  # two seeds of each of three
    won = [line for line in said if "winner for" in line]
    assert [line.rpartition(": ")[2] for line in won] == [choice.winners["views"], choice.winners["favorites"]]  # once each, as soon as it is known
    assert {trial.of for trial in read_trials(folder) if trial.purpose == "subset"} == {choice.winners["views"]}
    assert sum(trial.purpose == "reseed" for trial in read_trials(folder)) == 2 * len({*sum(choice.candidates.values(), ())}) + 2 * 2
    lost = seed_key(choice.winners["views"], 1)
    without = choice_in(folder.read_definition(), [trial for trial in read_trials(folder) if trial.key != lost])
    with pytest.raises(ReportError, match=f"{lost}: not there; a candidate's settings with each fresh seed"):
        refuse_without_winner("small", without)


def test_what_is_trained_once_serves_both_targets(tmp_path: Path) -> None:
    """Three finished trials are the candidates for both."""
    few = SWEEP.model_copy(update={"trials": 3, "questions": ()})
    folder = SweepFolder.of(tmp_path, SWEEP.name)
    search(folder, few)
    further(folder, few, None)
    trials = read_trials(folder)
    winners = set(choice_in(folder.read_definition(), trials).winners.values())
    wanted = {seed_key(f"000{k}", n) for k in range(3) for n in (1, 2)} | {seed_key(of, n) for of in winners for n in (3, 4)}
    assert {trial.key for trial in trials if trial.purpose == "reseed"} == wanted


def test_where_every_network_is_near_constant_nobody_wins_and_that_is_told(tmp_path: Path) -> None:
    sweep = SWEEP.model_copy(update={"trials": 1, "questions": ()})
    folder = SweepFolder.of(tmp_path, SWEEP.name)
    define(folder, sweep)
    store = TrialStore(folder, sweep)
    assignment = store.ask()
    assert assignment is not None
    leave_model(assignment)
    for step in STEPS:
        found = report_of(assignment, step)
        flat = found.metrics | {"val/score_sd": 1e-8}
        points = [(at, of | (flat if at == step else {})) for at, of in found.points or []]
        store.report(assignment.key, found.model_copy(update={"metrics": flat, "points": points}))
    assert store.ask() is None
    words = "near-constant on val, so no candidate: 0000"
    assert f"  {words}" in status(tmp_path, SWEEP.name).splitlines()
    assert SweepResult(folder, {}, {}, None).won == f"no winner; {words}"
    with pytest.raises(ReportError, match=words):
        winner_for(tmp_path, SWEEP.name, "views")
    with pytest.raises(ReportError, match=f"{words}; one has to be judged"):
        refuse_without_winner("small", store.choice)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_refused_when_a_sweep_is_defined(tmp_path: Path, seeds: int) -> None:
    from peoria.config.sweep import load_sweep

    path = tmp_path / "s.py"
    text = "from peoria import Sweep\nSWEEP = Sweep(name='s', shards='nowhere', seeds={})\n"
    path.write_text(text.format(seeds))
    with pytest.raises(ConfigError, match=rf"seeds: {seeds}; 0 \(the judged network is the one that the search trained.*\) or at least 3"):
        load_sweep(path)
    for enough in (0, 3):
        path.write_text(text.format(enough))
        assert load_sweep(path).seeds == enough


def test_a_small_sweep_of_real_trainings_is_judged_by_the_chosen_recipe(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    sweep = small_sweep(planted_shards, name="chosen", trials=3, seeds=3, prune=False)
    options = RunOptions(home=tmp_path, cache_dir=home / "cache", local=True, tracking="off")
    said: list[str] = []
    result = run_sweep(sweep, options, said.append)
    assert result.complete
    trials = read_trials(result.folder)
    choice = choice_in(result.folder.read_definition(), trials)
    assert all(trial.metrics["val/score_spread"] > 0 for trial in trials)
    assert result.winners == choice.winners
    assert sum("winner for views (" in line for line in said) == 1
    verdict = report(tmp_path, "chosen", tracking="off", cache=home / "cache", say=said.append)
    views = verdict.winners.views
    assert (views.key, views.num_candidates) == (choice.winners["views"], 3)
    assert views.fresh == pytest.approx(choice.fresh["views"][views.key], abs=1e-6)
    assert verdict.targets.views.predictor == f"recipe-{views.key}"
    assert next(found for found in verdict.predictors if found.name == f"recipe-{views.key}").num_seeds == 3
    assert any("chosen among the best 3 by 2 fresh seeds each" in line for line in said)
    page = result.folder.page.read_text()
    assert "the one whose settings did best on val with fresh seeds" in page
