"""Candidates side by side: each in a fresh process of its own, taking turns, so that whatever else the machine does hits all alike."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.figures import NotRunError

ROOT = Path(__file__).resolve().parent.parent
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(4 << 30), "MALLOC_MMAP_THRESHOLD_": str(4 << 30)}  # as peoria's executor gives its workers
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Candidate:
    """``make`` names a function of this package (``module:function``) that gets ``arguments`` and returns one round as a function."""

    make: str
    arguments: Mapping[str, Any]
    python: str = sys.executable
    pinned: bool = True  # to one CPU
    tuned: bool = True  # with the malloc variables
    env: Mapping[str, str] = field(default_factory=dict)  # more of its environment


@dataclass(frozen=True)
class Round:
    num: int  # pictures, or whatever is counted
    cpu_s: float
    wall_s: float
    told: dict[str, Any]


def python_path() -> str:
    """This repository first, then what the caller has."""
    return os.pathsep.join(path for path in (str(ROOT), os.environ.get("PYTHONPATH", "")) if path)


class Process:
    """A candidate in its process; use as a context manager. Raises NotRunError where it cannot start."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self._process: subprocess.Popen[str] | None = None

    def launch(self) -> None:
        """Starts the process without waiting for it to be ready, as entering does."""
        env = {**os.environ, **(MALLOC if self.candidate.tuned else {}), **ONE_THREAD, "PYTHONPATH": python_path(), **self.candidate.env}
        command = [self.candidate.python, "-m", "benchmarks.worker", self.candidate.make, json.dumps(dict(self.candidate.arguments))]
        command += [str(max(os.sched_getaffinity(0)))] if self.candidate.pinned and hasattr(os, "sched_getaffinity") else []
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=ROOT, text=True)
        except OSError as error:
            raise NotRunError(f"{self.candidate.python}: {error.strerror}") from None

    def __enter__(self) -> Self:
        if self._process is None:
            self.launch()
        try:
            self.ready()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def ready(self) -> None:
        """Waits until a process that was launched can begin."""
        self._answer()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        if kind is not None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def start(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> Round:
        return Round(**self._answer())

    def round(self) -> Round:
        self.start()
        return self.finish()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # the rest is what libraries print
                answer: dict[str, Any] = json.loads(line)
                if "missing" in answer:
                    raise NotRunError(answer["missing"])
                return answer
        raise NotRunError(f"{self.candidate.make} ended with status {self._process.wait()}; its error is above")


def alternate(processes: Mapping[str, Process], rounds: int) -> dict[str, list[Round]]:
    """One round of each to warm up, then ``rounds`` of each in turn."""
    for process in processes.values():
        process.round()
    found: dict[str, list[Round]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            found[name].append(process.round())
    return found


def cpu_rate(rounds: list[Round]) -> float:
    """Pictures a second of CPU time, the median of the rounds."""
    return statistics.median(r.num / r.cpu_s for r in rounds)


def wall_rate(rounds: list[Round]) -> float:
    return statistics.median(r.num / r.wall_s for r in rounds)
