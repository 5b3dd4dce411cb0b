"""Pictures that do to their reader what hostile files do to decoders, by their names."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from shards.errors import FileError
from shards.sources.pictures import Folder


@dataclass(frozen=True)
class Deadly(Folder):
    """A folder in which ``killed-once`` and the like lie beside sound pictures; ``seen`` is where it is noted what happened."""

    seen: Path = Path()

    def check(self, given: str) -> str:
        return given

    def read(self, path: str) -> bytes:
        what = Path(path).stem.rstrip("0123456789")
        match what:
            case "assertion":
                raise AssertionError
            case "recursion":
                return self.read(path)
            case "opencv":
                import cv2
                import numpy as np

                cv2.resize(np.zeros((0, 0, 3), np.uint8), (9, 9))
            case "memory":
                raise MemoryError
            case "strange":
                raise LookupError(f"{object()} in {self.folder}/x\ud800.jpg\nmore")
            case "exit":
                os._exit(3)
            case "kill" | "kill-once":
                if what == "kill" or self._first(path):
                    os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                re.match("(a+)+$", "a" * 60 + "b")
            case "limit" if self._first(path):
                raise FileError(f"{path}: Too many open files; a picture that can be read now")
        return super().read("good.jpg")

    def _first(self, path: str) -> bool:
        try:
            (self.seen / path).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
