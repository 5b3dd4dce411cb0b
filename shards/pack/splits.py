"""Which pictures train, which validate, which test: pure functions on arrays, the same on every machine and in every order of rows.

Owners are never merged: chains of near-duplicates would tie thousands of them together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from shards.errors import ShardsError
from shards.images.near_duplicates import MAX_BITS
from shards.manifest import SPLITS, Split, SplitRule


def check_rule(rule: SplitRule) -> None:
    """Raises ShardsError with everything that is wrong."""
    problems = [f"split rule: {problem}" for problem in rule.problems(MAX_BITS)]
    if problems:
        raise ShardsError(*problems)


def assign(owners: np.ndarray, ids: np.ndarray, rule: SplitRule, fixed: Mapping[str, str] | None = None) -> np.ndarray:
    """The split of each picture, str [N]: that of its owner, or by the hash of its id where the owner is unknown ("").

    Owners in ``fixed`` keep the split that is given; the others are spread so that with them the shares come out. No count enters.
    """
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(str(owner), len(numbers)) for owner in owners), np.int64, len(owners))
    sizes = dict(zip(numbers, np.bincount(codes).tolist(), strict=True))
    sizes.pop("", None)
    of_owner: dict[str, str] = {"": ""}
    of_owner |= {owner: _by_fraction(rule, "owner", owner) for owner in sizes} if rule.version == 1 else _balanced(sizes, rule, fixed or {})
    of_owner |= fixed or {}
    splits = np.array([of_owner[owner] for owner in numbers], dtype="U5")[codes]
    for i in np.flatnonzero(splits == "").tolist():
        splits[i] = _by_fraction(rule, "id", str(ids[i]))
    return splits


def _balanced(sizes: Mapping[str, int], rule: SplitRule, fixed: Mapping[str, str]) -> dict[str, str]:
    """The split of each owner; ``sizes`` are their numbers of pictures.

    Shares are met by owners and by pictures after the cap at once: owners are taken in classes of one such number, largest first, and after
    each class every split has its share of the owners so far, as nearly as whole owners allow. Within a class the hash decides, so that a
    table that grew moves few. Above the cap classes double in size, and who is left over trains: there the cap takes nothing.
    """
    shares = [Fraction(str(share)) for share in (rule.train, rule.val, rule.test)]
    total = _apportioned(len(sizes), shares, ties=(1, 2, 0))  # the small splits first
    for few in range(3):  # an empty split is worse than a share that is off
        if shares[few] and not total[few] and max(total) > 1:
            total[total.index(max(total))] -= 1
            total[few] += 1
    classes: dict[int, list[str]] = {}
    for name, size in sizes.items():
        above = size // rule.max_per_owner
        classes.setdefault(rule.max_per_owner + above.bit_length() if above else size, []).append(name)
    found: dict[str, str] = {}
    given, seen = [0, 0, 0], 0
    for size in sorted(classes, reverse=True):
        members = classes[size]
        seen += len(members)
        found |= {name: fixed[name] for name in members if name in fixed}
        free = sorted((_hash64(rule.seed, "owner", name), name) for name in members if name not in fixed)
        given = [has + sum(fixed.get(name) == split for name in members) for has, split in zip(given, SPLITS, strict=True)]
        owed = [max(Fraction(0), Fraction(of * seen, len(sizes)) - has) for of, has in zip(total, given, strict=True)]
        seats = _apportioned(len(free), owed, train_first=size > rule.max_per_owner)
        given = [has + more for has, more in zip(given, seats, strict=True)]
        splits = (split for split, number in zip(SPLITS, seats, strict=True) for _ in range(number))
        found |= {name: split for (_, name), split in zip(free, splits, strict=True)}
    return found


def _apportioned(num: int, weights: Sequence[Fraction], train_first: bool = False, ties: Sequence[int] = (0, 1, 2)) -> list[int]:
    """``num`` owners among the splits in proportion to ``weights``: whole ones first, the rest by the largest remainder, or to train before."""
    if not sum(weights):
        assert not num
        return [0, 0, 0]
    exact = [num * weight / sum(weights) for weight in weights]
    seats = [int(part) for part in exact]
    rest = [part - whole for part, whole in zip(exact, seats, strict=True)]
    order = sorted(range(3), key=lambda split: (train_first and split == 0 and rest[0] > 0, rest[split], -ties.index(split)), reverse=True)
    for split in order[: num - sum(seats)]:
        seats[split] += 1
    return seats


def _by_fraction(rule: SplitRule, *name: str) -> Split:
    """By the hash of an owner or of an id, as a fraction of all hashes."""
    fraction = _hash64(rule.seed, *name) / 2**64
    return "train" if fraction < rule.train else "val" if fraction < rule.train + rule.val else "test"


def shuffle_order(ids: np.ndarray, rule: SplitRule) -> np.ndarray:
    """Indices int64 [N] that put the pictures into the order of the shards: by the hash of the id, so that shards are shuffled already."""
    return _by_hash(ids, rule, "order")


def cap_owners(owners: np.ndarray, ids: np.ndarray, splits: np.ndarray, rule: SplitRule) -> np.ndarray:
    """bool [N], True for the surplus: in val and in test an owner keeps ``max_per_owner`` pictures, chosen by the hash of the id."""
    surplus = np.zeros(len(ids), dtype=bool)
    capped = np.flatnonzero((splits != "train") & (owners != ""))
    counts: dict[str, int] = {}
    for i in capped[_by_hash(ids[capped], rule, "cap")].tolist():
        counts[owners[i]] = counts.get(owners[i], 0) + 1
        surplus[i] = counts[owners[i]] > rule.max_per_owner
    return surplus


def _by_hash(ids: np.ndarray, rule: SplitRule, purpose: str) -> np.ndarray:
    hashes = np.fromiter((_hash64(rule.seed, purpose, str(identity)) for identity in ids), np.uint64, len(ids))
    order = np.argsort(hashes, kind="stable")
    if (hashes[order][1:] == hashes[order][:-1]).any():  # two hashes of 64 bits are one: the ids decide
        order = np.array(sorted(order.tolist(), key=lambda i: (int(hashes[i]), str(ids[i]))), np.int64)
    return order


def _hash64(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8])
