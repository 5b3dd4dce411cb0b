"""A look at a task that is not peoria's own, on the counts that it is to learn, before anything is trained."""

import json
from collections.abc import Mapping

import numpy as np

from peoria.data.targets import TargetScale, known_counts
from peoria.errors import ConfigError
from peoria.plugins import users_code
from peoria.tasks import get_task, own_task_names
from peoria.tasks.base import FittedTask, Task
from shards.labels import Labels

MOST = 500  # counts that are looked at


def try_tasks(names: tuple[str, ...], plugins: Mapping[str, str], train: Labels, scale: TargetScale, target: str | None) -> None:
    """
    Args:
        target: that trials share; None: each task's own.

    Raises:
        ConfigError: a method raises, or gives another shape or type than `peoria.tasks.base` says; or the target is not in the packed set.
    """
    for name in names:
        if name not in own_task_names():
            task = get_task(name, plugins)
            with users_code(f"task {name}: default_target", "the name of a count"):
                wanted = target or task.default_target
            _, y = known_counts(train, wanted)
            try_task(task, y, scale, wanted)


def try_task(task: Task, y: np.ndarray, scale: TargetScale, target: str) -> None:
    """
    Args:
        y: counts of train, float64 [N].

    Raises:
        ConfigError: as `try_tasks`.
    """
    import torch

    name = f"task {task.name}"

    def refuse(method: str, found: str, accepted: str) -> None:
        raise ConfigError(f"{name}: {method}: {found}; {accepted}")

    with users_code(f"{name}: fit", "a fitted task"):
        fitted = task.fit(y, y, scale, target)
    if not isinstance(fitted, FittedTask):
        refuse("fit", type(fitted).__name__, "a FittedTask")
    if (fitted.task, fitted.target) != (task.name, target):
        refuse("fit", f"a task {fitted.task!r} of {fitted.target!r}", f"task {task.name!r} and target {target!r}, as it was asked for")
    if type(fitted.num_outputs) is not int or fitted.num_outputs < 1:
        refuse("num_outputs", repr(fitted.num_outputs), "a whole number, at least 1")
    some = y[:MOST]
    with users_code(f"{name}: encode", "a number for each count"):
        encoded = fitted.encode(some)
    if not isinstance(encoded, np.ndarray) or encoded.shape != some.shape or encoded.dtype not in (np.float32, np.int64):
        refuse("encode", _shape(encoded), f"[{len(some)}], float32 or int64, for {len(some)} counts")
    if not np.isfinite(encoded).all():
        refuse("encode", "not finite for some counts of train", "finite numbers")
    outputs = torch.zeros(len(some), fitted.num_outputs, requires_grad=True)
    with users_code(f"{name}: loss", "the mean loss of a batch, as a tensor that can be differentiated"):
        loss = fitted.loss(outputs, torch.from_numpy(encoded))
    if not isinstance(loss, torch.Tensor) or loss.shape != () or not loss.requires_grad:
        refuse("loss", _shape(loss), "a scalar tensor made of the outputs")
    if not torch.isfinite(loss):
        refuse("loss", f"{loss.item()} where all outputs are 0, as of a new net", "a finite number")
    drawn = np.random.default_rng(0).standard_normal((len(some), fitted.num_outputs))
    for method in ("predict", "score"):
        with users_code(f"{name}: {method}", "a number for each picture"):
            found = getattr(fitted, method)(drawn)
        if not isinstance(found, np.ndarray) or found.shape != some.shape or found.dtype != np.float64:
            refuse(method, _shape(found), f"[{len(some)}], float64, for outputs [{len(some)}, {fitted.num_outputs}]")
    with users_code(f"{name}: losses and constants", "losses by name, and constants with a prediction each"):
        constants = {constant.name: constant.prediction for constant in fitted.constants(len(some), 0)}
        losses = {key: fitted.losses(prediction, some) for key, prediction in constants.items()}
    if fitted.reference not in constants:
        refuse("reference", repr(fitted.reference), f"one of its constants ({', '.join(constants) or 'none'})")
    for key, prediction in constants.items():
        if np.shape(prediction) != some.shape:
            refuse(f"constants: {key}", _shape(prediction), f"[{len(some)}] for {len(some)} pictures")
    first = losses[fitted.reference]
    if not isinstance(first, dict) or not first or not all(isinstance(value, float | int | np.number) for value in first.values()):
        refuse("losses", repr(first)[:80], "a dict of name to number, the first for d2")
    with users_code(f"{name}: state and restore", "plain JSON values that the same task comes back from"):
        state = json.loads(json.dumps(fitted.state(), allow_nan=False))
        again = task.restore(state).predict(drawn)
    if state.get("num_outputs") != fitted.num_outputs:
        refuse("state", f"num_outputs {state.get('num_outputs')!r}", f"num_outputs {fitted.num_outputs} among its values")
    if not np.array_equal(again, fitted.predict(drawn), equal_nan=True):
        refuse("restore", "another prediction than before", "the fitted task that state came from")


def _shape(found: object) -> str:
    shape = getattr(found, "shape", None)
    return type(found).__name__ if shape is None else f"{str(getattr(found, 'dtype', '')).removeprefix('torch.')} {list(shape)}"
