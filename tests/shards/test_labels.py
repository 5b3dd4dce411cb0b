import subprocess
import sys
from pathlib import Path

import numpy as np

from shards.labels import Labels

DATES = np.array(["2014-01-01", "NaT", "2014-01-03T12:00"], "datetime64[s]")


def labels(uploaded_at: np.ndarray | None, observed_at: np.ndarray | None = None) -> Labels:
    names = np.array(["1", "2", "3"])
    return Labels(names, names, names, np.arange(3), uploaded_at=uploaded_at, observed_at=observed_at)


def test_age_is_from_upload_to_the_reading_of_the_counts() -> None:
    read = np.array(["2014-01-02", "2014-01-02", "NaT"], "datetime64[s]")
    assert np.array_equal(labels(DATES, read).age_days(), [1.0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(labels(DATES, read).age_days(np.datetime64("2020-01-01")), [1.0, np.nan, np.nan], equal_nan=True)  # the table knows better


def test_age_is_to_one_moment_where_the_table_has_no_reading() -> None:
    assert np.array_equal(labels(DATES).age_days(), [2.5, np.nan, 0.0], equal_nan=True)  # the newest upload
    assert np.array_equal(labels(DATES).age_days(np.datetime64("2014-01-04")), [3.0, np.nan, 0.5], equal_nan=True)


def test_without_dates_no_age_is_known() -> None:
    for uploaded in (None, np.full(3, np.datetime64("NaT", "s"))):
        assert np.isnan(labels(uploaded).age_days()).all()


COUNT_THREADS = """
import os, sys
from pathlib import Path
import pyarrow.parquet
from shards.labels import each_group, packed_batches, read_labels, read_packed
from shards.manifest import LABELS, LEDGER, Manifest

root = Path(sys.argv[1])
manifest, before = Manifest.load(root), len(os.listdir("/proc/self/task"))
read_labels(root, manifest)
read_packed(root, LEDGER, manifest, ["status"])
each_group(root, LABELS, manifest, lambda table: None)
list(packed_batches(root, LEDGER, manifest))
print(len(os.listdir("/proc/self/task")) - before)
pyarrow.parquet.read_table(root / LABELS, use_threads=True)
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_tables_are_read_without_threads_of_arrow(packed: Path) -> None:
    """One that lets go of a Python file while Python ends aborts the process: seen once in some tens of `peoria verify` on a busy machine."""
    ran = subprocess.run([sys.executable, "-c", COUNT_THREADS, packed], capture_output=True, text=True, check=True)
    ours, threaded = map(int, ran.stdout.split())
    assert ours == 0 < threaded  # the control: Arrow's own reading starts some
