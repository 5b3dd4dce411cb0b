"""A sweep's record in a bucket: whose it is, what is taken up, and what a process that lost it can no longer do."""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.sweep.lease import LeaseLostError
from peoria.sweep.mirror import MARKER, StoreMirror, mirrored, take_up
from peoria.sweep.store_lease import StoreLease
from peoria.training.remote import stopping
from shards.errors import StoreAwayError
from shards.files import write_atomic
from shards.store import Store, open_store

Machine = Callable[[str], SweepFolder]


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    def make(name: str) -> SweepFolder:
        folder = SweepFolder.of(tmp_path / name, "s")
        folder.path.mkdir(parents=True, exist_ok=True)
        return folder

    return make


@pytest.fixture
def lost(url: str, machine: Machine) -> Iterator[tuple[StoreMirror, StoreMirror, Store]]:
    """A holder that was away for longer than its lease and knows nothing of it, and the one that took over."""
    store = open_store(url)
    first_lease = StoreLease(store, "s", machine("a").path, lease_s=1e6)
    first = StoreMirror(machine("a"), store, first_lease, print)
    second_lease = StoreLease(store, "s", machine("b").path, lambda text: None, lease_s=0.3)
    second = StoreMirror(machine("b"), store, second_lease, lambda text: None)
    yield first, second, store
    for mirror, lease in ((first, first_lease), (second, second_lease)):
        mirror.close()
        lease.give_back()


def put(folder: SweepFolder, text: str) -> None:
    write_atomic(folder.definition, text.encode())


def chain(store: Store) -> list[str]:
    return list(store.names("record"))


def test_what_was_written_is_there_on_another_machine(url: str, machine: Machine) -> None:
    with mirrored(machine("a"), url, print) as mirror:
        put(machine("a"), "one")
        write_atomic(machine("a").trial("0000").start, b"settings")
        mirror.flush("0000")
        machine("a").trial("0000").start.unlink()
        write_atomic(machine("a").trial("0001").start, b"more")
        mirror.flush("0000", "0001")
    with mirrored(machine("b"), url, lambda text: None):
        assert machine("b").definition.read_text() == "one"
        assert not machine("b").trial("0000").start.exists()
        assert machine("b").trial("0001").start.read_bytes() == b"more"


def test_a_folder_that_is_behind_is_made_anew_and_one_that_is_ahead_goes_on(url: str, machine: Machine) -> None:
    for name, text in (("a", "one"), ("b", "two")):
        with mirrored(machine(name), url, lambda text: None) as mirror:
            put(machine(name), text)
            mirror.flush()
    with mirrored(machine("a"), url, lambda text: None):
        assert machine("a").definition.read_text() == "two"
    put(machine("a"), "three, and killed before it was put")
    with mirrored(machine("a"), url, lambda text: None):
        assert machine("a").definition.read_text() == "three, and killed before it was put"


def test_a_folder_of_a_record_that_is_gone_does_not_come_back(url: str, machine: Machine) -> None:
    """As where the bucket was emptied, or another server answers under its name."""
    with mirrored(machine("a"), url, print) as mirror:
        put(machine("a"), "old")
        mirror.flush()
    store = open_store(url)
    for name in store.names():
        store.delete(name)
    with pytest.raises(SweepError, match=r"of a record that is not at memory://\w+/record; a bucket that has it"), mirrored(machine("a"), url):
        pass
    with mirrored(machine("b"), url, print) as mirror:
        put(machine("b"), "new")
        mirror.flush()
    with mirrored(machine("a"), url, lambda text: None):
        assert machine("a").definition.read_text() == "new"


def test_a_reader_takes_up_what_is_new_alone(url: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(url)
    with mirrored(machine("a"), url, print) as mirror:
        put(machine("a"), "one")
        mirror.flush()
        take_up(machine("b"), store, print)
        put(machine("a"), "two")
        mirror.flush()
        asked: list[str] = []
        get = type(store).get
        monkeypatch.setattr(type(store), "get", lambda self, name: asked.append(name) or get(self, name))
        take_up(machine("b"), store, print)
        assert machine("b").definition.read_text() == "two"
        assert len(asked) == 1
        assert asked[0].endswith("/00000002")


def test_a_reader_that_was_killed_between_a_step_and_its_mark(url: str, machine: Machine) -> None:
    store = open_store(url)
    with mirrored(machine("a"), url, print) as mirror:
        for line in ("one\n", "two\n", "three\n"):
            with machine("a").journal.open("a") as file:
                file.write(line)
            mirror.flush()
            take_up(machine("b"), store, print)
        before = (machine("b").path / MARKER).read_text()
        with machine("a").journal.open("a") as file:
            file.write("four\n")
        mirror.flush()
        take_up(machine("b"), store, print)
        (machine("b").path / MARKER).write_text(before)
        take_up(machine("b"), store, print)
        assert machine("b").journal.read_text() == "one\ntwo\nthree\nfour\n"


def test_who_lost_the_sweep_deletes_nothing_and_stops_nobody(lost: tuple[StoreMirror, StoreMirror, Store], machine: Machine) -> None:
    first, second, store = lost
    mine, other = "trials/0000/000002-0001-aaaaaaaaaaaa/checkpoint.pt", "trials/0000/000001-0001-aaaaaaaaaaaa/checkpoint.pt"
    for name in (mine, other):
        store.put(name, b"x")
    machine("a").stopping.touch()
    first.forget("0000", ["checkpoint.pt"])
    with pytest.raises(LeaseLostError, match="another took the sweep over"):
        first.confirm()
    deadline = time.monotonic() + 20
    while not list(store.names()).count(stopping(1)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(store.names("trials/0000")) == {mine, other}
    assert stopping(2) not in store.names()
    store.put(worker := other.replace("checkpoint.pt", "worker.json"), b"x")
    second.forget("0000", [])  # of no name: nothing
    second.forget("0000", ["checkpoint.pt"])  # control: who holds it may
    while len(store.names("trials/0000")) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(store.names("trials/0000")) == [worker]
    second.forget("0000")
    assert store.names("trials/0000") == {}


def test_of_a_finished_trial_the_last_try_is_kept(url: str, machine: Machine) -> None:
    store = open_store(url)
    with mirrored(machine("a"), url, print) as mirror:
        for attempt in ("000001-0001-aa", "000001-0002-aa"):
            store.put(f"trials/0000/{attempt}/checkpoint.pt", b"x")
        store.put("trials/0000/000001-0001-aa/model.safetensors", b"x")
        mirror.forget("0000", [], done=True)
        deadline = time.monotonic() + 20
        while len(store.names("trials/0000")) > 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert set(store.names("trials/0000")) == {"trials/0000/000001-0002-aa/checkpoint.pt", "trials/0000/000001-0001-aa/model.safetensors"}


def test_a_step_whose_answer_was_lost_is_no_loss_of_the_sweep(url: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, and the process was told that it may not be: the same step is put again, and not another under its name."""
    monkeypatch.setattr("peoria.sweep.mirror.AWAY_S", -1.0)
    store = open_store(url)
    kind, put_if_absent, fails = type(store), type(store).put_if_absent, [True]

    def answered(self: Store, name: str, data: bytes) -> str | None:
        found = put_if_absent(self, name, data)
        if name.startswith("record/") and fails and not name.endswith("/00000000"):
            fails.pop()
            raise StoreAwayError("no answer")
        return found

    monkeypatch.setattr(kind, "put_if_absent", answered)
    with mirrored(machine("a"), url, lambda text: None) as mirror:
        put(machine("a"), "one")
        with pytest.raises(SweepError, match="away for"):
            mirror.flush()
        put(machine("a"), "two")
        mirror.flush()
    shutil.rmtree(machine("a").path)
    with mirrored(machine("b"), url, lambda text: None):
        assert machine("b").definition.read_text() == "two"


def test_generations_never_come_again(url: str, machine: Machine) -> None:
    """Also where somebody removes the lease, as a message about a damaged one says."""
    store = open_store(url)
    for number in (1, 2, 3):
        with mirrored(machine("a"), url, lambda text: None) as mirror:
            assert mirror.generation == number
        if number == 2:
            store.delete("lease.json")
