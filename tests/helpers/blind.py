"""A command whose own process may touch no shard, and whose errands may be told to die: run as ``python -m tests.helpers.blind DYING|- COMMAND…``.

Workers do not see what is patched here; they die as often as a file in the cache says, which has the name of the function.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peoria.sweep.baselines
import peoria.verdict.open_test
import peoria.verdict.scored_away
from peoria.cli import main
from peoria.sweep.baselines import BaselineWork, fit_away
from peoria.sweep.errand import Errand
from peoria.verdict.scored_away import ScoringWork, score_away
from shards.read.shard_set import ShardSet

TOUCHED = "a shard was touched in the process of the record"


def dies_fitting(given: str, say: Callable[[str], None]) -> bytes:
    """In a worker: `fit_away`, ended after the first baseline."""
    if dies(BaselineWork.model_validate_json(given).cache / "dies_fitting"):
        whole = peoria.sweep.baselines.every_baseline

        def first(*args: Any) -> Iterator[Any]:
            yield whole(*args)[0]
            os.kill(os.getpid(), signal.SIGKILL)

        peoria.sweep.baselines.every_baseline = first  # type: ignore[assignment]
    return fit_away(given, say)


def dies_scoring(given: str, say: Callable[[str], None]) -> bytes:
    """In a worker: `score_away`, ended once test was read."""
    if dies(ScoringWork.model_validate_json(given).cache / "dies_scoring"):
        peoria.verdict.open_test.baseline_predictors = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, return-value]
    return score_away(given, say)


def dies(marker: Path) -> bool:
    left = int(marker.read_text())
    marker.write_text(str(max(0, left - 1)))
    return left > 0


def touched(*_: object) -> None:
    raise AssertionError(TOUCHED)


DYING = {"fit_away": dies_fitting.__name__, "score_away": dies_scoring.__name__}


def sent(what: str, function: str, *args: Any, **given: Any) -> Errand:
    name = function.rpartition(":")[2]
    return Errand(what, f"tests.helpers.blind:{DYING[name]}" if name in DYING else function, *args, **given)


if __name__ == "__main__":
    for name in ("mapped", "verify_files", "held", "decode"):
        setattr(ShardSet, name, touched)
    if sys.argv[1] == "dying":
        peoria.sweep.baselines.Errand = sent  # type: ignore[assignment, misc]
        peoria.verdict.scored_away.Errand = sent  # type: ignore[assignment, misc]
    main(argv=sys.argv[2:])
