"""Which pictures train, which validate, which test: pure functions on arrays, the same on every machine and in every order of rows.

Owners are never merged: chains of near-duplicates would tie thousands of them together.
"""

import hashlib

import numpy as np

from shards.errors import ShardsError
from shards.images.near_duplicates import MAX_BITS
from shards.manifest import SplitRule


def check_rule(rule: SplitRule) -> None:
    """Raises ShardsError with everything that is wrong."""
    problems = []
    shares = [rule.train, rule.val, rule.test]
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        problems.append(f"split rule: shares {shares}; three that are not negative and sum to 1")
    if rule.max_per_owner < 1:
        problems.append(f"split rule: max_per_owner {rule.max_per_owner}; at least 1")
    if not 0 <= rule.near_duplicate_bits <= MAX_BITS:
        problems.append(f"split rule: near_duplicate_bits {rule.near_duplicate_bits}; 0 to {MAX_BITS}")
    if problems:
        raise ShardsError(*problems)


def assign(owners: np.ndarray, ids: np.ndarray, rule: SplitRule) -> np.ndarray:
    """The split of each picture, str [N]: by the hash of its owner, or of its id where the owner is unknown ("")."""
    upper = {"train": rule.train, "val": rule.train + rule.val}
    found: dict[tuple[str, str], str] = {}
    splits = np.empty(len(ids), dtype="U5")
    for i, (owner, identity) in enumerate(zip(owners, ids, strict=True)):
        name = ("owner", str(owner)) if owner else ("id", str(identity))
        if name not in found:
            fraction = _hash64(rule.seed, *name) / 2**64
            found[name] = next((split for split, edge in upper.items() if fraction < edge), "test")
        splits[i] = found[name]
    return splits


def shuffle_order(ids: np.ndarray, rule: SplitRule) -> np.ndarray:
    """Indices int64 [N] that put the pictures into the order of the shards: by the hash of the id, so that shards are shuffled already."""
    return _by_hash(ids, rule, "order")


def cap_owners(owners: np.ndarray, ids: np.ndarray, splits: np.ndarray, rule: SplitRule) -> np.ndarray:
    """bool [N], True for the surplus: in val and in test an owner keeps ``max_per_owner`` pictures, chosen by the hash of the id."""
    surplus = np.zeros(len(ids), dtype=bool)
    counts: dict[str, int] = {}
    for i in _by_hash(ids, rule, "cap"):
        if splits[i] == "train" or not owners[i]:
            continue
        counts[owners[i]] = counts.get(owners[i], 0) + 1
        surplus[i] = counts[owners[i]] > rule.max_per_owner
    return surplus


def _by_hash(ids: np.ndarray, rule: SplitRule, purpose: str) -> np.ndarray:
    hashed = [(_hash64(rule.seed, purpose, str(identity)), str(identity)) for identity in ids]
    return np.array(sorted(range(len(ids)), key=hashed.__getitem__), dtype=np.int64)


def _hash64(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8])
