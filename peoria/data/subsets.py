"""Parts of train by a rule: what a study with fewer owners, with fewer pictures or in the past would have had.

- ``owners:0.25``: all pictures of a quarter of the owners. Nested: who is among 0.125 of them is among 0.25 and 0.5 too. Where the owner is
  unknown the picture's id stands in, as in the split.
- ``pictures:0.8``: four pictures in five by chance. The fifth is of owners who are trained on, which is what a split by picture would test on.
- ``before:2014-05-01``: uploaded before that day (UTC).
- ``matched:2014-05-01/2``: the control of that: as many pictures as were uploaded before that day, whenever, of owners taken by chance; the second
  draw of them. Whole owners, but for the last, so that it is no more varied than what has all the early pictures of nearly all owners.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np

from peoria.errors import ConfigError
from shards.labels import Labels

ACCEPTED = "owners:SHARE, pictures:SHARE (a number above 0, at most 1), before:YYYY-MM-DD or matched:YYYY-MM-DD/DRAW"
LEAST = 20  # pictures; fewer are no training set


@dataclass(frozen=True)
class Subset:
    kind: str  # owners, pictures, before or matched
    share: float = 1.0
    day: str = ""  # ISO
    draw: int = 0  # of matched, from 1

    @classmethod
    def parse(cls, text: str) -> "Subset":
        """Raises ConfigError."""
        kind, _, value = text.partition(":")
        with suppress(ValueError):
            if kind in ("owners", "pictures") and 0 < float(value) <= 1:
                return cls(kind, share=float(value))
            if kind == "before" and value == date.fromisoformat(value).isoformat():
                return cls(kind, day=value)
            day, _, draw = value.partition("/")
            if kind == "matched" and value == f"{date.fromisoformat(day).isoformat()}/{int(draw)}" and int(draw) > 0:
                return cls(kind, day=day, draw=int(draw))
        raise ConfigError(f"subset: {text!r}; {ACCEPTED}")


def subset_mask(labels: Labels, subset: str | None, identity: str) -> np.ndarray:
    """Which pictures of train are in the subset, bool [N]; the same ones for every trial on the data ``identity``.

    A picture without an upload date is not known to be from before any day.

    Raises:
        ConfigError: no such rule, no upload dates, or fewer than ``LEAST`` pictures.
    """
    if subset is None:
        return np.ones(len(labels), dtype=bool)
    rule = Subset.parse(subset)
    owners = np.where(labels.owners == "", np.char.add("picture/", labels.ids), np.char.add("owner/", labels.owners))
    if rule.kind in ("before", "matched"):
        found: np.ndarray = _dates(labels, subset) < np.datetime64(rule.day, "s")  # False for NaT
        if rule.kind == "matched":
            of_owner, of_picture = uniform(owners, f"{identity}\ndraw {rule.draw}"), uniform(np.char.add("picture/", labels.ids), identity)
            chosen = np.lexsort((labels.ids, of_picture, owners, of_owner))[: int(found.sum())]  # owner by owner, of the last some
            found = np.isin(np.arange(len(labels)), chosen)
    elif rule.kind == "owners":
        found = uniform(owners, identity) < rule.share
    else:
        found = uniform(np.char.add("one of the pictures/", labels.ids), identity) < rule.share  # another draw than that of owners
    if found.sum() < LEAST:
        raise ConfigError(f"subset: {subset!r} is {int(found.sum())} of {len(labels):,} pictures of train; at least {LEAST}")
    return found


def complement(labels: Labels, subset: str, identity: str) -> np.ndarray:
    """The pictures that the rule holds out, bool [N]: all others, but of ``before`` only those with a date."""
    rest = ~subset_mask(labels, subset, identity)
    return rest & ~np.isnat(_dates(labels, subset)) if Subset.parse(subset).kind == "before" else rest


def uniform(names: np.ndarray, identity: str) -> np.ndarray:
    """A number in [0, 1) for each of ``names`` (str [N]), by sha256 of the data's ``identity`` and the name: float64 [N]."""
    distinct, place = np.unique(names, return_inverse=True)
    start = hashlib.sha256(f"{identity}\n".encode())

    def number(name: str) -> float:
        digest = start.copy()
        digest.update(name.encode())
        return (int.from_bytes(digest.digest()[:8], "big") >> 11) / 2**53

    return np.array([number(name) for name in distinct.tolist()], dtype=np.float64)[place]


def _dates(labels: Labels, subset: str) -> np.ndarray:
    if labels.uploaded_at is None:
        raise ConfigError(f"subset: {subset!r}; it needs the column uploaded_at", hint="pack a table that has it, or take another subset")
    return labels.uploaded_at
