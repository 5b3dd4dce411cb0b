"""What a cluster is and could become, as its nodes and its autoscaler tell it, and what that means for the trials that wait, in words."""

import math
import re
import time
from collections import Counter
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

WAIT_S = 60.0  # that trials wait, or a node is idle, before it is said
FEW = 3  # of a list, before the rest is counted
NUMBERS = re.compile(r"[\d.]+( (s|min|h)\b)?")  # a line that differs in them alone says nothing new


class Machine(BaseModel):
    """What a node, or a type of nodes, has for trials."""

    model_config = ConfigDict(frozen=True)

    cpus: float = 0.0
    gpus: float = 0.0

    def holds(self, cpus: float, gpus: float) -> int:
        """How many trials of that size fit on it at once."""
        by_gpu = math.inf if not gpus else self.gpus // gpus if gpus >= 1 else int(self.gpus) * int(1 / gpus + 1e-9)
        return int(min(self.cpus // cpus, by_gpu))

    def __str__(self) -> str:
        kind, num = ("GPU", self.gpus) if self.gpus else ("CPU", self.cpus)
        return f"{num:g} {kind}{'s' if num != 1 else ''}"


class NodeType(Machine):
    """A kind of node that the autoscaler may start."""

    name: str
    most: int
    instance: str = ""
    """The provider's name of the machine; "" where it is not known."""
    spot: bool = False


class Node(Machine):
    """A node that is there."""

    name: str
    """Its host's name or address."""
    id: str
    type: str = ""
    """"" where no autoscaler named it."""
    idle_s: float = 0.0
    """As the autoscaler counts."""


class Outlook(BaseModel):
    """Of a cluster, now."""

    model_config = ConfigDict(frozen=True)

    address: str
    nodes: tuple[Node, ...] = ()
    """Alive."""
    autoscaler: bool = False
    """Whether nodes come and go as they are needed."""
    types: tuple[NodeType, ...] = ()
    """That the autoscaler may start; () where nobody here can know them."""
    most: int | None = None
    """Nodes of all types together, beside the head."""
    asked_for: dict[str, int] = {}
    """By type: nodes that are on their way."""
    troubles: tuple[str, ...] = ()
    """Why a node did not come."""


class Size(BaseModel):
    """What a trial takes of a node."""

    model_config = ConfigDict(frozen=True)

    cpus: int
    gpus: float

    def __str__(self) -> str:
        return f"{self.gpus:g} {'GPU' if self.gpus <= 1 else 'GPUs'}" if self.gpus else f"{self.cpus} {'CPU' if self.cpus == 1 else 'CPUs'}"


def useful(outlook: Outlook, size: Size) -> list[NodeType]:
    """The types of node that a trial fits on."""
    return [kind for kind in outlook.types if kind.most and kind.holds(size.cpus, size.gpus)]


def has_gpus(outlook: Outlook) -> bool:
    return any(machine.gpus for machine in (*outlook.types, *outlook.nodes))


def places_now(outlook: Outlook, size: Size) -> int:
    """Trials that the nodes that are there could hold at once."""
    return sum(node.holds(size.cpus, size.gpus) for node in outlook.nodes)


def never(outlook: Outlook, size: Size) -> str:
    """Why no node could ever take a trial, as far as is known; "" where one could. Without an autoscaler a node may be added by hand."""
    if places_now(outlook, size) or useful(outlook, size):
        return ""
    if outlook.types:
        return f"no node type has {size} ({', '.join(f'{kind.name}: {_has(kind, size)}' for kind in outlook.types)})"
    workers = [node for node in outlook.nodes if node.cpus or node.gpus]
    if not workers or outlook.autoscaler:
        return ""
    return f"no node has {size} (the {len(workers)} here: {', '.join(sorted({_has(node, size) for node in workers}))})"


def _has(machine: Machine, size: Size) -> str:
    short = not size.gpus or machine.gpus >= size.gpus  # of CPUs, then
    return f"{machine.cpus:g} CPUs" if short else f"{machine.gpus:g} {'GPU' if machine.gpus == 1 else 'GPUs'}"


def where_text(outlook: Outlook, size: Size, concurrent: int) -> str:
    """The first line of a plan: the cluster, its node types and how many nodes the sweep could use at once."""
    if outlook.types:
        kinds = ", ".join(f"{kind.name} (0-{kind.most} × {kind})" for kind in outlook.types if kind.most and (kind.cpus or kind.gpus))
        known = f"node types {kinds}"
    else:
        counted = Counter(str(Machine(cpus=node.cpus, gpus=node.gpus)) for node in outlook.nodes if node.cpus or node.gpus)
        nodes = ", ".join(f"{num} with {what}" for what, num in sorted(counted.items()))
        known = f"nodes that run trials: {nodes or 'none yet'}" + (", and more as its autoscaler adds them" if outlook.autoscaler else "")
    return f"cluster {outlook.address}, {known}; this sweep can use {_nodes_text(outlook, size, concurrent)}"


def _nodes_text(outlook: Outlook, size: Size, concurrent: int) -> str:
    machines: list[tuple[int, int]] = []  # places on it, how many of it
    if kinds := useful(outlook, size):
        machines = [(kind.holds(size.cpus, size.gpus), kind.most) for kind in kinds]
    else:
        machines = [(places, 1) for node in outlook.nodes if (places := node.holds(size.cpus, size.gpus))]
    if not machines:
        return "none of them" if outlook.nodes or outlook.types else "what comes"
    left, nodes = concurrent, 0
    for places, num in sorted(machines):  # the smallest first: at most so many
        taken = min(num, math.ceil(left / places))
        nodes, left = nodes + taken, left - taken * places
        if left <= 0:
            break
    nodes = nodes if outlook.most is None or not kinds else min(nodes, outlook.most)
    return f"up to {nodes} node{'s' if nodes != 1 else ''} at once"


def waiting_text(outlook: Outlook | None, size: Size, num: int, since_s: float, refused: dict[str, str] | None = None) -> str:
    """What ``num`` trials wait for.

    Args:
        since_s: how long the first of them has waited.
        refused: nodes that are not used, by id, and why.
    """
    what = f"{num} trial{'s' if num != 1 else ''} of {size}{' each' if num > 1 else ''}"
    if outlook is None:
        return f"waiting: {what}, for {spoken(since_s)}"
    if why := never(outlook, size):
        return f"waiting: {what}; {why}"
    usable = [node for node in outlook.nodes if node.id not in (refused or {}) and node.holds(size.cpus, size.gpus)]
    kinds = useful(outlook, size)
    named = " or ".join(kind.name for kind in kinds)
    here = sum(node.type in {kind.name for kind in kinds} for node in usable) if kinds else len(usable)
    coming = sum(outlook.asked_for.get(kind.name, 0) for kind in kinds) if kinds else sum(outlook.asked_for.values())
    most = min(sum(kind.most for kind in kinds), math.inf if outlook.most is None else outlook.most) if kinds else math.inf
    parts = []
    if not outlook.autoscaler or (here >= most and not coming):
        full = f"the {len(usable)} node{'s' if len(usable) != 1 else ''} that can take one {'are' if len(usable) != 1 else 'is'} full"
        text = f"waiting: {what}; {full if usable else 'no node is there that can take one'}, for {spoken(since_s)}"
    else:
        places = max(kind.holds(size.cpus, size.gpus) for kind in kinds) if kinds else 1
        wanted = min(coming or max(1, math.ceil(num / places)), most - here)
        text = f"waiting for {wanted:g} node{'s' if wanted != 1 else ''}{f' of {named}' if named else ''}, {here} here, for {spoken(since_s)}"
        parts = [f"its autoscaler: {trouble}" for trouble in outlook.troubles[:FEW]]
    if refused:
        parts.append(f"{len(refused)} not used")
    return "; ".join([text, *parts])


def idle_text(node: Node) -> str:
    return f"idle: node {node.name}{f' of {node.type}' if node.type else ''} for {spoken(node.idle_s)}; no trial waits for one"


def spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Watcher:
    """Says what waits, once it has waited for `WAIT_S`, then whenever the reason changes and after twice the time; what is idle, the same."""

    def __init__(self, say: Callable[[str], object], size: Size, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._size, self._clock = say, size, clock
        self.outlook: Outlook | None = None
        self.refused: dict[str, str] = {}
        self.text = ""
        """What is waited for now; "" where nothing has waited for so long."""
        self._told: dict[str, tuple[str, float]] = {}  # by subject: the kind of line, and the duration it named

    def waits(self, num: int, since: float | None) -> None:
        """``num`` trials wait, the first one since ``since`` of the clock; None: nothing does."""
        waited = 0.0 if since is None else self._clock() - since
        hopeless = self.outlook is not None and bool(never(self.outlook, self._size))
        if since is None or (waited < WAIT_S and not hopeless):
            self.text = ""
            self._told.pop("waiting", None)
        else:
            self.text = waiting_text(self.outlook, self._size, num, waited, self.refused)
            self._tell("waiting", NUMBERS.sub("", self.text), waited, self.text)
        self._idle(anything_waits=since is not None)

    def _idle(self, anything_waits: bool) -> None:
        nodes = self.outlook.nodes if self.outlook is not None and not anything_waits else ()
        idle = {node.id: node for node in nodes if node.idle_s >= WAIT_S and node.holds(self._size.cpus, self._size.gpus)}
        for gone in [key for key in self._told if key != "waiting" and key not in idle]:
            del self._told[gone]
        for node in idle.values():
            self._tell(node.id, "idle", node.idle_s, idle_text(node))

    def _tell(self, subject: str, kind: str, seconds: float, text: str) -> None:
        before = self._told.get(subject)
        if before is None or before[0] != kind or seconds >= 2 * max(before[1], WAIT_S):
            self._told[subject] = (kind, seconds)
            self._say(f"  {text}")
