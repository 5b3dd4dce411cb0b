"""Which Ray a sweep runs on: a cluster that was named, the one that this machine is a node of, or one of our own."""

import os
import re
import socket
from pathlib import Path

from peoria.errors import SweepError

CONNECT_S = 10.0  # until an address that does not answer is taken for dead
OWN = "local"
EVERYBODYS = "/tmp"  # where Ray keeps its files unless it is told otherwise
ADDRESS = re.compile(r"(ray://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")
PRIVATE = re.compile(r"--temp-dir=.*/peoria-\w{8}/\w+")  # of a sweep's own Ray, see ray_process.private_folder
HERE = f"--ray {OWN}, or RAY_ADDRESS={OWN}, runs the sweep on this machine alone"


def ray_address(asked: str | None = None) -> str:
    """Where Ray is: ``HOST:PORT`` of a cluster's head, or ``local``, a Ray of our own.

    Args:
        asked: ``local``, ``auto`` or an address; None: what ``RAY_ADDRESS`` says, or else the running cluster that this machine is a node of.

    Raises:
        SweepError: it is no address, or ``auto`` finds no cluster here.
    """
    name = "RAY_ADDRESS" if asked is None else "--ray"
    asked = os.environ.get("RAY_ADDRESS") if asked is None else asked
    if asked is None:
        return started_here() or OWN
    if asked == OWN:
        return OWN
    if asked == "auto":
        if (found := started_here() or only_one_here()) is None:
            raise SweepError(f"{name}: 'auto', and this machine is no node of a running cluster; HOST:PORT of one's head is needed", hint=HERE)
        return found
    port = ADDRESS.fullmatch(asked)
    if port is None or not 0 < int(port[3]) < 65536:
        raise SweepError(f"{name}: {asked!r}; HOST:PORT of a cluster's head is needed, or 'auto' on one of its nodes", hint=HERE)
    return asked


def started_here() -> str | None:
    """The cluster that ``ray start`` made this machine a node of, as Ray itself finds it: by a file, which outlives the cluster. So a node's process
    has to name the same address, where processes can be seen, and somebody has to answer there."""
    for base in dict.fromkeys((os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or EVERYBODYS, EVERYBODYS)):
        try:
            address = Path(base, "ray", "ray_current_cluster").read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        nodes = nodes_here()
        if ADDRESS.fullmatch(address) and (nodes is None or address in nodes) and answers(address) is None:
            return address
    return None


def only_one_here() -> str | None:
    """The one cluster of which a node's process runs on this machine."""
    found = {address for address in nodes_here() or () if answers(address) is None}
    return found.pop() if len(found) == 1 else None


def nodes_here() -> set[str] | None:
    """Addresses of the clusters of which a node (a raylet) runs on this machine, without the private Ray of any sweep; None where processes cannot be
    seen."""
    if not Path("/proc/self/cmdline").exists():
        return None
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0") if folder.name.isdigit() else []
        except OSError:
            continue  # it has ended, or is somebody else's
        if Path(words[0] if words else "").name == "raylet" and not any(PRIVATE.fullmatch(word) for word in words):
            found |= {word.partition("=")[2] for word in words if re.match(r"--?gcs[-_]address=", word)}
    return found


def answers(address: str, timeout_s: float = CONNECT_S) -> OSError | None:
    """None where somebody takes a connection."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except OSError as error:
        return error
    return None


def refuse_cluster(address: str) -> None:
    """
    Raises:
        SweepError: nothing answers there, or no token is used; whoever reaches its port could run code on it.
    """
    if address == OWN:
        return
    if (mode := os.environ.get("RAY_AUTH_MODE")) != "token":
        raise SweepError(
            f"RAY_AUTH_MODE: {mode!r} on the cluster {address}; 'token' is needed, for without one Ray runs anybody's code",
            hint=f"start every node with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, as ray_cluster.yaml does; {HERE}",
        )
    if (error := answers(address)) is not None:
        raise SweepError(
            f"RAY_ADDRESS: {address}: {error.strerror or error}; the head of a running cluster is needed there", hint=f"is the cluster up? {HERE}"
        )
