"""A sweep folder as runs, of which only those are read that have changed."""

from collections.abc import Iterable
from pathlib import Path

from peoria.records.folder import SweepFolder
from peoria.records.schema import RunState, SweepRecord
from peoria.tracking.best import BestSoFar, TrialEnd
from peoria.tracking.changes import Changes
from peoria.tracking.runs import TrackedRun, baseline_run, sweep_run, trial_run
from peoria.tracking.seeds import mean_runs
from peoria.tracking.verdict_file import read_said

Stamp = tuple[tuple[str, int, int], ...]  # (path, modified ns, bytes) of files: equal stamps, nothing new


def read_sweep(folder: SweepFolder) -> list[TrackedRun]:
    """All runs of a sweep folder, the sweep itself first.

    Raises:
        RecordError: a file of it is not there, damaged, or of another format.
    """
    reader = SweepReader(folder, None)
    reader.look()
    return reader.read()


class SweepReader:
    """Reads what has changed since it was asked last. `look` finds that, `read` reads it; what could not be used is found again after `again`.

    Where ``changes`` are told, the folders of trials are looked at once, at the first time; else each time, for another process writes them.
    """

    def __init__(self, folder: SweepFolder, changes: Changes | None) -> None:
        self.folder, self._changes = folder, changes
        self._stamp: Stamp | None = None  # of the files beside the trials
        self._stamps: dict[str, Stamp] = {}  # of each trial's files, where they are looked at each time
        self._to_read: set[str] = set()  # trials
        self._around = True  # whether what is beside the trials has to be read
        self._trials: dict[str, TrialEnd] = {}
        self._again: dict[str, TrialEnd] = {}  # of them, those with fresh seeds
        self._so_far = BestSoFar()
        self._over: RunState | None = None
        self._length = 0

    def look(self) -> bool:
        """Whether there is anything to read."""
        first, around = self._stamp is None, _stamp(_files(self.folder))
        changed = set() if self._changes is None else self._changes.take()
        if first or self._changes is None:
            now = {trial.key: _stamp((trial.start, trial.outcome, trial.points)) for trial in self.folder.trials()}
            changed |= {key for key, stamp in now.items() if self._stamps.get(key) != stamp}
            if self._changes is None:
                self._stamps = now
        self._around |= around != self._stamp
        self._to_read |= changed
        self._stamp = around
        return self._around or bool(self._to_read)

    def again(self, keys: Iterable[str], *, around: bool) -> None:
        """These trials, and what is beside them, are read once more."""
        self._to_read |= set(keys)
        self._around |= around

    def all_again(self) -> None:
        self.again(self._trials, around=True)

    def read(self) -> list[TrackedRun]:
        """The runs that have changed: the sweep itself first, then trials by key, then what is beside them: baselines and means of fresh seeds.

        Raises:
            RecordError: a file of them is not there, damaged, or of another format.
        """
        sweep, over = SweepRecord.read(self.folder.definition), RunState.read_if_there(self.folder.finished)
        said = read_said(self.folder.verdict)
        if over != self._over:  # what runs is over with the sweep
            self._to_read |= {key for key, trial in self._trials.items() if trial.running}
        read = [trial_run(self.folder.trial(key), over, sweep) for key in sorted(self._to_read) if self._is_trial(key)]
        self._over = over
        self._enter([trial for _, trial in read])
        length = max([self._length, *(trial.length for _, trial in read)])
        runs = [sweep_run(self.folder, sweep, over, self._so_far, said), *(run for run, _ in read)]
        if self._around or length != self._length:
            runs += [baseline_run(baseline, length, sweep, said) for baseline in self.folder.baselines()]
        if self._around or any(trial.again for _, trial in read):
            runs += mean_runs(self._again.values(), sweep, said)
        self._length = length
        self._to_read, self._around = set(), False
        return runs

    def _is_trial(self, key: str) -> bool:
        """A trial's folder is none before its settings are there, or when somebody has taken it away."""
        folder = self.folder.trial(key)
        return folder.start.exists() or folder.outcome.exists()

    def _enter(self, trials: list[TrialEnd]) -> None:
        self._trials |= {trial.key: trial for trial in trials}
        self._again |= {trial.key: trial for trial in trials if trial.again is not None}
        self._so_far.look(trials)
        ends = [trial for trial in sorted(trials, key=TrialEnd.by_end) if trial.counts and self._so_far.end_of(trial.key) != trial]
        if not all(self._so_far.add(trial) for trial in ends):  # out of their order
            self._so_far = BestSoFar.of(self._trials.values())


def _files(folder: SweepFolder) -> list[Path]:
    """What a projection is made of beside the trials."""
    return [folder.definition, folder.finished, *folder.report_files, *(baseline.record for baseline in folder.baselines())]


def _stamp(files: Iterable[Path]) -> Stamp:
    found = []
    for path in files:
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found)
