"""What was found when the test split was opened, kept so that rendering again opens nothing; the one reader and writer of that file."""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from peoria.errors import RecordError, ReportError
from peoria.records.arrays import read_arrays
from peoria.records.folder import SweepFolder
from peoria.stats.clusters import Clusters
from peoria.stats.learning_curve import HeldOut
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.vaults import Shown
from shards.counts import as_arrays, from_arrays
from shards.files import write_atomic
from shards.labels import OPTIONAL_COUNTS, Labels

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT_VERSION = 1
COLUMNS = ("keys", "ids", "owners", "views", "favorites", "comments", "uploaded_at", "observed_at", "tags")
T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """Test pictures to be shown, the most telling first."""

    rows: np.ndarray  # int64 [K], of the test split
    pictures: np.ndarray  # uint8 [K, 112, 112, 3], RGB
    moved: np.ndarray | None = None  # uint8 [K, 112, 112, 3]: the same under a map of what moved the score; None in a file of before there were any


@dataclass(frozen=True, eq=False)
class CopyPairs:
    """P pairs of nearly the same picture, of all splits and of rejected pictures too."""

    views_a: np.ndarray  # int64 [P]
    views_b: np.ndarray  # int64 [P]
    owner_a: np.ndarray  # str [P], empty where unknown
    owner_b: np.ndarray  # str [P]


@dataclass(frozen=True, eq=False)
class LeakSide:
    """Scores of M pictures that were not trained on, by the recipe trained on a share of train's pictures."""

    score: np.ndarray  # float64 [M]
    views: np.ndarray  # int64 [M]
    owners: np.ndarray  # str [M], empty where unknown

    @property
    def held_out(self) -> HeldOut:
        return HeldOut(self.score, self.views, Clusters.of(self.owners))


@dataclass(frozen=True, eq=False)
class LeakScores:
    """The two sides of a leak."""

    random: LeakSide  # the other pictures of train, of owners who were trained on
    owner: LeakSide  # val, of other owners


@dataclass(frozen=True)
class TrainSize:
    """How much was trained on."""

    num_owners: int  # a picture of an unknown owner counts as one
    num_pictures: int


@dataclass(frozen=True, eq=False)
class SubsetScores:
    """The test split by the recipe trained on a part of train."""

    score: np.ndarray  # float64 [N]
    size: TrainSize


@dataclass(frozen=True)
class TestScores:
    """Scores of the N test pictures that one opening shows, the labels that they are judged by, and what the further questions need."""

    predictors: dict[str, PredictorScores]  # by name
    labels: Labels
    opening: int  # its number on record
    val_se: float  # standard error of ρ of views on val, of a score without skill
    noise: np.ndarray  # float64 [K], scores of pictures of white noise
    train: TrainSize  # all of it
    sheets: dict[str, ContactSheet]  # by name, as in `contact_rows.SHEETS`
    subsets: dict[str, SubsetScores] = field(default_factory=dict)  # by trial
    leak: LeakScores | None = None  # None where this was not asked
    copies: CopyPairs | None = None  # None where the packed set did not keep them, or the counts are no picture's own
    shown: Shown | None = None  # None in a file of before there were vaults, which has all of test
    scored_on: str = "cpu"  # or the GPU's name; in a file that does not say, the CPU

    @cached_property
    def clusters(self) -> Clusters:
        """The owners of the test pictures."""
        return Clusters.of(self.labels.owners)

    def write(self, folder: SweepFolder, signature: Mapping[str, Any]) -> None:
        """Into the sweep's ``folder``; ``signature`` says what the scores belong to."""
        write_atomic(folder.test_scores, self.packed(signature))

    def packed(self, signature: Mapping[str, Any]) -> bytes:
        """The file's bytes: equal scores give equal ones."""
        meta = {
            "format_version": FORMAT_VERSION,
            "signature": dict(signature),
            "opening": self.opening,
            "shown": None if self.shown is None else asdict(self.shown),
            "predictors": [{"name": p.name, "label": p.label, "kind": p.kind, "losses": p.losses} for p in self.predictors.values()],
            "val_se": self.val_se,
            "train": asdict(self.train),
            "subsets": {key: asdict(subset.size) for key, subset in self.subsets.items()},
            "sheets": list(self.sheets),
            "scored_on": self.scored_on,
        }
        arrays = {"noise": self.noise}
        for name, p in self.predictors.items():
            arrays |= {f"predictor|{name}|{target}": of for target in ("views", "favorites") if (of := getattr(p, target)) is not None}
        arrays |= {f"label|{column}": of for column in COLUMNS if (of := getattr(self.labels, column)) is not None and column not in OPTIONAL_COUNTS}
        for column in OPTIONAL_COUNTS:
            arrays |= as_arrays(f"label|{column}", getattr(self.labels, column))
        arrays |= {f"subset|{key}": subset.score for key, subset in self.subsets.items()}
        parts: dict[str, DataclassInstance | None] = {"copies": self.copies}
        parts |= {f"sheet|{name}": sheet for name, sheet in self.sheets.items()}
        parts |= {f"leak|{side}": None if self.leak is None else getattr(self.leak, side) for side in ("random", "owner")}
        for prefix, part in parts.items():
            if part is not None:
                arrays |= {f"{prefix}|{each.name}": of for each in fields(part) if (of := getattr(part, each.name)) is not None}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @classmethod
    def read(cls, folder: SweepFolder, signature: Mapping[str, Any]) -> "TestScores | None":
        """None where nothing is stored, or what is belongs to something else.

        Raises:
            ReportError: a file of another format. It is not taken for nothing, which would open the test split once more.
            RecordError: a damaged one; likewise.
        """
        path = folder.test_scores
        if not os.path.lexists(path):
            return None
        arrays = read_arrays(path)
        try:
            return cls._restored(path, arrays, dict(signature))
        except ReportError:
            raise
        except (KeyError, ValueError, TypeError, AttributeError) as error:  # whatever a file of that name may hold
            raise RecordError(
                f"{path}: not what was found at an opening ({type(error).__name__}: {str(error)[:100]})",
                hint="without this file, peoria report opens the test split once more",
            ) from None

    @classmethod
    def _restored(cls, path: Path, arrays: dict[str, np.ndarray], signature: dict[str, Any]) -> "TestScores | None":
        meta = json.loads(arrays["meta"].tobytes())
        if type(version := meta.get("format_version", 0)) is not int or version != FORMAT_VERSION:
            hint = "the version of peoria that wrote it reads it; without this file, peoria report opens the test split once more"
            raise ReportError(f"{path}: format_version {version}; {FORMAT_VERSION} is read here", hint=hint)
        if meta["signature"] != signature:
            return None

        def part(kind: type[T], prefix: str) -> T | None:
            names = [each.name for each in fields(kind) if each.default is MISSING or f"{prefix}|{each.name}" in arrays]
            return kind(**{name: arrays[f"{prefix}|{name}"] for name in names}) if f"{prefix}|{names[0]}" in arrays else None

        columns: Any = {column: arrays[f"label|{column}"] for column in COLUMNS if f"label|{column}" in arrays}
        columns |= {column: from_arrays(f"label|{column}", arrays) for column in OPTIONAL_COUNTS}
        random, owner = part(LeakSide, "leak|random"), part(LeakSide, "leak|owner")
        return cls(
            predictors={
                p["name"]: PredictorScores(
                    views=arrays.get(f"predictor|{p['name']}|views"), favorites=arrays.get(f"predictor|{p['name']}|favorites"), **p
                )
                for p in meta["predictors"]
            },
            labels=Labels(**columns),
            opening=meta["opening"],
            val_se=meta["val_se"],
            noise=arrays["noise"],
            train=TrainSize(**meta["train"]),
            sheets={name: sheet for name in meta["sheets"] if (sheet := part(ContactSheet, f"sheet|{name}")) is not None},
            subsets={key: SubsetScores(arrays[f"subset|{key}"], TrainSize(**size)) for key, size in meta["subsets"].items()},
            leak=None if random is None or owner is None else LeakScores(random, owner),
            copies=part(CopyPairs, "copies"),
            shown=None if meta.get("shown") is None else Shown(**meta["shown"]),
            scored_on=meta.get("scored_on", "cpu"),
        )
