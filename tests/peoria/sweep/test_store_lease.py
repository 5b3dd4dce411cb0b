"""One process at a time runs a sweep of a bucket, and whoever lost it writes nothing more."""

import json
import threading
import time
import uuid
from pathlib import Path

import pytest

from peoria.errors import SweepError
from peoria.sweep.lease import LeaseLostError
from peoria.sweep.store_lease import NAME, StoreLease
from shards.store import Store, open_store


@pytest.fixture
def store() -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def hosts(tmp_path: Path) -> list[Path]:
    """Folders of the sweep on two hosts."""
    for name in "ab":
        (tmp_path / name).mkdir()
    return [tmp_path / "a", tmp_path / "b"]


def test_given_back_it_is_free_at_once(store: Store, hosts: list[Path]) -> None:
    for number, folder in enumerate([*hosts, *hosts], 1):
        lease = StoreLease(store, "s", folder)
        assert lease.generation == number
        lease.give_back()


def test_a_second_holder_is_refused_while_the_first_renews_it(store: Store, hosts: list[Path]) -> None:
    first = StoreLease(store, "s", hosts[0], lease_s=1.0)
    with pytest.raises(SweepError, match=r"sweep s: held in memory://\w+ by process \d+ on .* since .*, which goes on; one process at a time"):
        StoreLease(store, "s", hosts[1], lease_s=20.0)
    first.give_back()
    assert not first.lost


def test_of_a_dead_holder_it_is_taken_over_after_a_while(store: Store, hosts: list[Path]) -> None:
    """Control for the renewals: without them a living holder loses it, notices, and writes no more."""
    said: list[str] = []
    first = StoreLease(store, "s", hosts[0], lease_s=1e6)  # renewed too seldom to be seen
    second = StoreLease(store, "s", hosts[1], said.append, lease_s=0.5)
    assert second.generation == 2
    assert len(said) == 1
    assert "taken over in 0 s unless that process is there" in said[0]
    first.give_back()
    assert first.lost
    with pytest.raises(LeaseLostError, match="another took the sweep over; nothing more is written"):
        first.refuse_if_lost()
    second.refuse_if_lost()
    second.give_back()
    assert json.loads(store.get(NAME))["generation"] == 2


def test_a_dead_holder_of_the_same_folder_is_not_waited_for(store: Store, hosts: list[Path]) -> None:
    StoreLease(store, "s", hosts[0], lease_s=1e6)
    began = time.monotonic()
    assert StoreLease(store, "s", hosts[0], lease_s=1e3).generation == 2
    assert time.monotonic() - began < 100


def test_of_many_at_once_one_gets_it(store: Store, tmp_path: Path) -> None:
    got, refused = list[StoreLease](), list[str]()

    def take(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        try:
            got.append(StoreLease(store, "s", tmp_path / str(number), lambda text: None, lease_s=3.0))
        except SweepError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    got[0].give_back()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"holder": 1}', b"[" * 100_000])
def test_foreign_bytes_are_named(store: Store, hosts: list[Path], data: bytes) -> None:
    store.put(NAME, data)
    with pytest.raises(SweepError, match=r"memory://\w+/lease.json: no lease"):
        StoreLease(store, "s", hosts[0])
