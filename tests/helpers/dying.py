"""A process that is killed between any two of its writes."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """Nothing may catch it, as nothing catches SIGKILL."""


class Dying:
    """Makes functions places to die: when so many befores and afters of their calls are over."""

    def __init__(self, left: int | None = None) -> None:
        self.left = left
        """None: it lives."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._pass()
            found = function(*arguments, **named)
            self._pass()
            return found

        return call

    def _pass(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Killed
