"""The one way to the test split: opens it on record, judges, writes the report. Asked again, it renders what it found and opens nothing."""

import io
import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from peoria.borders import terminal
from peoria.data.filters import filtered_labels
from peoria.errors import PeoriaError, ReportError
from peoria.paper.replication import remade
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import ReportRun, SweepRecord
from peoria.records.selection import TARGET_METRICS, best_by_objective, left_of_search
from peoria.records.trials import TrialRecord, read_trials
from peoria.redact import scrub_text
from peoria.report.artifacts import contact_jpeg, predictions_csv
from peoria.report.contact_sheets import sheets
from peoria.report.page import render_report, render_table
from peoria.report.plan_outcome import plan_outcome
from peoria.report.search_charts import TrialCurve
from peoria.report.winners import winner_names
from peoria.sweep.check import keeps_model
from peoria.sweep.lock import sweep_lock
from peoria.sweep.mirror import Mirror, mirrored
from peoria.sweep.resources import RunOptions
from peoria.training.evaluate import has_both_classes
from peoria.verdict.judge import judge
from peoria.verdict.judged import Judged, signature
from peoria.verdict.left_out import said_of_rows
from peoria.verdict.open_test import open_and_score
from peoria.verdict.opening import closed, left_open
from peoria.verdict.questions import answer
from peoria.verdict.ready import refuse_unready, refuse_without_winner
from peoria.verdict.schema import Chosen, ChosenTrial, Target, Verdict
from peoria.verdict.scored_away import open_and_score_away
from peoria.verdict.scores import TestScores
from peoria.verdict.sentences import FROZEN, all_said, chosen, said_of_near_constant
from peoria.verdict.tables import PackedSet
from peoria.verdict.vaults import NextVaults
from shards.cache.fetched import open_shards
from shards.errors import UserError
from shards.files import write_atomic
from shards.inspection.describe import describe
from shards.read.openings import entries

WIDTH = 150
Say = Callable[[str], None]


def report(
    home: Path,
    name: str,
    *,
    url: str | None = None,
    tracking: str | None = None,
    cache: Path | None = None,
    cache_bytes: int | None = None,
    away: RunOptions | None = None,
    rest: bool = False,
    say: Say = print,
) -> Verdict:
    """Judges a finished sweep; the verdict as in ``report/verdict.json``.

    Args:
        url: of the bucket that ``home`` is a copy of.
        away: how a node of a cluster scores the test split; None, or no cluster: it is scored here.
        rest: opens all vaults of test that are sealed, as the last opening; else the next one.

    Raises:
        ReportError: no such sweep, or it is not finished, or no trial did, or a trial or a model that is to be judged is not there.
        NoRoomError: no room for the report.
        NothingSealedError: all of test was opened before.
        DamagedShardError: a shard of the test split, or a table, is not what was packed.
        SweepError: a process runs the sweep, or reports on it.
    """
    folder = SweepFolder.of(home, name)
    place = Home(home, url)
    if url is None:
        folder.read_definition()
    # two at once would open test twice, and a sweep that goes on may choose another winner
    with sweep_lock(folder, say=say), mirrored(folder, place.sweep_url(name), say) as mirror:
        folder.read_definition()
        mirror.fetch_models(keeps_model(folder))
        return report_locked(home, folder, tracking, cache or place.cache, cache_bytes, say, mirror, away, rest)


def report_locked(
    home: Path,
    folder: SweepFolder,
    tracking: str | None,
    cache: Path,
    cache_bytes: int | None,
    say: Say,
    mirror: Mirror,
    away: RunOptions | None = None,
    rest: bool = False,
) -> Verdict:
    """`report` of a folder that this process holds."""
    name = folder.name
    sweep, trials = folder.read_definition(), read_trials(folder)
    if not folder.is_finished():
        raise ReportError(
            f"sweep {name}: not finished; the test split is opened once, when nothing more will be chosen",
            hint=f"peoria status {name}; the command that ran the sweep goes on with it, and --trials makes it shorter",
        )
    ended = [trial for trial in trials if trial.purpose == "search" and trial.status in ("done", "pruned", "diverged")]
    missing = [trial.key for trial in trials if trial.status == "running"]
    # or another winner would be chosen of what is left, and test be opened for it
    if missing or left_of_search(trials, sweep.trials, sweep.pictures):
        what = f"no outcome of {', '.join(missing)}" if missing else f"{len(ended)} of {sweep.trials} trials"
        raise ReportError(
            f"sweep {name}: finished, yet its folder has {what}; all trials of a finished sweep", hint="was a part of it lost in a copy?"
        )
    judged = Judged.of(sweep, trials)
    refuse_without_winner(name, judged.choice)
    scored = TestScores.read(folder, signature(sweep, judged))
    choice = NextVaults(open_shards(sweep.shards, cache, cache_bytes), sweep, rest)
    pending = left_open(choice, folder, judged)
    if (
        scored is None
        or (pending is not None and pending.number != scored.opening)
        or (rest and scored.shown is not None and scored.shown.num_sealed)
    ):
        refuse_unready(folder, sweep, trials, judged)
        if pending is None:
            choice(entries(choice.shard_set.at))  # what is refused is refused before any work
        if away is not None and away.cluster is not None:
            scored = open_and_score_away(away, folder, judged, choice, say, mirror)
        else:
            scored = open_and_score(cache, cache_bytes, folder, judged, choice, say, mirror)
    else:
        closed(folder)  # of a process that ended just after it stored them
    for trial in trials:
        if trial.purpose != "search" and trial.status != "done":
            counted = trial.status == "diverged" and any(trial in again for again in judged.seeds.values())
            say(f"{'counts as ranking nothing' if counted else 'not judged'}: {trial.label}, which {trial.status}")
    verdict = make_verdict(sweep, trials, judged, scored, cache)
    write_report(folder, verdict, sweep, trials, scored, say, mlflow_links(home, sweep, tracking, say))
    if tracking != "off":
        deliver(home, folder, tracking, say)
    return verdict


def make_verdict(
    sweep: SweepRecord,
    trials: list[TrialRecord],
    judged: Judged,
    scored: TestScores,
    cache: Path,
) -> Verdict:
    """Numbers and sentences, from what is stored: the same to the byte each time."""
    winners: dict[Target, str] = {"views": judged.name("views")}
    if "favorites" in judged.winners and has_both_classes(scored.labels):
        winners["favorites"] = judged.name("favorites")
    found = judge(scored.predictors, scored.labels, scored.clusters, winners=winners, opening=scored.opening, shown=scored.shown)
    more = [FROZEN] if judged.winners["views"].config.trunk == "frozen" else []
    more += [said_of_near_constant(judged.choice.near_constant)] if judged.choice.near_constant else []
    found = found.model_copy(update={"notes": (*found.notes, *more)})
    paper, shard_set = None, open_shards(sweep.shards, cache)
    data = PackedSet.model_validate(describe(shard_set))
    found = found.model_copy(update={"notes": (*found.notes, *said_of_rows(data))})
    if sweep.control is None:  # of reassigned counts the paper's tables would say nothing
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
        data=data,
        scored_on=scored.scored_on,
    )


def chosen_of(trials: list[TrialRecord], judged: Judged, targets: Collection[Target], objective: str) -> Chosen:
    """The trials that val chose, each with the measure that chose it."""

    def of(trial: TrialRecord, measure: str, **chosen_by: Any) -> ChosenTrial:
        value = trial.metrics[measure]
        return ChosenTrial(key=trial.key, label=trial.label, measure=measure, value=value, config=trial.config, val=trial.metrics, **chosen_by)

    def winner(target: Target) -> ChosenTrial:
        choice, trial = judged.choice, judged.winners[target]
        among = len(choice.candidates[target])
        fresh = choice.fresh[target].get(trial.key) if among > 1 else None
        return of(trial, TARGET_METRICS[target], num_candidates=among, fresh=fresh)

    best = best_by_objective(trials)
    return Chosen(
        views=winner("views"),
        favorites=winner("favorites") if "favorites" in targets else None,
        objective=None if best is None else of(best, objective),
    )


def mlflow_links(home: Path, sweep: SweepRecord, tracking: str | None, say: Say) -> dict[str, str] | None:
    """Of the sweep's runs, where MLflow is a server; None where it is not, or does not answer, which is no reason not to report."""
    from peoria.tracking.database import default_tracking_uri
    from peoria.tracking.ui import run_links

    uri = tracking or default_tracking_uri(home)
    if tracking == "off" or not uri.startswith(("http://", "https://")):
        return None
    try:
        return run_links(uri, sweep)
    except (PeoriaError, OSError) as error:
        say(f"no links from the report into MLflow: {scrub_text(str(error).splitlines()[0])[:200]}")
        return None


def write_report(
    folder: SweepFolder,
    verdict: Verdict,
    sweep: SweepRecord,
    trials: Sequence[TrialRecord],
    scored: TestScores,
    say: Say,
    links: Mapping[str, str] | None = None,
) -> None:
    from rich.console import Console

    verdict.write(folder.verdict)
    run = ReportRun(written_at=time.strftime("%Y-%m-%d %H:%M:%S"), host=socket.gethostname(), pid=os.getpid(), environment=sweep.environment)
    run.write(folder.report_run)
    shipped = scored.predictors[f"trial-{verdict.winners.views.key}"].views
    assert shipped is not None
    rows, pictures = ({name: getattr(sheet, kind) for name, sheet in scored.sheets.items()} for kind in ("rows", "pictures"))
    moved = {name: sheet.moved for name, sheet in scored.sheets.items() if sheet.moved is not None}
    contact = sheets(shipped, scored.labels, rows, pictures, moved)
    write_atomic(folder.predictions, predictions_csv(shipped, scored.labels).encode())
    write_atomic(folder.contact_sheet, contact_jpeg(contact, pictures))
    page = render_report(
        verdict, sweep, [TrialCurve.of(trial) for trial in trials], folder.read_baselines(), run, contact, plan_outcome(folder, trials), links
    )
    write_atomic(folder.page, page.encode())
    if say is print:  # a file or a pipe has no width of its own; a notebook gets lines, as of the rest
        console = Console(file=terminal(), width=None if sys.stdout.isatty() else WIDTH, force_jupyter=False)
        console.print(render_table(winner_names(verdict), console.width))
    else:
        lines = io.StringIO()
        Console(file=lines, width=WIDTH, force_jupyter=False).print(render_table(winner_names(verdict), WIDTH))
        say(lines.getvalue().rstrip("\n"))
    first, *rest = all_said(verdict)
    say(first)
    for sentence in (*rest, *chosen(verdict.winners)):
        say(f"- {sentence}")
    say(f"report: {folder.page}")


def deliver(home: Path, folder: SweepFolder, tracking: str | None, say: Say) -> None:
    """The report to MLflow, beside the curves, and the winners to its registry."""
    from peoria.serving.register import register_locked
    from peoria.tracking.database import default_tracking_uri
    from peoria.tracking.projection import Tracker
    from peoria.tracking.projector import Projector

    uri = tracking or default_tracking_uri(home)
    undelivered = Projector(Tracker(uri), folder).close(timeout_s=120)
    say(undelivered or f"curves in MLflow: peoria ui {folder.name}{Home(home).flag}")
    if not undelivered:
        try:
            register_locked(home, folder, tracking, say)
        except UserError as error:  # the report is written, whatever ails the registry
            say(f"not registered: {error}\nhint: peoria register {folder.name}")
