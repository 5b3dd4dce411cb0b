"""Where every picture goes: its split, its shard and its key, or the reason why it goes nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shards.errors import ShardsError
from shards.images.near_duplicates import near_duplicates
from shards.manifest import MAX_SHARD_SIZE, MAX_SHARDS, SPLITS, Split, SplitRule
from shards.pack import splits


@dataclass(frozen=True)
class PlannedShard:
    number: int
    split: Split
    keys: list[str]
    places: list[int]  # which of the pictures that were laid out

    @property
    def file(self) -> str:
        return f"{self.split}/{self.number:05d}.tar"


class LeftOut(NamedTuple):
    """A picture that was laid out and is not kept."""

    place: int  # which of the pictures that were laid out
    reason: str  # owner_cap or near_duplicate
    detail: str


@dataclass(frozen=True)
class Layout:
    shards: list[PlannedShard]  # train first, then val, then test; numbered through
    splits: np.ndarray  # str [N], of each picture laid out, those that are left out too
    rejections: list[LeftOut]  # in no order that means anything


def lay_out(
    ids: np.ndarray,
    owners: np.ndarray,
    hashes: np.ndarray,
    quality: np.ndarray,
    rule: SplitRule,
    shard_size: int,
    fixed: Mapping[str, str] | None = None,
) -> Layout:
    """Owners are capped first, near-duplicates give way among what is left.

    Args:
        ids: str [N], object, none twice.
        owners: str [N], object, "" where unknown.
        hashes: uint8 [N, 32].
        quality: int [N], of the hashes.
        rule: what decides.
        shard_size: pictures a shard.
        fixed: owners whose split is given.
    """
    split = splits.assign(owners, ids, rule, fixed)
    surplus = splits.cap_owners(owners, ids, split, rule)
    left = np.flatnonzero(~surplus)
    keeper, bits = near_duplicates(hashes[left], quality[left], split[left], rule.near_duplicate_bits)
    keep = ~surplus
    keep[left[keeper >= 0]] = False
    shards = shards_of(ids, split, keep, rule, shard_size)
    copied = set(left[keeper[keeper >= 0]].tolist())
    key_of = {place: key for shard in shards for key, place in zip(shard.keys, shard.places, strict=True) if place in copied}
    rejections = [
        LeftOut(i, "owner_cap", f"owner {str(owners[i])!r} has more than {rule.max_per_owner} pictures in {split[i]}")
        for i in np.flatnonzero(surplus).tolist()
    ]
    for at in np.flatnonzero(keeper >= 0).tolist():
        copy = int(left[keeper[at]])
        detail = f"{bits[at]} of 256 bits from {key_of[copy]} (id {str(ids[copy])!r}), which is in {split[copy]}"
        rejections.append(LeftOut(int(left[at]), "near_duplicate", detail))
    return Layout(shards, split, rejections)


def shards_of(ids: np.ndarray, split: np.ndarray, keep: np.ndarray, rule: SplitRule, shard_size: int, first: int = 0) -> list[PlannedShard]:
    """The pictures to ``keep``, bool [N], in shards that are numbered from ``first`` on."""
    order = splits.shuffle_order(ids, rule)
    shards: list[PlannedShard] = []
    for name in SPLITS:
        places = [int(i) for i in order if keep[i] and split[i] == name]
        for start in range(0, len(places), shard_size):
            number, part = first + len(shards), places[start : start + shard_size]
            shards.append(PlannedShard(number, name, [f"{number:05d}{i:04d}" for i in range(len(part))], part))
    if first + len(shards) > MAX_SHARDS:
        raise ShardsError(
            f"shard_size: {shard_size} makes {first + len(shards)} shards; at most {MAX_SHARDS}", hint=f"up to {MAX_SHARD_SIZE} a shard"
        )
    return shards
