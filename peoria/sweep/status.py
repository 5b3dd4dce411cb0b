"""How far a sweep is, in a few lines."""

import time
from pathlib import Path

from peoria.records.folder import is_finished, read_definition, sweep_folder
from peoria.records.selection import best_of
from peoria.records.trials import read_trials
from peoria.sweep.lock import holder


def status(home: Path, name: str) -> str:
    """k of n, the best, the time left at the pace so far, and who runs it.

    Raises:
        ReportError: there is no such sweep.
    """
    folder = sweep_folder(home, name)
    sweep, trials = read_definition(folder), read_trials(folder)
    searched = [trial for trial in trials if not trial.fixed]
    ended = [trial for trial in searched if trial.status in ("done", "pruned", "diverged")]
    by_status = {word: sum(trial.status == word for trial in searched) for word in ("done", "pruned", "diverged", "failed", "running")}
    owed = max(0, sweep["trials"] - len(ended))
    held = holder(folder)
    said = ", ".join(f"{n} {word}" for word, n in by_status.items() if n) or "none yet"
    lines = [f"sweep {name}: {len(ended)} of {sweep['trials']} trials ({said})"]
    fixed = [trial for trial in trials if trial.fixed]
    if fixed:
        lines.append(f"  the paper's points: {', '.join(f'{trial.key} {trial.status}' for trial in fixed)}")
    best = best_of(trials)
    if best is not None:
        chance = f"standard error of one that knows nothing: {sweep['se_objective']:.3f}"
        lines.append(f"  best: {best.label}, {sweep['objective']} {best.objective:+.3f} on val ({chance})")
    if held and ended and owed:
        took = time.time() - min(trial.started_at for trial in trials)
        lines.append(f"  about {took / len(ended) * owed / 60:.0f} minutes left at the pace so far")
    if held:
        lines.append(f"  run by process {held['pid']} on {held['host']} since {held['since']}")
    else:
        lines.append("  finished; next: peoria report " + name if is_finished(folder) else "  run by nobody; the same command goes on")
    return "\n".join(lines)
