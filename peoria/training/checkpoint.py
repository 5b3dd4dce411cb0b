"""What a trial leaves on disk so that it can be killed at any instant: the state to go on from, and in the end the model alone.

No random state is stored: everything random in training is derived from (seed, position), so the position is enough.
"""

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.errors import RecordError, SweepError
from peoria.records.folder import TrialFolder
from peoria.records.points import Curve
from peoria.records.schema import ModelCard, TrialStart
from peoria.training.messages import TrialReport
from shards.files import write_atomic, write_blocks

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet


_MAGIC = b"peoria checkpoint "  # before the sha256 of all that follows the first line


@dataclass(frozen=True)
class Partial:
    """What lies between the last evaluation and a stop in mid-way: the curve's points so far, and the sum over the batches of the next."""

    seen: int  # pictures, at a batch's end
    total: "torch.Tensor"  # of the losses since the last point
    num_batches: int
    points: Curve


@dataclass(frozen=True)
class Checkpoint:
    """The last evaluation of a trial, and the state to go on from."""

    report: TrialReport | None  # with the whole curve; None: it was stopped before its first evaluation
    state: "dict[str, dict[str, Any]] | None"  # of ``net`` (what is trained) and ``optimizer``; None: the trial is over
    partial: Partial | None = None


def save_checkpoint(
    folder: TrialFolder, *, settings: dict[str, Any], report: TrialReport | None, state: dict[str, Any] | None = None, partial: Partial | None = None
) -> None:
    """Replaces the last checkpoint at once, and keeps that beside it.

    Args:
        settings: everything that changes the bits: the trial's settings and their digest, the data's identity, the starting weights, threads and
            number format.
        state: as `Checkpoint.state`. None: the last report alone is held, for the trial is over, and nothing is kept beside it.
    """
    import torch

    buffer = io.BytesIO()
    middle = None if partial is None else vars(partial)
    torch.save({"settings": settings, "report": None if report is None else report.model_dump(), "state": state, "partial": middle}, buffer)
    payload = buffer.getbuffer()
    first = _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    if state is not None:
        _keep_before(folder)
    write_blocks(folder.checkpoint, (first, payload), len(first) + len(payload))
    if state is None:
        folder.checkpoint_before.unlink(missing_ok=True)


def held(state: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """The state as it is now, on the host: the copy is begun, behind what the device was given to do so far; who calls the result waits for it."""
    import torch

    def copied(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            host = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
            return host.copy_(value, non_blocking=True)
        if isinstance(value, dict):
            return {key: copied(of) for key, of in value.items()}
        return [copied(of) for of in value] if isinstance(value, list) else value

    found: dict[str, Any] = copied(state)
    begun = torch.cuda.current_stream().record_event(torch.cuda.Event(blocking=True)) if torch.cuda.is_initialized() else None

    def there() -> dict[str, Any]:
        if begun is not None:
            begun.synchronize()
        return found

    return there


def _keep_before(folder: TrialFolder) -> None:
    """The last checkpoint under the name of the one before, without a moment in which there is none."""
    if not folder.checkpoint.is_file():
        return
    second = folder.checkpoint_before.with_name(f".{folder.checkpoint_before.name}.link.tmp")
    second.unlink(missing_ok=True)
    try:
        os.link(folder.checkpoint, second)
    except OSError:  # a file system without hard links: the moment is short, and what comes after a kill in it begins at the one before
        os.replace(folder.checkpoint, folder.checkpoint_before)
    else:
        os.replace(second, folder.checkpoint_before)


def load_checkpoint(folder: TrialFolder, settings: dict[str, Any], note: Callable[[str], None]) -> Checkpoint | None:
    """The last checkpoint that is whole, or None where there is none; ``note`` is told of each that is not, which is moved aside.

    Raises:
        SweepError: it was written with other settings, so that going on from it would give a trial that nobody asked for.
    """
    for path, then in ((folder.checkpoint, "the one before it"), (folder.checkpoint_before, "the start")):
        try:
            found = _read(path)
        except FileNotFoundError:
            continue
        except RecordError as error:
            note(f"{error}; the trial goes on from {then}")
            os.replace(path, path.with_name(f"{path.name}.damaged"))
            continue
        _refuse_other(path, found["settings"], settings)
        report = None if found["report"] is None else TrialReport.model_validate(found["report"])
        return Checkpoint(report, found["state"], None if found["partial"] is None else Partial(**found["partial"]))
    return None


def _read(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, and RecordError where it is not what was written."""
    import torch

    try:
        first, _, payload = path.read_bytes().partition(b"\n")
    except IsADirectoryError:
        raise RecordError(f"{path}: a folder; the file of a checkpoint") from None
    if first != _MAGIC + hashlib.sha256(payload).hexdigest().encode():
        raise RecordError(f"{path}: not whole, or changed; the checkpoint that was written")
    found: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return found


def _refuse_other(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    if before != now:
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        raise SweepError(
            *(
                f"{path}: {name}: {before.get(name)!r} before, {now.get(name)!r} now; a trial goes on with the settings it began with"
                for name in changed
            ),
            hint=f"go on with the same threads, device, software and data, or remove {path.parent}/checkpoint*.pt: the trial then begins again",
        )


def save_model(folder: TrialFolder, net: "PopularityNet", card: ModelCard) -> None:
    """The finished model: weights as safetensors, and what is needed to use them as JSON, with the digest of the weights."""
    from safetensors.torch import save

    data = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    card.model_copy(update={"model_sha256": hashlib.sha256(data).hexdigest()}).write(folder.model_card)
    write_atomic(folder.model, data)


def check_model(folder: TrialFolder) -> ModelCard:
    """The card of a finished model whose weights are there and as they were written.

    Raises:
        RecordError: card or weights are not there, damaged, or of another trial.
    """
    card = ModelCard.read(folder.model_card)
    try:
        with folder.model.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordError(f"{folder.model}: {error.strerror}; the weights of a finished trial") from None
    if found != card.model_sha256:
        raise RecordError(f"{folder.model}: sha256 {found[:16]}…; {card.model_sha256[:16]}… was written; the weights of a finished trial")
    start = TrialStart.read_if_there(folder.start)
    if start is not None and start.config != card.config:
        raise RecordError(f"{folder.model_card}: a model of other settings than those in {folder.start.name}; the model of this trial")
    return card


def load_model(folder: TrialFolder) -> "tuple[PopularityNet, ModelCard]":
    """The model that :func:`save_model` wrote, on the CPU in evaluation mode, and its card. The card's plugins are run.

    Raises:
        RecordError: card or weights are not there, or damaged.
        ConfigError: a plugin, or a package that gives the net, is not there, or not the one that is meant.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from peoria.models import build

    card = check_model(folder)
    config = card.config
    net, _ = build(config.net, head=config.head, num_outputs=card.task["num_outputs"], seed=config.seed, plugins=config.plugins, drawn=False)
    try:
        net.load_state_dict(load_file(folder.model))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RecordError(f"{folder.model}: {str(error).splitlines()[0][:200]}; the weights of a finished trial") from None
    return net.eval(), card
