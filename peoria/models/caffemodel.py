"""Reads the layers, old (V1) or new, of a .caffemodel: a NetParameter of Caffe's caffe.proto in protocol-buffer wire format."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peoria.errors import WeightsError

NET_V1_LAYERS, NET_LAYER = 2, 100  # NetParameter
V1_NAME, V1_BLOBS = 4, 6  # V1LayerParameter
LAYER_NAME, LAYER_BLOBS = 1, 7  # LayerParameter
BLOB_LEGACY_SHAPE, BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8  # BlobProto
SHAPE_DIM = 1  # BlobShape
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

Value = int | memoryview


def read_caffemodel(path: Path) -> dict[str, NDArray[np.float32]]:
    """``conv1.weight``, ``conv1.bias``, … for every layer that has blobs; only numbers and names are read.

    Raises:
        WeightsError: the file is cut short, or is no .caffemodel.
    """
    try:
        arrays = dict(_layers(memoryview(path.read_bytes())))
    except (ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: {error}; a whole .caffemodel (a NetParameter in protocol-buffer format)", hint="fetch the file again") from error
    if not arrays:
        raise WeightsError(f"{path}: no layer with weights; a .caffemodel (a .prototxt describes a net and holds none)")
    return arrays


def _layers(net: memoryview) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number, layer in _fields(net):
        if number not in (NET_V1_LAYERS, NET_LAYER):
            continue
        name_field, blobs_field = (V1_NAME, V1_BLOBS) if number == NET_V1_LAYERS else (LAYER_NAME, LAYER_BLOBS)
        fields = list(_fields(_message(layer)))
        name = next((bytes(_message(value)).decode() for field, value in fields if field == name_field), "")
        for index, blob in enumerate(_message(value) for field, value in fields if field == blobs_field):
            kind = ("weight", "bias")[index] if index < 2 else f"blob{index}"
            yield f"{name}.{kind}", _blob(blob, f"layer {name!r}, blob {index}", is_bias=index == 1)


def _blob(blob: memoryview, where: str, *, is_bias: bool) -> NDArray[np.float32]:
    legacy, shape, parts = dict[int, int](), None, list[NDArray[np.float32]]()
    for number, value in _fields(blob):
        if number in BLOB_LEGACY_SHAPE and isinstance(value, int):
            legacy[number] = value
        elif number == BLOB_SHAPE:
            shape = tuple(_dimensions(_message(value)))
        elif number in (BLOB_DATA, BLOB_DOUBLE_DATA):
            parts.append(np.frombuffer(_message(value), dtype="<f4" if number == BLOB_DATA else "<f8").astype(np.float32))
    if shape is None:
        num, channels, height, width = (legacy.get(number, 1) for number in BLOB_LEGACY_SHAPE)
        # Old files pad every shape to four: fully-connected weights are (1, 1, outputs, inputs) and biases (1, 1, 1, outputs).
        shape = (width,) if is_bias else (height, width) if num == channels == 1 else (num, channels, height, width)
    data = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if data.size != math.prod(shape):
        raise ValueError(f"{where}: {data.size} numbers for the shape {shape}")
    return data.reshape(shape)


def _dimensions(shape: memoryview) -> Iterator[int]:
    for number, value in _fields(shape):
        if number != SHAPE_DIM:
            continue
        if isinstance(value, int):
            yield value
            continue
        at = 0
        while at < len(value):
            dimension, at = _varint(value, at)
            yield dimension


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field of a message; fixed-width numbers come as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            length, at = _varint(data, at)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if number == 0 or length > len(data) - at:
            raise ValueError(f"a field of {length:,} bytes where {len(data) - at:,} are left")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut short inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")
