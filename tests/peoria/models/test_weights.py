import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from peoria.errors import WeightsError
from peoria.models import LoadedWeights, PopularityNet, build
from peoria.models.weights import read_weights

ALEXNET = os.environ.get("PEORIA_TEST_WEIGHTS")  # a state dict of a pretrained AlexNet, or of its convolutions alone


def donor(net: str = "squeezenet1_1", **options: Any) -> dict[str, torch.Tensor]:
    """A trunk's state dict under the names it has in torchvision, of another seed than the nets below."""
    return build(net, num_outputs=1, seed=99, **options)[0].trunk.state_dict()


def load(path: Path, net: str = "squeezenet1_1", **options: Any) -> tuple[PopularityNet, LoadedWeights]:
    built, loaded = build(net, num_outputs=options.pop("num_outputs", 2), weights=str(path), seed=0, **options)
    assert loaded is not None
    return built, loaded


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_every_format_fills_the_trunk(tmp_path: Path, suffix: str) -> None:
    path, state = tmp_path / f"weights{suffix}", donor()
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state, "epoch": 3} if suffix == ".pt" else state, path)
    net, loaded = load(path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.trunk.state_dict().items())
    assert set(loaded.matched) == set(state)
    assert not loaded.missing
    assert not loaded.unmatched
    assert loaded.source == str(path)
    assert len(loaded.sha256) == 64


@pytest.mark.parametrize(
    ("prefix", "into", "dropped"), [("module.", "", ""), ("net.body.", "", ""), ("", "features.", "features."), ("trunk.", "features.", "features.")]
)
def test_prefixes_are_found(tmp_path: Path, prefix: str, into: str, dropped: str) -> None:
    state = donor()
    torch.save({prefix + name.removeprefix(dropped): tensor for name, tensor in state.items()}, tmp_path / "weights.pth")
    net, loaded = load(tmp_path / "weights.pth")
    assert (loaded.prefix, loaded.into) == (prefix, into)
    assert not loaded.missing
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.trunk.state_dict().items())


def test_a_given_prefix_chooses_between_two_copies(tmp_path: Path) -> None:
    student, teacher = donor(), {name: tensor + 1 for name, tensor in donor().items()}
    both = {f"{who}.{name}": tensor for who, state in (("student", student), ("teacher", teacher)) for name, tensor in state.items()}
    torch.save(both, tmp_path / "weights.pth")
    net, loaded = load(tmp_path / "weights.pth", weights_prefix="teacher.")
    assert torch.equal(net.trunk.state_dict()["features.0.weight"], teacher["features.0.weight"])
    assert all(key.startswith("student.") for key in loaded.unmatched)
    assert len(loaded.unmatched) == len(student)
    with pytest.raises(WeightsError, match=r"no key and shape of this net after the prefix 'tutor\.'"):
        load(tmp_path / "weights.pth", weights_prefix="tutor.")


def test_a_part_is_filled_frozen_and_the_rest_listed(tmp_path: Path) -> None:
    state = donor("resnet18")
    part = {name: tensor for name, tensor in state.items() if not name.startswith("layer4.")}
    part["bn1.weight"] = torch.ones(3)  # another shape
    torch.save(part | {"extra.thing": torch.zeros(2)}, tmp_path / "weights.pth")
    net, loaded = load(tmp_path / "weights.pth", "resnet18", trunk="frozen")
    assert loaded.unmatched == ("bn1.weight", "extra.thing")
    assert set(loaded.missing) == {name for name in state if name.startswith("layer4.") and not name.endswith("num_batches_tracked")} | {"bn1.weight"}
    assert {name for name, parameter in net.trunk_parameters() if parameter.requires_grad} == {
        name for name in loaded.missing if not name.endswith(("running_mean", "running_var"))
    }
    net.train()
    assert not net.trunk.get_submodule("layer1.0.bn1").training
    assert net.trunk.get_submodule("layer4.0.bn1").training


def test_what_a_file_leaves_out_of_a_frozen_trunk_is_drawn_as_ever(tmp_path: Path) -> None:
    """A trunk that a file fills whole is never drawn: the head's numbers come first from the seed then."""
    state = donor("resnet18")
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("layer4.")}, tmp_path / "part.pth")
    torch.save(state, tmp_path / "whole.pth")
    part, whole, trained = (
        load(tmp_path / name, "resnet18", trunk=trunk)[0].state_dict()
        for name, trunk in (("part.pth", "frozen"), ("whole.pth", "frozen"), ("part.pth", "trained"))
    )
    assert all(torch.equal(tensor, trained[name]) for name, tensor in part.items())
    assert all(torch.equal(tensor, whole[f"trunk.{name}"]) for name, tensor in state.items())
    assert torch.equal(whole["head.weight"], load(tmp_path / "whole.pth", "resnet18", trunk="frozen")[0].head.weight)
    assert whole["head.weight"].std().item() == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(whole["head.weight"], part["head.weight"])


def test_the_old_last_layer_fills_the_head_only_where_it_fits(tmp_path: Path) -> None:
    state = donor("resnet18")
    old = {"fc.weight": torch.full((2, 512), 5.0), "fc.bias": torch.full((2,), 6.0)}
    torch.save(state | old, tmp_path / "weights.pth")
    net, _ = load(tmp_path / "weights.pth", "resnet18", num_outputs=2)
    assert net.head.weight.unique().tolist() == [5]
    assert net.head.bias.unique().tolist() == [6]
    net, loaded = load(tmp_path / "weights.pth", "resnet18", num_outputs=3)
    assert loaded.unmatched == ("fc.bias", "fc.weight")
    assert not net.head.bias.any()


def test_a_file_for_another_net_lists_both_sides(tmp_path: Path) -> None:
    torch.save({"encoder.block.weight": torch.zeros(7, 7)}, tmp_path / "weights.pth")
    with pytest.raises(
        WeightsError,
        match=r"no key and shape of this net; the file has encoder\.block\.weight \[7, 7\]; the net wants 0\.weight \[16, 3, 5, 5\].*\(10 in all\)",
    ):
        load(tmp_path / "weights.pth", "tiny")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = donor("tiny")
    state["0.bias"][3] = float("nan")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"numbers that are not finite in 0\.bias; finite weights"):
        load(tmp_path / "weights.safetensors", "tiny")


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, writer: str) -> None:
    path, folder = tmp_path / "weights.pth", tmp_path / "exploded"
    content = {"0.weight": Bomb(folder)}
    path.write_bytes(pickle.dumps(content)) if writer == "pickle" else torch.save(content, path)
    with pytest.raises(WeightsError, match="not a file of tensors alone, or damaged"):
        load(path, "tiny")
    assert not folder.exists()
    pickle.loads(path.read_bytes()) if writer == "pickle" else torch.load(path, weights_only=False)
    assert folder.exists()  # control: a plain load runs it


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", "Ran out of input|EOF"),
        ("b.pth", b"not a state dict at all", "not a file of tensors alone, or damaged"),
        ("c.safetensors", b"\x08\0\0\0\0\0\0\0garbage", "; a whole .safetensors file"),
        ("d.bin", b"x", r"ends in '\.bin'; a \.safetensors file, a PyTorch state dict \(\.pth or \.pt\), or a \.caffemodel"),
        ("e.pth", None, "weights: no file .*; a .safetensors file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_dict_cut_anywhere_is_refused(tmp_path: Path, legacy: bool) -> None:
    whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save({"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3)}, whole, _use_new_zipfile_serialization=not legacy)
    data = whole.read_bytes()
    assert read_weights(whole).keys() == {"a.weight", "a.bias"}
    for length in range(0, len(data), 17):
        cut.write_bytes(data[:length])
        with pytest.raises(WeightsError, match=r"cut\.pth: "):
            read_weights(cut)


def test_a_state_dict_of_no_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="dict without named tensors; a PyTorch state dict"):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.skipif(ALEXNET is None, reason="PEORIA_TEST_WEIGHTS names no pretrained AlexNet")
@pytest.mark.parametrize("head", ["pool", "fc"])
def test_a_pretrained_alexnet_trunk(head: str) -> None:
    assert ALEXNET is not None
    net, loaded = load(Path(ALEXNET), "alexnet", head=head, trunk="frozen")
    assert len(loaded.matched) >= 10  # of a whole AlexNet its classifier too
    assert bool(loaded.missing) <= (head == "fc")
    assert all(name.startswith("classifier.") for name in (*loaded.missing, *loaded.unmatched))
    assert net.trunk.get_parameter("features.0.weight").std() > 0.1  # trained filters, not torchvision's initialisation of 0.03
