"""A count that is known for some pictures only, as a type of its own: no number stands for "unknown", and none can be taken for one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np


class PartlyKnown:
    """A count of N pictures that some of them lack. It holds no value at all for those: comparing it, reckoning with it or making an array of it is
    a TypeError, until the pictures are named whose count is known (`Labels.counted`)."""

    __slots__ = ("known", "values")
    __hash__ = None  # type: ignore[assignment]  # nor is equality defined
    __iter__ = None

    def __init__(self, values: np.ndarray, known: np.ndarray) -> None:
        """``known`` is bool [N]; ``values``, int64 [K], are of the K pictures whose count is known, in their order."""
        if known.dtype != np.bool_ or values.shape != (int(known.sum()),):
            raise ValueError(
                f"known: {known.dtype} {known.shape} with values {values.shape}; a truth value a picture, and a value for each known one"
            )
        self.values = values.astype(np.int64, copy=False)
        self.known = known

    def __len__(self) -> int:
        return len(self.known)

    def __getitem__(self, rows: Any) -> "Counts | None":
        """Of the pictures at ``rows`` (a mask, indices or a slice); an array where the count of all of them is known, None where that of none is."""
        known = np.asarray(self.known[rows])
        if known.ndim != 1:
            raise TypeError(f"{rows!r}: one picture of a count that some lack; a mask, indices or a slice")
        at = (np.cumsum(self.known) - 1)[rows]
        return counts_of(self.values[at[known]], known)

    def __repr__(self) -> str:
        return f"PartlyKnown({len(self.values)} of {len(self)})"

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"a count that {len(self) - len(self.values):,} of {len(self):,} pictures lack is no array; Labels.counted names the others")

    def __eq__(self, other: object) -> NoReturn:
        self.__array__()

    __lt__ = __le__ = __gt__ = __ge__ = __ne__ = __eq__


Counts = np.ndarray | PartlyKnown  # int64 [N] where the count of every picture is known


def counts_of(values: np.ndarray, known: np.ndarray) -> Counts | None:
    """As `PartlyKnown`, but an array where the count of every picture is known, and None where that of no picture is."""
    if known.all():
        return values.astype(np.int64, copy=False)
    return PartlyKnown(values, known) if known.any() else None


def counted(column: Counts | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the pictures whose count is known, int64 [K], ascending, and the counts, int64 [K]."""
    if column is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if isinstance(column, PartlyKnown):
        return np.flatnonzero(column.known), column.values
    return np.arange(len(column)), column


def known_of(column: Counts | None, num: int) -> np.ndarray:
    """Whether the count of each of ``num`` pictures is known, bool [num]."""
    if isinstance(column, PartlyKnown):
        return column.known
    return np.full(num, column is not None)


def joined(parts: Sequence[tuple[Counts | None, int]]) -> Counts | None:
    """Several columns as one, each given with the number of its pictures."""
    values = [counted(column)[1] for column, _ in parts]
    return counts_of(np.concatenate(values), np.concatenate([known_of(column, num) for column, num in parts]))


def as_arrays(name: str, column: Counts | None) -> dict[str, np.ndarray]:
    """A column as plain arrays, for a file of arrays: ``name``, and of a partly known one also ``name|known``."""
    if column is None:
        return {}
    return {name: column.values, f"{name}|known": column.known} if isinstance(column, PartlyKnown) else {name: column}


def from_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Counts | None:
    """What `as_arrays` made arrays of."""
    if name not in arrays:
        return None
    known = arrays.get(f"{name}|known")
    return arrays[name] if known is None else PartlyKnown(arrays[name], known)


def from_values(values: Iterable[int | None]) -> Counts | None:
    """Of a value or None for each picture."""
    given = list(values)
    known = np.array([value is not None for value in given], dtype=bool)
    return counts_of(np.array([value for value in given if value is not None], dtype=np.int64), known)
