"""What is handed out and what comes back, whoever executes it: the store's trials, budgets of time, and the moment to end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.sweep.board import Board
from peoria.sweep.deaths import NODE_GONE, TAKEN_AWAY
from peoria.sweep.outlook import Outlook, Watcher
from peoria.sweep.progress import ProgressFile
from peoria.sweep.signals import Signals
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.memory import outgrew
from peoria.training.messages import TrialReport, TrialSpec

BAD_NODES = 3  # one after another, before it is no single node
LEAVING_S = 5.0  # for a worker that writes where it is, and can tell nobody
TOGETHER_S = 5.0  # until the other trials of a node have told it too
PRESSURE_WAIT_S = 2.0  # of a trial that gave way to others' use of memory, doubled each time until it reports again
LONGEST_WAIT_S = 120.0
STOPPED_WAIT_S = 1.0  # until a file that was removed is gone for other nodes too


def clear_stop_file(folder: SweepFolder, say: Callable[[str], object]) -> None:
    """Removes, aloud, a file that tells trials to stop though this run did not ask for that.

    Raises:
        SweepError: it cannot be removed.
    """
    try:
        folder.stopping.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        why = "is a folder" if folder.stopping.is_dir() else (error.strerror or str(error)).lower()
        raise SweepError(f"{folder.stopping}: {why}; no such file, for it tells every trial to stop", hint="move it away") from None
    say(f"  {folder.stopping}: left over, or made by hand; removed (Ctrl-C stops a sweep)")


@dataclass
class Dispatch:
    """Between the store and an executor. All times are of the monotonic clock, which nobody sets back."""

    store: TrialStore
    spec: Callable[[Assignment], TrialSpec]
    ended: Callable[[str], None]
    say: Callable[[str], object]
    signals: Signals
    hours: float | None = None
    """From now on until no more is handed out and what runs is told to write where it is."""
    trial_hours: float | None = None
    """Of one trial from the start of its worker on, counted anew where it goes on after an interruption."""
    watcher: Watcher | None = None
    """Says what waits, on a cluster."""
    progress: ProgressFile | None = None
    board: Board | None = None
    """Is shown what runs."""
    _running: dict[str, float | None] = field(default_factory=dict)  # handed out: since when it runs; None: not yet
    _asked: dict[str, float] = field(default_factory=dict)  # since when it is handed out
    _refused: dict[str, str] = field(default_factory=dict)  # nodes by id that no trial may use, and why
    _bad_in_a_row: int = 0  # of those, since a trial last reported from another
    _pressed: dict[str, int] = field(default_factory=dict)  # how often in a row it gave way
    _left: dict[str, dict[str, int]] = field(default_factory=dict)  # nodes not told of yet: their trials, and where those go on from
    _left_at: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    @property
    def out_of_time(self) -> bool:
        return self.hours is not None and time.monotonic() > self._begun + self.hours * 3600

    @property
    def stopping(self) -> bool:
        """Whether nothing more is handed out and what runs is to end where it is."""
        if self.out_of_time and not self.store.folder.stopping.exists():
            self.store.folder.stopping.touch()
        return self.out_of_time or self.signals.number is not None

    @property
    def running(self) -> int:
        return len(self._running)

    def ask(self) -> TrialSpec | None:
        """The next trial; None where there is none now, see `wait_s`."""
        if self.stopping or (assignment := self.store.ask()) is None:
            return None
        self._running[assignment.key], self._asked[assignment.key] = None, time.monotonic()
        return self.spec(assignment)

    @property
    def wait_s(self) -> float | None:
        """Seconds until it is worth to ask again; None where nothing will come any more."""
        if self.stopping:
            return None
        if self.store.waiting is not None:
            return min(1.0, max(0.05, self.store.waiting))
        return 1.0 if self._running else None  # one of those under way may yet be owed again

    def started(self, key: str) -> None:
        """The trial's worker has begun with it."""
        if key in self._running:
            self._running[key] = time.monotonic()

    def report(self, key: str, report: TrialReport) -> bool:
        """Enters a report; tells whether the trial goes on."""
        if key not in self._running:
            return False  # it was ended meanwhile
        if report.status == "interrupted" and self.stopping:
            self.put_back(key)  # as it was told to: no strike
            return False
        if report.preempted:
            self._taken_away(key, report.step)
            return False
        if report.stopped:  # by a file that nobody of this run made
            self.put_back(key, STOPPED_WAIT_S)
            clear_stop_file(self.store.folder, self.say)
            return False
        self._pressed.pop(key, None)
        self._bad_in_a_row = 0
        if self.store.report(key, report):
            return True
        self._ended(key)
        return False

    def refused(self, key: str, node: str, node_id: str, why: list[str]) -> None:
        """The node that a trial was placed on is not what the sweep needs: said once, and the trial is placed elsewhere, without a strike."""
        if node_id not in self._refused:
            self._refused[node_id] = "; ".join(why)
            self._bad_in_a_row += 1
            for line in why:
                self.say(f"  node {node} is not used: {line}")
            if self._bad_in_a_row >= BAD_NODES:
                self.store.stop(f"{BAD_NODES} nodes one after another cannot be used; the last one: {why[0]}")
        self.put_back(key)

    def watch(self, outlook: Outlook | None) -> None:
        """Says what waits, and keeps in the sweep's folder what waits and what runs."""
        waiting = [key for key, since in self._running.items() if since is None]
        if self.watcher is not None and not self.stopping:
            self.watcher.outlook, self.watcher.refused = outlook, self._refused
            self.watcher.waits(len(waiting), min((self._asked[key] for key in waiting), default=None))
        text = self.watcher.text if self.watcher is not None else ""
        if self.progress is not None:
            self.progress.write(waiting, text)
        if self.board is not None:
            self.board.look(self._running, outlook, text)

    def overdue(self, key: str) -> bool:
        since = self._running.get(key)
        return self.trial_hours is not None and since is not None and time.monotonic() > since + self.trial_hours * 3600

    def must_end(self, key: str) -> bool:
        self.watch(None)  # there is no other loop where this is asked
        return self.stopping or self.overdue(key)

    def all_overdue(self) -> list[str]:
        return [key for key in self._running if self.overdue(key)]

    def fail_overdue(self, key: str) -> None:
        """Ends a trial that took longer than it may; whoever executes it ends its process."""
        if key in self._running:
            self.store.fail(key, f"longer than --trial-hours {self.trial_hours:g}")
            self._ended(key)

    def died(self, key: str, why: str, node: str = "") -> None:
        """A trial's worker is gone."""
        if key in self._running and why == TAKEN_AWAY:
            self._taken_away(key, self.store.reached(key), LEAVING_S)
        elif key in self._running:
            node = node or self.store.tries.node_of(key)
            self.store.interrupted(key, f"node {node} is gone" if why == NODE_GONE and node else why, node=node)
            self._ended(key)

    def _taken_away(self, key: str, step: int, wait_s: float = 0.0) -> None:
        """A trial's node is taken away, by whoever has it: no strike. It is told a moment later, for all trials of the node at once."""
        worker = self.store.tries.worker(key)
        self._left.setdefault("" if worker is None else worker.node, {})[key] = step
        self._left_at = time.monotonic()
        self._running.pop(key)
        self.store.preempted(key, step, wait_s)

    def tell_left(self, *, at_once: bool = False) -> None:
        """Says which nodes were taken away, once their trials have been heard of, or ``at_once``."""
        if not self._left or (time.monotonic() < self._left_at + TOGETHER_S and not at_once):
            return
        for node, trials in self._left.items():
            keys, steps = listed(sorted(trials)), listed([f"{step:,}" for step in sorted({max(0, step) for step in trials.values()})])
            one = len(trials) == 1
            name, trial, goes = f"node {node}" if node else "a node", "trial" if one else "trials", "goes" if one else "go"
            self.say(f"  {name} is being taken away: {trial} {keys} {goes} on from {steps} pictures elsewhere")
        self._left.clear()

    def out_of_memory(self, key: str, killed: list[tuple[int, int]]) -> None:
        """Ray ended a trial's worker because its node ran out of memory. By its own use, where that made up more than half of what there was when it
        began; else it only gave way.

        Args:
            killed: process id and bytes used of each worker that Ray ended.
        """
        if key not in self._running:
            return
        worker = self.store.tries.worker(key)
        used_bytes = None if worker is None else dict(killed).get(worker.pid)
        if worker is not None and used_bytes is not None and outgrew(used_bytes - worker.rss_bytes, worker.available_bytes):
            self.store.outgrew(key, f"memory: it took {(used_bytes - worker.rss_bytes) / 1e9:.1f} GB of {worker.available_bytes / 1e9:.1f}")
            self._ended(key)
            return
        times = self._pressed[key] = self._pressed.get(key, 0) + 1
        wait_s = min(PRESSURE_WAIT_S * 2 ** (times - 1), LONGEST_WAIT_S)
        self.say(f"  {key}: Ray's memory monitor ended its worker, because of what others use; it goes on in {wait_s:.0f} s")
        self.put_back(key, wait_s)

    def put_back(self, key: str, wait_s: float = 0.0) -> None:
        """The trial is owed again, through no fault of its own."""
        if self._running.pop(key, 0) != 0:
            self.store.put_back(key, wait_s)

    def put_all_back(self) -> None:
        for key in list(self._running):
            self.put_back(key)

    def _ended(self, key: str) -> None:
        self._running.pop(key, None)
        if self.store.folder.trial(key).outcome.exists():
            self.ended(key)


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
