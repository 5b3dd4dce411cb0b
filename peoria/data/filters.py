"""A filter of a packed set: only the pictures that a filter lets through, train, val and test alike, with an identity of its own.

A filter reads ``COLUMN=VALUE`` or ``COLUMN=VALUE|VALUE``; upper and lower case are one. ``tag`` is any one of a picture's tags, ``owner`` its
owner, and any column that `peoria pack --keep` kept goes by its name. Counts are no columns here: a filter on what is predicted would change
the question.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from peoria.errors import ConfigError
from shards.labels import Labels
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet

LEAST = 20  # pictures of train and of val; fewer can neither teach nor rank


@dataclass(frozen=True)
class Filter:
    column: str
    values: tuple[str, ...]  # in lower case, sorted, each once

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Raises ConfigError."""
        column, equals, given = text.partition("=")
        values = {" ".join(value.casefold().split()) for value in given.split("|")}
        if not equals or not column.strip() or "" in values:
            raise ConfigError(f"where: {text!r}; COLUMN=VALUE or COLUMN=VALUE|VALUE, as in tag=beach|ocean")
        return cls(column.strip(), tuple(sorted(values)))

    def __str__(self) -> str:
        return f"{self.column}={'|'.join(self.values)}"


def filtered_identity(identity: str, where: str | None) -> str:
    """Of the view, hex like that of the whole set; filters that mean the same have the same."""
    return identity if where is None else hashlib.sha256(f"{identity}\nwhere {Filter.parse(where)}".encode()).hexdigest()


def filter_slug(where: str) -> str:
    """The filter as a part of a sweep's name, ``tag-beach-ocean``; two filters may share one."""
    return re.sub(r"[^a-z0-9]+", "-", str(Filter.parse(where)).casefold())[:60].strip("-")


def filter_rows(labels: Labels, where: str, split: str) -> np.ndarray:
    """The rows of a split that the filter lets through, int64 [n], ascending.

    Raises:
        ConfigError: no such column, or too few pictures. Of test, which nobody may count beforehand, any number is accepted but none.
    """
    rule = Filter.parse(where)
    columns: dict[str, np.ndarray] = {**labels.extra, "owner": labels.owners}
    if labels.tags is not None:
        columns["tag"] = labels.tags
    if rule.column not in columns:
        raise ConfigError(f"where: {where!r}: no column {rule.column!r}; {', '.join(sorted(columns))}", hint="peoria pack --keep COLUMN keeps one")
    accepted = set(rule.values)
    if rule.column == "tag" and labels.tags is not None:
        found = [not accepted.isdisjoint(tags_of(text)) for text in columns["tag"].tolist()]
    else:
        found = [_plain(value) in accepted for value in columns[rule.column].tolist()]
    rows = np.flatnonzero(found)
    least = 1 if split == "test" else LEAST
    if len(rows) < least:
        raise ConfigError(f"where: {where!r} is {len(rows)} of {len(labels):,} pictures of {split}; at least {least}")
    return rows


def filtered_labels(shard_set: ShardSet, split: str, where: str | None, opening: TestOpening | None = None) -> Labels:
    """The labels of a split, or of what the filter lets through. Raises ConfigError as `filter_rows`, and what `ShardSet.labels` raises."""
    labels = shard_set.labels(split, opening)
    return labels if where is None else labels.take(filter_rows(labels, where, split))


def tags_of(text: str) -> set[str]:
    """The tags of a picture in lower case, from what the table gave: a JSON list (of texts, or as Flickr's export of ``{"tag": ...}``), or a text
    parted by commas or semicolons, or, where it has none of them, by blanks. Nothing is unquoted."""
    text = text.strip().casefold()
    if text.startswith("["):
        try:
            given = json.loads(text)
        except ValueError:
            given = None
        if isinstance(given, list):
            return {str(tag.get("tag", "") if isinstance(tag, dict) else tag).strip() for tag in given} - {""}
    parts = re.split("[,;]", text) if re.search("[,;]", text) else text.split()
    return {" ".join(part.split()) for part in parts} - {""}


def _plain(value: Any) -> str:
    """As a filter names it: 3.0 is 3, nothing is the word none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).casefold().split())
