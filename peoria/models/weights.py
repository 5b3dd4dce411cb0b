"""Loads weights from a file into a net: finds which keys of the file are which of the net's, says what matched, and never runs what a file holds."""

import hashlib
import pickle
import struct
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from peoria.errors import WeightsError
from peoria.models.caffemodel import read_caffemodel
from peoria.models.network import PopularityNet

ACCEPTED = "a .safetensors file, a PyTorch state dict (.pth or .pt), or a .caffemodel"
# What torch.load raised for cut and altered files, besides UnpicklingError.
DAMAGE = (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, AssertionError, struct.error)
WRAPPERS = ("state_dict", "model_state_dict", "model")  # where training scripts put the state dict of a checkpoint


@dataclass(frozen=True)
class LoadedWeights:
    """Where a net's starting weights came from. Names are the trunk's, and those of the layer that the head replaces where that fitted too."""

    source: str
    sha256: str  # of the file; of names and numbers for weights from torchvision
    matched: tuple[str, ...]  # names of the net that were filled
    unmatched: tuple[str, ...]  # keys of the file without a place in the net
    missing: tuple[str, ...]  # names of the net that stay as initialised
    prefix: str  # what stands before the shared part of a name in the file
    into: str  # what stands before it in the net


def load_weights(net: PopularityNet, path: Path, *, head_name: str | None, prefix: str | None = None) -> LoadedWeights:
    """Fill ``net`` from ``path`` wherever name (but for a prefix) and shape agree.

    ``prefix`` is what the file's keys begin with (``module.``); None finds it. The head is filled only by the
    layer that it replaces, ``head_name``, and only where that has as many outputs.

    Raises:
        WeightsError: the file is missing, unreadable, would have to be unpickled, holds a number that is not finite, or has nothing for this net.
    """
    found = {name: tensor for name, tensor in read_weights(path).items() if not name.endswith("num_batches_tracked")}
    wanted = {name: tensor for name, tensor in net.trunk.state_dict().items() if not name.endswith("num_batches_tracked")}
    head = {} if head_name is None else {f"{head_name}.{name}": tensor for name, tensor in net.head.state_dict().items()}
    into_net = wanted | head
    prefixes = _find_prefixes(found, wanted, prefix)
    if prefixes is None:
        after = "" if prefix is None else f" after the prefix {prefix!r}"
        raise WeightsError(
            f"{path}: no key and shape of this net{after}; the file has {_listed(found)}; the net wants {_listed(wanted)}",
            hint="choose the net that the file was made for, or give weights_prefix",
        )
    file_prefix, net_prefix = prefixes
    pairs = {}
    for name, tensor in into_net.items():
        key = file_prefix + name.removeprefix(net_prefix)
        if name.startswith(net_prefix) and key in found and found[key].shape == tensor.shape:
            pairs[name] = key
    bad = [key for key in pairs.values() if not torch.isfinite(found[key]).all()]
    if bad:
        raise WeightsError(f"{path}: numbers that are not finite in {', '.join(bad)}; finite weights")
    with torch.no_grad():
        for name, key in pairs.items():
            into_net[name].copy_(found[key])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    unmatched = tuple(sorted(set(found) - set(pairs.values())))
    missing = tuple(name for name in wanted if name not in pairs)
    return LoadedWeights(str(path), sha256, tuple(pairs), unmatched, missing, file_prefix, net_prefix)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a file, by its suffix; nothing is unpickled but tensors and containers (``torch.load(weights_only=True)``)."""
    if not path.is_file():
        raise WeightsError(f"weights: no file {path}; {ACCEPTED}, or 'torchvision'")
    if path.suffix == ".caffemodel":
        return {name: torch.from_numpy(array) for name, array in read_caffemodel(path).items()}
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: {error}; a whole .safetensors file", hint="fetch the file again") from error
    if path.suffix not in (".pth", ".pt"):
        raise WeightsError(f"weights: {path} ends in {path.suffix!r}; {ACCEPTED}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # it either loads or is refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: not a file of tensors alone, or damaged ({str(error).splitlines()[0][:100]}); a state dict, which loads without running code",
            hint="save it again as .safetensors on a machine where its author is trusted",
        ) from error
    except DAMAGE as error:
        raise WeightsError(
            f"{path}: {str(error).splitlines()[0][:100] if str(error) else type(error).__name__}; a PyTorch state dict", hint="fetch the file again"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
            break
    tensors = (
        {name: value for name, value in loaded.items() if isinstance(name, str) and isinstance(value, Tensor)} if isinstance(loaded, Mapping) else {}
    )
    if not tensors:
        raise WeightsError(f"{path}: {type(loaded).__name__} without named tensors; a PyTorch state dict")
    return tensors


def _find_prefixes(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], prefix: str | None) -> tuple[str, str] | None:
    """The pair (prefix in the file, prefix in the net) under which most names and shapes agree; the shortest of equals.

    Two names agree when they end alike in at least the layer and the kind of parameter: ``module.features.0.weight`` with ``features.0.weight``.
    """
    by_ending: dict[tuple[str, ...], list[str]] = {}
    for name in wanted:
        by_ending.setdefault(tuple(name.split(".")[-2:]), []).append(name)
    votes: Counter[tuple[str, str]] = Counter()
    for key, tensor in found.items():
        parts = key.split(".")
        for name in by_ending.get(tuple(parts[-2:]), []):
            if wanted[name].shape != tensor.shape:
                continue
            shared = 0
            for one, other in zip(reversed(parts), reversed(name.split(".")), strict=False):
                if one != other:
                    break
                shared += 1
            ending = ".".join(parts[-shared:])
            if shared >= 2 and prefix in (None, key.removesuffix(ending)):
                votes[key.removesuffix(ending), name.removesuffix(ending)] += 1
    return min(votes, key=lambda pair: (-votes[pair], len(pair[0]) + len(pair[1]), pair)) if votes else None


def _listed(tensors: Mapping[str, Tensor], limit: int = 6) -> str:
    shown = [f"{name} {list(tensor.shape)}" for name, tensor in list(tensors.items())[:limit]]
    return ", ".join(shown) + (f", … ({len(tensors)} in all)" if len(tensors) > limit else "")


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Digest of names and numbers, for weights that came through a loader of another package."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + b"\0" + state[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
