import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.verdict import scores
from tests.helpers.report_parts import SUBSETS, WINNER, opened, painted, probe
from tests.helpers.unknown import without_favorites
from tests.helpers.worlds import world

SIGNATURE = {"identity": "ab", "control": None, "judged": ["0007"]}


def found(asked: bool = True, **how: Any) -> scores.TestScores:
    """What one opening leaves; ``asked``: all of what may be there."""
    rng = np.random.default_rng(0)
    predictors, labels = world(0, shape=0.5, **how)
    trials = [probe(rng, subset.replace(":", "-"), subset, subset=subset) for subset in SUBSETS if asked]
    left = opened(rng, predictors, labels, 3, trials)
    rows = {"top": np.array([3, 1, 2]), "bottom": np.array([5, 4])}
    under = {"top": painted(rng, rows["top"]), "bottom": None}
    left = replace(left, sheets={name: scores.ContactSheet(of, painted(rng, of), under[name]) for name, of in rows.items()})
    pairs = scores.CopyPairs(np.array([1, 2]), np.array([2, 1]), np.array(["a", ""]), np.array(["long name", "b"]))
    return replace(left, copies=pairs) if asked else left


def assert_equal(one: Any, other: Any, at: str = "") -> None:
    assert type(one) is type(other), at
    if isinstance(one, dict):
        assert list(one) == list(other), at
        for key in one:
            assert_equal(one[key], other[key], f"{at}/{key}")
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, at)
        assert one.dtype == other.dtype, at
    else:
        assert one == other, at


@pytest.mark.parametrize("known", [True, False])
def test_what_was_stored_is_read_as_it_was(tmp_path: Path, known: bool) -> None:
    stored = found(asked=known, dates_known=known, favorites_known=known)
    assert scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE) is None
    stored.write(SweepFolder(tmp_path), SIGNATURE)
    read = scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE)
    assert read is not None
    assert_equal(asdict(read), asdict(stored))
    assert (read.labels.uploaded_at is not None) == known
    for part in (read.leak, read.copies):
        assert (part is not None) == known
    assert read.predictors[f"trial-{WINNER:04d}"].views is not None
    assert read.scored_on == "cpu"
    with pytest.raises(AssertionError, match="/noise"):  # control
        assert_equal(asdict(replace(read, noise=read.noise + 1e-12)), asdict(stored))


def test_which_favourites_are_known_is_stored(tmp_path: Path) -> None:
    stored = found()
    labels, known = without_favorites(stored.labels, 0.3)
    replace(stored, labels=labels).write(SweepFolder(tmp_path), SIGNATURE)
    read = scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE)
    assert read is not None
    rows, favorites = read.labels.counted("favorites")
    assert rows.tolist() == np.flatnonzero(known).tolist()
    assert favorites.tolist() == labels.counted("favorites")[1].tolist()


@pytest.mark.parametrize("change", [{"identity": "cd"}, {"control": "shuffle"}, {"judged": ["0007", "0008"]}])
def test_scores_of_something_else_are_not_read(tmp_path: Path, change: dict[str, Any]) -> None:
    found().write(SweepFolder(tmp_path), SIGNATURE)
    assert scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE) is not None
    assert scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE | change) is None


@pytest.mark.parametrize("version", [0, 2])
def test_scores_of_another_format_are_refused_not_taken_for_none(tmp_path: Path, version: int) -> None:
    """None would open the test split once more."""
    path = SweepFolder(tmp_path).test_scores
    found().write(SweepFolder(tmp_path), SIGNATURE)
    with np.load(path) as arrays:
        columns = dict(arrays)
    meta = json.loads(columns["meta"].tobytes()) | {"format_version": version}
    if version == 0:
        del meta["format_version"]
    buffer = io.BytesIO()
    np.savez(buffer, **columns | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    path.write_bytes(buffer.getvalue())
    for signature in (SIGNATURE, SIGNATURE | {"identity": "cd"}):
        with pytest.raises(ReportError, match=f"test_scores.npz: format_version {version}; 1 is read here"):
            scores.TestScores.read(SweepFolder(tmp_path), signature)


def test_the_device_that_scored_is_stored(tmp_path: Path) -> None:
    """A file of before it was is a CPU's."""
    stored = replace(found(asked=False), scored_on="NVIDIA H100 80GB HBM3")
    stored.write(SweepFolder(tmp_path), SIGNATURE)
    read = scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE)
    assert read is not None
    assert read.scored_on == "NVIDIA H100 80GB HBM3"
    path = SweepFolder(tmp_path).test_scores
    with np.load(path) as arrays:
        kept = dict(arrays)
    meta = json.loads(kept["meta"].tobytes())
    del meta["scored_on"]
    np.savez(path, **kept | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    before = scores.TestScores.read(SweepFolder(tmp_path), SIGNATURE)
    assert before is not None
    assert before.scored_on == "cpu"
