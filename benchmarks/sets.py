"""Packed sets to measure on: made pictures with made counts, packed as a user would."""

import csv
from pathlib import Path

import numpy as np

from benchmarks.figures import ON_OWN, Setting
from benchmarks.pictures import jpegs
from shards.cache.decoded import decoded
from shards.pack.pack import pack
from shards.read.shard_set import ShardSet

NUM_PICTURES = 1600  # of which about 1,100 are train: 220 MB decoded, more than any cache of a CPU


def packed(setting: Setting) -> Path:
    """The root of a set of 256x256 pictures of 16 KB."""
    folder = setting.work / f"small-{NUM_PICTURES}"
    if not (folder / "shards" / "manifest.json").exists():
        paths = jpegs(folder / "pictures", "small", NUM_PICTURES)
        views = np.random.default_rng(0).lognormal(4, 1.3, NUM_PICTURES).astype(int)
        with (folder / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "path", "views", "favorites"])
            writer.writerows([i, f"pictures/{path.name}", views[i], int(views[i] > 250)] for i, path in enumerate(paths))
        pack(folder / "metadata.csv", folder / "shards", shard_size=250)
    return folder / "shards"


def sets(setting: Setting) -> dict[str, Path]:
    """By the ending that the names of its figures get: the made set, and the one that was given."""
    return {"": packed(setting)} | ({} if setting.pictures is None else {ON_OWN: setting.pictures})


def cache(setting: Setting, root: Path) -> Path:
    """The folder of the decoded copy of train and val, which is made where it is not there."""
    folder = setting.work / "cache"
    for split in ("train", "val"):
        decoded(ShardSet(root), split, folder)
    return folder


def mean_bytes(root: Path) -> float:
    """Of a shard's share a picture: JPEG, JSON and the tar's headers."""
    shards = ShardSet(root).manifest.of_split(["train"])
    return sum(shard.bytes for shard in shards) / sum(shard.num_samples for shard in shards)
