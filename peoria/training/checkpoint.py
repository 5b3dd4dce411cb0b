"""What a trial leaves on disk so that it can be killed at any instant: the state to go on from, and in the end the model alone.

No random state is stored: everything random in training is derived from (seed, position), so the position is enough.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peoria.errors import RecordError, SweepError
from peoria.records.folder import TrialFolder
from peoria.records.schema import ModelCard
from peoria.training.messages import TrialReport
from shards.files import write_atomic

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet


@dataclass(frozen=True)
class Checkpoint:
    """The last evaluation of a trial, and the state to go on from."""

    report: TrialReport
    state: "dict[str, dict[str, Any]] | None"  # of ``net`` (what is trained) and ``optimizer``; None: the trial is over


def save_checkpoint(
    folder: TrialFolder,
    *,
    settings: dict[str, Any],
    report: TrialReport,
    trained: "torch.nn.Module | None" = None,
    optimizer: "torch.optim.Optimizer | None" = None,
) -> None:
    """Replaces the last checkpoint at once. Without ``trained``, what training changes (the net, or its head alone), it holds the
    last report alone: the trial is over.

    ``settings`` is everything that changes the bits: the trial's settings, the data's identity, the starting weights, threads and number format.
    """
    import torch

    buffer = io.BytesIO()
    state = None if trained is None or optimizer is None else {"net": trained.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"settings": settings, "report": report.model_dump(), "state": state}, buffer)
    write_atomic(folder.checkpoint, buffer.getvalue())


def load_checkpoint(folder: TrialFolder, settings: dict[str, Any]) -> Checkpoint | None:
    """The last checkpoint, or None where there is none.

    Raises:
        SweepError: it was written with other settings, so that going on from it would give a trial that nobody asked for.
    """
    import torch

    path = folder.checkpoint
    if not path.exists():
        return None
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if found["settings"] != settings:
        before, now = found["settings"], settings
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        raise SweepError(
            *(
                f"{path}: {name}: {before.get(name)!r} before, {now.get(name)!r} now; a trial goes on with the settings it began with"
                for name in changed
            ),
            hint="give the sweep another name, or go on with the same threads, device and data",
        )
    return Checkpoint(TrialReport.model_validate(found["report"]), found["state"])


def save_model(folder: TrialFolder, net: "PopularityNet", card: ModelCard) -> None:
    """The finished model: weights as safetensors, and what is needed to use them as JSON."""
    from safetensors.torch import save

    card.write(folder.model_card)
    write_atomic(folder.model, save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}))


def load_model(folder: TrialFolder) -> "tuple[PopularityNet, ModelCard]":
    """The model that :func:`save_model` wrote, on the CPU in evaluation mode, and its card.

    Raises:
        RecordError: card or weights are not there, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from peoria.models import build

    card = ModelCard.read(folder.model_card)
    net, _ = build(card.config.net, head=card.config.head, num_outputs=card.task["num_outputs"], seed=card.config.seed)
    try:
        net.load_state_dict(load_file(folder.model))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RecordError(f"{folder.model}: {str(error).splitlines()[0][:200]}; the weights of a finished trial") from None
    return net.eval(), card
