"""Sweeps of a home at a glance: state, trials, best, and the time that their trials took."""

import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peoria.records.folder import SweepFolder
from peoria.records.schema import Holder, Progress, RunState, TrialWorker
from peoria.records.selection import SEARCH_ENDS, best_by_objective, choice_in
from peoria.records.trials import TrialRecord, read_trials
from peoria.sweep.board import best_baseline, seen_of
from peoria.sweep.lock import holder
from peoria.sweep.outlook import spoken
from peoria.sweep.owed import Owed
from shards.errors import UserError

WORDS = ("done", "pruned", "diverged", "failed", "infeasible", "running", "waiting", "interrupted")
NO_WORD = "killed"  # of a run that left no word of its end


@dataclass(frozen=True)
class Overview:
    """One sweep; ``facts`` are what `--json` tells, docs/terminal.md has each."""

    name: str
    state: str
    facts: dict[str, Any]


def names_in(home: Path) -> list[str]:
    """Of the sweeps of a folder that have a record."""
    return sorted(path.parent.name for path in home.glob("sweeps/*/sweep.json"))


def overview(home: Path, name: str, elsewhere: Holder | None = None) -> Overview:
    """
    Args:
        elsewhere: who holds the sweep by what its bucket says.

    Raises:
        ReportError: there is no such sweep.
        RecordError: its folder is of another format, or damaged.
    """
    folder = SweepFolder.of(home, name)
    sweep, trials = folder.read_definition(), read_trials(folder)
    held, last = holder(folder) or elsewhere, RunState.read_if_there(folder.finished)
    progress = Progress.read_if_there(folder.progress)
    waiting = set() if progress is None or held is None else set(progress.waiting)
    words = {trial.key: word_of(trial, held, waiting) for trial in trials}
    searched = [trial for trial in trials if trial.purpose == "search"]
    ended = [trial for trial in searched if trial.status in SEARCH_ENDS]
    owed, best, baseline = Owed.of(sweep, trials), best_by_objective(trials), best_baseline(folder, sweep.objective)
    state = "running" if held is not None else last.status if last is not None else NO_WORD
    report = folder.page if folder.page.exists() and folder.verdict.exists() else None
    facts = {
        "sweep": name,
        "state": state,
        "why": last.reason or None if last is not None and held is None else None,
        "trials": {word: sum(words[trial.key] == word for trial in searched) for word in WORDS},
        "ended": len(ended),
        "wanted": sweep.trials,
        "pictures_seen": sum(trial.pictures for trial in searched),
        "pictures_wanted": sweep.pictures,
        "further": {trial.key: words[trial.key] for trial in trials if trial.purpose != "search"},
        "running": [
            {"key": trial.key, "label": trial.label, "seen": seen_of(trial.folder), "pictures": trial.config.pictures}
            for trial in trials
            if words[trial.key] == "running"
        ],
        "owed": {"search": owed.search, "paper": owed.paper, "fresh_seeds": owed.seeds, "parts_of_train": owed.subsets},
        "objective": sweep.objective,
        "standard_error": sweep.se_objective,
        "best": None if best is None else {"key": best.key, "label": best.label, "value": best.objective},
        "baseline": None if baseline is None else {"label": baseline.label, "value": baseline.value},
        "winners": choice_in(sweep, trials).winners,
        "trial_seconds": round(sum(seconds_of(trial) for trial in trials), 1),
        "seconds_left": seconds_left(trials, len(ended), owed.search) if held is not None else None,
        "started_at": sweep.started_at,
        "last_activity_at": last_activity(folder, trials),
        "held_by": None if held is None else {"pid": held.pid, "host": held.host, "since": held.since},
        "waits_for": None if progress is None or held is None else progress.why or None,
        "report": None if report is None else str(report),
    }
    return Overview(name, state, facts)


def damaged(name: str, error: UserError) -> Overview:
    """Of a sweep that cannot be read."""
    return Overview(name, "damaged", {"sweep": name, "state": "damaged", "why": error.problems[0]})


def word_of(trial: TrialRecord, held: Holder | None, waiting: set[str]) -> str:
    """Of one without an outcome ``running`` where a worker began with it under who holds the sweep now, ``waiting`` where it has no place yet, else
    ``interrupted``: it is owed."""
    if trial.status != "running":
        return trial.status
    if held is None:
        return "interrupted"
    if trial.key in waiting:
        return "waiting"
    worker = TrialWorker.read_if_there(trial.folder.worker)
    if worker is None or worker.host != held.host or held.host != socket.gethostname():
        return "running"  # about to begin; or on another machine, whose clock may differ
    return "running" if worker.started_at >= time.mktime(time.strptime(held.since, "%Y-%m-%d %H:%M:%S")) else "interrupted"


def seconds_of(trial: TrialRecord) -> float:
    """That a trial's last worker took, or has taken by its last word; what an earlier worker did before it was lost is not among it."""
    worker = TrialWorker.read_if_there(trial.folder.worker)
    began = trial.started_at if worker is None else worker.started_at
    over = trial.ended_at or max(_changed(trial.folder.points), _changed(trial.folder.seen))
    return max(0.0, over - began)


def seconds_left(trials: list[TrialRecord], ended: int, owed: int) -> float | None:
    """Of the search, at the pace so far; None where no trial has ended."""
    if not ended or not owed:
        return None
    return round((time.time() - min(trial.started_at for trial in trials)) / ended * owed, 1)


def last_activity(folder: SweepFolder, trials: Iterable[TrialRecord]) -> float:
    """Unix seconds of the last thing that was written."""
    files = [folder.definition, folder.finished, folder.journal, folder.progress, folder.page]
    files += [path for trial in trials for path in (trial.folder.outcome, trial.folder.points, trial.folder.seen)]
    return max(map(_changed, files))


def _changed(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def table(found: list[Overview]) -> str:
    """In lines of at most 80 characters, but for longer names."""
    if not found:
        return "no sweep yet"
    wide = min(24, max(len(sweep.name) for sweep in found))
    lines = [f"{'sweep':<{wide}}  {'state':<11} {'trials':>9}  {'best on val':<17} {'took':>7}  last activity"]
    for sweep in found:
        facts = sweep.facts
        first = f"{sweep.name:<{wide}}  {sweep.state:<11}"
        if sweep.state == "damaged":
            lines.append(f"{first} {facts['why']}")
            continue
        best = "none yet" if facts["best"] is None else f"{facts['objective']} {facts['best']['value']:+.3f}"
        when = time.strftime("%d %b %H:%M", time.localtime(facts["last_activity_at"]))
        trials = f"{facts['ended']} of {facts['wanted']}"
        lines.append(f"{first} {trials:>9}  {best:<17} {spoken(facts['trial_seconds']):>7}  {when}")
    return "\n".join(lines)
