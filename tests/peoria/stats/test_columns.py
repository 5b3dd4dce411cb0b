"""Columns of places that are kept as the places, against the same written out."""

import numpy as np
import pytest

from peoria.stats.columns import Columns, Differences
from peoria.stats.context import slopes_of_differences
from peoria.stats.metrics import Floats

NUM, PLACES = 300, 12


@pytest.fixture
def columns() -> Columns:
    random = np.random.default_rng(0)
    return Columns.at_places(random.normal(size=(NUM, 4)), random.choice([3, 5, *range(100, 110)], NUM))


def written_out(columns: Columns) -> Floats:
    return columns[np.arange(len(columns.dense))]


def test_each_is_an_indicator_of_mean_0_and_spread_1(columns: Columns) -> None:
    found = written_out(columns)
    assert found.shape == columns.shape == (NUM, 4 + PLACES)
    assert (found[:, :4] == columns.dense).all()
    places = found[:, 4:]
    assert np.allclose(places.mean(axis=0), 0)
    assert np.allclose(places.std(axis=0), 1)
    assert (np.sort((places > 0).sum(axis=1)) == 1).all()
    assert np.array_equal(columns[columns.dense[:, 0] > 0], found[columns.dense[:, 0] > 0])


def test_one_place_has_no_column() -> None:
    assert Columns.at_places(np.zeros((5, 2)), np.full(5, 7)).shape == (5, 2)


def test_products_with_slopes(columns: Columns) -> None:
    slopes = np.random.default_rng(1).normal(size=(4 + PLACES, 3))
    rows = np.arange(1, 2 * NUM, 2)
    placed = columns.placed(rows, 2 * NUM)
    assert np.allclose(columns @ slopes, written_out(columns) @ slopes)
    assert np.allclose(placed @ slopes, written_out(placed) @ slopes)
    assert np.array_equal(placed[rows], written_out(columns))
    assert not placed[rows - 1].any()


def test_differences_are_those_of_the_columns_written_out(columns: Columns) -> None:
    random = np.random.default_rng(2)
    a, b = random.integers(0, NUM, (2, 500))  # some pairs lie at one place
    x, target = written_out(columns)[a] - written_out(columns)[b], random.normal(size=(500, 2))
    found = columns.differences(a, b)
    assert np.allclose(found.gram(), x.T @ x)
    assert np.allclose(found.products(target), x.T @ target)
    assert np.allclose(found @ np.eye(4 + PLACES), x)
    assert not np.allclose(columns.differences(b, a).products(target), x.T @ target)  # control: the other way round


def test_slopes_are_least_squares_whichever_way_columns_are_kept(columns: Columns) -> None:
    random = np.random.default_rng(3)
    a, b = random.integers(0, NUM, (2, 2000))
    dense, target = written_out(columns), random.normal(size=(2, 2000))
    kept = slopes_of_differences(lambda rows: columns.differences(a[rows], b[rows]), target, 1e-6)
    out = slopes_of_differences(lambda rows: Differences(dense[a[rows]] - dense[b[rows]], None), target, 1e-6)
    x = dense[a] - dense[b]
    assert np.allclose(kept, out)
    assert np.allclose(x @ kept, x @ np.linalg.lstsq(x, target.T, rcond=None)[0], atol=1e-4)
    nowhere = slopes_of_differences(lambda rows: Differences(np.zeros((len(a[rows]), 1)), None), target, 1e-6)
    assert not nowhere.any()
