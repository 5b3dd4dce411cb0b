"""Starting weights that a submission has left in a store, under their digest: brought to each node of its job once, and put where the sweep's file
names them. What says where they are is a variable of the job's environment."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shards.errors import MissingObjectError, StoreError
from shards.files import locked, told, write_blocks
from shards.store import Store, open_store

VARIABLE = "PEORIA_WEIGHTS"
FOLDER = "weights"  # in the store, and in each node's cache
_HINT = "submit the sweep again: it puts them there where they are missing"


def sha256_of(path: Path) -> str:
    """Hex. Raises FileError."""
    with told(path, "a file that can be read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told_to_nodes(weights: str, store: Store, cache: str | None) -> tuple[str, str]:
    """The value of `VARIABLE`, and the name of the object.

    Args:
        cache: the folder of each node that they come into; None: as the node says itself.
    """
    sha256 = sha256_of(Path(weights))
    return json.dumps({"path": weights, "store": store.address(), "sha256": sha256, "cache": cache}, sort_keys=True), f"{FOLDER}/{sha256}"


def leave(path: Path, store: Store, name: str) -> bool:
    """Puts the file there; False where it is already. Raises StoreError, FileError."""
    if store.names(FOLDER).get(name) == path.stat().st_size:
        return False
    store.put(name, path.resolve())  # a link of the user's own
    return True


def bring(weights: str | None) -> None:
    """Puts the file under the path that a sweep names, where its submission has left it in a store; else nothing.

    Raises:
        StoreError: it is not there, or not what was put there.
        FileError: this node's cache cannot be written to.
    """
    said = os.environ.get(VARIABLE)
    if not said or weights is None or (os.path.exists(weights) and not os.path.islink(weights)):
        return
    found = json.loads(said)
    if found["path"] == weights:
        fetched = fetch(open_store(found["store"]), found["sha256"], node_cache(found["cache"]))
        link, temporary = Path(weights), f"{weights}.{secrets.token_hex(4)}.tmp"
        with told(link, "a folder that can be written to"):
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(fetched, temporary)
            os.replace(temporary, link)


def node_cache(given: str | None) -> Path:
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peoria"
    return Path(given or os.environ.get("PEORIA_CACHE") or own).absolute()


def fetch(store: Store, sha256: str, cache: Path) -> Path:
    """The file in this node's cache; the first process that wants it fetches it, the others wait. Raises as `bring`."""
    path, name = cache / FOLDER / sha256, f"{FOLDER}/{sha256}"

    def checked() -> Iterator[bytes]:
        digest = hashlib.sha256()
        for block in store.stream(name):
            digest.update(block)
            yield block
        if (found := digest.hexdigest()) != sha256:
            raise StoreError(f"{store.address(name)}: sha256 {found[:16]}…; the file of that name", hint=f"delete it, and {_HINT}")

    with told(path, "a folder that can be written to", hint="name another folder with --cache"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / f".{sha256}.lock", private=True):
            with suppress(OSError):  # not there, or nothing that can be read
                if sha256_of(path) == sha256:
                    return path
            try:
                write_blocks(path, checked(), store.names(FOLDER).get(name, 0), mode=0o644)
            except MissingObjectError:
                raise StoreError(f"{store.address(name)}: no such object; the weights of the sweep", hint=_HINT) from None
    return path
