"""A worker that trains as ours does, slowly, and leaves a byte a batch in ``$PEORIA_TEST_BATCHES/KEY``."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset
from peoria.records.folder import TrialFolder
from peoria.sweep.ray_executor import TrialActor
from peoria.training.loop import train
from peoria.training.messages import TrialReport


def counted(
    config: TrialConfig, dataset: Dataset, folder: TrialFolder, stop: Callable[[], bool] = lambda: False, *on: str | None
) -> Iterator[TrialReport]:
    path = Path(os.environ["PEORIA_TEST_BATCHES"], folder.key)
    kills_itself_at = int(os.environ.get("PEORIA_TEST_KILL", "0"))

    def asked() -> bool:
        if stop():
            return True
        with path.open("ab") as file:
            file.write(b".")
        if kills_itself_at and folder.key == "0000" and path.stat().st_size >= kills_itself_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(os.environ["PEORIA_TEST_BATCH_S"]))
        return False

    return train(config, dataset, folder, asked, *on)


class CountedActor(TrialActor):
    def setup(self, config: dict[str, Any]) -> None:
        import peoria.training.trial

        peoria.training.trial.train = counted  # type: ignore[assignment]
        super().setup(config)
