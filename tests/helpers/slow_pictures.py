"""Pictures that take their time, and note who read them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from shards.sources.pictures import Folder


@dataclass(frozen=True)
class Slow(Folder):
    seconds: float = 0.0
    notes: Path = Path()

    def read(self, path: str) -> bytes:
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()} {path}\n")
        time.sleep(self.seconds)
        return super().read(path)
