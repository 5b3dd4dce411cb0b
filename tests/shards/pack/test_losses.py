"""What a table would lose is said before it is lost; a table that leaves nothing says why."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import ShardsError
from shards.pack import staging
from shards.pack.losses import check_losses
from shards.pack.pack import pack
from shards.sources.rows import Rejection

MakeTable = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("small_chunks")


def changed(table: Path, column: str, values: Callable[[int], str | None]) -> None:
    """Every row for which there is a value gets it."""
    with table.open(newline="") as file:
        records = list(csv.DictReader(file))
    for row, record in enumerate(records):
        value = values(row)
        record[column] = record[column] if value is None else value
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("path", "s3://bucket/a.jpg", r"row 0: path: 's3://bucket/a.jpg' is an address.*\(not_a_file: 4 rows\)"),
        ("views", "<12>", r"row 0: views: '<12>' is not a number; a whole number from 0 \(bad_count: 4 rows\)"),
    ],
)
def test_a_table_of_which_every_row_is_refused_says_why(tmp_path: Path, make_table: MakeTable, column: str, value: str, told: str) -> None:
    table = make_table(tmp_path / "in", 4)
    changed(table, column, lambda row: value)
    with pytest.raises(ShardsError, match=rf"no picture left of 4 rows; at least one\n{told}\nhint: mend the table"):
        pack(table, tmp_path / "out")
    changed(table, "views", lambda row: "7")
    changed(table, "path", lambda row: f"images/{row:03d}.jpg")
    assert pack(table, tmp_path / "out", processes=1).manifest.num_kept  # nothing of the first try is held against it


def test_counts_that_are_written_otherwise_stop_a_pack_until_it_is_told(tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table(tmp_path / "in", 40)
    changed(table, "views", lambda row: "" if row < 4 else f"<{row}>" if row < 14 else None)
    with pytest.raises(ShardsError) as told:
        pack(table, tmp_path / "out", processes=1)
    assert told.value.problems == (
        "metadata.csv: 14 rows of 40 (35.0%) would be lost, for their views cannot be read; at most 5%",
        "row 0: views: empty; a whole number from 0",
        "row 1: views: empty; a whole number from 0",
        "row 2: views: empty; a whole number from 0",
        "what they hold: 10 like '<9>', 4 empty",
    )
    assert "--accept-losses leaves these rows out. What was done so far stays" in told.value.hint
    assert (tmp_path / "out/.staging/rows.arrow").exists()
    result = pack(table, tmp_path / "out", processes=1, accept_losses=True)
    assert (result.manifest.num_kept, result.rejected) == (26, {"bad_count": 14})
    assert result.examples == {"bad_count": (0, "views: empty; a whole number from 0")}
    plain = make_table(tmp_path / "in2", 40)
    changed(plain, "views", lambda row: "" if row < 9 else None)  # control: fewer are left out, and told after
    assert pack(plain, tmp_path / "out2", processes=1).rejected == {"bad_count": 9}


@pytest.mark.parametrize(("num", "cell", "stops"), [(10, "1,234", True), (9, "1,234", False), (10, "n/a yet", False), (60, "", True)])
def test_how_many_of_a_thousand(tmp_path: Path, num: int, cell: str, stops: bool) -> None:
    """Numbers that are written otherwise are those of some pictures and not of others: ten are too many."""
    detail = f"views: {cell!r} is not a number; a whole number from 0" if cell else "views: empty; a whole number from 0"
    reject = [Rejection(row, f"{row}", "bad_count", detail) if row < num else Rejection(row, f"{row}", "empty_path", "") for row in range(1000)]
    rows = staging.stage_rows(tmp_path, reject, ())
    if not stops:
        return check_losses(rows, "t.csv")
    with pytest.raises(ShardsError, match="would be lost"):
        check_losses(rows, "t.csv")


def test_the_result_has_an_example_of_each_reason(tmp_path: Path, mixed: Path) -> None:
    text = pack(mixed, tmp_path / "out", processes=1).text()
    assert "  rejected  1 missing_file\n            row 5: images/none.jpg: no such file; a file in the folder of the pictures\n" in text
    assert f"            all of a reason: peoria ledger {tmp_path}/out --reason " in text
    assert pack(mixed, tmp_path / "out").text() == text.replace(" rows\n", " rows (packed before)\n", 1)
