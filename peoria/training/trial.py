"""One trial where it runs, in a worker or in the process itself: reports out, whatever goes wrong inside."""

import functools
import traceback
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset, open_dataset
from peoria.errors import DivergedError
from peoria.training.gpu import breaks_process, cap_memory, memory_text
from peoria.training.loop import train

ORPHAN_S = 120  # how long a trial waits for a worker of a killed driver to be gone


@functools.lru_cache(maxsize=1)  # an actor that is used again keeps the data open
def _dataset(shards: str, cache: str, control: str | None, where: str | None, budget_bytes: int | None, threads: int) -> Dataset:
    return open_dataset(Path(shards), Path(cache), control=control, where=where, budget_bytes=budget_bytes, threads=threads)


def messages(spec: dict[str, Any], broken: Callable[[], None] = lambda: None) -> Generator[dict[str, Any], None, None]:
    """Runs the trial of ``spec`` (key, folder, config, shards, cache, cache_bytes, control, where, gpu_share) and yields what the store records, the
    last one with an end status. This is the trial boundary: what goes wrong inside becomes ``diverged`` or ``failed``, with its traceback.

    Args:
        broken: is called, before that last message, where the error left a process in which nothing should run any more.
    """
    folder, share = Path(spec["folder"]), float(spec.get("gpu_share", 1.0))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        cap_memory(share)
        # Held by the process: a worker that outlives its killed driver must not write beside its successor.
        with FileLock(folder / ".lock", timeout=ORPHAN_S):
            config = TrialConfig.model_validate(spec["config"])
            dataset = _dataset(spec["shards"], spec["cache"], spec["control"], spec.get("where"), spec.get("cache_bytes"), config.threads)
            for report in train(config, dataset, folder):
                yield {**asdict(report), "error": None}
        return
    except DivergedError as error:
        end = _end("diverged", str(error), error.step)
    except Exception as error:  # noqa: BLE001 - the one place: a bug in one trial is recorded and does not end the sweep
        end = _end("failed", f"{traceback.format_exc()}{memory_text(error, share)}")
        if breaks_process(error):
            broken()
    yield end  # here nothing holds on to the error any more, and to the tensors in its frames


def _end(status: str, error: str, step: int = 0) -> dict[str, Any]:
    return {"step": step, "status": status, "objective": None, "metrics": {}, "points": [], "error": error}
