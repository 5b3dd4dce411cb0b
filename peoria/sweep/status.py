"""How far a sweep is, in a few lines."""

import time
from pathlib import Path

from peoria.records.folder import SweepFolder
from peoria.records.selection import best_by_objective, said, winners_of
from peoria.records.trials import TrialRecord, read_trials
from peoria.sweep.lock import holder


def status(home: Path, name: str) -> str:
    """k of n, the winners, the follow-ups, the time left at the pace so far, and who runs it.

    Raises:
        ReportError: there is no such sweep.
        RecordError: its folder is of another format, or damaged.
    """
    folder = SweepFolder.of(home, name)
    sweep, trials = folder.read_definition(), read_trials(folder)
    searched = [trial for trial in trials if trial.purpose == "search"]
    ended = [trial for trial in searched if trial.status in ("done", "pruned", "diverged")]
    remaining = max(0, sweep.trials - len(ended))
    held = holder(folder)
    lines = [f"sweep {name}: {len(ended)} of {sweep.trials} trials ({_by_status(searched) or 'none yet'})"]
    for words, some in _beyond_the_search(trials).items():
        lines.append(f"  {words}: {', '.join(f'{trial.key} {trial.status}' for trial in some)}")
    lines += [f"  {said(target, trial.metrics)} on val: {trial.label}" for target, trial in winners_of(trials).items()]
    best = best_by_objective(trials)
    if best is not None:
        chance = f"standard error of a score that knows nothing: {sweep.se_objective:.3f}"
        lines.append(f"  best by objective ({sweep.objective} {best.objective:+.3f}) on val: {best.label}; {chance}")
    if held and ended and remaining:
        took = time.time() - min(trial.started_at for trial in trials)
        lines.append(f"  about {took / len(ended) * remaining / 60:.0f} minutes left at the pace so far")
    if held:
        lines.append(f"  run by process {held.pid} on {held.host} since {held.since}")
    else:
        lines.append(f"  finished; next: peoria report {name}" if folder.is_finished() else "  run by nobody; the same command goes on")
    return "\n".join(lines)


def _beyond_the_search(trials: list[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Trials that were not searched, by what they are for."""
    found: dict[str, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda trial: trial.purpose != "paper"):
        words = {"paper": "the paper's settings", "reseed": f"{trial.of} with fresh seeds", "subset": f"{trial.of} on parts of train"}
        if trial.purpose != "search":
            found.setdefault(words[trial.purpose], []).append(trial)
    return found


def _by_status(trials: list[TrialRecord]) -> str:
    counted = {word: sum(trial.status == word for trial in trials) for word in ("done", "pruned", "diverged", "failed", "running")}
    return ", ".join(f"{num} {word}" for word, num in counted.items() if num)
