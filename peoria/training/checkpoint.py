"""What a trial leaves on disk so that it can be killed at any instant: the state to go on from, and in the end the model alone.

No random state is stored: everything random in training is derived from (seed, position), so the position is enough.
"""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.errors import SweepError
from shards.files import write_atomic

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet

CHECKPOINT = "checkpoint.pt"
MODEL = "model.safetensors"
MODEL_CARD = "model.json"


def save_checkpoint(
    folder: Path,
    *,
    settings: dict[str, Any],
    report: dict[str, Any],
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
    torch.save({"settings": settings, "report": report, "state": state}, buffer)
    write_atomic(folder / CHECKPOINT, buffer.getvalue())


def load_checkpoint(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The last checkpoint, or None where there is none.

    Raises:
        SweepError: it was written with other settings, so that going on from it would give a trial that nobody asked for.
    """
    import torch

    path = folder / CHECKPOINT
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
    return found


def save_model(folder: Path, net: "PopularityNet", card: dict[str, Any]) -> None:
    """The finished model: weights as safetensors, and what is needed to use them as JSON."""
    from safetensors.torch import save

    write_atomic(folder / MODEL_CARD, json.dumps(card, sort_keys=True, indent=1, allow_nan=False).encode())
    write_atomic(folder / MODEL, save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}))


def load_model(folder: Path) -> "tuple[PopularityNet, dict[str, Any]]":
    """The model that :func:`save_model` wrote, on the CPU in evaluation mode, and its card."""
    from safetensors.torch import load_file

    from peoria.models import build

    card: dict[str, Any] = json.loads((folder / MODEL_CARD).read_text())
    config = card["config"]
    net, _ = build(config["net"], head=config["head"], num_outputs=card["task"]["num_outputs"], seed=config["seed"])
    net.load_state_dict(load_file(folder / MODEL))
    return net.eval(), card
