"""What a packed set says of itself: which files it is made of, by which rules, and the digests that prove it.

``manifest.json`` is written last, so that its presence means the set is whole. It holds neither times nor places: the same input packed
anywhere gives the same bytes. ``manifest_sha256`` in it is over its own bytes, with zeros in the place of the digest: it finds damage, and is no
signature, for who edits the file can also compute it.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from shards.errors import DamagedShardError, ShardsError
from shards.files import not_as_packed, read_plain, write_atomic

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LABELS = "labels.parquet"
LEDGER = "ledger.parquet"
NEAR_DUPLICATES = "near_duplicates.parquet"  # sets packed before it was kept have none
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MAX_BYTES = 2**28  # of the file; 100,000 shards take 20 MB
MAX_SHARD_SIZE = 9999  # a key is five digits of the shard and four of the place in it
MAX_SHARDS = 100_000
MAX_PROBLEMS = 20  # told at once
_OWN_DIGEST = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
_NO_DIGEST = b"0" * 64
_CHANGED = "the file was changed after packing: fetch it again, or pack again"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=32, le=4096)]  # px


Key = Annotated[str, Field(pattern=r"^[0-9]{9}$")]
Change = Literal["recount", "remove", "add"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    unwritten: ClassVar[tuple[str, ...]] = ()  # fields that are not written while they say nothing: sets packed before they came keep their bytes

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value or name not in self.unwritten}


class Source(_Model):
    """The table that was packed."""

    table: Annotated[str, Field(max_length=255, pattern=r"^[^/\x00-\x1f\x7f]+$")]  # its file name, without the folder
    sha256: Sha256
    num_rows: Count
    columns: dict[str, str]  # our field → the table's column
    kept_columns: tuple[str, ...] = ()  # columns kept on request under their own names
    owners_hashed: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""  # tells the salt that owners are hashed with; "": they are not
    unwritten = ("owners_hashed",)


class PictureRule(_Model):
    """How a picture was made ready (the paper, section 3.1). Of sets of version 2 and before, colours are as they were in the files."""

    version: Annotated[int, Field(ge=1, le=1000)] = 3
    short_side_px: Side = 256
    crop_px: Side = 256
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90


class SplitRule(_Model):
    """How a picture found its split; part of the identity, for another rule makes another test set."""

    version: Annotated[int, Field(ge=1, le=2)] = 2  # 1: by the owner's hash alone, so that shares of few owners were luck; not in the file
    seed: str = "peoria"
    train: float = 0.7  # the ranges of these five are `problems`', so that who packs is told in our words
    val: float = 0.1
    test: float = 0.2
    max_per_owner: int = 20  # in val and in test; one prolific owner would otherwise be half of test
    near_duplicate_bits: int = 15  # largest Hamming distance of two 256-bit PDQ hashes that counts as the same picture

    @model_validator(mode="before")
    @classmethod
    def _of_before_versions(cls, fields: Any, info: ValidationInfo) -> Any:
        return {"version": 1} | fields if info.mode == "json" and isinstance(fields, dict) else fields

    @model_serializer(mode="wrap")
    def _as_before_versions(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Manifests written before there were versions keep their bytes, and their sets the identity."""
        written: dict[str, Any] = fields(self)
        if self.version == 1:
            del written["version"]
        return written

    def problems(self, most_bits: int = 256) -> list[str]:
        """What is out of range, ``<field>: <found>; <accepted>``."""
        found, shares = [], [self.train, self.val, self.test]
        if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-9:  # not a number: neither
            found.append(f"shares {shares}; three that are not negative and sum to 1")
        if not 1 <= self.max_per_owner <= 2**53:
            found.append(f"max_per_owner {self.max_per_owner}; at least 1")
        if not 0 <= self.near_duplicate_bits <= most_bits:
            found.append(f"near_duplicate_bits {self.near_duplicate_bits}; 0 to {most_bits}")
        return found


class Shard(_Model):
    file: Annotated[str, Field(max_length=100)]  # relative to the set, e.g. "train/00003.tar"
    split: Split
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1024, le=2**40)]  # a tar ends in two blocks of 512
    num_samples: Annotated[int, Field(ge=1, le=MAX_SHARD_SIZE)]  # in the file
    removed: tuple[Key, ...] = ()  # of them, those that no reader gives any more; their bytes go when the set is compacted
    unwritten = ("removed",)

    @property
    def num_pictures(self) -> int:
        return self.num_samples - len(self.removed)


class Unknown(_Model):
    """An optional value that some of the kept pictures lack."""

    num: Annotated[int, Field(ge=1, le=2**53)]  # pictures without it
    num_unreadable: Count  # of them, where the table has something that cannot be read
    example: Annotated[str, Field(max_length=200)] = ""  # of the unreadable ones, the first


class Ancestor(_Model):
    """What the set was before a change: openings of it still count (`shards.read.vaults`)."""

    identity: Sha256
    num_vaults: Annotated[int, Field(ge=1, le=64)]  # that its test split was cut into
    change: Change  # that ended it


class Manifest(_Model):
    format_version: Count = FORMAT_VERSION
    source: Source
    picture_rule: PictureRule
    split_rule: SplitRule
    shard_size: Annotated[int, Field(ge=1, le=MAX_SHARD_SIZE)] = 1000  # samples a shard, the last of a split may hold fewer
    shards: Annotated[tuple[Shard, ...], Field(max_length=MAX_SHARDS)]
    num_kept: Count
    num_rejected: Count
    unknown: dict[str, Unknown] = Field(default_factory=dict)  # by field or kept column; not in the file where nothing is unknown
    pictures_sha256: Sha256  # over (key, sha256 of the packed JPEG) in the order of the keys
    labels_sha256: Sha256  # over the rows of labels.parquet, not its bytes, which differ between versions of parquet writers
    files_sha256: dict[str, Sha256] = Field(default_factory=dict)  # the tables beside the shards, as bytes: proves a copy, no part of the identity
    manifest_sha256: Sha256 | None = None  # of the file itself; None in a set packed before there was one
    generation: Count = 0  # changes after packing; part of the tables' names, so that the old ones are whole until the manifest names the new
    lineage: Annotated[tuple[Ancestor, ...], Field(max_length=10_000)] = ()  # oldest first
    added: Annotated[tuple[Source, ...], Field(max_length=10_000)] = ()  # tables whose pictures were added; their rows follow those of ``source``
    unwritten = ("generation", "lineage", "added")

    @property
    def has_counts(self) -> bool:
        """Whether there are counts, which a set may be packed without and get later."""
        return "views" in self.source.columns or any(ancestor.change == "recount" for ancestor in self.lineage)

    @property
    def identity(self) -> str:
        """Names the data: sha256 over (pictures, labels, split rule), hex. Two sweeps with one identity saw the same."""
        rule = json.dumps(self.split_rule.model_dump(), sort_keys=True)
        return hashlib.sha256(f"{self.pictures_sha256}\n{self.labels_sha256}\n{rule}".encode()).hexdigest()

    @property
    def num_rows(self) -> int:
        """Of all tables that went in."""
        return self.source.num_rows + sum(source.num_rows for source in self.added)

    def file_of(self, table: str) -> str:
        """The file of ``labels.parquet``, ``ledger.parquet`` or ``near_duplicates.parquet``: ``labels-00002.parquet`` after two changes."""
        return table if not self.generation else f"{table.removesuffix('.parquet')}-{self.generation:05d}.parquet"

    @property
    def keeps_pairs(self) -> bool:
        """Whether near-duplicates are on record; sets packed before they were have none."""
        return self.file_of(NEAR_DUPLICATES) in self.files_sha256

    def of_split(self, splits: Iterable[str]) -> list[Shard]:
        wanted = set(splits)
        return [shard for shard in self.shards if shard.split in wanted]

    def write(self, root: Path) -> "Manifest":
        """As it is written, with the digest of the file."""
        fields = self.model_dump(exclude=None if self.unknown else {"unknown"}) | {"manifest_sha256": _NO_DIGEST.decode()}
        data = sealed((json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
        write_atomic(root / MANIFEST, data)
        return self.model_copy(update={"manifest_sha256": own_sha256(data)})

    @classmethod
    def load(cls, root: Path) -> "Manifest":
        """The manifest of the set in ``root``.

        Raises:
            ShardsError: there is none, of another format, or with a field out of its range: a line each.
            DamagedShardError: its bytes are not those that its digest was made of.
        """
        path = root / MANIFEST
        try:
            data = read_plain(path, MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise ShardsError(f"{root}: no {MANIFEST}; a packed set has one, written last", hint=f"peoria pack TABLE --out {root}") from None
        except OSError as error:
            raise not_as_packed(error, path, f"the {MANIFEST} that was packed") from None
        return cls.parsed(data, str(path))

    @classmethod
    def parsed(cls, data: bytes, path: str) -> "Manifest":
        """As `load`, of the bytes of the file at ``path``, which may be an address."""
        try:
            manifest = cls.model_validate_json(data)
        except ValidationError as error:
            problems = [f"{path}: {_said(found)}" for found in error.errors()[:MAX_PROBLEMS]]
            more = error.error_count() - len(problems)
            raise ShardsError(*problems, *([f"{path}: {more} more"] if more else []), hint=_CHANGED) from None
        if manifest.format_version != FORMAT_VERSION:
            raise ShardsError(f"{path}: format_version {manifest.format_version}; this peoria reads {FORMAT_VERSION}", hint="pack again")
        problems = [f"{path}: split_rule: {problem}" for problem in manifest.split_rule.problems()]
        if manifest.picture_rule.crop_px > manifest.picture_rule.short_side_px:
            problems.append(f"{path}: picture_rule: crop_px {manifest.picture_rule.crop_px}; at most short_side_px")
        if problems:
            raise ShardsError(*problems, hint=_CHANGED)
        if manifest.manifest_sha256 is not None and (found := own_sha256(data)) != manifest.manifest_sha256:
            raise DamagedShardError(f"{path}: sha256 {found[:16]}…; {manifest.manifest_sha256[:16]}… was packed", hint=_CHANGED)
        return manifest


def own_sha256(data: bytes) -> str:
    """Of a manifest's bytes, with zeros in the place of the digest that they hold."""
    return hashlib.sha256(_OWN_DIGEST.sub(b'"manifest_sha256": "' + _NO_DIGEST + b'"', data)).hexdigest()


def sealed(data: bytes) -> bytes:
    """A manifest's bytes with their digest in its place."""
    return _OWN_DIGEST.sub(b'"manifest_sha256": "' + own_sha256(data).encode() + b'"', data)


def _said(error: Any) -> str:
    """One of pydantic's errors as ``<field>: <found>; <accepted>``."""
    name = ".".join(map(str, error["loc"])) or "file"
    if error["type"] in ("missing", "json_invalid"):
        return f"{name}: {error['msg']}"
    found = ascii(error["input"])
    return f"{name}: {found if len(found) <= 60 else found[:57] + '...'}; {error['msg']}"


def differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves at which two JSON values differ, as (name, value before, value now), sorted; ``name`` is ``outer.inner``, a missing leaf None."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted({*before, *now})
            for found in differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]  # fmt: skip
    return [] if before == now else [(name, before, now)]
