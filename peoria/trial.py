"""One trial where it runs, in a worker or in the process itself: reports out, whatever goes wrong inside."""

import functools
import traceback
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from peoria.config import TrialConfig
from peoria.data import Dataset, open_dataset
from peoria.errors import DivergedError
from peoria.train import train

ORPHAN_S = 120  # how long a trial waits for a worker of a killed driver to be gone


@functools.lru_cache(maxsize=1)  # an actor that is used again keeps the data open
def _dataset(shards: str, cache: str, control: str | None, budget_bytes: int | None, threads: int) -> Dataset:
    return open_dataset(Path(shards), Path(cache), control=control, budget_bytes=budget_bytes, threads=threads)


def messages(spec: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Runs the trial of ``spec`` (key, folder, config, shards, cache, cache_bytes, control) and yields what the book records, the last one with an
    end status. This is the trial boundary: what goes wrong inside becomes ``diverged`` or ``failed``, with its traceback."""
    folder = Path(spec["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Held by the process: a worker that outlives its killed driver must not write beside its successor.
        with FileLock(folder / ".lock", timeout=ORPHAN_S):
            config = TrialConfig.model_validate(spec["config"])
            dataset = _dataset(spec["shards"], spec["cache"], spec["control"], spec.get("cache_bytes"), config.threads)
            for report in train(config, dataset, folder):
                yield {**asdict(report), "error": None}
    except DivergedError as error:
        yield _end("diverged", str(error), error.step)
    except Exception:  # noqa: BLE001 - the one place: a bug in one trial is recorded and does not end the sweep
        yield _end("failed", traceback.format_exc())


def _end(status: str, error: str, step: int = 0) -> dict[str, Any]:
    return {"step": step, "status": status, "objective": None, "metrics": {}, "points": [], "error": error}
