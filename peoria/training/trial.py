"""The boundary around one trial where it runs, in a worker or in the process itself: reports out, whatever goes wrong inside."""

import functools
import os
import socket
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path

from filelock import FileLock, Timeout

from peoria.data.dataset import Dataset, open_dataset
from peoria.errors import DivergedError, RecordError, SweepError
from peoria.records.folder import TrialFolder
from peoria.records.schema import TrialWorker
from peoria.training.gpu import breaks_process, cap_memory, is_device_error, memory_text, outgrew_gpu
from peoria.training.loop import train
from peoria.training.memory import asked_bytes, available_bytes, outgrew, rss_bytes
from peoria.training.messages import TrialReport, TrialSpec
from peoria.training.pulse import Pulse
from peoria.training.remote import RemoteTrial
from shards.errors import ShardsError

ORPHAN_S = 120  # how long a trial waits for a worker of a killed driver to be gone
STOP_CHECK_S = 0.5  # between two looks for the stop file, which may lie on a disk that many share


@functools.lru_cache(maxsize=1)  # an actor that is used again keeps the data open
def _dataset(
    shards: str | Path, cache: Path, control: str | None, where: str | None, budget_bytes: int | None, threads: int, identity: str
) -> Dataset:  # fmt: skip
    return open_dataset(shards, cache, control=control, where=where, budget_bytes=budget_bytes, threads=threads, identity=identity)


def run_trial(
    spec: TrialSpec,
    *,
    gpu_share: float = 1.0,
    broken: Callable[[], None] = lambda: None,
    node: str = "",
    stop: Callable[[], bool] = lambda: False,
    leaving: Callable[[], bool] = lambda: False,
) -> Generator[TrialReport, None, None]:
    """Runs a trial and yields its reports, the last one with an end status. This is the trial boundary: what goes wrong inside becomes ``diverged``,
    ``infeasible`` (more memory than there is) or ``failed`` (an exception of its own, with its traceback); what is done to it from outside becomes
    ``interrupted``, with the reason in a line.

    Args:
        gpu_share: of one GPU's memory, that the process may allocate; 0: a trial whose device is auto trains on the CPU, also where a GPU is seen.
        broken: is called, before that last report, where the error left a process in which nothing should run any more.
        node: where this is, for people and for counting; "": the host's name.
        stop: asked between batches, as well as whether ``spec.stop_file`` is there.
        leaving: asked between batches: whether the node is being taken away.
    """
    folder, room = TrialFolder(spec.folder), (rss_bytes(), available_bytes())
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        cap_memory(gpu_share)
        # Held by the process: a worker that outlives its killed driver must not write beside its successor.
        with FileLock(folder.lock, timeout=ORPHAN_S):
            host = socket.gethostname()
            worker = TrialWorker(pid=os.getpid(), host=host, node=node or host, started_at=time.time(), rss_bytes=room[0], available_bytes=room[1])
            worker.write(folder.worker)
            pulse = Pulse(folder.seen, spec.config.batch_size)
            asked = _stop(spec.stop_file, lambda: stop() or leaving(), pulse.batch)
            remote = None if spec.remote is None else RemoteTrial(spec.remote, folder, spec.config.sha256, asked)
            try:
                if remote is not None:
                    remote.begin()
                dataset = _dataset(spec.shards, spec.cache, spec.control, spec.where, spec.cache_bytes, spec.config.threads, spec.identity)
                wanted = "cpu" if spec.config.device == "auto" and not gpu_share else spec.config.device
                for report in train(spec.config, dataset, folder, asked if remote is None else remote.stop, wanted):
                    pulse.at(report.step)
                    preempted = report.status == "interrupted" and leaving()
                    if preempted:
                        report = report.model_copy(update={"preempted": True, "error": "its node is being taken away"})
                        worker.model_copy(update={"left_at": report.step}).write(folder.worker)
                    if remote is not None:
                        remote.report(report)
                        remote.put(*[folder.worker.name] * preempted)
                    yield report
            finally:
                pulse.end()
                if remote is not None:
                    remote.leave()
        return
    except DivergedError as error:
        end = TrialReport(step=error.step, status="diverged", error=_sendable(str(error)))
    except Exception as error:  # noqa: BLE001 - the one place: a bug in one trial is recorded and does not end the sweep
        end = _end(error, gpu_share, room)
        if breaks_process(error):
            broken()
    yield end  # here nothing holds on to the error any more, and to the tensors in its frames


def _end(error: Exception, gpu_share: float, room: tuple[int, int]) -> TrialReport:
    if text := memory_text(error, gpu_share):
        own = outgrew_gpu(gpu_share) if "GPU" in text else outgrew(rss_bytes() - room[0] + asked_bytes(error), room[1])
        if own:
            return TrialReport(step=0, status="infeasible", error=_sendable(f"{traceback.format_exc()}{text}"))
        return TrialReport(step=0, status="interrupted", error=_sendable(text))
    if isinstance(error, Timeout):
        return TrialReport(step=0, status="interrupted", error=f"another process still trains in {Path(error.lock_file).parent}")
    if isinstance(error, OSError | ShardsError | SweepError | RecordError) or is_device_error(error):
        first, *rest = str(error).splitlines() or [type(error).__name__]
        hint = next((f" ({line})" for line in rest if line.startswith("hint: ")), "")
        return TrialReport(step=0, status="interrupted", error=_sendable(first[:500] + hint[:300]))
    return TrialReport(step=0, status="failed", error=_sendable(traceback.format_exc()))


def _stop(file: Path | None, also: Callable[[], bool], batch: Callable[[], None]) -> Callable[[], bool]:
    looked_at = -STOP_CHECK_S

    def asked() -> bool:
        nonlocal looked_at
        batch()  # whoever trains asks before each
        if also():
            return True
        if file is None or (now := time.monotonic()) - looked_at < STOP_CHECK_S:
            return False
        looked_at = now
        return file.exists()

    return asked


def _sendable(text: str) -> str:
    """As UTF-8 can hold it: half of a surrogate pair, as of a path in another encoding, written out."""
    return text.encode("utf-8", "backslashreplace").decode()
