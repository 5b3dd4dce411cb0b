"""peoria: how much of a picture's popularity is in the picture itself?

Pictures with counts go in; out come verified shards, a sweep of fine-tuned networks beside cheap baselines, and one report that says what was learnt,
and how sure that is. From a table to a verdict::

    import peoria
    from peoria import LogUniform, Space, Sweep

    peoria.pack("photos/metadata.csv", "data/shards/photos")    # a table of paths and counts; says what became of each row
    peoria.describe("data/shards/photos")                       # counts, shares, tails

    mine = Sweep(
        name="mine",
        shards="data/shards/photos",
        trials=20,
        space=Space(learning_rate=LogUniform(1e-4, 1e-2)),      # what is searched
        shared={"net": "tiny", "pictures": 20_000},             # what all trials share: fields of TrialConfig
    )
    found = peoria.sweep(mine)                                  # interrupted and called again it goes on
    peoria.report("mine")                                       # opens a part of the test split, on record, and judges

    found = peoria.open_sweep("mine", home="data")
    found.trials, found.curves, found.baselines                 # pandas frames
    found.status, found.winners, found.verdict, found.predictions
    peoria.predict("mine", "new/*.jpg")                         # a frame: value, percentile, and how far to trust it
    peoria.load_model("mine").score(squares)                    # the winner's model itself

``help(peoria.pack)``, and of each of the others, says what it takes, gives and raises; the commands call the same functions. ``peoria.sweep`` and
``peoria.report`` are packages too, and are called all the same. A sweep file needs no more than this, and ends with ``peoria.main(SWEEP)``::

    from peoria import LogUniform, Point, Space, Sweep, main
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peoria.api import describe, load_model, open_sweep, pack, plant, predict, report, sweep
    from peoria.cli import main
    from peoria.config.space import LogUniform, Space
    from peoria.config.sweep import Point, Sweep
    from peoria.config.trial import TrialConfig

    __version__: str

__all__ = [
    "LogUniform", "Point", "Space", "Sweep", "TrialConfig", "main",
    "plant", "pack", "describe", "sweep", "report", "open_sweep", "predict", "load_model",
]  # fmt: skip
_HOMES = {
    "LogUniform": "config.space",
    "Space": "config.space",
    "Sweep": "config.sweep",
    "Point": "config.sweep",
    "TrialConfig": "config.trial",
    "main": "cli",
} | dict.fromkeys(("plant", "pack", "describe", "open_sweep", "predict", "load_model"), "api")
_CALLED = ("sweep", "report")  # wings whose names are functions too


def __getattr__(name: str) -> Any:
    """Imports on first use, so that ``import peoria.errors`` stays cheap."""
    import importlib

    if name == "__version__":
        return _version()
    if name in _CALLED:
        return importlib.import_module(f"peoria.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'peoria' has no attribute {name!r}")
    return getattr(importlib.import_module(f"peoria.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", *(name for name in globals() if name.startswith("__"))])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("peoria")
    except PackageNotFoundError:  # a checkout that was not installed
        return "0+unknown"
