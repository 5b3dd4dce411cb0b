"""What the labels leave out: the test pictures that lack an optional label, whether they are like the others, and the rows that were not packed."""

from typing import Literal

import numpy as np
from pydantic import Field

from peoria.stats.clusters import Clusters
from peoria.stats.estimates import MIN_OWNERS, Resampling
from peoria.stats.left_out import ALIKE, compare
from peoria.verdict.tables import PackedSet
from peoria.verdict.values import Interval, Model, Number
from shards.labels import Labels

Answer = Literal["higher", "lower", "alike", "not decided"]
WORDS = {
    "favorites": ("Favourites", "what is said of favourites is said of the others alone"),
    "uploaded_at": ("Upload dates", "what is said given age is said of the others alone"),
    "observed_at": ("Dates of counting", "what is said given age is said of the others alone"),
}


class Place(Model):
    """Whether pictures that lack a label lie like the others in the order of a number."""

    difference: Interval = Field(description="mean place of theirs less that of the others, as a share of all places: −0.5 to 0.5")
    answer: Answer = Field(description="of the interval: above 0, below 0, or within ±0.05")


class LeftOut(Model):
    """Test pictures that lack an optional label."""

    label: Literal["favorites", "uploaded_at", "observed_at"] = Field(description="what they lack")
    num: int = Field(description="pictures")
    share: Number = Field(description="share of the test pictures")
    num_owners: int = Field(description="owners that have some; a picture of an unknown owner counts as one")
    views: Place | None = Field(description="by views; null where these or the others are of too few owners")
    score: Place | None = Field(description="by the score that is judged for views; likewise")


def left_out(score: np.ndarray, labels: Labels, clusters: Clusters, resampling: Resampling) -> tuple[LeftOut, ...]:
    """One entry for each optional label that some test pictures lack and some have.

    Args:
        score: of what is judged for views, [S, N], a row a seed: the mean place over the seeds counts.
    """
    from scipy.stats import rankdata

    numbers = {
        "views": labels.views.astype(np.float64),
        "score": np.mean([rankdata(row) if _ranks(row) else np.zeros(len(row)) for row in score], axis=0),
    }
    unknown = {
        "favorites": ~np.isin(np.arange(len(labels)), labels.counted("favorites")[0]),
        **{name: np.isnat(of) for name, of in (("uploaded_at", labels.uploaded_at), ("observed_at", labels.observed_at)) if of is not None},
    }
    entries = []
    for label, out in unknown.items():
        if out.any() and not out.all():
            found = compare(out, numbers, clusters, resampling)
            places = {name: None if found.differences is None else Place.model_validate(vars(found.differences[name])) for name in numbers}
            entries.append(LeftOut(label=label, num=found.num, share=found.share, num_owners=found.num_owners, **places))
    return tuple(entries)


def _ranks(score: np.ndarray) -> bool:
    return bool(np.isfinite(score).all())


def said_of_left_out(found: LeftOut) -> str:
    """``Favourites unknown for 30.1 % of the test pictures: by views these lie higher, by 12.3 [8.1, 16.4] places in 100; …``"""
    name, limit = WORDS[found.label]
    said = f"{name} unknown for {100 * found.share:.1f} % of the test pictures"
    if found.views is None or found.score is None:
        few = f"of {found.num_owners} owners, too few on one side" if found.num_owners < MIN_OWNERS else "too few owners on one side"
        return f"{said}: whether these are like the others cannot be told, {few}; {limit}."
    return f"{said}: {_said(found.views, 'views')}; {_said(found.score, 'score')}; {limit}."


def _said(found: Place, name: str) -> str:
    value, low, high = (f"{100 * one:+.1f}".replace("-", "−") for one in (found.difference.value, found.difference.low, found.difference.high))
    places = f"{value} [{low}, {high}] places in 100"
    if found.answer == "alike":
        return f"by {name} these lie like the others, within {100 * ALIKE:.0f} places in 100 ({places})"
    if found.answer == "not decided":
        return f"whether these lie like the others by {name} is not decided ({places})"
    return f"by {name} these lie {found.answer} than the others ({places})"


def said_of_rows(data: PackedSet) -> tuple[str, ...]:
    """What packing left out, or took for unknown, because it could not be read; of the whole table, whatever part the sweep is of."""
    said = []
    for count, num in data.unreadable_counts.items():
        again = "" if count == "views" else "; packed again they would stay"
        share = num / data.num_rows
        rows = f"{num:,} of the table's {data.num_rows:,} rows" if share < 0.001 else f"{100 * share:.1f} % of the table's rows"
        said.append(f"{rows} were left out for missing or unreadable {count}{again}.")
    for name, (num, example) in data.unreadable.items():
        said.append(f"{name} could not be read for {num:,} of the {data.num_kept:,} packed pictures, where it counts as unknown: first {example}.")
    return tuple(said)
