"""The ways to pose the question: one file a task, found by its name.

A fourth task is one new file here that ends in ``TASK = YourTask()``; nothing else has to know of it.
"""

import importlib
import pkgutil

from peoria.errors import ConfigError
from peoria.tasks.base import Constant, FittedTask, Task

__all__ = ["Constant", "FittedTask", "Task", "get_task", "task_names"]


def task_names() -> tuple[str, ...]:
    """Names of all tasks, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"))


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigError: there is no such task.
    """
    if name not in task_names():
        raise ConfigError(f"task: {name!r}; one of {', '.join(task_names())}")
    task: Task = importlib.import_module(f"{__name__}.{name}").TASK
    return task
