"""Errands in Ray's own process: a worker of a trial's size does each, and another one where it is lost."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from peoria.sweep.deaths import why_of
from peoria.sweep.errand import FIRST_WAIT_S, TRIES, Answer, carry_out
from peoria.sweep.ray_nodes import here

Tell = Callable[..., None]


class Messenger:
    """In a worker."""

    def arrive(self) -> str:
        """Returns once it has a node; the name of that."""
        return here()[0]

    def run(self, function: str, given: str, probe: str) -> tuple[str, bytes]:
        share = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
        answer, made = carry_out(function, given, probe, *here(), share)
        return answer.model_dump_json(), made


def do_errand(tell: Tell, probe: str, cpus: int, gpus: float, refused: list[str], asked: dict[str, Any]) -> None:
    """Does what the process that holds the record has ``asked``; waits for a node as long as none has room.

    Args:
        refused: ids of nodes that are not used; those that are found wrong here are added.
    """
    tries = 0
    while True:
        actor = ray.remote(**_options(cpus, gpus, refused, asked["node_id"]))(Messenger).remote()
        node, why = "", ""
        try:
            node = ray.get(actor.arrive.remote())
            tell(errand="begun")
            text, made = ray.get(actor.run.remote(asked["errand"], asked["given"], probe))
            answer = Answer.model_validate_json(text)
            if answer.refused:
                refused.append(answer.node_id)
                for line in answer.refused:
                    tell(errand="note", text=f"node {answer.node} is not used: {line}")
            elif not answer.problems:
                Path(asked["out"]).write_bytes(made)
                tell(errand="done", said=list(answer.said), node_id=answer.node_id)
                return
            elif not answer.again:
                tell(errand="failed", problems=list(answer.problems), hint=answer.hint)
                return
            why = answer.problems[0] if answer.problems else ""
        except RayTaskError as error:  # raised by the work itself
            traceback.print_exc()  # to the log
            tell(errand="failed", problems=[f"node {node}: {last_line(str(error))}"], hint="the traceback is in the sweep's ray.log")
            return
        except RayError as error:
            traceback.print_exc()
            why = why_of(f"{type(error).__name__}: {error}")
        finally:
            ray.kill(actor)
        if not why:
            continue
        tries += 1
        if tries == TRIES:
            tell(errand="lost", text=f"given up after {TRIES} tries, the last one: {why}; owed")
            return
        wait_s = FIRST_WAIT_S * 2 ** (tries - 1)
        tell(errand="note", text=f"{why}{f', on node {node}' if node else ''}; begun again in {wait_s:.0f} s ({tries} of {TRIES - 1})")
        time.sleep(wait_s)


def _options(cpus: int, gpus: float, refused: list[str], node_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0}
    if refused:
        return found | {"label_selector": {"ray.io/node-id": f"!in({','.join(refused)})"}}
    return found | ({"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=True)} if node_id else {})


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["?"])[-1].strip()[:300]
