"""A picture whose favourites or comments are unknown is packed, and nothing takes a number for what is not known."""

import csv
import hashlib
import io
import json
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.counts import PartlyKnown, as_arrays, counted, counts_of, from_arrays, from_values, joined, known_of
from shards.digests import labels_sha256
from shards.errors import DamagedShardError
from shards.inspection.describe import describe, render_text
from shards.inspection.verify import verify
from shards.labels import labels_of, read_labels
from shards.manifest import Manifest, SplitRule
from shards.pack.pack import pack
from shards.pack.staging import parquet_bytes
from shards.read.shard_set import ShardSet
from shards.sources.cells import Bad, as_count
from shards.sources.rows import Table, read_table
from tests.helpers.packed_set import edit_manifest
from tests.helpers.read_rows import all_in_train, rejections_of, rows_of

MakeTable = Callable[..., Path]
VALUES = st.lists(st.none() | st.integers(0, 2**62), min_size=1, max_size=12)
CASE = "id,path,owner,views,favorites,comments\n1,a.jpg,o1,10,1,2\n2,b.jpg,o2,900,40,\n3,c.jpg,o3,5,,0\n"


def needing_all(record: dict[str, str]) -> bool:
    """Whether the rule that each count is needed keeps the row: the control of what follows."""
    try:
        return all(as_count(record[name]) >= 0 for name in ("views", "favorites", "comments"))
    except Bad:
        return False


def test_a_blank_count_keeps_its_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CASE)
    table = read_table(tmp_path / "t.csv")
    assert [(row.id, row.views, row.favorites, row.comments) for row in rows_of(table)] == [("1", 10, 1, 2), ("2", 900, 40, None), ("3", 5, None, 0)]
    assert rejections_of(table) == []
    assert [needing_all(record) for record in csv.DictReader(io.StringIO(CASE))] == [True, False, False]


def test_blank_comments_of_the_most_viewed_owners_do_not_change_the_views(tmp_path: Path, make_table: MakeTable) -> None:
    """Left out for a blank cell, the top of the distribution would be gone, and nothing in the views would show it."""
    views = [10 * (i + 1) if i < 30 else 5000 + i for i in range(40)]
    change = {i: {"views": views[i], "comments": "" if i >= 30 else i} for i in range(40)}
    table = make_table(tmp_path / "in", 40, [f"o{i // 2}" for i in range(40)], change={0: {"comments": 0}} | change)
    with table.open(newline="") as file:
        lost = [int(record["views"]) for record in csv.DictReader(file) if not needing_all(record)]
    assert sorted(lost) == sorted(views)[-10:]
    result = pack(table, tmp_path / "set", processes=1)
    labels = read_labels(tmp_path / "set", result.manifest)
    assert sorted(labels["views"].to_pylist()) == sorted(views)
    assert result.manifest.num_rejected == 0
    assert labels["comments"].null_count == 10 == result.manifest.unknown["comments"].num
    assert "unknown   comments of 10 pictures, which stay" in result.text()


@pytest.fixture
def some_unknown(tmp_path: Path, make_table: MakeTable) -> Path:
    """40 pictures; every third has no favourites, one has favourites and one a date that cannot be read, one has views that cannot."""
    change: dict[int, dict[str, Any]] = {i: {"favorites": "" if i % 6 else "NaN"} for i in range(0, 40, 3)}
    change |= {4: {"favorites": "1.5"}, 5: {"uploaded_at": "soon"}, 7: {"views": "lots"}}
    pack(make_table(tmp_path / "in", 40, [f"o{i // 2}" for i in range(40)], change), tmp_path / "set", processes=1, shard_size=10)
    return tmp_path / "set"


def test_the_set_counts_what_is_unknown_and_gives_an_example(some_unknown: Path) -> None:
    manifest = Manifest.load(some_unknown)
    favorites, uploaded = manifest.unknown["favorites"], manifest.unknown["uploaded_at"]
    assert (favorites.num, favorites.num_unreadable, favorites.example) == (
        15,
        1,
        "row 4: favorites: 1.5 is fractional; a whole number from 0",
    )
    assert (uploaded.num, uploaded.num_unreadable) == (1, 1)
    ledger = {line["row"]: line for line in pq.read_table(some_unknown / "ledger.parquet").to_pylist()}
    assert (ledger[4]["status"], ledger[4]["reason"]) == ("kept", None)
    assert ledger[4]["detail"].startswith("favorites: 1.5")
    assert ledger[0]["detail"] is None
    assert verify(some_unknown) == []
    found = describe(some_unknown)
    total = found["parts"]["total"]
    assert total["unknown"] == {"favorites": 15, "uploaded_at": 1}
    assert found["unreadable_counts"] == {"views": 1}
    table = pq.read_table(some_unknown / "labels.parquet")
    known = [
        (view, favorite) for view, favorite in zip(table["views"].to_pylist(), table["favorites"].to_pylist(), strict=True) if favorite is not None
    ]
    assert total["counts"]["favorites"]["mean"] == pytest.approx(np.mean([favorite for _, favorite in known]))
    assert total["correlations"]["views favorites"] == pytest.approx(np.corrcoef(np.array(known).T)[0, 1])
    text = render_text(found)
    assert "unreadable, favorites: 1, first row 4: favorites: 1.5 is fractional" in text
    assert ["total", f"{15 / 39:.2%}", f"{1 / 39:.2%}"] in [line.split() for line in text.splitlines()]


def test_labels_say_which_are_known(some_unknown: Path) -> None:
    labels = ShardSet(some_unknown).labels("train")
    assert isinstance(labels.favorites, PartlyKnown)
    rows, favorites = labels.counted("favorites")
    of_table = {int(r["key"]): r["favorites"] for r in pq.read_table(some_unknown / "labels.parquet").to_pylist() if r["split"] == "train"}
    assert [of_table[int(key)] for key in labels.keys[rows]] == favorites.tolist()
    assert sum(value is None for value in of_table.values()) == len(labels) - len(rows) > 0
    assert isinstance(labels.take(rows).favorites, np.ndarray)
    assert labels.take(~np.isin(np.arange(len(labels)), rows)).favorites is None
    assert [len(of) for of in labels.counted("comments")] == [0, 0]


def test_a_forged_number_of_unknown_ones_is_found(some_unknown: Path) -> None:
    edit_manifest(some_unknown, lambda manifest: manifest["unknown"]["favorites"].update(num=3))
    assert verify(some_unknown) == [f"{some_unknown / 'labels.parquet'}: 15 rows without favorites; 3, as manifest.json says"]


def test_rows_that_an_earlier_rule_left_out_are_told_by_their_count(some_unknown: Path) -> None:
    """Sets packed when each count was needed are read as they are."""
    path = some_unknown / "ledger.parquet"
    ledger = pq.read_table(path)
    details = [detail and detail.replace("views: ", "comments: ") for detail in ledger["detail"].to_pylist()]
    data = parquet_bytes(ledger.set_column(ledger.column_names.index("detail"), "detail", [details]))
    path.write_bytes(data)
    edit_manifest(some_unknown, lambda manifest: manifest["files_sha256"].update({path.name: hashlib.sha256(data).hexdigest()}))
    assert describe(some_unknown)["unreadable_counts"] == {"comments": 1}


def test_views_that_are_not_there_are_refused(some_unknown: Path) -> None:
    """Views alone have to be there for each picture."""
    table = pq.read_table(some_unknown / "labels.parquet")
    views = table["views"].to_pylist()
    forged = table.set_column(table.column_names.index("views"), "views", [[None, *views[1:]]])
    (some_unknown / "labels.parquet").write_bytes(parquet_bytes(forged))

    def own(manifest: dict[str, Any]) -> None:
        manifest["labels_sha256"] = labels_sha256(forged)
        manifest["files_sha256"]["labels.parquet"] = hashlib.sha256(parquet_bytes(forged)).hexdigest()

    edit_manifest(some_unknown, own)
    with pytest.raises(DamagedShardError, match="column 'views' with 1 values that are not there"):
        ShardSet(some_unknown).labels("train")


def test_a_set_in_which_nothing_is_unknown_is_as_it_always_was(tmp_path: Path, make_table: MakeTable) -> None:
    """Its identity is that of the sets packed before, whose manifest had no such field."""
    manifest = pack(make_table(tmp_path / "in", 12), tmp_path / "set", processes=1, split_rule=SplitRule(version=1)).manifest
    written = json.loads((tmp_path / "set/manifest.json").read_text())
    assert "unknown" not in written
    assert (manifest.unknown, Manifest.load(tmp_path / "set")) == ({}, manifest)
    assert manifest.labels_sha256 == "46f9b70f323df1db351e021e98095e51c5e76524fb8c87f151e4bb6e36ebe56e"


@settings(deadline=None, max_examples=60)
@given(VALUES, VALUES)
def test_what_is_unknown_stays_so_through_a_packed_table(favorites: list[int | None], comments: list[int | None]) -> None:
    num = min(len(favorites), len(comments))
    lines = [json.dumps({"id": str(i), "path": "a", "views": i, "favorites": favorites[i], "comments": comments[i]}) for i in range(num)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.jsonl").write_text("\n".join(lines))
        _stays(read_table(Path(folder) / "t.jsonl"), favorites, comments, num)


def _stays(table: Table, favorites: list[int | None], comments: list[int | None], num: int) -> None:
    assert [(row.favorites, row.comments) for row in rows_of(table)] == list(zip(favorites[:num], comments[:num], strict=True))
    outcome = all_in_train(table)
    [made] = outcome.labels()
    again = pq.read_table(io.BytesIO(parquet_bytes(made)))
    assert labels_sha256(again) == labels_sha256(made)
    labels = labels_of(again, ())
    for name, given_values in (("favorites", favorites[:num]), ("comments", comments[:num])):
        rows, values = labels.counted(name)
        assert {row: value for row, value in enumerate(given_values) if value is not None} == dict(zip(rows.tolist(), values.tolist(), strict=True))
        unknown = outcome.unknown().get(name)
        assert (unknown.num if unknown else 0) == sum(value is None for value in given_values)


@settings(deadline=None)
@given(st.data(), VALUES)
def test_rows_joins_and_files_keep_what_is_known(data: st.DataObject, given_values: list[int | None]) -> None:
    column = from_values(given_values)
    assert known_of(column, len(given_values)).tolist() == [value is not None for value in given_values]
    rows = np.array(data.draw(st.lists(st.integers(0, len(given_values) - 1), min_size=1)))
    taken = None if column is None else column[rows]
    assert _plain(taken, len(rows)) == [given_values[row] for row in rows]
    twice = joined([(column, len(given_values)), (taken, len(rows))])
    assert _plain(twice, len(given_values) + len(rows)) == [*given_values, *(given_values[row] for row in rows)]
    assert _plain(from_arrays("x", as_arrays("x", column)), len(given_values)) == given_values
    assert _plain(pickle.loads(pickle.dumps(column)), len(given_values)) == given_values


def test_a_partly_known_count_cannot_be_misread() -> None:
    """Each of these would give an answer where NaN, −1 or a masked array stood for what is unknown."""
    column: Any = counts_of(np.array([3, 0]), np.array([True, False, True]))
    other = np.array([1, 1, 1])
    attempts: list[Callable[[], Any]] = [
        lambda: column >= 1, lambda: column == 0, lambda: column < 1, lambda: other <= column, lambda: np.asarray(column), lambda: column + 1,
        lambda: np.log1p(column), lambda: np.mean(column), lambda: np.where(column, 1, 0), lambda: list(column), lambda: column[0],
        lambda: np.concatenate([column, other]), lambda: sum(column), lambda: float(column), lambda: hash(column),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(TypeError):
            attempt()
    assert len(column) == 3
    control = np.ma.masked_array([3, 9, 0], mask=[False, True, False])
    assert (np.asarray(control) >= 1).tolist() == [True, True, False]  # the mask is gone without a word
    with pytest.raises(ValueError, match="a truth value a picture"):
        PartlyKnown(np.array([3]), np.array([True, True]))


def _plain(column: Any, num: int) -> list[int | None]:
    found: list[int | None] = [None] * num
    for row, value in zip(*(of.tolist() for of in counted(column)), strict=True):
        found[row] = value
    return found
