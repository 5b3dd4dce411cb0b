"""Whether a picture is unlike what a model learnt from: how far it lies from the sweep's own, in what the model sees and in colours and edges."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peoria.data.control_signals import NUM_MEASURES, measure
from peoria.data.filters import filter_rows, filtered_identity
from peoria.data.images import ArrayPictures, Pictures, ShardPictures, TakenPictures
from peoria.records.schema import SweepRecord
from shards.cache.fetched import open_shards
from shards.cache.mapped import built_once
from shards.cpus import usable_cpus
from shards.errors import FileError, ShardsError
from shards.read.on_demand import ShardReader
from shards.read.shard_set import ShardSet

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

    from peoria.serving.scorer import Scorer

MOST = 2000  # pictures that are looked at, of a split
FEW = 1000  # with fewer in val, distances are from train, and judged by all of val; reading a large train would take long
LEAST = 20  # on either side, of those that distances are from and of those that they are judged by
FALSE_ALARMS = 0.01  # of val pictures, of other owners than those that distances are from
NEIGHBOURS = 5
LEAST_SIDE_PX = 64  # of the short side of a picture; a smaller one is enlarged more than four times
_CONTRASTS, _GREY_LEVEL = (5, 6, 7, 10, 11, 13, 14, 15), 0.1  # columns of `measure`: standard deviations, and differences of neighbours
_VERSION = 1  # of what is kept
Say = Callable[[str], None]


@dataclass(frozen=True)
class Familiar:
    """The mean distance to the five nearest known pictures (of one half of the owners of val, or where val is small of train), over the 99 % quantile
    of those of the other val pictures: of the trunk's features (Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors"), and of
    plain measures of colours and edges, for a network may have learnt to see nothing of what makes a picture strange. The larger counts."""

    parts: "tuple[_Part, ...]"
    """Of the features, and of the measures."""
    scale: float
    """Of the larger of both: the quantile once more, so that together they raise no more false alarms than one."""
    num_judged: int
    """Val pictures that the quantile is of; with fewer than 100 it is the farthest."""

    @classmethod
    def fit(cls, kinds: list[np.ndarray], reference: np.ndarray) -> "Familiar":
        """
        Args:
            kinds: what is known of each val picture, float [N, ·] each.
            reference: which of them distances are from, bool [N]; by the others they are judged.
        """
        parts = tuple(_Part.fit(of[reference], of[~reference]) for of in kinds)
        distance = np.max([part.distance(of[~reference]) for part, of in zip(parts, kinds, strict=True)], axis=0)
        return cls(parts, _threshold(distance), int((~reference).sum()))

    @classmethod
    def of_val(cls, scorer: "Scorer", sweep: SweepRecord, cache: Path, say: Say) -> "Familiar | None":
        """Of at most `MOST` pictures of a split; None, and ``say`` is told why, where the packed set is not there any more or has too few."""
        try:
            shard_set = open_shards(sweep.shards, cache)
            if filtered_identity(shard_set.manifest.identity, sweep.where) != sweep.identity:
                say(f"unlike: not told; {sweep.shards} holds other data than the sweep ran on")
                return None
            rows = {split: _rows(shard_set, split, sweep.where) for split in ("val", "train")}
            if len(rows["val"]) >= FEW:
                del rows["train"]
                reference = _half(shard_set.labels("val").owners[rows["val"]])
            else:
                reference = np.repeat([False, True], [len(rows["val"]), len(rows["train"])])
            if min(reference.sum(), (~reference).sum()) < LEAST:
                say(f"unlike: not told; {len(rows['val'])} val pictures; at least {LEAST}, of two owners")
                return None

            def fill(out: np.ndarray) -> None:
                say(f"looking at {len(out):,} pictures of {' and '.join(rows)}, to tell what is unlike them")
                start = 0
                for split, of in rows.items():
                    pictures = TakenPictures(ShardPictures(ShardReader(shard_set, split, usable_cpus())), of)
                    part = out[start : start + len(of)]
                    part[:, :NUM_MEASURES] = plainly(pictures)
                    part[:, NUM_MEASURES:] = scorer.seen(pictures)[1]
                    start += len(of)

            about = f"familiar {_VERSION}\n{scorer.card.model_sha256}\n{sweep.identity}\n{MOST} {FEW}"
            known = _kept(cache, about, (len(reference), NUM_MEASURES + scorer.net.num_features), fill)
        except ShardsError as error:
            say(f"unlike: not told; {error.problems[0]}")
            return None
        return cls.fit([known[:, NUM_MEASURES:], known[:, :NUM_MEASURES]], reference)

    def distance(self, squares: np.ndarray, features: np.ndarray, sides_px: np.ndarray) -> np.ndarray:
        """Float64 [N]; above 1 a picture is unlike: farther than 99 % of those val pictures, or too small.

        Args:
            squares: uint8 [N, 256, 256, 3].
            features: of the trunk, float [N, F].
            sides_px: of the short sides of the originals, int [N].
        """
        if not len(squares):
            return np.empty(0)
        kinds = (features, plainly(ArrayPictures(squares)))
        far = np.max([part.distance(of) for part, of in zip(self.parts, kinds, strict=True)], axis=0) / self.scale
        found: np.ndarray = np.maximum(far, LEAST_SIDE_PX / sides_px)
        return found


@dataclass(frozen=True)
class _Part:
    mean: np.ndarray
    sd: np.ndarray
    nearest: "NearestNeighbors"
    threshold: float

    @classmethod
    def fit(cls, reference: np.ndarray, judged: np.ndarray) -> "_Part":
        from sklearn.neighbors import NearestNeighbors

        mean, sd = reference.mean(axis=0, dtype=np.float64), reference.std(axis=0, dtype=np.float64)
        sd = np.where(sd > 1e-6 * max(float(sd.max()), 1e-30), sd, np.inf)  # what never differs tells nothing
        nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit((reference - mean) / sd)
        return cls(mean, sd, nearest, _threshold(_distance(nearest, (judged - mean) / sd)))

    def distance(self, of: np.ndarray) -> np.ndarray:
        return _distance(self.nearest, (of - self.mean) / self.sd) / self.threshold


def _distance(nearest: "NearestNeighbors", of: np.ndarray) -> np.ndarray:
    found: np.ndarray = nearest.kneighbors(of)[0].mean(axis=1)
    return found


def _threshold(distance: np.ndarray) -> float:
    return max(float(np.quantile(distance, 1 - FALSE_ALARMS, method="higher")), 1e-12)


def plainly(pictures: Pictures) -> np.ndarray:
    """`measure` of the pictures, float32 [N, NUM_MEASURES], with contrasts on a scale on which none at all is far from any."""
    found = np.empty((len(pictures), NUM_MEASURES), np.float32)
    measure(pictures, found)
    found[:, _CONTRASTS] = np.log(found[:, _CONTRASTS] + _GREY_LEVEL)
    return found


def _rows(shard_set: ShardSet, split: str, where: str | None) -> np.ndarray:
    """Of at most `MOST` pictures of a split, ascending."""
    labels = shard_set.labels(split)
    rows = np.arange(len(labels)) if where is None else filter_rows(labels, where, split)
    return np.sort(np.random.default_rng(0).permutation(rows)[:MOST])


def _half(owners: np.ndarray) -> np.ndarray:
    """Which pictures are of the first half of the owners, drawn at random, bool [N]; each of an unknown owner is of its own."""
    names = np.where(owners == "", np.array([f"\0{row}" for row in range(len(owners))]), owners)
    drawn = np.random.default_rng(1).permutation(np.unique(names))
    return np.isin(names, drawn[: len(drawn) // 2])


def _kept(cache: Path, about: str, shape: tuple[int, int], fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """What ``fill`` gives, float32, from a file of the cache; in memory where that has no room or cannot be written to."""
    path = cache / f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.f32"
    out = np.empty(shape, np.float32)
    try:
        out[:] = built_once(path, np.float32, shape, fill, what="pictures as a model sees them", source=about)
    except FileError:
        fill(out)
    return out
