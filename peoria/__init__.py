"""peoria: how much of a picture's popularity is in the picture itself?

A sweep file needs only what is here: ``from peoria import LogUniform, Point, Space, Sweep, main``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peoria.cli import main
    from peoria.config.space import LogUniform, Space
    from peoria.config.sweep import Point, Sweep
    from peoria.config.trial import TrialConfig

__all__ = ["LogUniform", "Point", "Space", "Sweep", "TrialConfig", "main"]
_HOMES = {
    "LogUniform": "config.space",
    "Space": "config.space",
    "Sweep": "config.sweep",
    "Point": "config.sweep",
    "TrialConfig": "config.trial",
    "main": "cli",
}


def __getattr__(name: str) -> Any:
    """Imports on first use, so that ``import peoria.errors`` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'peoria' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"peoria.{_HOMES[name]}"), name)
