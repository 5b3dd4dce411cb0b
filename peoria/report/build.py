"""The one way to the test split: opens it on record, judges, writes the report. Asked again, it renders what it found and opens nothing."""

import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from peoria.data.filters import filtered_labels
from peoria.errors import ReportError
from peoria.paper.replication import remade
from peoria.records.folder import SweepFolder
from peoria.records.schema import ReportRun, SweepRecord
from peoria.records.selection import TARGET_METRICS, best_by_objective
from peoria.records.trials import TrialRecord, read_trials
from peoria.report.contact_sheets import sheets
from peoria.report.page import render_report, render_table
from peoria.report.search_charts import TrialCurve
from peoria.verdict.judge import judge
from peoria.verdict.judged import Judged, signature
from peoria.verdict.open_test import open_and_score
from peoria.verdict.predictors import on_val
from peoria.verdict.questions import answer
from peoria.verdict.schema import Chosen, ChosenTrial, Target, Verdict
from peoria.verdict.scores import TestScores
from peoria.verdict.sentences import FROZEN, all_said, chosen
from peoria.verdict.tables import PackedSet
from shards.files import write_atomic
from shards.inspection.describe import describe
from shards.read.shard_set import ShardSet

WIDTH = 150
Say = Callable[[str], object]


def report(
    home: Path, name: str, *, tracking: str | None = None, cache: Path | None = None, cache_bytes: int | None = None, say: Say = print
) -> Verdict:
    """Judges a finished sweep; the verdict as in ``report/verdict.json``.

    Raises:
        ReportError: no such sweep, or it is not finished, or no trial did.
        DamagedShardError: a shard of the test split is not what was packed.
    """
    folder, cache = SweepFolder.of(home, name), cache or home / "cache"
    sweep, trials = folder.read_definition(), read_trials(folder)
    if not folder.is_finished():
        raise ReportError(
            f"sweep {name}: not finished; the test split is opened once, when nothing more will be chosen",
            hint=f"peoria status {name}; the command that ran the sweep goes on with it, and --trials makes it shorter",
        )
    ended = [trial for trial in trials if trial.purpose == "search" and trial.status in ("done", "pruned", "diverged")]
    missing = [trial.key for trial in trials if trial.status == "running"]
    if missing or len(ended) < sweep.trials:  # or another winner would be chosen of what is left, and test be opened for it
        what = f"no outcome of {', '.join(missing)}" if missing else f"{len(ended)} of {sweep.trials} trials"
        raise ReportError(
            f"sweep {name}: finished, yet its folder has {what}; all trials of a finished sweep", hint="was a part of it lost in a copy?"
        )
    judged = Judged.of(trials)
    if "views" not in judged.winners:
        raise ReportError(f"sweep {name}: no trial finished; one has to be judged", hint="see the error of each trial in its outcome.json")
    scored = TestScores.read(folder, signature(sweep, judged)) or open_and_score(cache, cache_bytes, folder, sweep, judged, say)
    for trial in trials:
        if trial.purpose != "search" and trial.status != "done":
            counted = trial.status == "diverged" and any(trial in again for again in judged.seeds.values())
            say(f"{'counts as ranking nothing' if counted else 'not judged'}: {trial.label}, which {trial.status}")
    verdict = make_verdict(sweep, trials, judged, scored, on_val(folder))
    write_report(folder, verdict, sweep, trials, scored, say)
    if tracking != "off":
        deliver(home, folder, tracking, say)
    return verdict


def make_verdict(
    sweep: SweepRecord,
    trials: list[TrialRecord],
    judged: Judged,
    scored: TestScores,
    baselines_on_val: Mapping[str, Mapping[str, float]],
) -> Verdict:
    """Numbers and sentences, from what is stored: the same to the byte each time."""
    winners: dict[Target, str] = {"views": judged.name("views")}
    favorites = scored.labels.favorites
    if "favorites" in judged.winners and favorites is not None and len(set((favorites >= 1).tolist())) == 2:
        winners["favorites"] = judged.name("favorites")
    found = judge(scored.predictors, scored.labels, scored.clusters, winners=winners, on_val=baselines_on_val, opening=scored.opening)
    if judged.winners["views"].config.trunk == "frozen":
        found = found.model_copy(update={"notes": (*found.notes, FROZEN)})
    paper = None
    if sweep.control is None:  # of reassigned counts the paper's tables would say nothing
        shard_set = ShardSet(Path(sweep.shards))
        train, val = (filtered_labels(shard_set, split, sweep.where) for split in ("train", "val"))
        paper = remade(train, val, trials, found.predictors)
    return Verdict(
        **dict(found),
        sweep=sweep.name,
        identity=sweep.identity,
        control=sweep.control,
        where=sweep.where,
        num_trials=sum(trial.purpose == "search" for trial in trials),
        winners=chosen_of(trials, judged, winners, f"val/{sweep.objective}"),
        questions=answer(scored, judged, trials),
        paper=paper,
        data=PackedSet.model_validate(describe(Path(sweep.shards))),
    )


def chosen_of(trials: list[TrialRecord], judged: Judged, targets: Collection[Target], objective: str) -> Chosen:
    """The trials that val chose, each with the measure that chose it."""

    def of(trial: TrialRecord, measure: str) -> ChosenTrial:
        value = trial.metrics[measure]
        return ChosenTrial(key=trial.key, label=trial.label, measure=measure, value=value, config=trial.config, val=trial.metrics)

    best = best_by_objective(trials)
    return Chosen(
        views=of(judged.winners["views"], TARGET_METRICS["views"]),
        favorites=of(judged.winners["favorites"], TARGET_METRICS["favorites"]) if "favorites" in targets else None,
        objective=None if best is None else of(best, objective),
    )


def write_report(folder: SweepFolder, verdict: Verdict, sweep: SweepRecord, trials: Sequence[TrialRecord], scored: TestScores, say: Say) -> None:
    from rich.console import Console

    verdict.write(folder.verdict)
    run = ReportRun(written_at=time.strftime("%Y-%m-%d %H:%M:%S"), host=socket.gethostname(), pid=os.getpid(), environment=sweep.environment)
    run.write(folder.report_run)
    shipped = scored.predictors[f"trial-{verdict.winners.views.key}"].views
    assert shipped is not None
    rows, pictures = ({name: getattr(sheet, kind) for name, sheet in scored.sheets.items()} for kind in ("rows", "pictures"))
    contact = sheets(shipped, scored.labels, rows, pictures)
    page = render_report(verdict, sweep, [TrialCurve.of(trial) for trial in trials], folder.read_baselines(), run, contact)
    write_atomic(folder.page, page.encode())
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)  # a file or a pipe has no width of its own
    console.print(render_table(verdict, console.width))
    first, *rest = all_said(verdict)
    say(first)
    for sentence in (*rest, *chosen(verdict.winners)):
        say(f"- {sentence}")
    say(f"report: {folder.page}")


def deliver(home: Path, folder: SweepFolder, tracking: str | None, say: Say) -> None:
    """The report to MLflow, beside the curves."""
    from peoria.tracking.database import default_tracking_uri
    from peoria.tracking.projection import Tracker
    from peoria.tracking.projector import Projector

    uri = tracking or default_tracking_uri(home)
    undelivered = Projector(Tracker(uri), folder).close(timeout_s=120)
    say(undelivered or f"MLflow: {uri}, experiment peoria, run {folder.name}")
