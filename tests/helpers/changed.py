"""A frozen whole with one part exchanged."""

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T")


def changed(whole: T, **parts: Any) -> T:
    """``changed(verdict, targets__views__lines__0__answer="shown")``: the path's names are fields, keys of a mapping, or places in a sequence."""
    for path, value in parts.items():
        whole = _at(whole, path.split("__"), value)
    return whole


def _at(whole: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    name, rest = path[0], path[1:]
    if isinstance(whole, BaseModel):
        assert name in type(whole).model_fields, name
        return whole.model_copy(update={name: _at(getattr(whole, name), rest, value)})
    if isinstance(whole, Mapping):
        return {**whole, name: _at(whole.get(name), rest, value)}
    if isinstance(whole, (tuple, list)):
        return type(whole)(_at(item, rest, value) if str(k) == name else item for k, item in enumerate(whole))
    assert is_dataclass(whole), path
    assert not isinstance(whole, type)
    return replace(whole, **{name: _at(getattr(whole, name), rest, value)})
