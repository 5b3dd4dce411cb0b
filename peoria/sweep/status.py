"""How far a sweep is, in a few lines."""

import time
from pathlib import Path

from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import Holder, Progress, RunState
from peoria.records.selection import SEARCH_ENDS, best_by_objective, choice_in
from peoria.records.trials import TrialRecord, read_trials
from peoria.sweep.board import seen_of
from peoria.sweep.lock import holder
from peoria.sweep.outlook import spoken
from peoria.sweep.overview import WORDS, seconds_left, word_of
from peoria.sweep.owed import Owed, so_far, spent

TIME = "%Y-%m-%d %H:%M:%S"


def status(home: Path, name: str, elsewhere: Holder | None = None) -> str:
    """k of n, the winners, the follow-ups, what is owed, the time left at the pace so far, who runs it, or how the last run ended.

    Args:
        elsewhere: who holds the sweep by what its bucket says.

    Raises:
        ReportError: there is no such sweep.
        RecordError: its folder is of another format, or damaged.
    """
    folder = SweepFolder.of(home, name)
    sweep, trials = folder.read_definition(), read_trials(folder)
    held = holder(folder) or elsewhere
    searched = [trial for trial in trials if trial.purpose == "search"]
    ended = [trial for trial in searched if trial.status in SEARCH_ENDS]
    owed = Owed.of(sweep, trials)
    progress = Progress.read_if_there(folder.progress)
    waiting = set() if progress is None or held is None else set(progress.waiting)
    counted = _by_status(searched, held, waiting)
    lines = [f"sweep {name}: {so_far(len(ended), sweep.trials, ' trials')} ({counted or 'none yet'})"]
    lines += [f"  {text}"] if (text := spent(trials, sweep.pictures)) else []
    for words, some in _beyond_the_search(trials).items():
        lines.append(f"  {words}: {', '.join(f'{trial.key} {word_of(trial, held, waiting)}' for trial in some)}")
    under_way = [f"{trial.key} {seen_of(trial.folder) / trial.config.pictures:.0%}" for trial in trials if word_of(trial, held, waiting) == "running"]
    lines += [f"  under way: {', '.join(under_way)} of the pictures seen"] if under_way else []
    lines += [*(f"  owed: {text}" for text in owed.counted), *(f"  then: {text}" for text in owed.later)]
    choice, by_key = choice_in(sweep, trials), {trial.key: trial for trial in trials}
    lines += [f"  {said} on val: {by_key[key].label}" for said, key in choice.said_of(by_key)]
    lines += [f"  {choice.passed_over}"] if choice.passed_over else []
    best = best_by_objective(trials)
    if best is not None:
        chance = f"standard error of a score that knows nothing: {sweep.se_objective:.3f}"
        lines.append(f"  best by objective ({sweep.objective} {best.objective:+.3f}) on val: {best.label}; {chance}")
    if held and (left_s := seconds_left(trials, len(ended), owed.search)) is not None:
        lines.append(f"  about {spoken(left_s)} of the search left at the pace so far")
    return "\n".join([*lines, *(f"  {line}" for line in _who(folder, held, progress))])


def _who(folder: SweepFolder, held: Holder | None, progress: Progress | None) -> list[str]:
    """Who runs it and what it waits for, or how the last run ended and what comes next."""
    why = "" if progress is None else progress.why
    if held is not None:
        on = "" if progress is None else f", on: {progress.on}"
        return [f"run by process {held.pid} on {held.host} since {held.since}{on}", *([why] if why else [])]
    last = RunState.read_if_there(folder.finished)
    if last is not None and last.status == "finished":
        judged = folder.page.exists() and folder.verdict.exists()
        return [
            f"finished; report: {folder.page}" if judged else f"finished; next: peoria report {folder.name}{Home(folder.path.parent.parent).flag}"
        ]
    how = "no word of its end: killed, or mended since by peoria check --repair"
    if last is not None:
        when = time.strftime(TIME, time.localtime(last.ended_at))
        how = f"{last.status} {when}{f': {last.reason}' if last.reason else ''}"
    return [f"last run: {how}", *([f"when it ended: {why}"] if why else []), "run by nobody; the same command goes on"]


def _beyond_the_search(trials: list[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Trials that were not searched, by what they are for."""
    found: dict[str, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda trial: trial.purpose != "paper"):
        words = {"paper": "the paper's settings", "reseed": f"{trial.of} with fresh seeds", "subset": f"{trial.of} on parts of train"}
        if trial.purpose != "search":
            found.setdefault(words[trial.purpose], []).append(trial)
    return found


def _by_status(trials: list[TrialRecord], held: Holder | None, waiting: set[str]) -> str:
    found = [word_of(trial, held, waiting) for trial in trials]
    return ", ".join(f"{found.count(word)} {word}" for word in WORDS if word in found)
