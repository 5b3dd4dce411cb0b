"""What tests on several machines share with those of faults, and an S3 server."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import command, undisturbed, undisturbed_home
from tests.helpers.local_cluster import LocalCluster
from tests.helpers.machine import BucketCommand
from tests.helpers.packed_set import pack_pictures
from tests.helpers.s3_server import BUCKET, S3Server, s3_server

__all__ = ["command", "undisturbed", "undisturbed_home"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    found = LocalCluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_pictures(tmp_path_factory.mktemp("table"))


@pytest.fixture
def env(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """With what says where the server is, and who asks."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def environment(s3: S3Server, env: pytest.MonkeyPatch) -> dict[str, str]:
    return s3.environment()


@pytest.fixture
def machine(planted_shards: Path, tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., BucketCommand]]:
    """Makes commands, each on a machine of its own."""
    made: list[BucketCommand] = []

    def make(url: str, *flags: str, **more: str) -> BucketCommand:
        made.append(BucketCommand(tmp_path / f"machine{len(made)}", planted_shards, url, *flags, **(environment | more)))
        return made[-1]

    yield make
    for one in made:
        one.clean()


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"
