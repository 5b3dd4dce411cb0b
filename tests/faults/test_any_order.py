"""A sweep that is killed, damaged, mended, enlarged and gone on with in any order: it ends as the one that nothing happened to."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from peoria.config.sweep import Sweep
from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import Record
from peoria.sweep.repair import check
from peoria.sweep.storage import Journal
from peoria.sweep.trial_files import Curves
from peoria.sweep.trial_store import Assignment, TrialStore
from tests.helpers.damage import DAMAGE, define, ends
from tests.helpers.dying import Dying, Killed
from tests.helpers.played import STEPS, message, run, with_model
from tests.helpers.small import small_sweep

EXAMPLES = 400 if os.environ.get("PEORIA_TEST_FULL") else 12
TRIALS = 9
CUT_SHORT = (2, 3)  # of the damages: a journal without its last lines
SHARED = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
SWEEP = small_sweep(Path("nowhere"), trials=TRIALS, paper=True, startup_per_task=2, shared=SHARED, seeds=3)


class AnyOrder(RuleBasedStateMachine):
    undisturbed: ClassVar[dict[int, dict[str, object]]] = {}  # by the number of trials

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.folder = SweepFolder.of(self.home, SWEEP.name)
        self.trials, self.steps, self.damaged = 4, {}, False
        define(self.folder, self.sweep)

    @property
    def sweep(self) -> Sweep:
        return SWEEP.model_copy(update={"trials": self.trials})

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.mend()
            self.go_on(10_000, None)
            found, expected = ends(self.folder), self.expected()
            assert {key: found.get(key) for key in expected} == expected
            assert all("-seed-" in key for key in found.keys() - expected.keys())  # of a candidate that was none any more when the sweep was enlarged
            assert check(self.home, SWEEP.name) == []
            shutil.rmtree(self.home)

    def expected(self) -> dict[str, object]:
        if self.trials not in self.undisturbed:
            with tempfile.TemporaryDirectory() as alone:
                folder = SweepFolder(Path(alone))
                run(TrialStore(folder, self.sweep), with_model)
                self.undisturbed[self.trials] = ends(folder)
        return self.undisturbed[self.trials]

    def play(self, assignment: Assignment, store: TrialStore, left: int) -> int:
        """As a worker: from its last report on, which it sends again."""
        for k in range(max(0, self.steps.get(assignment.key, 0) - 1), len(STEPS)):
            self.steps[assignment.key] = k + 1
            with_model(assignment, STEPS[k])
            left -= 1
            if not store.report(assignment.key, message(assignment, STEPS[k])) or left == 0:
                break
        return left

    @rule(reports=st.integers(1, 30), dies_at=st.none() | st.integers(1, 60))
    def go_on(self, reports: int, dies_at: int | None) -> None:
        if self.damaged:
            return
        try:
            with dying(dies_at):
                store = TrialStore(self.folder, self.sweep)
                while reports > 0 and (assignment := store.ask()) is not None:
                    if not assignment.folder.points.exists():
                        self.steps.pop(assignment.key, None)  # begun again
                    reports = self.play(assignment, store, reports)
        except Killed:
            pass

    @rule(reports=st.integers(1, 6), strikes=st.integers(1, 3))
    def be_interrupted(self, reports: int, strikes: int) -> None:
        if self.damaged:
            return
        clock = [0.0]
        store = TrialStore(self.folder, self.sweep, clock=lambda: clock[0])
        for _ in range(strikes):
            clock[0] += 100
            if (assignment := store.ask()) is not None:
                if not assignment.folder.points.exists():
                    self.steps.pop(assignment.key, None)
                self.play(assignment, store, reports)
                store.interrupted(assignment.key, "its worker died", "a node")

    @rule(kind=st.sampled_from(range(len(DAMAGE))), key=st.sampled_from(["0000", "0001", "0002"]))
    def be_damaged(self, kind: int, key: str) -> None:
        """What is there of it is refused when the sweep is started, and left as it is."""
        if self.damaged or not self.folder.trial(key).outcome.exists() or not self.folder.trial("0003").start.exists():
            return
        DAMAGE[kind][0](self.folder, key)
        self.damaged = True
        try:
            TrialStore(self.folder, self.sweep)
        except (SweepError, RecordError):
            return
        assert kind in CUT_SHORT, "not noticed"
        self.damaged = False  # as after a kill at the end of what is left, and so it has to come to the same

    @rule()
    def mend(self) -> None:
        assert check(self.home, SWEEP.name, repair=True, say=lambda line: None) == []
        self.damaged = False

    @rule(more=st.integers(1, 3))
    def be_enlarged(self, more: int) -> None:
        if not self.damaged:
            self.trials = min(TRIALS, self.trials + more)
            define(self.folder, self.sweep)

    @invariant()
    def no_curve_has_a_step_twice(self) -> None:
        if hasattr(self, "folder") and not self.damaged:
            for trial in self.folder.trials():
                lines = trial.points.read_text().splitlines() if trial.points.exists() else []
                assert len(set(lines)) == len(lines)


def dying(at: int | None) -> Any:
    """Every write of the store is a place to die, before it or after it."""
    changed, mortal = {Journal: "append_logs", Record: "write", Curves: "append"}, Dying(at)
    return _all(*(mock.patch.object(kind, name, mortal(getattr(kind, name))) for kind, name in changed.items()))


class _all:
    def __init__(self, *patches: Any) -> None:
        self.patches = patches

    def __enter__(self) -> None:
        for patch in self.patches:
            patch.__enter__()

    def __exit__(self, *error: object) -> None:
        for patch in self.patches:
            patch.__exit__(*error)


TestAnyOrder = pytest.mark.slow(AnyOrder.TestCase)
AnyOrder.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=14,
    deadline=None,
    derandomize=not os.environ.get("PEORIA_TEST_FULL"),
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
