"""Test in vaults: parts of whole owners, each shown by one opening and judged no more. What is taken to test next may then depend on all that earlier
openings showed, for it is judged on pictures that none of them did.

The vault of an owner is drawn by a hash of the owner and the split rule's seed, so that it is fixed at packing, and sets packed before there were
vaults have them too: vault 1 has half of test's owners, vault 2 a quarter, the last what is left. So many are cut that each is expected to have
`MIN_OWNERS`; a small test split is one vault, which can be opened once.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from shards.errors import NothingSealedError
from shards.manifest import SplitRule
from shards.read.openings import Entries, TestOpening

MIN_OWNERS = 60  # the fewest whose intervals were simulated at length
_BITS = 64  # of the hash that draws


@dataclass(frozen=True, eq=False)
class Vaults:
    """Which vault each of the N test pictures is in; the unit is an owner, and a picture of an unknown one."""

    of: np.ndarray  # int64 [N], 1 to ``num``
    units: np.ndarray  # int64 [N]
    num: int
    identity: str = ""  # of the packed set
    unit: str = "owner"  # or "picture": no owner is known
    earlier: Mapping[str, int] = field(default_factory=dict)  # identities that it had before it was changed → vaults that test was cut into

    @classmethod
    def cut(
        cls, owners: np.ndarray, ids: np.ndarray, rule: SplitRule, identity: str = "", earlier: Mapping[str, int] | None = None
    ) -> "Vaults":  # fmt: skip
        """
        Args:
            owners: str [N], "" where unknown.
            ids: str [N].
            identity: of the packed set.
            earlier: as the field.
        """
        names = [("owner", owner) if owner else ("id", one) for owner, one in zip(owners.tolist(), ids.tolist(), strict=True)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        num = max(1, (len(numbers) // MIN_OWNERS).bit_length())
        drawn = {name: min(_drawn(rule.seed, *name), num) for name in numbers}
        of, units = (np.array([found[name] for name in names], np.int64) for found in (drawn, numbers))
        unit = "owner" if any(owners) or not len(owners) else "picture"
        return cls(of, units, num, identity, unit, earlier or {})

    def within(self, vaults: tuple[int, int]) -> np.ndarray:
        """Whether a picture is in one of these vaults, first to last: bool [N]."""
        return (self.of >= vaults[0]) & (self.of <= vaults[1])

    def num_units(self, vaults: tuple[int, int], of: np.ndarray | None = None) -> int:
        """Owners in these vaults; ``of`` [N], bool: with one of these pictures."""
        inside = self.within(vaults)
        return len(np.unique(self.units[inside if of is None else inside & of]))

    def held_by(self, opening: TestOpening) -> tuple[int, int]:
        """The vaults that an opening shows, first to last. One of another packing, which may have been cut into fewer, is taken to have shown all.

        One of this set before it was changed shows the vaults that its owners are in now: a draw says nothing of the number of vaults but where the
        last one begins, so what was in the last vault is in all from there on, and what lay beyond today's last one is in that.
        """
        num = self.num if not self.identity or opening.identity == self.identity else self.earlier.get(opening.identity)
        if num is None or not 1 <= opening.vault <= opening.last_vault <= num:
            return 1, self.num
        return min(opening.vault, self.num), self.num if opening.last_vault == num else min(opening.last_vault, self.num)

    def last_opened(self, entries: Entries) -> int:
        """The last vault that the entries on record opened, 0 for none. One that cannot be read may have opened one; a control, whose counts tell
        nothing of the pictures' own, opens none."""
        last = 0
        for entry in entries:
            if entry is None:
                last += 1
            elif not entry.control:
                last = max(last, self.held_by(entry)[1])
        return min(last, self.num)

    def sealed(self, entries: Entries, rest: bool) -> tuple[int, int]:
        """The next vault, or with ``rest`` all that no entry opened: first and last. Raises NothingSealedError."""
        first = self.last_opened(entries) + 1
        if first > self.num:
            parts = "test is one vault, which was opened" if self.num == 1 else f"all {self.num} vaults of test were opened"
            last = next((entry for entry in reversed(entries) if entry is not None and not entry.control), None)
            by = "" if last is None else f", last by sweep {last.sweep} (opening {last.number})"
            raise NothingSealedError(
                f"test: {parts}{by}; one that nobody has looked at", hint="pack pictures of owners that are not in it: this set has shown all it has"
            )
        return first, self.num if rest else first


def _drawn(*parts: str) -> int:
    """A number from 1 on, each half as likely as the one before."""
    hashed = int.from_bytes(hashlib.sha256("\n".join(("vault", *parts)).encode()).digest()[: _BITS // 8])
    return _BITS + 1 - hashed.bit_length()
