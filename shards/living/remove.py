"""Pictures that are to be gone: no reader gives them from the moment the manifest says so; their bytes go when the set is compacted."""

import ast
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shards.digests import pictures_sha256
from shards.errors import ShardsError
from shards.files import write_atomic
from shards.living.change import Tables, changing, chosen, commit
from shards.manifest import Manifest, Shard
from shards.pack.ledger import LEDGER_SCHEMA
from shards.read.tar_index import BLOCK_BYTES, MappedShard
from shards.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

REASON = "removed"
_OTHER = re.compile(r"""\(id ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""")  # another picture, in the detail of a near-duplicate


@dataclass(frozen=True)
class Removed:
    """What became of a removal."""

    root: Path
    manifest: Manifest
    num_pictures: int
    num_rows: int  # of the ledger that lost what they told, rows that had been left out too
    before: int  # ids that were removed earlier
    unknown: tuple[str, ...]  # ids that the set knows nothing of

    def text(self) -> str:
        """For people."""
        lines = [f"{self.root}: {counted(self.num_pictures, 'picture')} removed, {self.manifest.num_kept:,} stay"]
        if self.num_rows > self.num_pictures:
            lines.append(f"  erased    details of {counted(self.num_rows - self.num_pictures, 'row')} that had been left out")
        if self.before:
            lines.append(f"  before    {counted(self.before, 'id')} had been removed already")
        if self.unknown:
            lines.append(f"  unknown   {counted(len(self.unknown), 'id')} of which the set knows nothing, first {self.unknown[0]!r}")
        lines.append(f"  identity  {self.manifest.identity}")
        if any(shard.removed for shard in self.manifest.shards):
            lines.append(f"  next      no reader gives them any more; peoria compact {self.root} takes their bytes off the disk")
        return "\n".join(lines)


def remove(root: Path, ids: Iterable[str] = (), owners: Iterable[str] = (), *, forget: bool = False, caches: Sequence[Path] = ()) -> Removed:
    """Takes pictures out of the set in ``root``, by id or all of an owner: out of labels, pictures and pairs of near-duplicates, and what the ledger
    told of them, rows that had been left out too. The set has another identity then.

    Args:
        forget: keeps not even the id in the ledger, so that a later `add` does not know that it was removed.
        caches: folders of decoded copies, which go with the pictures in them, but for those in use.

    Raises:
        ShardsError: nothing of that is in the set, or nothing would stay.
    """
    root, wanted, of_owners = Path(root), set(ids) - {""}, set(owners) - {""}  # bad rows, and many people's
    with changing(root) as before:
        tables = Tables.read(root, before)
        wanted |= _of_owners(tables, of_owners)
        reasons = dict(zip(tables.ledger["id"].to_pylist(), tables.ledger["reason"].to_pylist(), strict=True))
        earlier = {one for one in wanted if reasons.get(one) == REASON}
        unknown = sorted(one for one in wanted if one not in reasons)
        going = wanted - set(unknown) - (set() if forget else earlier)
        if not going:
            if earlier:
                return Removed(root, before, 0, 0, len(earlier), tuple(unknown))
            asked = [*(f"id {one!r}" for one in sorted(set(ids))), *(f"owner {one!r}" for one in sorted(of_owners))]
            found = f"{root}: nothing of {', '.join(asked[:3]) or 'nobody'}{f' and {len(asked) - 3:,} more' if len(asked) > 3 else ''}"
            raise ShardsError(f"{found}; ids or owners of the set", hint=f"peoria ledger {root} --csv lists all ids")
        gone = {key for key, one in zip(tables.labels["key"].to_pylist(), tables.labels["id"].to_pylist(), strict=True) if one in going}
        if len(gone) == len(tables.labels):
            raise ShardsError(f"{root}: all {counted(len(gone), 'picture')} would go; a set has at least one", hint=f"delete the folder {root}")
        left = Tables(
            chosen(tables.labels, (key not in gone for key in tables.labels["key"].to_pylist())),
            _erased(tables.ledger, going, forget),
            None if tables.pairs is None else _without(tables.pairs, going),
        )
        shards = tuple(_without_keys(shard, gone) for shard in before.shards)
        digest = pictures_digest(root, shards) if gone else before.pictures_sha256
        after = commit(root, before, left, "remove", caches, shards=shards, pictures_sha256=digest)
        return Removed(root, after, len(gone), sum(one in going for one in tables.ledger["id"].to_pylist()), len(earlier), tuple(unknown))


@dataclass(frozen=True)
class Compacted:
    """What became of the bytes of removed pictures."""

    root: Path
    num_pictures: int
    num_shards: int  # written anew, or gone
    num_bytes: int  # that the disk got back

    def text(self) -> str:
        """For people."""
        if not self.num_shards:
            return f"{self.root}: no shard holds a removed picture"
        shards = counted(self.num_shards, "shard")
        return f"{self.root}: {counted(self.num_pictures, 'picture')} gone from {shards}, {self.num_bytes / 1e6:,.1f} MB freed"


def compact(root: Path, caches: Sequence[Path] = ()) -> Compacted:
    """Writes the shards that hold removed pictures anew without them, and removes the old ones. The identity stays, for nobody was given those
    pictures before. Raises DamagedShardError where a shard is not the one that was packed."""
    root = Path(root)
    with changing(root) as before:
        old = [shard for shard in before.shards if shard.removed]
        if not old:
            return Compacted(root, 0, 0, 0)
        shards: list[Shard] = []
        for shard in before.shards:
            if not shard.removed:
                shards.append(shard)
            elif shard.num_pictures:
                shards.append(_written_anew(root, shard, before.generation + 1))
        commit(root, before, Tables.read(root, before), None, caches, shards=tuple(shards))
        freed = sum(shard.bytes for shard in before.shards) - sum(shard.bytes for shard in shards)
        return Compacted(root, sum(len(shard.removed) for shard in old), len(old), freed)


def pictures_digest(root: Path, shards: Sequence[Shard]) -> str:
    """`shards.digests.pictures_sha256` of what the shards hold and was not removed. Raises DamagedShardError."""
    found: dict[str, str] = {}
    for shard in shards:
        with MappedShard(root, shard) as mapped:
            found |= {key: hashlib.sha256(mapped.member(key, "jpg")).hexdigest() for key in mapped.places}
    keys = sorted(found)
    return pictures_sha256(keys, [found[key] for key in keys])


def _written_anew(root: Path, shard: Shard, generation: int) -> Shard:
    """The shard without its removed pictures: the members that stay as they are, header and all."""
    with MappedShard(root, shard) as mapped:
        blocks = []
        for key in mapped.places:
            for offset, size in mapped.places[key].values():
                blocks.append(bytes(mapped.data[offset - BLOCK_BYTES : offset + -(-size // BLOCK_BYTES) * BLOCK_BYTES]))
        num_samples = len(mapped.places)
    data = b"".join(blocks)
    data += bytes(-(len(data) + 2 * BLOCK_BYTES) % (20 * BLOCK_BYTES) + 2 * BLOCK_BYTES)  # records of 20 blocks, as every tar
    file = f"{shard.split}/{shard_number(shard)}-{generation}.tar"
    write_atomic(root / file, data)
    return Shard(file=file, split=shard.split, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), num_samples=num_samples)


def _of_owners(tables: Tables, owners: set[str]) -> set[str]:
    """Ids of all that the set knows to be of these owners, rejected pictures too."""
    found = {one for one, owner in zip(tables.labels["id"].to_pylist(), tables.labels["owner"].to_pylist(), strict=True) if owner in owners}
    if tables.pairs is not None:
        for side in "ab":
            pairs = zip(tables.pairs[f"id_{side}"].to_pylist(), tables.pairs[f"owner_{side}"].to_pylist(), strict=True)
            found |= {one for one, owner in pairs if owner in owners}
    named = tuple(f"owner {owner!r} " for owner in owners)
    for one, detail in zip(tables.ledger["id"].to_pylist(), tables.ledger["detail"].to_pylist(), strict=True):
        if named and detail is not None and detail.startswith(named):  # the owner's cap
            found.add(one)
    return found


def _erased(ledger: "pa.Table", going: set[str], forget: bool) -> "pa.Table":
    """The ledger with nothing but ``removed`` on the lines of the ids that go, and their ids nowhere else."""
    import pyarrow as pa

    def unnamed(match: re.Match[str]) -> str:
        return "(removed)" if ast.literal_eval(match[1]) in going else match[0]

    columns = {name: ledger[name].to_pylist() for name in LEDGER_SCHEMA.names}
    for at, (one, reason) in enumerate(zip(ledger["id"].to_pylist(), ledger["reason"].to_pylist(), strict=True)):
        if one in going:
            line = {"id": None if forget else one, "status": "rejected", "reason": REASON, "detail": None, "split": None, "key": None}
            for name, value in line.items():
                columns[name][at] = value
        elif reason == "near_duplicate":
            columns["detail"][at] = _OTHER.sub(unnamed, columns["detail"][at])
    return pa.table(columns, schema=LEDGER_SCHEMA)


def _without(pairs: "pa.Table", going: set[str]) -> "pa.Table":
    sides = zip(pairs["id_a"].to_pylist(), pairs["id_b"].to_pylist(), strict=True)
    return chosen(pairs, (a not in going and b not in going for a, b in sides))


def _without_keys(shard: Shard, gone: set[str]) -> Shard:
    number = shard_number(shard)
    own = {key for key in gone if key.startswith(number)}
    return shard.model_copy(update={"removed": tuple(sorted({*shard.removed, *own}))}) if own else shard


def shard_number(shard: Shard) -> str:
    """That its file and its keys begin with, five digits."""
    return shard.file.partition("/")[2].partition(".")[0].partition("-")[0]
