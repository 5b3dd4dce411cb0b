"""What is kept of the trials that have ended, entered one by one, so that nothing is counted again."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialOutcome
from peoria.records.selection import Choice, Standings, choose
from peoria.sweep.trial_files import drop_model

NUM_KEPT_MODELS = 3
STATUSES = ("done", "diverged", "pruned", "failed", "infeasible")


class Tally:
    """Searched trials by how they ended, their standings, and what fresh seeds reached. Only the best few and those that may win keep weights."""

    def __init__(self, folder: SweepFolder, seeds: int, forget: Callable[[str, Sequence[str]], object] = lambda key, names: None) -> None:
        """
        Args:
            seeds: fresh seeds that the sweep trains of a winner.
            forget: is told the key and the names of files that are kept no longer.
        """
        self._folder, self._seeds, self._forget = folder, seeds, forget
        self._kept: set[str] = set()
        self.ended = Counter[str]()
        self.last_end = 0.0  # unix seconds
        self.pictures = 0  # seen by them
        self.standings = Standings()
        self._further: dict[str, Mapping[str, float]] = {}  # by key, of those beyond the search: the last metrics, {} of one that diverged

    def add(self, key: str, outcome: TrialOutcome) -> None:
        if not key.isdigit():
            self._further[key] = outcome.metrics if outcome.status == "done" else {}
            return
        self.ended[outcome.status] += 1
        self.pictures += outcome.pictures
        self.last_end = max(self.last_end, outcome.ended_at)
        if outcome.status == "done":
            assert outcome.objective is not None
            self.standings.add(key, outcome.objective, outcome.metrics)
            keep = set(self.standings.best(NUM_KEPT_MODELS)) | self.standings.may_win(self._seeds)
            for other in (self._kept | {key}) - keep:
                self._forget(other, drop_model(self._folder.trial(other)))
            self._kept = keep

    def choice(self, *, over: bool) -> Choice:
        return choose(self.standings, self._further, seeds=self._seeds, over=over)

    def by_status(self) -> dict[str, int]:
        return {status: self.ended[status] for status in STATUSES}
