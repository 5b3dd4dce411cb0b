"""What in a picture moved its score, drawn: the picture, and by how much its score falls where it is covered."""

import io
import re
from pathlib import Path

import numpy as np

from peoria.data.images import CENTRE, ArrayPictures
from peoria.records.selection import TARGET_WORDS
from peoria.serving.inputs import Input, decoded
from peoria.serving.predict import Model, Prediction
from peoria.training.attribution import LEAST_SHOWN, occlusion
from shards.fetch import FetchRules
from shards.files import write_atomic

LABEL = "change of the score by what is here, in sd of val scores"
NOTE = "red: the score falls where this is covered; blue: it rises. What moved the score, not why people liked it."
SIZE_IN, DPI = (7.6, 4.0), 100


class Explainer:
    """Writes a PNG a prediction into ``folder``, numbered in their order."""

    def __init__(self, models: list[Model], folder: Path, fetch: FetchRules | None = None) -> None:
        """``fetch``: of pictures that have addresses."""
        self._models = {model.target: model for model in models}
        self._folder, self._fetch, self._num, self._last = folder, fetch, 0, ""
        self._rule = models[0].rule  # of one sweep

    def draw(self, one: Prediction) -> Path:
        """The PNG of a prediction that has a value.

        Raises:
            FileError: it cannot be written.
        """
        if one.picture != self._last:
            self._num, self._last = self._num + 1, one.picture
            (batch,) = decoded([Input(one.picture)], self._rule, threads=1, fetch=self._fetch)
            self._square = batch.squares
        if not len(self._square):  # it went away since it was scored
            return self._folder
        scorer = self._models[one.target].winner
        moved = occlusion(scorer.net, scorer.fitted, ArrayPictures(self._square))[0] / max(float(scorer.known.std()), 1e-12)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(one.picture).stem)[:60]
        path = self._folder / f"{self._num:06d}-{stem}-{one.target}.png"
        write_atomic(path, overlay(self._square[0, CENTRE, CENTRE], moved, self._title(one)))
        return path

    def _title(self, one: Prediction) -> str:
        name = re.sub(r"[^\x20-\x7e]", "?", Path(one.picture).name)[-40:]
        control = f"; control {one.control}: no model of anything" if one.control else ""
        title = f"{name}: {one.value:.4g} {one.unit}, above {one.percentile:.0%} of the val pictures\n"
        return f"{title}{one.model}, winner for {TARGET_WORDS[one.target]}{control}"


def overlay(crop: np.ndarray, moved: np.ndarray, title: str) -> bytes:
    """A PNG of the crop, and beside it of the crop in grey under a map of what moved the score, with its scale.

    Args:
        crop: uint8 RGB [227, 227, 3], what the net sees.
        moved: [227, 227], in sd of val scores.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    most = max(LEAST_SHOWN, float(np.abs(moved).max()))
    left.imshow(crop)
    right.imshow(crop.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    drawn = right.imshow(moved, cmap="RdBu_r", vmin=-most, vmax=most, alpha=0.6)
    for axes in (left, right):
        axes.set_axis_off()
    figure.colorbar(drawn, ax=right, shrink=0.8).set_label(LABEL, fontsize=7.5)
    figure.suptitle(title.replace("$", r"\$"), fontsize=9)
    figure.supxlabel(NOTE, fontsize=7.5)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
