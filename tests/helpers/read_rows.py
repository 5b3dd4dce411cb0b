"""What a table gives, row by row."""

import tempfile
from pathlib import Path

import numpy as np

from shards.pack.ledger import Outcome
from shards.pack.rowfile import ROWS, RowFile, rows_table, write_rows
from shards.sources.rows import PictureRow, Rejection, Table


def rows_of(table: Table) -> list[PictureRow]:
    return [row for row in table.read() if isinstance(row, PictureRow)]


def rejections_of(table: Table) -> list[Rejection]:
    return [row for row in table.read() if isinstance(row, Rejection)]


def all_in_train(table: Table) -> Outcome:
    """What becomes of a table of which every row that can be read is kept, in train, in its order."""
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder, "rows.arrow"), ROWS, [rows_table(list(table.read()), table.kept_columns)])
        staged = RowFile(Path(folder, "rows.arrow"))
    kept = np.flatnonzero(staged.is_null("reason"))
    split, key = np.full(len(staged), -1, np.int8), np.full(len(staged), -1, np.int64)
    split[kept], key[kept] = 0, np.arange(len(kept))
    return Outcome(staged, table.columns, table.kept_columns, kept, key[kept], split, key, {})
