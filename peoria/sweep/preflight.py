"""Whether a node is what the sweep takes it for, looked at on the node before anything is trained there: the home is shared, the packed set is the
same, CUDA sees its share, code and versions are equal, the cache can be written, the clock is right.

What is found is compared where the sweep's record is held; all problems of a node are told at once.
"""

import functools
import hashlib
import os
import platform
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

import shards
from peoria.data.dataset import no_copy_text
from peoria.sweep.mirror import Mirror
from peoria.training.gpu import gpu_trouble
from peoria.training.messages import Address, AnyPath
from shards.addresses import is_url
from shards.cache.decoded import forecast
from shards.cache.fetched import open_shards
from shards.errors import ShardsError, StoreAwayError, StoreError, UserError
from shards.store import Store, open_store

CLOCK_S = 10.0  # that two clocks may differ
VISIBLE_S = 5.0  # until a file written on one machine is seen by another
SHARED = "shared"  # the folder of the nonces
VERSIONS = ("peoria", "torch", "ray")


class Probe(BaseModel):
    """What a node is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: float
    """Of a trial; 0: CUDA plays no part."""
    pretend: bool = False
    """Whether GPUs are pretended."""
    home: AnyPath | None = None
    """The folder that all nodes share; None: all is on this machine, and nothing but CUDA is looked at."""
    home_url: str | None = None
    """Of the bucket that all nodes share, where the home is one."""
    nonce: str = ""
    shards: Address = Path()
    """The packed set's folder, or its URL."""
    identity: str = ""
    """Of the packed set."""
    cache: AnyPath = Path()
    cache_bytes: int | None = None
    weights: str | None = None
    """As the sweep names them."""
    weights_sha256: str = ""
    versions: dict[str, str] = {}
    packages: tuple[str, ...] = ()
    """Whose versions matter beside those of every sweep."""
    host: str = ""
    """Of the machine that asks."""


class Found(BaseModel):
    """What a node answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str
    node_id: str
    home: str = ""
    """What is wrong with it; "" where its nonce was read and another written."""
    shards: str = ""
    """What is wrong with it, if not its identity."""
    identity: str = ""
    cache: str = ""
    room: str = ""
    """What does not fit into it; that is told, and refuses nothing."""
    weights: str = ""
    gpu: str = ""
    versions: dict[str, str] = {}


def make_probe(
    bare: Probe,
    home: Path,
    mirror: Mirror,
    address: str,
    identity: str,
    cache: Path,
    cache_bytes: int | None,
    weights: str | None,
    packages: tuple[str, ...] = (),
) -> Probe:
    """For nodes of a cluster; the file of the nonce is written.

    Args:
        home: the sweep's folder, which a trial writes in wherever it runs.
        mirror: of the sweep in its bucket, where trials write then.
        address: of the packed set.
        identity: of its data.
        packages: that its nets and tasks are of.
    """
    nonce = f"{mirror.generation:06}-{secrets.token_hex(16)}"
    bare = bare.model_copy(update={"home": home.resolve(), "home_url": mirror.url})
    write_nonce(bare, nonce, nonce)
    file = None if weights in (None, "torchvision") else str(weights)
    return bare.model_copy(
        update={
            "nonce": nonce,
            "shards": address if is_url(address) else Path(address).resolve(),
            "identity": identity,
            "cache": cache.resolve(),
            "cache_bytes": cache_bytes,
            "weights": file,
            "weights_sha256": "" if file is None else _sha256(file),
            "versions": versions_here(packages),
            "packages": packages,
            "host": socket.gethostname(),
        }
    )


def _shared(probe: Probe) -> Store:
    assert probe.home is not None
    return open_store(probe.home if probe.home_url is None else probe.home_url)


def write_nonce(probe: Probe, name: str, nonce: str) -> None:
    _shared(probe).put(f"{SHARED}/{name}", nonce.encode())


def read_nonce(probe: Probe, name: str) -> str:
    """Raises ShardsError where it is not there."""
    return _shared(probe).get(f"{SHARED}/{name}").decode(errors="replace")


def check_shared(nonce: str, read: Callable[[str], str], write: Callable[[str, str], None], answer: str) -> str:
    """On a node: reads what the other side wrote under the name ``nonce``, and writes it again under ``answer``; returns what is wrong.

    Raises:
        StoreAwayError: the store does not answer, which says nothing of this node.
    """
    try:
        if read(nonce) != nonce:
            return "another file is there"
        write(answer, nonce)
    except StoreAwayError:
        raise
    except (OSError, UserError) as error:
        return str(getattr(error, "strerror", None) or error).splitlines()[0].lower()
    return ""


def forget(home: Path, mirror: Mirror) -> None:
    """Removes the files of this run's nonces."""
    shutil.rmtree(home / SHARED, ignore_errors=True)
    if mirror.url is not None:
        with suppress(ShardsError):  # the store is away: they lie there for longer
            store = open_store(mirror.url)
            for name in store.names(SHARED):
                if name.startswith(f"{SHARED}/{mirror.generation:06}-"):
                    store.delete(name)


def look(probe: Probe, node: str, node_id: str) -> Found:
    """All of it, on the node."""
    if probe.home is None:
        return Found(node=node, node_id=node_id, gpu=_gpu(probe))
    cache = _cache(probe.cache)
    found, wrong, room = "", "", ""
    try:
        shard_set = open_shards(str(probe.shards), probe.cache, probe.cache_bytes)
        found = shard_set.manifest.identity
        if not cache:
            lacking = [split for split in forecast(shard_set, ["train", "val"], probe.cache, probe.cache_bytes) if not split.fits]
            room = "; ".join(no_copy_text(split.split, split.num_bytes, split.free_bytes) for split in lacking)
    except UserError as error:
        wrong = error.problems[0]
    try:
        home = check_shared(probe.nonce, functools.partial(read_nonce, probe), functools.partial(write_nonce, probe), f"{probe.nonce}-{node_id}")
    except StoreAwayError as error:
        home = error.problems[0]
    return Found(
        node=node,
        node_id=node_id,
        home=home,
        shards=wrong,
        identity=found,
        cache=cache,
        room=room,
        weights=_weights(probe),
        gpu=_gpu(probe),
        versions=versions_here(probe.packages),
    )


@functools.lru_cache(maxsize=4)
def look_again(probe: str, node: str, node_id: str) -> tuple[str, ...]:
    """At the start of a trial, once a process: what is cheap. Returns what is wrong with this node."""
    asked = Probe.model_validate_json(probe)
    if asked.home is None:
        return tuple(problems(asked, Found(node=node, node_id=node_id, gpu=_gpu(asked))))
    home = check_shared(asked.nonce, functools.partial(read_nonce, asked), functools.partial(write_nonce, asked), f"{asked.nonce}-{node_id}")
    here = Found(node=node, node_id=node_id, home=home, identity=asked.identity, gpu=_gpu(asked), versions=versions_here(asked.packages))
    return tuple(problems(asked, here))


def problems(probe: Probe, found: Found) -> list[str]:
    """What is wrong with the node, a line each."""
    where, here = f"on node {found.node}", f"this machine ({probe.host})"
    lines = []
    if probe.home is not None:
        place, shared = place_of(probe), "a folder that all nodes share" if probe.home_url is None else "a bucket that all nodes may read and write"
        if found.home:
            lines.append(f"--home: {place}: {where} the file that {here} has just written there is not seen ({found.home}); {shared}")
        if found.shards:
            lines.append(f"--shards: {where}: {found.shards.partition('; ')[0]}, and {here} has the packed set; a folder that all nodes share")
        elif found.identity != probe.identity:
            lines.append(
                f"--shards: {probe.shards}: {where} the packed set is {found.identity[:12]}, on {here} {probe.identity[:12]}; the same on all nodes"
            )
        if found.cache:
            lines.append(f"--cache: {probe.cache}: {where} {found.cache}; a folder that can be written, on a disk of each node")
        if found.weights:
            lines.append(f"weights: {probe.weights}: {where} {found.weights}; the file that {here} has, under the same path")
        for name, ours in probe.versions.items():
            if (theirs := found.versions.get(name, "none")) != ours:
                lines.append(f"{name}: {where} {theirs}, on {here} {ours}; the same on all nodes")
    if found.gpu:
        lines.append(f"--gpus-per-trial: {probe.gpus:g}: {where} torch sees no GPU ({found.gpu}); a GPU and a driver that this torch can use")
    return lines


def place_of(probe: Probe) -> str:
    """The home, as a user names it."""
    assert probe.home is not None
    return str(probe.home.parents[1]) if probe.home_url is None else probe.home_url.rpartition("/sweeps/")[0]


def unanswered(probe: Probe, found: Found) -> list[str]:
    """What is wrong the other way round: whether what the node wrote is seen here, within `VISIBLE_S`."""
    if probe.home is None or found.home:
        return []
    deadline = time.monotonic() + VISIBLE_S
    while True:
        try:
            if read_nonce(probe, f"{probe.nonce}-{found.node_id}") == probe.nonce:
                return []
        except ShardsError:
            pass
        if time.monotonic() > deadline:
            return [
                f"--home: {place_of(probe)}: what node {found.node} wrote there is not seen on this machine ({probe.host}); "
                "a folder that all nodes share"
            ]
        time.sleep(0.2)


def clock_trouble(node: str, ahead_s: float) -> list[str]:
    if abs(ahead_s) <= CLOCK_S:
        return []
    return [f"clock: node {node} is {abs(ahead_s):,.0f} s {'ahead' if ahead_s > 0 else 'behind'}; within {CLOCK_S:.0f} s of this machine's"]


def versions_here(also: Iterable[str] = ()) -> dict[str, str]:
    """Of Python, of the packages that trials stand on, those in ``also`` too, and a digest of peoria's own code as it lies here."""
    found = {"python": platform.python_version()}
    for name in (*VERSIONS, *also):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"code of peoria": code_digest()[:12]}


@functools.cache
def code_digest() -> str:
    """Of every Python file of the two packages, by name and content, wherever they lie; hex."""
    digest = hashlib.sha256()
    for root in (Path(__file__).parents[1], Path(shards.__file__).parent):
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{root.name}/{path.relative_to(root).as_posix()}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _gpu(probe: Probe) -> str:
    if not probe.gpus or probe.pretend:
        return ""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    why = gpu_trouble()
    return f"{why}; CUDA_VISIBLE_DEVICES={seen}" if why and seen is not None else why


def _cache(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            return "cannot be written"
    except OSError as error:
        return str(error.strerror or error).lower()
    return ""


def _weights(probe: Probe) -> str:
    if probe.weights is None:
        return ""
    try:
        return "" if _sha256(probe.weights) == probe.weights_sha256 else "is another file"
    except StoreError as error:
        return f"they could not be had: {error.problems[0]}"
    except OSError as error:
        return str(error.strerror or error).lower()


def _sha256(weights: str) -> str:
    from peoria.models.stored_weights import bring  # brings torch, which the process of the record and Ray's do without

    bring(weights)
    with Path(weights).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
