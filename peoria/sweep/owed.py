"""What a sweep still owes, as its folder tells it: needs neither Optuna nor Ray, and no lock."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import RECORDED, Sweep
from peoria.errors import RecordError
from peoria.records.schema import Purpose, SweepRecord
from peoria.records.selection import FURTHER_ENDS, NUM_CANDIDATES, SEEDS_TO_CHOOSE, Choice, choice_of, left_of_search
from peoria.records.trials import TrialRecord
from peoria.sweep.follow_ups import follow_ups
from shards.words import times


def sweep_of(about: SweepRecord) -> Sweep:
    """The sweep as its record defines it. Raises RecordError where that is no definition."""
    # a control's or a filter's own name is longer, and has other letters, than what a sweep file may say
    fields = {**about.definition, "name": "recorded", "trials": about.trials, "pictures": about.pictures}
    fields |= {"shards": about.shards, "question": about.question}
    try:
        sweep = Sweep.model_validate_json(json.dumps(fields), context={RECORDED: True}).model_copy(update={"name": about.name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"sweep {about.name}: definition: {where}: {first['msg']}; what `peoria sweep` wrote") from None
    return sweep if "rungs" in about.definition else sweep.model_copy(update={"rungs": _rungs_before(sweep)})


def _rungs_before(sweep: Sweep) -> tuple[float, ...]:
    """Of a sweep that was begun before rungs were a setting: the first of its even evaluations at or after length / factor^k."""
    factor, num = sweep.reduction_factor, int(sweep.shared.get("evaluations", 8))
    return tuple(sorted({-(-num // factor**k) / num for k in range(1, num + 1) if factor ** (k - 1) < num} - {1.0}))


@dataclass(frozen=True)
class Owed:
    """Trials that have not ended, by what they are for."""

    search: int
    paper: int = 0
    seeds: int = 0
    subsets: int = 0
    later: tuple[str, ...] = ()
    """What is trained further once more is known: the candidates, when the search is over, and the winners; () where all is counted already."""

    @classmethod
    def of(cls, about: SweepRecord, trials: list[TrialRecord]) -> "Owed":
        """
        Raises:
            RecordError: the definition is none.
        """
        sweep, ended = sweep_of(about), {trial.key for trial in trials if trial.purpose != "search" and trial.status in FURTHER_ENDS}
        searched = [trial for trial in trials if trial.purpose == "search"]
        search = left_of_search(searched, sweep.trials, sweep.pictures)  # one that was begun is ended, also where fewer are wanted by now
        keys: dict[str, Purpose] = {trial.key: trial.purpose for trial in trials if trial.purpose != "search" and trial.status == "running"}
        keys |= dict.fromkeys(paper_points(sweep.space.task, sweep.shared) if sweep.paper else (), "paper")
        choice = choice_of(trials, seeds=sweep.seeds, wanted=sweep.trials, budget=sweep.pictures)
        configs = {trial.key: trial.config for trial in searched}
        keys |= {further.key: further.purpose for further in follow_ups(sweep, choice, configs, about.time_cutoff)}
        owed = Counter(purpose for key, purpose in keys.items() if key not in ended)
        return cls(search, owed["paper"], owed["reseed"], owed["subset"], _later(sweep, choice))

    @property
    def counted(self) -> list[str]:
        """What is owed, each kind in a few words; [] where nothing is."""
        words = {
            "of the search": self.search,
            "of the paper's settings": self.paper,
            "with fresh seeds": self.seeds,
            "on parts of train": self.subsets,
        }
        return [f"{num} {what}" for what, num in words.items() if num]


def _later(sweep: Sweep, choice: Choice) -> tuple[str, ...]:
    """In words."""
    undecided = not choice.over or len(choice.winners) < len(choice.candidates)
    found = []
    if sweep.seeds and not choice.over:
        found.append(f"the best {NUM_CANDIDATES} of each target {SEEDS_TO_CHOOSE} times with fresh seeds")
    if sweep.seeds > SEEDS_TO_CHOOSE and undecided:
        found.append(f"each winner, chosen by them, {times(sweep.seeds - SEEDS_TO_CHOOSE)} more")
    if sweep.questions and (not choice.over or ("views" in choice.candidates and "views" not in choice.winners)):
        found.append(f"that for views on parts of train ({', '.join(sweep.questions)})")
    return tuple(found)


def spent(trials: Iterable[TrialRecord], budget: int | None) -> str:
    """Of a search with a budget of pictures, how much of it its ended trials have seen; "" without one."""
    seen = sum(trial.pictures for trial in trials if trial.purpose == "search")
    if budget is None:
        return ""
    return f"{seen:,} of {budget:,} pictures of the search seen{': no further trial is begun' if seen >= budget else ''}"


def so_far(num: int, wanted: int, what: str = "") -> str:
    """``3 of 5 trials``; of more than are wanted by now, as after a lower ``--trials``: ``3 trials, 1 wanted``."""
    return f"{num} of {wanted}{what}" if num <= wanted else f"{num}{what}, {wanted} wanted"
