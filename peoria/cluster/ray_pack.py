"""Pictures of a pack made ready on the nodes of a Ray cluster, a chunk a task; what they make comes back, and the process that packs writes it.

The nodes have to see the pictures by the same paths, and to have the same software.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from peoria.errors import SweepError
from peoria.sweep.cluster import OWN, ray_address, refuse_cluster
from peoria.sweep.ray_setup import WORKER_ENV
from shards.pack.workers import WorkerDiedError

CRASHES = 2  # of workers with one chunk, before its pictures are tried one by one by the process that packs
LOST_NODES = 20  # under one chunk


class RayUnits:
    """``with RayUnits("auto") as units`` (`shards.pack.workers.Units`): a cluster, left after the block."""

    shares_disk = False

    def __init__(self, asked: str) -> None:
        """
        Args:
            asked: ``auto``, or HOST:PORT of a cluster's head.

        Raises:
            SweepError: no cluster is there, or one that runs anybody's code.
        """
        self._address = ray_address(asked)
        if self._address == OWN:
            raise SweepError(f"--ray: {asked!r}; 'auto' or HOST:PORT of a cluster's head", hint="without --ray a pack runs on this machine alone")
        refuse_cluster(self._address)

    def __enter__(self) -> "RayUnits":
        try:
            ray.init(address=self._address, runtime_env={"env_vars": WORKER_ENV}, log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, ValueError) as error:  # nobody there, or another version of Ray or of Python
            raise _trouble(error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ray.shutdown()

    def each(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """As `Units.each`; the chunk of a node that is lost is begun again elsewhere."""
        do = ray.remote(num_cpus=1, max_retries=0)(_do)
        here, jobs = os.getcwd(), iter(jobs)
        running: dict[Any, tuple[Any, int, int]] = {}  # the job, crashes of workers and lost nodes so far
        while True:
            for job in islice(jobs, max(0, _num_ahead() - len(running))):
                running[do.remote(here, function, job)] = job, 0, 0
            if not running:
                return
            for done in ray.wait(list(running), num_returns=1, timeout=10.0)[0]:  # meanwhile nodes may have come
                job, crashes, lost = running.pop(done)
                try:
                    yield job, ray.get(done)
                    continue
                except RayTaskError as error:
                    raise error.cause from None
                except (WorkerCrashedError, OutOfMemoryError):
                    crashes += 1
                except (NodeDiedError, ObjectLostError):
                    lost += 1
                except RayError as error:
                    raise _trouble(error) from None
                if crashes == CRASHES or lost == LOST_NODES:
                    yield job, WorkerDiedError(0)
                else:
                    running[do.remote(here, function, job)] = job, crashes, lost


def _trouble(error: Exception) -> SweepError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return SweepError(f"--ray: {said[0][:300]}; a cluster that runs tasks", hint="the same command goes on where this stopped, also without --ray")


def _num_ahead() -> int:
    return 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))


def _do(folder: str, function: Callable[[Any], Any], job: Any) -> Any:
    with suppress(OSError):  # paths that start nowhere start where the command was given
        os.chdir(folder)
    return function(job)
