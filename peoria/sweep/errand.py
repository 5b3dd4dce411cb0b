"""An errand: heavy work that is no trial (the baselines, the scoring of test), done by a worker of a trial's size on a node of a cluster. It takes a
text and gives bytes; who holds the record decides what becomes of them."""

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from peoria.errors import SweepError
from peoria.sweep.preflight import look_again
from peoria.sweep.resources import Say
from peoria.training.gpu import cap_memory
from shards.errors import StoreAwayError, UserError

TRIES = 5  # workers that may be lost with it before it is given up for this run
FIRST_WAIT_S = 1.0  # doubled each time


@dataclass
class Errand:
    """As the process that holds the record sees it."""

    what: str
    """In words, as ``the baselines``."""
    function: str
    """``module:name`` of what does it: from a text, and from a `Say` whose lines are said here, to bytes."""
    given: str
    say: Say
    take: Callable[[bytes], None] = lambda made: None
    """Is given the result as it comes."""
    node_id: str = ""
    """Of the node where it is done if that still is there; then of the one where it was done."""
    result: bytes | None = None
    lost: str = ""
    """Why it was given up for this run."""
    begun: bool = False
    """Whether a worker is at it."""
    _folder: "tempfile.TemporaryDirectory[str] | None" = field(default=None, repr=False)

    @property
    def over(self) -> bool:
        return self.result is not None or bool(self.lost)

    def message(self) -> dict[str, Any]:
        """What Ray's process is told; the result comes in a file, for it may be larger than what a line is good for."""
        self.begun = False
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="peoria-")
        return {"errand": self.function, "given": self.given, "node_id": self.node_id, "out": str(self._out)}

    def hear(self, message: dict[str, Any]) -> None:
        """What Ray's process tells of it.

        Raises:
            SweepError: it cannot be done; everything that was said of that.
        """
        told = message["errand"]
        if told == "begun":
            self.begun = True
        elif told == "note":
            self.begun = False
            self.say(f"  {self.what}: {message['text']}")
        elif told == "lost":
            self.lost = f"{self.what}: {message['text']}"
        elif told == "failed":
            raise SweepError(*message["problems"], hint=message["hint"])
        elif told == "done":
            for line in message["said"]:
                self.say(line)
            self.node_id = message["node_id"]
            self.result = self._out.read_bytes()
            if self._folder is not None:
                self._folder.cleanup()
            self.take(self.result)

    @property
    def _out(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "result"


class Answer(BaseModel):
    """What a worker that did an errand, or could not, says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str
    node_id: str
    said: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Why the node is not what it is taken for; nothing was done."""
    problems: tuple[str, ...] = ()
    """Why it could not be done."""
    hint: str = ""
    again: bool = False
    """Whether the problem may be of this node, or of this moment."""


def carry_out(function: str, given: str, probe: str, node: str, node_id: str, gpu_share: float) -> tuple[Answer, bytes]:
    """On the node: does it, after a look whether the node is what the sweep takes it for. What the user can mend is an answer; a bug is raised."""
    said: list[str] = []
    module, _, name = function.partition(":")
    try:
        if wrong := look_again(probe, node, node_id):
            return Answer(node=node, node_id=node_id, refused=wrong), b""
        cap_memory(gpu_share)
        made = getattr(importlib.import_module(module), name)(given, said.append)
    except (UserError, OSError) as error:
        problems = tuple(error.problems) if isinstance(error, UserError) else (str(error),)
        again = isinstance(error, OSError | StoreAwayError)
        hint = error.hint if isinstance(error, UserError) else ""
        return Answer(node=node, node_id=node_id, said=tuple(said), problems=problems, hint=hint, again=again), b""
    return Answer(node=node, node_id=node_id, said=tuple(said)), made
