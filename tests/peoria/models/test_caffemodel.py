"""Files are written here byte by byte, apart from the reader; the fields are those of Caffe's caffe.proto."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from peoria.errors import WeightsError
from peoria.models import build
from peoria.models.caffemodel import read_caffemodel


def varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def new_blob(array: np.ndarray) -> bytes:
    return field(7, field(1, b"".join(map(varint, array.shape)))) + field(5, array.astype("<f4").tobytes())


def legacy_blob(array: np.ndarray) -> bytes:
    padded = (1,) * (4 - array.ndim) + array.shape
    return b"".join(number_field(index, size) for index, size in enumerate(padded, start=1)) + field(5, array.astype("<f4").tobytes())


def new_layer(name: str, *arrays: np.ndarray) -> bytes:
    return field(100, field(1, name.encode()) + field(2, b"Convolution") + b"".join(field(7, new_blob(array)) for array in arrays))


def v1_layer(name: str, *arrays: np.ndarray) -> bytes:
    return field(2, field(2, b"data") + field(4, name.encode()) + number_field(5, 4) + b"".join(field(6, legacy_blob(array)) for array in arrays))


def arrays() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    shapes = {"conv1": (96, 3, 11, 11), "conv2": (256, 48, 5, 5), "fc8": (1, 20)}
    return {name: (generator.normal(size=shape).astype("f4"), generator.normal(size=shape[0]).astype("f4")) for name, shape in shapes.items()}


@pytest.mark.parametrize("layer", [new_layer, v1_layer])
def test_layers_come_back_with_names_shapes_and_numbers(tmp_path: Path, layer: Callable[..., bytes]) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(field(1, b"CaffeNet") + b"".join(layer(name, *pair) for name, pair in arrays().items()) + layer("relu1"))
    read = read_caffemodel(path)
    assert list(read) == [f"{name}.{kind}" for name in arrays() for kind in ("weight", "bias")]
    for name, (weight, bias) in arrays().items():
        np.testing.assert_array_equal(read[f"{name}.weight"], weight)
        np.testing.assert_array_equal(read[f"{name}.bias"], bias)


def test_numbers_that_are_double_or_not_packed(tmp_path: Path) -> None:
    shape = field(7, number_field(1, 3))  # a shape that is not packed
    loose = b"".join(varint(5 << 3 | 5) + np.float32(value).tobytes() for value in (1, 2, 3))
    double = field(8, np.array([4, 5, 6], "<f8").tobytes())
    unknown = varint(999 << 3 | 1) + bytes(8)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(field(100, field(1, b"a") + field(7, shape + loose) + field(7, unknown + shape + double)))
    read = read_caffemodel(path)
    assert (read["a.weight"].tolist(), read["a.bias"].tolist()) == ([1, 2, 3], [4, 5, 6])


@pytest.mark.parametrize("layer", [new_layer, v1_layer])
def test_caffenet_is_filled_by_layer_name(tmp_path: Path, layer: Callable[..., bytes]) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"".join(layer(name, *pair) for name, pair in arrays().items()))
    net, loaded = build("caffenet", head="pool", num_outputs=1, weights=str(path), trunk="frozen", seed=0)
    assert loaded is not None
    assert loaded.matched == ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")
    assert loaded.unmatched == ("fc8.bias", "fc8.weight")
    assert set(loaded.missing) == {f"conv{n}.{kind}" for n in (3, 4, 5) for kind in ("weight", "bias")}
    torch.testing.assert_close(net.trunk.get_parameter("conv2.weight").detach(), torch.from_numpy(arrays()["conv2"][0]), rtol=0, atol=0)
    assert not net.trunk.get_parameter("conv1.bias").requires_grad
    assert net.trunk.get_parameter("conv3.bias").requires_grad


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    whole = new_layer("a", np.zeros((2, 3)), np.zeros(2))
    path.write_bytes(whole)
    assert len(read_caffemodel(path)) == 2
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"net\.caffemodel: .*; a whole \.caffemodel"):
            read_caffemodel(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no layer with weights; a .caffemodel"),
        (b"name: 'CaffeNet'\nlayer {", "a whole .caffemodel"),
        (b"\xff" * 40, "a number of more than ten bytes"),
        (number_field(100, 5), "a number where a message should be"),
        (field(100, field(1, b"\xff\xfe") + field(7, b"")), "codec can't decode"),
        (
            field(100, field(1, b"a") + field(7, field(7, field(1, varint(2**40))) + field(5, bytes(8)))),
            r"layer 'a', blob 0: 2 numbers for the shape \(1099511627776,\)",
        ),
    ],
)
def test_files_that_are_no_caffemodel(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_caffemodel(path)
