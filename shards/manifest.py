"""What a packed set says of itself: which files it is made of, by which rules, and the digests that prove it.

``manifest.json`` is written last, so that its presence means the set is whole. It holds neither times nor places: the same input packed
anywhere gives the same bytes.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shards.errors import ShardsError
from shards.files import write_atomic

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LABELS = "labels.parquet"
LEDGER = "ledger.parquet"
NEAR_DUPLICATES = "near_duplicates.parquet"  # sets packed before it was kept have none
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Model):
    """The table that was packed."""

    table: str  # its file name, without the folder
    sha256: str
    num_rows: int
    columns: dict[str, str]  # our field → the table's column
    kept_columns: tuple[str, ...] = ()  # columns kept on request under their own names


class PictureRule(_Model):
    """How a picture was made ready (the paper, section 3.1)."""

    version: int = 2
    short_side_px: int = 256
    crop_px: int = 256
    jpeg_quality: int = 90


class SplitRule(_Model):
    """How a picture found its split; part of the identity, for another rule makes another test set."""

    seed: str = "peoria"
    train: float = 0.7
    val: float = 0.1
    test: float = 0.2
    max_per_owner: int = 20  # in val and in test; one prolific owner would otherwise be half of test
    near_duplicate_bits: int = 15  # largest Hamming distance of two 256-bit PDQ hashes that counts as the same picture


class Shard(_Model):
    file: str  # relative to the set, e.g. "train/00003.tar"
    split: Split
    sha256: str
    bytes: int
    num_samples: int


class Manifest(_Model):
    format_version: int = FORMAT_VERSION
    source: Source
    picture_rule: PictureRule
    split_rule: SplitRule
    shard_size: int = 1000  # samples a shard, the last of a split may hold fewer
    shards: tuple[Shard, ...]
    num_kept: int
    num_rejected: int
    pictures_sha256: str  # over (key, sha256 of the packed JPEG) in the order of the keys
    labels_sha256: str  # over the rows of labels.parquet, not its bytes, which differ between versions of parquet writers
    files_sha256: dict[str, str] = Field(default_factory=dict)  # the tables beside the shards, as bytes: proves a copy, no part of the identity

    @property
    def identity(self) -> str:
        """Names the data: sha256 over (pictures, labels, split rule), hex. Two sweeps with one identity saw the same."""
        rule = json.dumps(self.split_rule.model_dump(), sort_keys=True)
        return hashlib.sha256(f"{self.pictures_sha256}\n{self.labels_sha256}\n{rule}".encode()).hexdigest()

    def of_split(self, splits: Iterable[str]) -> list[Shard]:
        wanted = set(splits)
        return [shard for shard in self.shards if shard.split in wanted]

    def write(self, root: Path) -> None:
        text = json.dumps(self.model_dump(), sort_keys=True, indent=1, allow_nan=False)
        write_atomic(root / MANIFEST, (text + "\n").encode())

    @classmethod
    def load(cls, root: Path) -> "Manifest":
        path = root / MANIFEST
        if not path.is_file():
            raise ShardsError(
                f"{root}: no {MANIFEST}; a packed set has one, written last",
                hint=f"peoria pack TABLE --out {root}",
            )
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problems = [f"{path}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
            raise ShardsError(*problems, hint="the file was changed after packing: pack again") from None
        if manifest.format_version != FORMAT_VERSION:
            raise ShardsError(f"{path}: format_version {manifest.format_version}; this peoria reads {FORMAT_VERSION}", hint="pack again")
        return manifest


def differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves at which two JSON values differ, as (name, value before, value now), sorted; ``name`` is ``outer.inner``, a missing leaf None."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted({*before, *now})
            for found in differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]  # fmt: skip
    return [] if before == now else [(name, before, now)]
