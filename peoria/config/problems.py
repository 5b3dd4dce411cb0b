"""What pydantic finds wrong with settings, in the words of who wrote them: field, value, what is accepted."""

import types
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

LONGEST = 200  # of a value that is shown
_CALLS = {"LogUniform": "LogUniform(low, high)"}


def problems_of(error: ValidationError, prefix: str, model: type[Any]) -> list[str]:
    """A line each.

    Args:
        prefix: stands before each.
        model: a BaseModel or pydantic's dataclass, that was being made.
    """
    fields = list(model.model_fields if issubclass(model, BaseModel) else model.__dataclass_fields__)
    return [
        f"{prefix}{where}{': ' if where else ''}{line}"
        for where, text in _found(typing.cast("list[dict[str, Any]]", error.errors()), model, fields)
        for line in text.splitlines()
    ]


def _found(problems: list[dict[str, Any]], model: type[Any], fields: list[str]) -> Iterator[tuple[str, str]]:
    """Field and text of each; what each alternative of a field finds wrong with one value is one problem."""
    told = set()
    for problem in problems:
        first = problem["loc"][:1]
        if first and _has_alternatives(model, first[0]):
            if first in told:
                continue
            told.add(first)
            same = [{**other, "loc": first + other["loc"][2:]} for other in problems if other["loc"][:1] == first]  # [1] names the alternative
            deepest = [other for other in same if len(other["loc"]) > 1]  # of the one whose form the value has
            if not deepest:
                accepted = " or ".join(dict.fromkeys(_accepted(other, fields) for other in same))
                yield str(first[0]), f"{_short(problem['input'])}; {accepted}"
            for other in deepest:
                yield _where(other["loc"], fields), _text(other, fields)
        else:
            yield _where(problem["loc"], fields), _text(problem, fields)


def _has_alternatives(model: type[Any], field: object) -> bool:
    if not issubclass(model, BaseModel) or field not in model.model_fields:
        return False
    kind = model.model_fields[str(field)].annotation
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and len(set(typing.get_args(kind)) - {type(None)}) > 1


def _where(loc: tuple[Any, ...], fields: list[str]) -> str:
    """A positional argument by its name; without the words that pydantic has for a part of no name."""
    if loc and isinstance(loc[0], int) and loc[0] < len(fields):
        loc = (fields[loc[0]], *loc[1:])
    return ".".join(str(part) for part in loc if not (isinstance(part, str) and part.startswith("[")))


def _text(problem: dict[str, Any], fields: list[str]) -> str:
    kind = problem["type"]
    if kind == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key; the keys are {', '.join(fields)}" if len(problem["loc"]) == 1 else "unknown key"
    if kind in ("missing", "missing_argument"):
        return "not given; it is needed"
    if kind == "unexpected_positional_argument":
        return f"one value too many; {', '.join(fields)}"
    return f"{_short(problem['input'])}; {_accepted(problem, fields)}"


def _accepted(problem: dict[str, Any], fields: list[str]) -> str:
    name = str(problem.get("ctx", {}).get("class_name", ""))
    if name:
        return _CALLS.get(name, f"{name}(…)")
    if problem["type"] == "dict_type":
        return "a dict, as in {name: value}"
    if problem["type"] == "tuple_type":
        return "a tuple, as in (a, b) or (a,)"
    return str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def _short(value: object) -> str:
    text = f"{value!r}" if not is_dataclass(value) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
