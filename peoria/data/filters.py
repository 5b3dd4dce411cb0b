"""A filter of a packed set: only the pictures that a filter lets through, train, val and test alike, with an identity of its own.

A filter reads ``COLUMN=VALUE`` or ``COLUMN=VALUE,VALUE``; upper and lower case are one. ``|`` parts values as the comma does, but is lost in a
shell. A value that holds a comma itself has it twice (``owner=Smith,, Ann``), or stands in a list parted by ``|``; a tag holds none. ``tag`` is any
one of a picture's tags, ``owner`` its owner, and any column that `peoria pack --keep` kept goes by its name. Counts are no columns here: a filter
on what is predicted would change the question.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from peoria.errors import ConfigError
from shards.labels import Labels
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet

NAME_LENGTH = 64  # of a sweep, at most
_QUOTED = r"'[^'\\]*'|\"[^\"\\]*\""  # a text as Python writes it in a list
_NO_TAGS = {"[none]", "[]", "none", "null", "nan", "<na>"}
LEAST = 20  # pictures of train and of val; fewer can neither teach nor rank


@dataclass(frozen=True)
class Filter:
    column: str
    values: tuple[str, ...]  # in lower case, sorted, each once

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Raises ConfigError."""
        column, equals, given = text.partition("=")
        values = {" ".join(value.casefold().split()) for value in _values(column.strip(), given)}
        if not equals or not column.strip() or "" in values:
            raise ConfigError(f"where: {text!r}; COLUMN=VALUE or COLUMN=VALUE,VALUE, as in tag=beach,ocean")
        if not is_utf8(text):
            raise ConfigError(f"where: {text!r}; text in UTF-8", hint="LC_ALL=C.UTF-8 in the environment, where the terminal writes UTF-8")
        return cls(column.strip(), tuple(sorted(values)))

    def __str__(self) -> str:
        return f"{self.column}={'|'.join(self.values)}"


def filtered_identity(identity: str, where: str | None) -> str:
    """Of the view, hex like that of the whole set; filters that mean the same have the same."""
    return identity if where is None else hashlib.sha256(f"{identity}\nwhere {Filter.parse(where)}".encode()).hexdigest()


def is_utf8(text: str) -> bool:
    """Whether it holds no bytes that are no UTF-8, as a name of a file or an argument may."""
    return not re.search("[\ud800-\udfff]", text)


def with_bars(where: str) -> str:
    """The filter with ``|`` between its values, where that says the same: one spelling for the record, whichever was typed."""
    column, _, given = where.partition("=")
    values = _values(column.strip(), given)
    return where if "|" in where or any("," in value for value in values) else f"{column}={'|'.join(values)}"


def _values(column: str, given: str) -> list[str]:
    if column == "tag":
        return re.split("[,|]", given)
    return given.split("|") if "|" in given else [value.replace("\0", ",") for value in given.replace(",,", "\0").split(",")]


def filter_slug(where: str) -> str:
    """The filter as a part of a sweep's name, of a-z, 0-9, _ and -: ``tag-beach-ocean`` of single words of ASCII, else what can be read of it
    and a digest, ``tag-new-york_1f0c35d2``. One filter has one name, and no two share one."""
    rule = Filter.parse(where)
    words = (rule.column, *rule.values)
    plain = "-".join(words)
    # a control's name would follow in the same way
    if all(re.fullmatch("[a-z0-9]+", word) for word in words) and len(plain) < NAME_LENGTH and "shuffle" not in words:
        return plain
    ascii_only = unicodedata.normalize("NFKD", str(rule)).encode("ascii", "ignore").decode().casefold()
    return f"{re.sub('[^a-z0-9]+', '-', ascii_only)[:40].strip('-')}_{_digest(str(rule))}".lstrip("_")


def name_of_view(name: str, where: str) -> str:
    """The name of a sweep on a part of its pictures; of a long one, a part and a digest."""
    whole = f"{name}-{filter_slug(where)}"
    return whole if len(whole) <= NAME_LENGTH else f"{whole[: NAME_LENGTH - 9]}_{_digest(whole)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def filter_rows(labels: Labels, where: str, split: str) -> np.ndarray:
    """The rows of a split that the filter lets through, int64 [n], ascending.

    Raises:
        ConfigError: no such column, or too few pictures. Of test, which nobody may count beforehand, any number is accepted but none.
    """
    columns: dict[str, np.ndarray] = {**labels.extra, "owner": labels.owners}
    rows = matching_rows(columns if labels.tags is None else columns | {"tag": labels.tags}, where)
    least = 1 if split == "test" else LEAST
    if len(rows) < least:
        raise ConfigError(f"where: {where!r} is {len(rows)} of {len(labels):,} pictures of {split}; at least {least}")
    return rows


def matching_rows(columns: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    """The rows that the filter lets through, int64 [n], ascending, of columns [N] by name; "tag" has all tags of a picture. Raises ConfigError for a
    column that is not there."""
    rule = Filter.parse(where)
    if rule.column not in columns:
        raise ConfigError(f"where: {where!r}: no column {rule.column!r}; {', '.join(sorted(columns))}", hint="peoria pack --keep COLUMN keeps one")
    accepted, values = set(rule.values), columns[rule.column].tolist()
    if rule.column == "tag":
        return np.flatnonzero([not accepted.isdisjoint(tags_of(text)) for text in values])
    return np.flatnonzero([_plain(value) in accepted for value in values])


def let_through(shard_set: ShardSet, where: str | None) -> np.ndarray | None:
    """Whether the filter lets each picture of test through, bool [N], without a look at counts; None without a filter. Raises ConfigError as
    `matching_rows`."""
    if where is None:
        return None
    columns = shard_set.test_columns(("owner", "tags", *shard_set.manifest.source.kept_columns))
    let = np.zeros(len(columns["owner"]), bool)
    let[matching_rows({"tag" if name == "tags" else name: of for name, of in columns.items()}, where)] = True
    return let


def filtered_labels(shard_set: ShardSet, split: str, where: str | None, opening: TestOpening | None = None) -> Labels:
    """The labels of a split, or of what the filter lets through. Raises ConfigError as `filter_rows`, and what `ShardSet.labels` raises."""
    labels = shard_set.labels(split, opening)
    return labels if where is None else labels.take(filter_rows(labels, where, split))


def tags_of(text: str) -> set[str]:
    """The tags of a picture in lower case, from what the table gave: a list as JSON or Python writes it (of texts, or as Flickr's export of
    ``{"tag": ...}``), or a text parted by bars, else by commas or semicolons, else by blanks. Nothing is unquoted but what bars part; ``[none]`` and
    the words for nothing are no tag."""
    text = text.strip().casefold()
    if text in _NO_TAGS:
        return set()
    if text.startswith("["):
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            given = [text[1:-1] for text in re.findall(_QUOTED, text)] if re.fullmatch(rf"\[[\s,]*(?:(?:{_QUOTED})[\s,]*)*\]", text) else None
        if isinstance(given, list):
            return {str(tag.get("tag", "") if isinstance(tag, dict) else tag).strip() for tag in given} - {""}
    if "|" in text:  # as Kaggle's lists of videos have it
        parts = [part.strip().strip('"') for part in text.split("|")]
    else:
        parts = re.split("[,;]", text) if re.search("[,;]", text) else text.split()
    return {" ".join(part.split()) for part in parts} - {""}


def _plain(value: Any) -> str:
    """As a filter names it: 3.0 is 3, nothing is the word none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).casefold().split())
