"""What the end-to-end tests share."""

from collections.abc import Iterator

import pytest

from tests.helpers.local_cluster import LocalCluster


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A head without CPUs and a worker with two CPUs and one pretended GPU, in token mode, on free ports of loopback."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
