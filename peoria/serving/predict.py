"""Predictions for pictures by the winners of a sweep, in order, with bounded memory however many there are."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from peoria.data.images import ArrayPictures
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import SweepRecord
from peoria.records.selection import choice_in
from peoria.records.trials import read_trials
from peoria.serving.familiar import LEAST_SIDE_PX, Familiar
from peoria.serving.inputs import Squares, decoded, expand
from peoria.serving.scorer import Scorer, Scores, WinnerTarget, winner_for
from shards.fetch import FetchRules
from shards.manifest import PictureRule

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prediction:
    """What the winner for one target says of one picture, or why there is nothing to be said; its fields are the columns of a file."""

    picture: str
    """Its name, as it was given or found."""
    target: WinnerTarget
    """Whose winner speaks."""
    value: float | None = None
    """In ``unit``."""
    unit: str = ""
    percentile: float | None = None
    """The share of val pictures with a lower score, 0 to 1."""
    seeds: int = 0
    """Models of the same settings, trained with fresh seeds, that the next three are of."""
    seeds_mean: float | None = None
    """Of their values, in ``unit``."""
    seeds_low: float | None = None
    """The lowest of them."""
    seeds_high: float | None = None
    """The highest of them."""
    unlike: bool | None = None
    """Whether the picture is unlike what the model learnt from, so that its value means little; None: not told."""
    distance: float | None = None
    """From what it learnt from; 1 is where ``unlike`` begins."""
    model: str = ""
    """The sweep and the trial."""
    control: str | None = None
    """The control whose counts the model learnt; then it is no model of anything."""
    error: str | None = None
    """Why the picture has no value."""


COLUMNS = tuple(field.name for field in fields(Prediction))


@dataclass(frozen=True)
class Model:
    """The winner for a target, with what is needed to say how far it can be trusted."""

    target: WinnerTarget
    winner: Scorer
    seeds: tuple[Scorer, ...]
    familiar: Familiar | None
    sweep: SweepRecord
    won: str
    """How it was chosen, in words."""

    @classmethod
    def load(
        cls, home: Path, name: str, target: WinnerTarget, *, seeds: bool = True, unlike: bool = True, cache: Path | None = None, say: Say
    ) -> "Model":
        """
        Args:
            seeds: whether to load the models of its fresh seeds too, those that are there.
            unlike: whether to learn what is unlike the sweep's pictures: from the packed set, once, then from ``cache``.
            say: is told what takes a while, and what cannot be told.

        Raises:
            ReportError: as `winner_for`.
            RecordError: a model or its scores are damaged.
        """
        folder, sweep, trial, choice = winner_for(home, name, target)
        winner = Scorer.of_trial(trial)
        again = [one for one in read_trials(folder) if one.purpose == "reseed" and one.of == trial.key and one.status == "done"] if seeds else []
        familiar = Familiar.of_val(winner, sweep, cache or Home(home).cache, say) if unlike else None
        fresh = tuple(Scorer.of_trial(one) for one in again if one.folder.model.exists())
        return cls(target, winner, fresh, familiar, sweep, choice.said(target, trial.metrics))

    @property
    def name(self) -> str:
        """Of the sweep and the trial."""
        return f"{self.sweep.name} {self.winner.trial.key}"

    @property
    def rule(self) -> PictureRule:
        """That the sweep's pictures were made square by: a model that learnt from colours as they were in the files is shown such."""
        return PictureRule(version=self.sweep.picture_rule)

    def said(self) -> str:
        """What it is, in a line."""
        control = self.winner.card.control
        of = "" if control is None else f"; control {control}: its counts were reassigned, so that it is no model of anything"
        return f"{self.name}, {self.won}, in {self.winner.unit}{of}"

    def predictions(self, batch: Squares) -> Iterator[Prediction]:
        """One for each input of the batch, in order."""
        about: Any = {"target": self.target, "unit": self.winner.unit, "model": self.name}
        about["control"] = self.winner.card.control
        outputs, features = self.winner.seen(ArrayPictures(batch.squares))
        found = self.winner.scores_of(outputs)
        values = np.array([scorer.score(batch.squares).value for scorer in self.seeds])  # [seeds, N]
        distance = LEAST_SIDE_PX / batch.sides_px if self.familiar is None else self.familiar.distance(batch.squares, features, batch.sides_px)
        row = 0
        for one in batch.inputs:
            if one.error:
                yield Prediction(one.name, error=one.error, **about)
                continue
            yield Prediction(one.name, **about, **_numbers(found, values, row), **self._unlike(float(distance[row])))
            row += 1

    def _unlike(self, distance: float) -> dict[str, Any]:
        """A picture that is too small is unlike, whatever else is known."""
        return {} if self.familiar is None and distance <= 1 else {"distance": distance, "unlike": distance > 1}


def _numbers(found: Scores, values: np.ndarray, row: int) -> dict[str, Any]:
    numbers: dict[str, Any] = {"value": float(found.value[row]), "percentile": float(found.percentile[row])}
    if len(values):
        of = values[:, row]
        numbers |= {"seeds": len(of), "seeds_mean": float(of.mean()), "seeds_low": float(of.min()), "seeds_high": float(of.max())}
    return numbers


def load_models(
    home: Path, name: str, target: WinnerTarget | None = None, *, seeds: bool = True, unlike: bool = True, cache: Path | None = None, say: Say
) -> list[Model]:
    """The winner for ``target``; for None that for views and, where another trial won it, that for favourites. Raises as `Model.load`."""
    first: WinnerTarget = target or "views"
    models = [Model.load(home, name, first, seeds=seeds, unlike=unlike, cache=cache, say=say)]
    if target is None and _winners(home, name).get("favorites") not in (None, models[0].winner.trial.key):
        models.append(Model.load(home, name, "favorites", seeds=seeds, unlike=unlike, cache=cache, say=say))
    return models


def _winners(home: Path, name: str) -> dict[str, str]:
    folder = SweepFolder.of(home, name)
    return choice_in(folder.read_definition(), read_trials(folder)).winners


def predictions(
    models: list[Model], given: Iterable[str | Path], stdin: BinaryIO | None = None, threads: int | None = None, fetch: FetchRules | None = None
) -> Iterator[Prediction]:
    """Of each picture one by each model, in order; `peoria.serving.inputs` says what may be given. Raises ConfigError and FileError as that does."""
    for batch in decoded(expand(given, stdin), models[0].rule, threads, fetch):
        yield from (one for of_picture in zip(*(model.predictions(batch) for model in models), strict=True) for one in of_picture)


def predict(
    name: str,
    pictures: str | Path | Iterable[str | Path],
    *,
    home: str | Path = "data",
    target: WinnerTarget | None = None,
    seeds: bool = True,
    unlike: bool = True,
    cache: Path | None = None,
    fetch_from: Sequence[str] = (),
) -> Iterator[Prediction]:
    """Predictions by a sweep's winners, lazily and in order; ``as_frame`` makes a table of them.

    A picture that cannot be read is a prediction with an ``error``, and ends nothing.

    Args:
        name: the sweep's.
        pictures: files, folders with all below, globs, or http(s) addresses.
        home: where sweeps are kept.
        target: ``views`` or ``favorites``; None: both, where a sweep has a winner for each.
        seeds: whether to say how far models of fresh seeds differ; takes as many times longer as there are.
        unlike: whether to flag pictures unlike those of val.
        cache: where what val pictures look like is kept (default: cache in ``home``).
        fetch_from: HOST or HOST:PORT of a private network that addresses may be of.

    Raises:
        ReportError: no such sweep, or it has no winner yet.
        RecordError: a model or its scores are damaged.
    """
    given = [pictures] if isinstance(pictures, str | Path) else pictures
    models = load_models(Path(home), name, target, seeds=seeds, unlike=unlike, cache=cache, say=lambda text: print(text, file=sys.stderr))
    return predictions(models, (one for one in given), fetch=FetchRules(hosts=tuple(fetch_from)))


def as_frame(found: Iterable[Prediction]) -> "pd.DataFrame":
    """A row a prediction, with the fields as columns."""
    import pandas as pd

    return pd.DataFrame([asdict(one) for one in found], columns=list(COLUMNS))
