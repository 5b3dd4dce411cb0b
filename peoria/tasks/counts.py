"""A `CountTask` of a plugin, as the task of the name that the plugin gives it."""

from typing import Any

import numpy as np

from peoria.data.targets import TargetScale
from peoria.tasks.base import CountTask, FittedTask, Task


class Counting(Task):
    def __init__(self, name: str, kind: type[CountTask]) -> None:
        self.name, self.default_target, self._kind = name, kind.default_target, kind

    def fit(self, uncut: np.ndarray, kept: np.ndarray, scale: TargetScale, target: str) -> FittedTask:
        return self._kind.fit(self.name, uncut, kept, scale, target)

    def restore(self, state: dict[str, Any]) -> FittedTask:
        return self._kind.restore(state)
