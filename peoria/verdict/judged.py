"""Which trials of a finished sweep are taken to the test split, chosen on val alone."""

from dataclasses import dataclass
from typing import Any

from peoria.records.schema import SweepRecord
from peoria.records.selection import Choice, choice_in
from peoria.records.trials import TrialRecord


@dataclass(frozen=True)
class Judged:
    """Which trials of a finished sweep are taken to the test split, chosen on val alone."""

    winners: dict[str, TrialRecord]  # by target
    paper: list[TrialRecord]
    seeds: dict[str, list[TrialRecord]]  # by winner: its settings trained again
    subsets: list[TrialRecord]  # the views' winner again on parts of train
    choice: Choice  # by which they won

    @classmethod
    def of(cls, sweep: SweepRecord, trials: list[TrialRecord]) -> "Judged":
        done = {trial.key: trial for trial in trials if trial.status == "done"}
        # A recipe that diverges on a seed is that much worse: left out, only the seeds that went well would be judged.
        ended = done | {trial.key: trial for trial in trials if trial.status == "diverged"}
        choice, by_key = choice_in(sweep, trials), {trial.key: trial for trial in trials}
        winners = {target: by_key[key] for target, key in choice.winners.items()}
        seeds: dict[str, list[TrialRecord]] = {}
        for winner in winners.values():
            of_winner = [trial for trial in trials if trial.purpose == "reseed" and trial.of == winner.key]
            again = [trial for trial in sorted(of_winner, key=lambda trial: (len(trial.key), trial.key)) if trial.key in ended]
            if again:
                seeds[winner.key] = again
        views = winners.get("views")
        subsets = [trial for trial in ended.values() if views is not None and trial.of == views.key and trial.purpose == "subset"]
        return cls(winners, [trial for trial in done.values() if trial.purpose == "paper"], seeds, subsets, choice)

    @property
    def keys(self) -> list[str]:
        trials = [*self.winners.values(), *self.paper, *(trial for again in self.seeds.values() for trial in again), *self.subsets]
        return list(dict.fromkeys(trial.key for trial in trials))

    def name(self, target: str) -> str:
        """Of the predictor that is judged for this target: the recipe, or the trial itself where no seed was trained."""
        winner = self.winners[target].key
        return f"recipe-{winner}" if winner in self.seeds else f"trial-{winner}"


def signature(sweep: SweepRecord, judged: Judged) -> dict[str, Any]:
    """What stored scores belong to: other data or another trial need another opening."""
    return {"identity": sweep.identity, "control": sweep.control, "judged": judged.keys}
