"""Each try of a trial: where its files go to, and which process trains."""

from collections import Counter

from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialWorker
from peoria.sweep.mirror import Mirror
from peoria.training.messages import RemotePlace
from peoria.training.remote import attempt_name


class Tries:
    """Of the trials of a sweep, counted from the start of this process."""

    def __init__(self, folder: SweepFolder, mirror: Mirror) -> None:
        self._folder, self._mirror, self._num = folder, mirror, Counter[str]()

    def handed_out(self, key: str) -> None:
        self._num[key] += 1

    def num(self, key: str) -> int:
        return self._num[key]

    def place(self, key: str) -> RemotePlace | None:
        """Where the files of this try go to; None: into the trial's folder."""
        if self._mirror.url is None:
            return None
        return RemotePlace(sweep=self._mirror.url, attempt=attempt_name(self._mirror.generation, self._num[key]))

    def worker(self, key: str) -> TrialWorker | None:
        """The process that trains, or trained last."""
        file = self._folder.trial(key).worker
        self._mirror.fetch(key, file.name)
        return TrialWorker.read_if_there(file)

    def node_of(self, key: str) -> str:
        """Where the trial runs, or ran last; "" where nobody can say."""
        worker = self.worker(key)
        return "" if worker is None else worker.node
