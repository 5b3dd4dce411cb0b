import numpy as np
import pytest

from peoria.stats.clusters import Clusters

OWNERS = np.array(["b", "", "a", "b", "", "c", "a", "b"])


def test_pictures_of_one_owner_are_one_cluster_and_those_of_an_unknown_owner_one_each() -> None:
    found = Clusters.of(OWNERS)
    assert found.names.tolist() == ["a", "b", "c"]
    assert found.units.tolist() == [1, 3, 0, 1, 4, 2, 0, 1]
    assert found.sizes.tolist() == [2, 3, 1, 1, 1]
    assert found.num == 5
    assert found.known.tolist() == (OWNERS != "").tolist()


@pytest.mark.parametrize("rows", [np.arange(8) > 2, np.array([7, 4, 1, 0]), np.array([4, 1]), np.arange(8)])
def test_some_of_the_pictures_have_the_clusters_of_their_owners(rows: np.ndarray) -> None:
    found, expected = Clusters.of(OWNERS).take(rows), Clusters.of(OWNERS[rows])
    for name in ("units", "sizes", "names"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_owners_are_compared_as_text() -> None:
    """Their order decides which numbers are drawn for whom."""
    assert Clusters.of([10, 9, 10]).names.tolist() == ["10", "9"]
    assert Clusters.of([10, 9, 10]).units.tolist() == [0, 1, 0]


def test_effective_clusters() -> None:
    assert Clusters.of(list("aabbcc")).effective == pytest.approx(3)
    assert Clusters.of([""] * 5).effective == pytest.approx(5)
    assert Clusters.of(["a"] * 100 + list("bcdef")).effective == pytest.approx(1, abs=0.01)  # the others hardly matter beside it


def test_no_pictures_are_no_clusters() -> None:
    found = Clusters.of(OWNERS[:0])
    assert (found.num, found.effective) == (0, 0.0)
    assert Clusters.of(OWNERS).take(np.zeros(8, bool)).effective == 0.0
