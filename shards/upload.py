"""A packed set in a store of objects: packed on this disk, compared, and put there, the manifest last; and checked there byte by byte."""

import hashlib
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from shards.cache.fetched import open_shards
from shards.errors import DamagedShardError, MissingObjectError, ShardsError
from shards.files import open_plain, read_plain, told
from shards.inspection.verify import verify
from shards.manifest import LEDGER, MANIFEST, SPLITS, Manifest
from shards.pack.pack import How, PackResult, Plan, pack, parted, planned, refuse_other, result
from shards.pack.prepare import HEALS
from shards.pack.result import RESULT_LEDGER
from shards.pack.staging import Progress
from shards.read.openings import torn_objects
from shards.read.shard_set import NUM_THREADS
from shards.sources.rows import Table
from shards.store import Store, open_store, refuse_unfit

PACKING = Path("data/packing")  # where a set is packed that goes to a store
CLAIM = "packing.json"  # there, while a set is put: whose
PUT = "put.txt"  # beside the packed set: what has been put


def pack_to_store(
    table_path: Path | str,
    out: str,
    *,
    below: Path = PACKING,
    **how: Unpack[How],
) -> PackResult:
    """As `shards.pack.pack.pack`, for the address ``out`` of a store: packed in a folder of its own ``below`` another, compared byte by byte, put,
    and removed here. Killed at any moment and started again it goes on.

    Raises:
        StoreError: the store cannot be written to; before anything is packed.
        ShardsError: another set, or anything else, is there; or a finished one, of which rows are to be tried again.
    """
    preparing, packing = parted(how)
    store = open_store(out)
    plan, table = planned(table_path, **packing)
    folder = below / f"{out.rstrip('/').rpartition('/')[2]}-{hashlib.sha256(store.address().encode()).hexdigest()[:12]}"
    there = _there(store, plan, table)
    if there is None:
        refuse_unfit(store)
        _refuse_occupied(store)
        packed = pack(table_path, folder / "set", **how)
        problems = verify(folder / "set")
        if problems:
            raise DamagedShardError(*problems, hint=f"delete {folder} and pack again")
        _put(folder, packed.manifest, store, preparing.get("progress") or (lambda what, done, total: None))
        there = replace(packed, root=store.address(), already_packed=False)
    elif preparing.get("retry") and HEALS & set(there.rejected):
        raise ShardsError(f"{store.address()}: a finished set, of which no row can be tried again; one in a folder", hint="pack it anew, elsewhere")
    shutil.rmtree(folder, ignore_errors=True)
    return there


def verify_stored(address: str) -> list[str]:
    """Reads every byte of the set at ``address``: each object is compared with its digest, which was made when the files agreed with one another.
    Returns ``<object>: <found>; <accepted>``, one a problem; [] when the set is whole. Raises StoreError where the store cannot be read."""
    store = open_store(address)
    with tempfile.TemporaryDirectory() as folder:
        try:
            manifest = open_shards(address, Path(folder)).manifest
        except DamagedShardError as error:
            return list(error.problems)
    digests = {shard.file: (shard.sha256, shard.bytes) for shard in manifest.shards} | {
        name: (sha256, None) for name, sha256 in manifest.files_sha256.items()
    }
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        problems = [text for text in pool.map(lambda name: _changed(store, name, *digests[name]), digests) if text]
    strange = [name for split in SPLITS for name in store.names(split) if name not in digests]
    problems += [f"{store.address(name)}: not in {MANIFEST}; only shards in the folders of the splits" for name in strange]
    return problems + [f"{store.address(name)}: cannot be read; an opening" for name in torn_objects(store)]


def _changed(store: Store, name: str, sha256: str, num_bytes: int | None) -> str:
    digest, size = hashlib.sha256(), 0
    try:
        for block in store.stream(name):
            digest.update(block)
            size += len(block)
    except MissingObjectError:
        return f"{store.address(name)}: no such object; the one that was packed"
    if num_bytes is not None and size != num_bytes:
        return f"{store.address(name)}: {size} bytes; {num_bytes} bytes were packed"
    found = digest.hexdigest()
    return "" if found == sha256 else f"{store.address(name)}: sha256 {found[:16]}…; {sha256[:16]}… was packed"


def _there(store: Store, plan: Plan, table: Table) -> PackResult | None:
    """The set that is at the address already; None where there is none. Raises ShardsError where it is another plan's."""
    if MANIFEST not in store.names():
        return None
    with tempfile.TemporaryDirectory() as folder:
        shard_set = open_shards(store.address(), Path(folder))
        refuse_other(store.address(), shard_set.manifest, plan)
        ledger = shard_set.packed(LEDGER, RESULT_LEDGER)
        return result(store.address(), shard_set.manifest, shard_set.table, ledger, table, already_packed=True)


def _refuse_occupied(store: Store) -> None:
    """Raises ShardsError where anything but an unfinished set is."""
    found = store.names()
    if found and CLAIM not in found:
        raise ShardsError(f"{store.address()}: holds {', '.join(list(found)[:5])}; a new or empty place", hint="choose another address")


def _lines(path: Path) -> dict[str, str]:
    """What was put before: name → sha256. A line that a kill tore is of none."""
    try:
        lines = read_plain(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {name: sha256 for sha256, _, name in (line.partition(" ") for line in lines)}


def _put(folder: Path, manifest: Manifest, store: Store, progress: Progress) -> None:
    root, said = folder / "set", folder / PUT
    data = read_plain(root / MANIFEST)
    claim = json.dumps({"manifest_sha256": hashlib.sha256(data).hexdigest()}).encode()
    if store.put_if_absent(CLAIM, claim) is None and store.get(CLAIM) != claim:
        raise ShardsError(
            f"{store.address()}: another set is being put there; one at a time", hint=f"wait until it is there, or remove {store.address(CLAIM)}"
        )
    with told(said, "a file that can be written to"):
        done = _lines(said)
    there = store.names()
    files = {shard.file: shard.sha256 for shard in manifest.shards} | dict(manifest.files_sha256)
    for number, (name, sha256) in enumerate(files.items()):
        progress("objects", number, len(files))
        if done.get(name) != sha256 or there.get(name) != (root / name).stat().st_size:
            store.put(name, root / name)
            with told(said, "a file that can be written to"), open_plain(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                file.write(f"{sha256} {name}\n".encode())
    progress("objects", len(files), len(files))
    if store.put_if_absent(MANIFEST, data) is None and store.get(MANIFEST) != data:
        raise ShardsError(f"{store.address()}: another set was put there meanwhile; one at a time", hint="choose another address")
    store.delete(CLAIM)
