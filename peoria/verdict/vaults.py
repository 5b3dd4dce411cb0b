"""What a report may open of the test split: the next vault, or all that nobody has looked at; refused while nothing is spent where it could claim
nothing."""

import math
from dataclasses import dataclass

from peoria.data.filters import let_through
from peoria.errors import ReportError
from peoria.records.schema import SweepRecord
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import MIN_EFFECTIVE, MIN_OWNERS, enough_owners
from shards.read.openings import Entries, TestOpening
from shards.read.shard_set import ShardSet


@dataclass(frozen=True)
class Shown:
    """What an opening shows of test, in owners (a picture of an unknown owner counts as one)."""

    first: int  # vault
    last: int
    num_vaults: int  # that test was cut into
    num_owners: int  # in the vaults that are shown, whatever a filter lets through
    num_sealed: int  # in the vaults that no opening has shown by then
    num_all: int  # of test
    unit: str = "owner"  # "picture": no owner is known
    takes: bool = True  # what it shows is judged no more; a control takes nothing

    @property
    def text(self) -> str:
        which = f"vault {self.first}" if self.first == self.last else f"vaults {self.first} to {self.last}"
        which = "all of test" if self.num_vaults == 1 else f"{which} of {self.num_vaults}"
        shown = f"{self.num_owners:,}{'' if self.num_owners == self.num_all else f' of {self.num_all:,}'} {self.unit}s"
        left = f"{self.num_sealed:,} stay sealed" if self.num_sealed else "none stays sealed"
        return f"{which}, {shown}; {left if self.takes else 'a control takes none'}"

    @property
    def wider(self) -> float:
        """How many times as wide intervals are as where all that was sealed were opened at once."""
        return math.sqrt((self.num_owners + self.num_sealed) / self.num_owners)


@dataclass(frozen=True)
class NextVaults:
    """Chooses the vaults of an opening for a sweep."""

    shard_set: ShardSet
    sweep: SweepRecord
    rest: bool  # all that is sealed, not the next vault alone

    def __call__(self, before: Entries) -> tuple[int, int]:
        """
        Raises:
            NothingSealedError: every vault was opened.
            ReportError: too few owners of this sweep's pictures to claim anything.
        """
        vaults = self.shard_set.vaults
        if self.sweep.control is not None:  # its counts are drawn anew and tell nothing of the pictures' own, so it takes no vault
            if self.rest:
                raise ReportError(f"--all: sweep {self.sweep.name} is a control, which is judged on vault 1 and takes none; without it")
            if self.sweep.where is not None and not self._owners((1, 1)).num:
                raise ReportError(f"test: vault 1 has no picture of where {self.sweep.where!r}; at least one", hint="a control of all pictures")
            return 1, 1
        chosen = vaults.sealed(before, self.rest)
        if chosen != (1, vaults.num) or self.sweep.where is not None:  # else the set is small, and nothing is saved by keeping it closed
            self._refuse_small(chosen)
        return chosen

    def shown(self, opening: TestOpening, entries: Entries) -> Shown:
        """What an opening that is on record shows, and what it left sealed."""
        vaults = self.shard_set.vaults
        first, last = vaults.held_by(opening)
        opened = vaults.last_opened([entry for entry in entries if entry is None or entry.number <= opening.number])
        held, sealed, all_of_test = (vaults.num_units(of) for of in ((first, last), (opened + 1, vaults.num), (1, vaults.num)))
        return Shown(first, last, vaults.num, held, sealed, all_of_test, vaults.unit, takes=not opening.control)

    def _refuse_small(self, chosen: tuple[int, int]) -> None:
        clusters = self._owners(chosen)
        if enough_owners(clusters):
            return
        vaults = self.shard_set.vaults
        which = f"vault {chosen[0]}" if chosen[0] == chosen[1] else f"vaults {chosen[0]} to {chosen[1]}"
        worth = f", worth {clusters.effective:.1f}" if clusters.num >= MIN_OWNERS else ""
        found = f"test: {which} of {vaults.num}: {clusters.num} {vaults.unit}s of this sweep{worth}; at least {MIN_OWNERS}, worth {MIN_EFFECTIVE:g}"
        more = self._owners((chosen[0], vaults.num))
        if enough_owners(more):
            hint = f"--all opens the {more.num} {vaults.unit}s that are still sealed, as the last opening of this set; or pack new pictures"
        else:
            hint = f"{more.num} {vaults.unit}s are still sealed: pack new pictures"
        raise ReportError(f"{found}; test was not opened", hint=hint)

    def _owners(self, chosen: tuple[int, int]) -> Clusters:
        """Of the pictures that the sweep's filter lets through."""
        inside, let = self.shard_set.vaults.within(chosen), let_through(self.shard_set, self.sweep.where)
        return Clusters.of(self.shard_set.test_columns(("owner",))["owner"][inside if let is None else inside & let])
