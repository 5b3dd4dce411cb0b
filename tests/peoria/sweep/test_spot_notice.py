"""A cloud's word that a machine is about to be taken away, spoken by a small server on loopback as IMDSv2, GCP and Azure speak it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import peoria.sweep.leaving as leaving
from peoria.sweep.leaving import Leaving, private
from peoria.sweep.spot_notice import ADDRESS, find_notice
from tests.helpers.metadata_server import Metadata


@pytest.fixture(params=["aws", "gcp", "azure"])
def metadata(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    server = Metadata(request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def test_a_notice_is_seen_once_it_is_there_and_no_sooner(metadata: Metadata) -> None:
    notice = find_notice()
    assert notice is not None
    assert notice() == ""
    metadata.taken = True
    assert metadata.cloud in notice().lower()
    metadata.tokens.append("another")  # AWS: the one that is held has run out
    assert notice() != ""
    metadata.garbage = True
    assert notice() != ""
    metadata.shutdown()
    metadata.server_close()
    assert notice() == ""


@pytest.mark.parametrize("kind", ["nobody", "another", "silent"])
def test_without_a_service_nothing_is_asked_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Metadata("none")
    monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{server.server_port}")
    if kind == "another":
        threading.Thread(target=server.serve_forever, daemon=True).start()
    elif kind == "nobody":
        server.server_close()
    began = time.monotonic()
    assert find_notice() is None
    assert time.monotonic() < began + 20
    if kind == "another":
        server.shutdown()
    server.server_close()


def test_one_worker_asks_for_all_of_a_node(tmp_path: Path, metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "POLL_S", 0.1)
    monkeypatch.setattr(os, "setpgid", lambda *_: None)  # this process stays in its group
    said: list[str] = []
    made: list[Leaving] = []

    def make() -> None:  # not in the main thread, whose SIGTERM stays pytest's
        made.extend(Leaving(tmp_path / "user" / "node", lambda: False, said.append) for _ in range(3))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    time.sleep(1)
    assert not any(one() for one in made)
    metadata.taken = True
    deadline = time.monotonic() + 60
    while not all(one() for one in made):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(said) == 1


def test_a_folder_that_others_may_write_in_is_not_believed(tmp_path: Path) -> None:
    assert private(tmp_path / "user" / "node")
    (tmp_path / "user").chmod(0o777)
    assert not private(tmp_path / "user" / "node")
    (tmp_path / "link").symlink_to(tmp_path)
    assert not private(tmp_path / "link" / "node")
