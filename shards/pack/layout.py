"""Where every picture goes: its split, its shard and its key, or the reason why it goes nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shards.errors import ShardsError
from shards.images.near_duplicates import near_duplicates
from shards.manifest import SPLITS, Split, SplitRule
from shards.pack import splits
from shards.sources.rows import PictureRow, Rejection

MAX_SHARD_SIZE = 9999  # a key is five digits of the shard and four of the place in it
MAX_SHARDS = 100_000


@dataclass(frozen=True)
class PlannedShard:
    number: int
    split: Split
    keys: list[str]
    places: list[int]  # which of the pictures that were laid out

    @property
    def file(self) -> str:
        return f"{self.split}/{self.number:05d}.tar"


@dataclass(frozen=True)
class Layout:
    shards: list[PlannedShard]  # train first, then val, then test; numbered through
    splits: list[str]  # of each picture laid out, those that are rejected too
    rejections: list[Rejection]


def lay_out(rows: Sequence[PictureRow], hashes: np.ndarray, quality: np.ndarray, rule: SplitRule, shard_size: int) -> Layout:
    """``hashes`` is uint8 [N, 32], ``quality`` int [N]. Owners are capped first, near-duplicates give way among what is left."""
    ids = np.array([row.id for row in rows], dtype=object)
    owners = np.array([row.owner for row in rows], dtype=object)
    split = splits.assign(owners, ids, rule)
    surplus = splits.cap_owners(owners, ids, split, rule)
    left = np.flatnonzero(~surplus)
    keeper, bits = near_duplicates(hashes[left], quality[left], split[left], rule.near_duplicate_bits)
    keep = ~surplus
    keep[left[keeper >= 0]] = False
    shards = _shards(ids, split, keep, rule, shard_size)
    key_of = {place: key for shard in shards for key, place in zip(shard.keys, shard.places, strict=True)}
    rejections = [
        Rejection(rows[i].row, rows[i].id, "owner_cap", f"owner {owners[i]!r} has more than {rule.max_per_owner} pictures in {split[i]}")
        for i in np.flatnonzero(surplus).tolist()
    ]
    for i, j, distance in zip(left.tolist(), keeper.tolist(), bits.tolist(), strict=True):
        if j >= 0:
            copy = left[j]
            detail = f"{distance} of 256 bits from {key_of[copy]} (id {ids[copy]!r}), which is in {split[copy]}"
            rejections.append(Rejection(rows[i].row, rows[i].id, "near_duplicate", detail))
    return Layout(shards, [str(name) for name in split], rejections)


def _shards(ids: np.ndarray, split: np.ndarray, keep: np.ndarray, rule: SplitRule, shard_size: int) -> list[PlannedShard]:
    order = splits.shuffle_order(ids, rule)
    shards: list[PlannedShard] = []
    for name in SPLITS:
        places = [int(i) for i in order if keep[i] and split[i] == name]
        for start in range(0, len(places), shard_size):
            number, part = len(shards), places[start : start + shard_size]
            shards.append(PlannedShard(number, name, [f"{number:05d}{i:04d}" for i in range(len(part))], part))
    if len(shards) > MAX_SHARDS:
        raise ShardsError(f"shard_size: {shard_size} makes {len(shards)} shards; at most {MAX_SHARDS}", hint=f"up to {MAX_SHARD_SIZE} a shard")
    return shards
