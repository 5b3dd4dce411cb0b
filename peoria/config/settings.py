"""How a setting is declared: what it is, its unit and its source stand at the field; `help()`, the JSON schema and docs/sweeps.md are made of it."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


def about(text: str, *, unit: str, source: str, accepts: str = "") -> Any:
    """What goes into a field's ``Annotated``.

    Args:
        text: what it is.
        unit: of its value; of a choice or a name that.
        source: of its default: the paper's section, Caffe's file, a name of the literature, or ours.
        accepts: in words, where the type does not tell it.
    """
    return Field(description=text, json_schema_extra={"unit": unit, "source": source, "accepts": accepts})


class Setting(NamedTuple):
    """A setting as people read it."""

    name: str
    unit: str
    default: str  # as Python writes it, or "required"
    accepts: str
    text: str
    source: str


class Settings(BaseModel):
    """Settings that are checked whole; every one is described at its field, and listed in the class's docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.__doc__ = documented(cls)


def documented(model: type) -> str:
    """The docstring of a class of settings, with all of them."""
    lines = [f"    {s.name}: {s.text} (unit: {s.unit}; default: {s.default}; accepted: {s.accepts})" for s in settings_of(model)]
    return "\n".join([inspect.cleandoc(model.__doc__ or ""), "", "Settings:", *lines])


def settings_of(model: type) -> Iterator[Setting]:
    """The settings of a model or of a pydantic dataclass, in their order."""
    shapes = TypeAdapter(model).json_schema()["properties"]
    fields: dict[str, FieldInfo] = getattr(model, "model_fields", None) or getattr(model, "__pydantic_fields__")  # noqa: B009 - of a dataclass
    for name, field in fields.items():
        more: Any = field.json_schema_extra or {}
        default = "required" if field.default is PydanticUndefined else _written(field.default)
        accepts = more.get("accepts") or _accepted(shapes[name])
        yield Setting(name, more.get("unit", ""), default, accepts, field.description or "", more.get("source", ""))


def _written(value: object) -> str:
    """As a sweep file has it."""
    if isinstance(value, Settings):
        return f"{type(value).__name__}()"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:_}"
    return repr(value)


def _accepted(shape: dict[str, Any]) -> str:
    """The range of a value, from its JSON schema."""
    if "anyOf" in shape:
        return " or ".join(_accepted(one) for one in shape["anyOf"])
    if "enum" in shape:
        return ", ".join(repr(one) for one in shape["enum"])
    if "const" in shape:
        return repr(shape["const"])
    bounds = (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))
    ends = ", ".join(f"{sign} {shape[key]:g}" for key, sign in bounds if key in shape)
    kinds = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "`True`, `False`", "null": "`None`"}
    return f"{kinds.get(shape.get('type', ''), 'see its class')} {ends}".strip()
