"""What was found when the test split was opened, kept so that rendering again opens nothing."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from peoria.records.folder import SweepFolder
from peoria.stats.clusters import Clusters
from peoria.verdict.predictors import PredictorScores
from shards.files import write_atomic
from shards.labels import Labels

COLUMNS = ("keys", "ids", "owners", "views", "favorites", "comments", "uploaded_at", "observed_at", "tags")


@dataclass(frozen=True)
class Scored:
    """Scores of the test split and the labels that they are judged by."""

    predictors: dict[str, PredictorScores]
    labels: Labels
    opening: int
    extra: dict[str, np.ndarray] = field(default_factory=dict)  # what further questions need, by name

    @cached_property
    def clusters(self) -> Clusters:
        """The owners of the test pictures."""
        return Clusters.of(self.labels.owners)

    def write(self, folder: SweepFolder, signature: Mapping[str, Any]) -> None:
        """Into the sweep's ``folder``; ``signature`` says what the scores belong to."""
        arrays: dict[str, np.ndarray] = {f"extra|{name}": values for name, values in self.extra.items()}
        described = []
        for name, predictor in self.predictors.items():
            for column in ("views", "favorites"):
                values = getattr(predictor, column)
                if values is not None:
                    arrays[f"{name}|{column}"] = values
            described.append({"name": name, "label": predictor.label, "kind": predictor.kind, "losses": predictor.losses})
        for column in COLUMNS:
            values = getattr(self.labels, column)
            if values is not None:
                arrays[f"label|{column}"] = values
        meta = {"signature": dict(signature), "predictors": described, "opening": self.opening}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
        write_atomic(folder.test_scores, buffer.getvalue())

    @classmethod
    def read(cls, folder: SweepFolder, signature: Mapping[str, Any]) -> "Scored | None":
        """None where nothing is stored, or what is belongs to something else."""
        path = folder.test_scores
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            meta = json.loads(arrays["meta"].tobytes())
            if meta["signature"] != dict(signature):
                return None
            columns = {name.removeprefix("label|"): arrays[name] for name in arrays.files if name.startswith("label|")}
            extra = {name.removeprefix("extra|"): arrays[name] for name in arrays.files if name.startswith("extra|")}
            predictors = {}
            for p in meta["predictors"]:
                views, favorites = (arrays[key] if (key := f"{p['name']}|{column}") in arrays.files else None for column in ("views", "favorites"))
                predictors[p["name"]] = PredictorScores(p["name"], p["label"], p["kind"], views, favorites, p["losses"])
        return cls(predictors, Labels(**columns), meta["opening"], extra)
