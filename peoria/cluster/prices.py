"""A file of prices: what a node of each type costs an hour. TOML, read whole and checked; whether they are right is for the user to see."""

import functools
import os
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peoria.errors import ConfigError
from peoria.sweep.outlook import Outlook

EXAMPLE = Path(__file__).with_name("prices.toml")
MAX_BYTES = 1 << 20
Money = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_HINT = f"as in {EXAMPLE}"


class NodeType(BaseModel):
    """A type of node, and what it costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[\w. /-]{1,24}$")]
    gpus: Annotated[int, Field(ge=0, le=64)]
    """0: trials run on its CPUs."""
    cpus: Annotated[int, Field(ge=1, le=1024)]
    price: Money
    """An hour, on demand."""
    spot: Money | None = None
    """An hour, as spot; None: not offered."""
    speed: Annotated[float, Field(gt=0, le=1e4, allow_inf_nan=False)] | None = None
    """Of a trial, relative to the device that was probed, where somebody has measured it; None: taken for as fast, and said so."""


class Prices(BaseModel):
    """The types that are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date
    """When the prices were looked up."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    head: Money = 0.0
    """An hour of the head, which runs no trials."""
    boot_minutes: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 10.0
    """That a node is paid for before it trains."""
    idle_minutes: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 15.0
    """That a node is paid for when it has no more work."""
    node: Annotated[tuple[NodeType, ...], Field(min_length=1, max_length=50)]


@dataclass(frozen=True)
class Offer:
    """A type at one of its prices."""

    type: NodeType
    spot: bool

    @property
    def price(self) -> float:
        return float(self.type.spot) if self.spot and self.type.spot is not None else self.type.price

    @property
    def label(self) -> str:
        return f"{self.type.name}{' spot' if self.spot else ''}"


def offers(prices: Prices) -> list[Offer]:
    return [Offer(kind, spot) for kind in prices.node for spot in (True, False) if not spot or kind.spot is not None]


def read_prices(path: Path) -> Prices:
    """
    Raises:
        ConfigError: it is not there, no TOML, or holds what is no price; every problem, each by its field.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: more than {MAX_BYTES:,} bytes; a file of prices", hint=_HINT)
        found = tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; a file of prices", hint=_HINT) from None
    except (ValueError, RecursionError) as error:  # bytes that are no text, too
        raise ConfigError(f"{path}: not TOML ({str(error).splitlines()[0][:150]}); a file of prices", hint=_HINT) from None
    try:
        prices = Prices.model_validate(found)
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}; a file of prices" for problem in error.errors()]
        raise ConfigError(*problems[:20], hint=_HINT) from None
    names = [kind.name for kind in prices.node]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{path}: {', '.join(twice)} twice; each type once", hint=_HINT)
    return prices


def an_hour(outlook: Outlook) -> tuple[float, str, str] | None:
    """What the nodes of a cluster cost together, head included, the currency, and whose prices those are; None where the type of a node has no price.

    The prices are those of the file that PEORIA_PRICES names, or the example's.
    """
    path = Path(os.environ.get("PEORIA_PRICES") or EXAMPLE)
    try:
        prices = _read_once(path)
    except ConfigError:  # it is a number beside others; `peoria plan --prices` says what is wrong with the file
        return None
    kinds = {kind.name: kind for kind in outlook.types}
    priced = {(offer.type.name, offer.spot): offer.price for offer in offers(prices)}
    found = [
        priced.get((kind.instance, kind.spot)) if (kind := kinds.get(node.type)) is not None else None
        for node in outlook.nodes
        if node.cpus or node.gpus
    ]
    if None in found or not outlook.nodes:
        return None
    return prices.head + sum(price for price in found if price is not None), prices.currency, f"{path.name} of {prices.as_of}"


_read_once = functools.cache(read_prices)
