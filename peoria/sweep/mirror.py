"""A sweep's record in a bucket. The process that runs the sweep alone writes it: on its own disk first, then, at each event and before anybody acts
on that, as the next step of a chain of objects (`records.deltas`). Workers put their own checkpoints and models beside it (`training.remote`)."""

import hashlib
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from peoria.databases import AWAY_S
from peoria.errors import RecordError, StorageAwayError, SweepError
from peoria.records.deltas import Delta, Place, Seen
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.json_file import read_json, write_json
from peoria.records.schema import ModelCard
from peoria.sweep.lease import LeaseLostError
from peoria.sweep.store_lease import RECORD as _RECORD
from peoria.sweep.store_lease import StoreLease, generation_of
from peoria.training.remote import stopping
from shards.errors import MissingObjectError, ShardsError, StoreAwayError
from shards.files import locked, write_blocks
from shards.store import Store, open_store, refuse_unfit

MARKER = ".mirror.json"  # in the folder: which step of which chain it is at
READING = ".reading"  # in the folder: the lock of whoever brings it up to the store
STOP_CHECK_S = 0.2


class Mirror:
    """Of a sweep that lies in a folder alone: nothing is to be done."""

    def flush(self, *keys: str) -> None:
        """Puts what has changed at the top of the folder and in these trials; on return it outlasts this machine.

        Raises:
            StorageAwayError: the store has been away for too long.
            LeaseLostError: another process took the sweep over.
        """

    def fetch(self, key: str, *names: str) -> None:
        """Brings files of a trial that its worker has put, those that are there."""

    def fetch_models(self, trials: Iterable[TrialFolder]) -> None:
        """Brings weights and scores of finished trials that are not in the folder."""

    def forget(self, key: str, names: Sequence[str] | None = None, *, done: bool = False) -> None:
        """Removes files of a trial from the store: all of them, and at once. Of one that has ended those of these names, in a while; of one that is
        ``done``, what all but the last try that has it has put of a file."""

    def confirm(self) -> None:
        """Asks the store itself whether this process still holds the sweep.

        Raises:
            LeaseLostError: another process took it over.
        """

    url: str | None = None
    """Of all that belongs to the sweep; None: it lies in the folder alone."""
    generation = 0
    """Of the lease, one more with each process that runs the sweep."""


class StoreMirror(Mirror):
    """Of a sweep in a bucket, whose lease the caller holds."""

    def __init__(self, folder: SweepFolder, store: Store, lease: StoreLease, say: Callable[[str], object]) -> None:
        """Brings the folder up to what the store has, or goes on from the folder where that was put last, and begins a chain of its own."""
        self._folder, self._store, self._lease, self._say = folder, store, lease, say
        self.url, self.generation = store.address(), lease.generation
        self._nonce, self._sequence = uuid.uuid4().hex[:12], 0
        self._touched: set[str] = set()
        self._pending: tuple[str, bytes, dict[str, Place]] | None = None  # a step that may be there already
        with locked(folder.path / READING):
            behind = take_up(folder, store, say)
        self._seen = Seen(folder.path)
        self._pack(*self._seen.changes(None, self._nonce))
        self._finish()
        self._removals: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        for name in behind:  # the chains before, all of which is in this one's first step
            self._removals.put(partial(store.delete, name))
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._remove, daemon=True), threading.Thread(target=self._watch_stop, daemon=True)]
        for thread in self._threads:
            thread.start()

    def flush(self, *keys: str) -> None:
        self._touched |= set(keys)
        self._finish()
        delta, known = self._seen.changes(self._touched, self._nonce)
        if delta.files or delta.removed:
            self._pack(delta, known)
            self._finish()
        self._touched.clear()

    def confirm(self) -> None:
        self._wait_for(self._lease.confirm)

    def fetch(self, key: str, *names: str) -> None:
        self._wait_for(partial(_fetch, self._folder.trial(key), self._store, names))

    def fetch_models(self, trials: Iterable[TrialFolder]) -> None:
        self._wait_for(partial(fetch_models, self._store, list(trials)))

    def forget(self, key: str, names: Sequence[str] | None = None, *, done: bool = False) -> None:
        if names is None:
            self._wait_for(partial(self._drop, key))
        else:
            self._removals.put(partial(self._drop_older, key) if done else partial(self._drop, key, names))

    def close(self) -> None:
        self._ended.set()
        self._removals.put(None)
        for thread in self._threads:
            thread.join(10)

    def _pack(self, delta: Delta, known: dict[str, Place]) -> None:
        self._pending = (f"{_RECORD}/{self.generation:06}-{self._nonce}/{self._sequence:08}", delta.pack(), known)

    def _finish(self) -> None:
        """Puts the step that was begun. It may be there: its answer was lost, or an error came between."""
        if self._pending is None:
            return
        name, data, known = self._pending

        def put() -> None:
            self._lease.refuse_if_lost()
            if self._store.put_if_absent(name, data) is not None:
                return
            try:
                found = self._store.get(name)
            except MissingObjectError:  # two tries of our own at once, of which the store let neither through
                raise StoreAwayError(f"{self._store.address(name)}: refused, and not there; a store with conditional writes") from None
            if found != data:
                self._lease.lost = True
                self._lease.refuse_if_lost()

        self._wait_for(put)
        _mark(self._folder, name, own=True)
        self._seen.known = known
        self._sequence += 1
        self._pending = None

    def _wait_for(self, call: Callable[[], object]) -> None:
        """Where the store is away it is waited for: said once, and once that it is back."""
        away_since, where = 0.0, self._store.address()
        while True:
            try:
                call()
            except StoreAwayError as error:
                now = time.monotonic()
                if not away_since:
                    away_since = now
                    self._say(f"  {error.problems[0]}; it is waited for")
                if now > away_since + AWAY_S:
                    raise StorageAwayError(
                        f"{where}: away for {now - away_since:.0f} s", hint="the same command goes on when it is back; nothing that it told is lost"
                    ) from None
                time.sleep(0.5)
                continue
            if away_since:
                self._say(f"  {where}: back after {time.monotonic() - away_since:.0f} s")
            return

    def _tries(self, key: str) -> list[str]:
        """Objects of a trial that this holder or one before it has put. Whoever holds the sweep now decides over his own."""
        self._lease.confirm()
        return [name for name in self._store.names(f"trials/{key}") if name.split("/")[2][:6] <= f"{self.generation:06}"]

    def _drop(self, key: str, names: Sequence[str] | None = None) -> None:
        for found in self._tries(key):
            if names is None or found.rpartition("/")[2] in names:
                self._store.delete(found)

    def _drop_older(self, key: str) -> None:
        there = sorted(self._tries(key))
        for found in set(there) - set({name.rpartition("/")[2]: name for name in there}.values()):
            self._store.delete(found)

    def _remove(self) -> None:
        while (asked := self._removals.get()) is not None:
            try:
                asked()
            except LeaseLostError:
                return  # told where it matters
            except ShardsError as error:  # it lies there for longer; nobody is misled by it
                self._say(f"  {error.problems[0]}; what is needed no more is left there")

    def _watch_stop(self) -> None:
        """What the folder says to workers of this machine, for those of others, as long as it says so."""
        name, there = stopping(self.generation), False
        while not self._ended.wait(STOP_CHECK_S):
            if there != self._folder.stopping.exists():
                with suppress(ShardsError):  # away: tried again
                    self._store.delete(name) if there else self._store.put(name, b"")
                    there = not there
        if there:
            with suppress(ShardsError):  # of this generation: nobody else asks for it
                self._store.delete(name)


def fetch_models(store: Store, trials: Iterable[TrialFolder]) -> None:
    for trial in trials:
        missing = [file.name for file in (trial.model, trial.val_scores) if not file.exists()]
        if missing and trial.model_card.exists():
            _fetch(trial, store, missing)


def _fetch(trial: TrialFolder, store: Store, names: Iterable[str]) -> None:
    there = store.names(f"trials/{trial.key}")
    for name in names:
        found = sorted((other for other in there if other.endswith(f"/{name}")), reverse=True)
        if name == trial.model.name and found:
            wanted = ModelCard.read(trial.model_card).model_sha256
            found = [next((other for other in found if _sha256(store, other) == wanted), found[0])]
        if found:
            write_blocks(trial.path / name, store.stream(found[0]), there[found[0]])


def _sha256(store: Store, name: str) -> str:
    found = hashlib.sha256()
    for block in store.stream(name):
        found.update(block)
    return found.hexdigest()


@contextmanager
def mirrored(folder: SweepFolder, url: str | None, say: Callable[[str], object] = print) -> Iterator[Mirror]:
    """``with mirrored(...)``: the sweep's record, in the bucket too where there is one. The caller holds the folder's lock.

    Args:
        url: of the sweep in its bucket; None: the folder is all there is.

    Raises:
        SweepError: another process holds the sweep.
        StoreError: the store cannot be used.
    """
    if url is None:
        yield Mirror()
        return
    store = open_store(url)
    refuse_unfit(store)
    lease = StoreLease(store, folder.name, folder.path, say)
    try:
        mirror = StoreMirror(folder, store, lease, say)
        try:
            yield mirror
        finally:
            try:
                if not lease.lost:
                    mirror.flush()
            finally:
                mirror.close()
    finally:
        lease.give_back()


def take_up(folder: SweepFolder, store: Store, say: Callable[[str], object]) -> list[str]:
    """Makes the folder the record of the newest chain, unless a process of this machine put that, whose folder is what it put, or ahead of it.

    Returns:
        The objects of all chains.

    Raises:
        SweepError: the folder is of a record that is not in this store.
        RecordError: a step is damaged.
    """
    for _ in range(3):
        steps = list(store.names(_RECORD))
        chain, here = _newest_chain(steps), _marked(folder)
        if not chain:
            if here is not None:
                raise SweepError(
                    f"{folder.path}: of a record that is not at {store.address(_RECORD)}; a bucket that has it",
                    hint="is it the same bucket, at the same endpoint? move the folder away to begin anew",
                )
            return steps
        same = here is not None and here[0] == chain[0].split("/")[1]
        if same and here is not None and (here[2] or here[1] >= len(chain) - 1):
            return steps
        first = here[1] + 1 if same and here is not None else 0
        try:
            deltas = [(name, Delta.unpack(store.get(name), store.address(name))) for name in chain[first:]]
        except MissingObjectError:  # another chain was begun meanwhile
            continue
        if not same:
            say(f"  {folder.path} is made from {store.address(_RECORD)}: {len(chain)} steps")
            _clear(folder)
        try:
            for name, delta in deltas:
                delta.apply(folder.path, store.address(name))
                _mark(folder, name, own=False)
        except RecordError:
            if not same:
                raise
            _clear(folder)  # it was killed between a step and its mark, and does not end where the next one goes on: from the first step once more
            continue
        return steps
    raise RecordError(f"{store.address(_RECORD)}: steps go while they are read; one process at a time runs a sweep", hint="try again")


def _newest_chain(steps: Iterable[str]) -> list[str]:
    """The steps of the last chain that has a first one, as far as they follow one another."""
    chains: dict[str, dict[int, str]] = {}
    for name in steps:
        parts = name.split("/")
        if len(parts) == 3 and generation_of(name) and parts[2].isdigit():
            chains.setdefault(parts[1], {})[int(parts[2])] = name
    for _, chain in sorted(chains.items(), reverse=True):
        if 0 in chain:
            return [chain[number] for number in range(next(n for n in range(len(chain) + 1) if n not in chain))]
    return []


def _mark(folder: SweepFolder, name: str, *, own: bool) -> None:
    _, chain, step = name.split("/")
    write_json(folder.path / MARKER, {"chain": chain, "sequence": int(step), "own": own})


def _marked(folder: SweepFolder) -> tuple[str, int, bool] | None:
    """Which chain the folder is of, its last step, and whether that was put from here; None where nothing says so."""
    marker = folder.path / MARKER
    if not marker.exists():
        return None
    try:
        found = read_json(marker)
        return str(found["chain"]), int(found["sequence"]), bool(found["own"])
    except (RecordError, KeyError, TypeError, ValueError):
        return None


def _clear(folder: SweepFolder) -> None:
    """Of all but the locks that are held. The marker goes first: killed in between, it is begun again."""
    (folder.path / MARKER).unlink(missing_ok=True)
    folder.path.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.path.iterdir()):
        if path.name.startswith(".") or path == folder.holder:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
