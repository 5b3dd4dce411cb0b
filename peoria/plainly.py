"""Functions for people in Python: what the world causes comes as one of our errors."""

import errno
import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def plainly(function: Callable[P, R]) -> Callable[P, R]:
    """What the machine or others raise comes as one of our errors, in a line; it stands behind it as the cause."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        from peoria.borders import WHOLE, told
        from peoria.errors import PeoriaError
        from shards.errors import UserError

        try:
            return function(*args, **kwargs)
        except UserError:
            raise
        except Exception as error:
            closed = isinstance(error, OSError) and error.errno == errno.EIO  # a terminal: the command line knows it by that
            if closed or os.environ.get(WHOLE) or (text := told(error)) is None:
                raise
            problems, _, hint = text.partition("\nhint: ")
            raise PeoriaError(*problems.splitlines(), hint=hint) from error

    return call
