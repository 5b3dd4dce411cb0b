"""Floats of 32 bits tell whole numbers apart up to 2^24: what is beyond has lost its last digits before anybody reads it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import TableError
from shards.sources.rows import PictureRow, read_table


def write(path: Path, dtype: type, **columns: list[int]) -> Path:
    """With a path a row; ``columns`` are of ``dtype``."""
    plain = {"path": pa.array([f"{i}.jpg" for i in range(3)]), "views": pa.array([1, 2, 3])}
    pq.write_table(pa.table(plain | {name: pa.array(np.array(values, dtype)) for name, values in columns.items()}), path)
    return path


def owners(path: Path) -> list[str]:
    return [row.owner for row in read_table(path).read() if isinstance(row, PictureRow)]


@pytest.mark.parametrize("name", ["id", "owner"])
def test_names_that_are_not_told_apart_any_more_refuse_the_table(name: str, tmp_path: Path) -> None:
    three = [123456789, 123456790, 123456791]
    with pytest.raises(TableError, match=f"column '{name}': numbers that have lost digits, as 123456792"):
        read_table(write(tmp_path / "t.parquet", np.float32, **{name: three}))


def test_control_other_floats_hold_them(tmp_path: Path) -> None:
    three = [123456789, 123456790, 123456791]
    assert owners(write(tmp_path / "t.parquet", np.float64, owner=three)) == [str(number) for number in three]
    assert owners(write(tmp_path / "t.parquet", np.float32, owner=[7, 8, 2**24])) == ["7", "8", str(2**24)]
    with pytest.raises(TableError, match="lost digits"):
        read_table(write(tmp_path / "t.parquet", np.float16, owner=[7, 8, 2**11 + 2]))


def test_rounded_counts_are_said(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.parquet", np.float32, favorites=[1, 2, 2**24 + 3]))
    assert "favorites: a column of short floats, which have rounded the largest counts, as 16,777,220" in table.remarks
    assert not read_table(write(tmp_path / "t.parquet", np.float64, favorites=[1, 2, 2**24 + 3])).remarks[
        1:
    ]  # control: the first says where ids come from
