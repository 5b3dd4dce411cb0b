"""The ways to pose the question: peoria's own, one file a task, found by its name, and those of plugins.

One more of peoria's own is one new file here that ends in ``TASK = YourTask()``; one from outside the package is a `CountTask` or a `Task` in the
``TASKS`` of a plugin (`peoria.plugins`). Nothing else has to know of it.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from peoria.errors import ConfigError
from peoria.plugins import NONE, offered
from peoria.tasks.base import Constant, CountTask, FittedTask, Task
from peoria.tasks.counts import Counting

__all__ = ["Constant", "CountTask", "FittedTask", "Task", "get_task", "own_task_names", "task_names"]
_PARTS = ("base", "check", "counts")  # modules that are no task


def own_task_names() -> tuple[str, ...]:
    """Names of peoria's own tasks, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _PARTS))


def task_names(plugins: Mapping[str, str] = NONE) -> tuple[str, ...]:
    """Names of all tasks, sorted; those of plugins too, which are run for it.

    Raises:
        ConfigError: a plugin cannot be used.
    """
    return tuple(sorted((*own_task_names(), *_of_plugins(plugins))))


def get_task(name: str, plugins: Mapping[str, str] = NONE) -> Task:
    """The task of that name.

    Raises:
        ConfigError: there is no such task, or a plugin cannot be used.
    """
    if name in own_task_names():
        task: Task = importlib.import_module(f"{__name__}.{name}").TASK
        return task
    found = _of_plugins(plugins)
    if name not in found:
        raise ConfigError(f"task: {name!r}; one of {', '.join(task_names(plugins))}")
    return found[name]


def _of_plugins(plugins: Mapping[str, str]) -> dict[str, Task]:
    return {name: _as_task(name, given) for name, given in offered("task", plugins, own_task_names()).items()} if plugins else {}


def _as_task(name: str, given: Any) -> Task:
    if isinstance(given, type) and issubclass(given, CountTask):
        return Counting(name, given)
    if isinstance(given, Task) and getattr(given, "name", None) == name:
        return given
    found = f"the Task of name {getattr(given, 'name', None)!r}" if isinstance(given, Task) else f"{given!r}"[:80]
    raise ConfigError(f"plugins: task {name!r}: {found}; a subclass of CountTask, or a Task of that name")
