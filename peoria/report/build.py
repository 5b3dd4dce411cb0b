"""The one way to the test split: opens it on record, judges, writes the report. Asked again, it renders what it found and opens nothing."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from peoria.data.filters import filtered_labels
from peoria.errors import ReportError
from peoria.paper.replication import remade
from peoria.records.folder import SweepFolder
from peoria.records.schema import ReportRun, SweepRecord, rounded, write_json
from peoria.records.trials import TrialRecord, read_trials
from peoria.report.contact_sheets import sheets
from peoria.verdict.contact_rows import SHEETS
from peoria.verdict.judge import judge
from peoria.verdict.judged import Judged, signature
from peoria.verdict.predictors import on_val
from peoria.verdict.questions import answer
from peoria.verdict.scores import Scored
from peoria.verdict.sentences import FROZEN, all_said
from peoria.verdict.test_split import open_and_score
from shards.files import write_atomic
from shards.inspection.describe import describe
from shards.read.shard_set import ShardSet

WIDTH = 150


def report(
    home: Path, name: str, *, tracking: str | None = None, cache: Path | None = None, cache_bytes: int | None = None, say: Any = print
) -> dict[str, Any]:
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
    judged = Judged.of(trials)
    if "views" not in judged.winners:
        raise ReportError(f"sweep {name}: no trial finished; one has to be judged", hint="see the error of each trial in its outcome.json")
    scored = Scored.read(folder, signature(sweep, judged)) or open_and_score(cache, cache_bytes, folder, sweep, judged, say)
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
    scored: Scored,
    baselines_on_val: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Numbers and sentences, from what is stored: the same to the byte each time."""
    winners = {target: judged.name(target) for target in judged.winners}
    if scored.labels.favorites is None or len(set((scored.labels.favorites >= 1).tolist())) < 2:
        winners.pop("favorites", None)
    verdict = judge(scored.predictors, scored.labels, scored.clusters, winners=winners, on_val=baselines_on_val, opening=scored.opening)
    best = judged.winners["views"]
    if best.config.trunk == "frozen":
        verdict["notes"].append(FROZEN)
    paper = None
    if sweep.control is None:  # of counts that were handed out anew the paper's tables would say nothing
        shard_set, where = ShardSet(Path(sweep.shards)), sweep.where
        paper = rounded(remade(filtered_labels(shard_set, "train", where), filtered_labels(shard_set, "val", where), trials, verdict["predictors"]))
    return {
        "sweep": sweep.name,
        "identity": sweep.identity,
        "control": sweep.control,
        "where": sweep.where,
        **verdict,
        "num_trials": sum(trial.purpose == "search" for trial in trials),
        "best": {"key": best.key, "config": best.config.model_dump(mode="json"), "val": best.metrics},
        "questions": rounded(answer(scored, judged, trials)),
        "paper": paper,
        "data": rounded(describe(Path(sweep.shards))),
    }


def write_report(folder: SweepFolder, verdict: dict[str, Any], sweep: SweepRecord, trials: list[TrialRecord], scored: Scored, say: Any) -> None:
    from rich.console import Console

    from peoria.report.page import render_report, render_table

    write_json(folder.verdict, verdict)
    run = ReportRun(written_at=time.strftime("%Y-%m-%d %H:%M:%S"), host=socket.gethostname(), pid=os.getpid(), environment=sweep.environment)
    run.write(folder.report_run)
    curves = {
        trial.key: {
            "label": trial.label,
            "status": trial.status,
            "fixed": trial.purpose != "search",
            "of": trial.of,
            "task": trial.config.task,
            "config": trial.config.model_dump(mode="json"),
            "metrics": trial.metrics,
            "points": [{"step": step, "metrics": values} for step, values in trial.points()],
        }
        for trial in trials
    }
    baselines = [baseline.model_dump(mode="json") for baseline in folder.read_baselines()]
    shipped = scored.predictors[f"trial-{verdict['best']['key']}"].views
    assert shipped is not None
    contact = sheets(shipped, scored.labels, *({name: scored.extra[f"{kind}|{name}"] for name in SHEETS} for kind in ("sheet-rows", "sheet")))
    page = render_report(verdict, sweep.model_dump(mode="json"), curves, baselines, run.model_dump(mode="json"), contact)
    write_atomic(folder.page, page.encode())
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)  # a file or a pipe has no width of its own
    console.print(render_table(verdict, console.width))
    first, *rest = all_said(verdict)
    say(first)
    for sentence in rest:
        say(f"- {sentence}")
    say(f"report: {folder.page}")


def deliver(home: Path, folder: SweepFolder, tracking: str | None, say: Any) -> None:
    """The report to MLflow, beside the curves."""
    from peoria.tracking.database import default_tracking_uri
    from peoria.tracking.projection import Tracker
    from peoria.tracking.projector import Projector

    uri = tracking or default_tracking_uri(home)
    undelivered = Projector(Tracker(uri), folder).close(timeout_s=120)
    say(undelivered or f"MLflow: {uri}, experiment peoria, run {folder.name}")
