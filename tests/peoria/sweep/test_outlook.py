"""What waits on a cluster, in words."""

import pytest

from peoria.sweep.outlook import Node, NodeType, Outlook, Size, Watcher, never, waiting_text, where_text

L4 = NodeType(name="gpu_l4", cpus=8, gpus=1, most=8)
BIG = NodeType(name="gpu_4", cpus=48, gpus=4, most=2)
HALF, TWO = Size(cpus=1, gpus=0.5), Size(cpus=1, gpus=2)


def node(number: int, kind: str = "", gpus: float = 1, idle_s: float = 0.0) -> Node:
    return Node(name=f"10.0.0.{number}", id=str(number), cpus=8, gpus=gpus, type=kind, idle_s=idle_s)


HEAD = Node(name="10.0.0.4", id="head")


def scaled(*nodes: Node, kinds: tuple[NodeType, ...] = (L4,), **more: object) -> Outlook:
    return Outlook.model_validate({"address": "10.0.0.4:6379", "nodes": (HEAD, *nodes), "autoscaler": True, "types": kinds} | more)


def by_hand(*nodes: Node) -> Outlook:
    return Outlook(address="10.0.0.4:6379", nodes=(HEAD, *nodes))


def test_the_plan_names_node_types_and_how_many_nodes_the_sweep_can_use() -> None:
    assert where_text(scaled(), HALF, 8) == "cluster 10.0.0.4:6379, node types gpu_l4 (0-8 × 1 GPU); this sweep can use up to 4 nodes at once"
    assert where_text(scaled(), HALF, 80).endswith("up to 8 nodes at once")
    assert where_text(scaled(most=3), HALF, 80).endswith("up to 3 nodes at once")
    assert where_text(scaled(kinds=(L4, BIG)), TWO, 3).endswith("gpu_4 (0-2 × 4 GPUs); this sweep can use up to 2 nodes at once")
    assert where_text(scaled(), TWO, 8).endswith("this sweep can use none of them")
    assert where_text(by_hand(node(5), node(6)), HALF, 3) == (
        "cluster 10.0.0.4:6379, nodes that run trials: 2 with 1 GPU; this sweep can use up to 2 nodes at once"
    )
    assert where_text(by_hand(), HALF, 3).endswith("nodes that run trials: none yet; this sweep can use none of them")


@pytest.mark.parametrize("size", [TWO, Size(cpus=64, gpus=0), Size(cpus=64, gpus=0.5)])
def test_what_can_never_be_is_known_at_once(size: Size) -> None:
    assert never(scaled(), size).startswith(f"no node type has {size} (gpu_l4: ")
    assert never(by_hand(node(5)), size).startswith(f"no node has {size} (the 1 here: ")
    for possible in (scaled(), by_hand(node(5))):
        assert never(possible, HALF) == ""  # the control
    assert never(by_hand(), size) == ""  # nothing is known of what comes
    assert never(scaled(kinds=()), size) == ""


def test_each_reason_has_its_words() -> None:
    assert waiting_text(scaled(), TWO, 6, 80) == "waiting: 6 trials of 2 GPUs each; no node type has 2 GPUs (gpu_l4: 1 GPU)"
    one_here = scaled(node(5, "gpu_l4"), asked_for={"gpu_l4": 3}, troubles=("gpu_l4: no capacity in us-west-2a",))
    assert waiting_text(one_here, HALF, 6, 420) == (
        "waiting for 3 nodes of gpu_l4, 1 here, for 7 min; its autoscaler: gpu_l4: no capacity in us-west-2a"
    )
    assert waiting_text(scaled(node(5, "gpu_l4")), HALF, 6, 80) == "waiting for 3 nodes of gpu_l4, 1 here, for 80 s"
    full = scaled(*(node(n, "gpu_l4") for n in range(8)))
    assert waiting_text(full, HALF, 4, 80) == "waiting: 4 trials of 0.5 GPU each; the 8 nodes that can take one are full, for 80 s"
    assert waiting_text(by_hand(node(5)), HALF, 1, 80) == "waiting: 1 trial of 0.5 GPU; the 1 node that can take one is full, for 80 s"
    assert waiting_text(by_hand(), HALF, 1, 80) == "waiting: 1 trial of 0.5 GPU; no node is there that can take one, for 80 s"
    assert waiting_text(by_hand(node(5)), HALF, 1, 80, {"5": "another disk"}).endswith("for 80 s; 1 not used")


def test_a_line_comes_within_ninety_seconds_then_when_the_reason_changes_and_after_twice_the_time() -> None:
    said: list[str] = []
    now = 0.0
    watcher = Watcher(said.append, HALF, lambda: now)
    watcher.outlook = scaled(asked_for={"gpu_l4": 3})
    lines = {}
    for now in range(1000):
        if now == 400:
            watcher.outlook = scaled(asked_for={"gpu_l4": 3}, troubles=("gpu_l4: none left",))
        watcher.waits(6, 0.0)
        lines[now] = len(said)
    assert [second for second in range(1, 1000) if lines[second] > lines[second - 1]] == [60, 120, 240, 400, 800]
    assert watcher.text.startswith("waiting for 3 nodes")
    watcher.waits(0, None)
    assert watcher.text == ""
    assert len(said) == 5


def test_what_can_never_be_is_said_without_waiting() -> None:
    said: list[str] = []
    watcher = Watcher(said.append, TWO, lambda: 1.0)
    watcher.outlook = scaled()
    watcher.waits(6, 0.0)
    assert len(said) == 1
    control = Watcher(said.append, HALF, lambda: 1.0)
    control.outlook = scaled()
    control.waits(6, 0.0)
    assert len(said) == 1


def test_a_node_that_is_idle_is_named_unless_something_waits() -> None:
    said: list[str] = []
    watcher = Watcher(said.append, HALF, lambda: 10.0)
    watcher.outlook = scaled(node(5, "gpu_l4", idle_s=70), node(6, "gpu_l4"))
    watcher.waits(1, 5.0)
    assert said == []
    for idle_s in (70, 75, 150):
        watcher.outlook = scaled(node(5, "gpu_l4", idle_s=idle_s), node(6, "gpu_l4"))
        watcher.waits(0, None)
    assert said == [f"  idle: node 10.0.0.5 of gpu_l4 for {time}; no trial waits for one" for time in ("70 s", "2 min")]
