"""The boundary around one trial where it runs, in a worker or in the process itself: reports out, whatever goes wrong inside."""

import functools
import traceback
from collections.abc import Callable, Generator
from pathlib import Path

from filelock import FileLock

from peoria.data.dataset import Dataset, open_dataset
from peoria.errors import DivergedError
from peoria.records.folder import TrialFolder
from peoria.training.gpu import breaks_process, cap_memory, memory_text
from peoria.training.loop import train
from peoria.training.messages import TrialReport, TrialSpec

ORPHAN_S = 120  # how long a trial waits for a worker of a killed driver to be gone


@functools.lru_cache(maxsize=1)  # an actor that is used again keeps the data open
def _dataset(shards: Path, cache: Path, control: str | None, where: str | None, budget_bytes: int | None, threads: int) -> Dataset:
    return open_dataset(shards, cache, control=control, where=where, budget_bytes=budget_bytes, threads=threads)


def run_trial(spec: TrialSpec, *, gpu_share: float = 1.0, broken: Callable[[], None] = lambda: None) -> Generator[TrialReport, None, None]:
    """Runs a trial and yields its reports, the last one with an end status. This is the trial boundary: what goes wrong inside becomes
    ``diverged`` or ``failed``, with its traceback.

    Args:
        gpu_share: of one GPU's memory, that the process may allocate.
        broken: is called, before that last report, where the error left a process in which nothing should run any more.
    """
    folder = TrialFolder(spec.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        cap_memory(gpu_share)
        # Held by the process: a worker that outlives its killed driver must not write beside its successor.
        with FileLock(folder.lock, timeout=ORPHAN_S):
            dataset = _dataset(spec.shards, spec.cache, spec.control, spec.where, spec.cache_bytes, spec.config.threads)
            yield from train(spec.config, dataset, folder)
        return
    except DivergedError as error:
        end = TrialReport(step=error.step, status="diverged", error=_sendable(str(error)))
    except Exception as error:  # noqa: BLE001 - the one place: a bug in one trial is recorded and does not end the sweep
        end = TrialReport(step=0, status="failed", error=_sendable(f"{traceback.format_exc()}{memory_text(error, gpu_share)}"))
        if breaks_process(error):
            broken()
    yield end  # here nothing holds on to the error any more, and to the tensors in its frames


def _sendable(text: str) -> str:
    """As UTF-8 can hold it: half of a surrogate pair, as of a path in another encoding, written out."""
    return text.encode("utf-8", "backslashreplace").decode()
