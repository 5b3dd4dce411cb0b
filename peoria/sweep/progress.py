"""What a running sweep says of each trial that ends, and what it waits for, kept in its folder for whoever asks meanwhile."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from peoria.records.schema import Progress, TrialOutcome, TrialStart
from peoria.records.trials import read_trial
from peoria.sweep.board import Screen
from peoria.sweep.owed import so_far
from peoria.sweep.trial_store import TrialStore
from shards.errors import FileError

LABEL = 48  # characters of a trial's label
EVERY_S = 5.0  # at most so often: of many trials one or another always begins


class ProgressFile:
    """`Progress` in ``path``, written when something of it has changed."""

    def __init__(self, path: Path, on: str) -> None:
        self._path, self._on = path, on
        self._written: Progress | None = None
        self._next_s = 0.0  # monotonic

    def write(self, waiting: list[str], why: str) -> None:
        now = Progress(on=self._on, waiting=tuple(sorted(waiting)), why=why)
        if now != self._written and time.monotonic() > self._next_s:
            with contextlib.suppress(FileError):  # a full disk ends no sweep for the sake of what `peoria status` says
                now.write(self._path)
            self._written, self._next_s = now, time.monotonic() + EVERY_S


class Ends:
    """Says how each trial ended, and who won as soon as that is known."""

    def __init__(self, store: TrialStore, say: Callable[[str], object], screen: Screen | None = None) -> None:
        self._store, self._screen = store, screen or Screen(say)
        self._known = dict(store.choice.winners)  # before this run

    def ended(self, key: str) -> None:
        folder = self._store.folder.trial(key)
        outcome = TrialOutcome.read(folder.outcome)
        self._screen.ended(key, outcome, progress_line(self._store, TrialStart.read(folder.start).label, outcome))
        choice = self._store.choice
        for target, won in choice.winners.items() if self._store.sweep.seeds else ():
            if self._known.get(target) != won:
                self._screen.say_folded(f"  {choice.said(target, read_trial(self._store.folder.trial(won)).metrics)}: {won}")
        self._known = dict(choice.winners)


def progress_line(store: TrialStore, label: str, outcome: TrialOutcome) -> str:
    """At most 80 characters, but for the longest labels and for an error's."""
    value = f"{outcome.objective:+.3f}" if outcome.objective is not None else "      "
    error = f"  {outcome.error.strip().splitlines()[-1][:100]}" if outcome.error else ""
    return f"  {label:<{LABEL}} {outcome.status:<8} {value}  {so_far(store.counts()['finished'], store.sweep.trials)}{error}"
