"""What the driver does for each event of a sweep, by how many trials run at a time and how many there are; no training, no Ray, no MLflow.

``python benchmarks/driver.py`` prints a table and the ratios that are to hold. Trials that have ended are put into folder and study ready made; then
trials are asked for, report and end, in turns between the numbers of concurrent trials, all in one run. All times are CPU time of this process, so
that a busy machine does not count; what a database's server does is not in them.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import optuna

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig, trial_label
from peoria.records.folder import SweepFolder
from peoria.records.points import Curve, point_lines
from peoria.records.schema import Environment, SweepRecord, TrialOutcome, TrialStart
from peoria.sweep.queued import START_UP
from peoria.sweep.rebuild import rebuild
from peoria.sweep.storage import open_storage
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.tracking.changes import Changes
from peoria.tracking.projection import Tracker
from peoria.training.messages import TrialReport

Answer = TypeVar("Answer")
BUSY = "pass, a changed trial"  # of the projector
EVENTS = ("suggest", "report", "end", BUSY, "idle pass", "reopen")
NODES, TRIAL_S, REPORTS = 1000, 600.0, 9  # for what saturates first: so many nodes with one trial each, of so many seconds and reports
METRICS = ("rho_views", "gini_fav", "auc_fav", "rank_mean", "score_sd", "d2", "loss", "half_mse", "bits", "top", "mid", "low")


def sweep_of(trials: int) -> Sweep:
    shared = {"net": "tiny", "pictures": 1_000_000, "batch_size": 50, "evaluations": REPORTS - 1, "curve_points": 80}
    space = Space(learning_rate=LogUniform(low=1e-6, high=1e-2), head_multiplier=LogUniform(low=1.0, high=100.0), outlier_sd=(None, 6.0, 3.0))
    return Sweep(name="driver", shards="nowhere", trials=trials, space=space, shared=shared, seeds=0, questions=(), paper=False, startup_per_task=4)


def quality(config: TrialConfig) -> float:
    return random.Random(config.seed).gauss(0.2, 0.1)


def points_of(config: TrialConfig, evaluation: int) -> Curve:
    """What a report carries: the training loss at each set point, and at the last all metrics of val."""
    steps = config.evaluation_points()
    before, step = steps[evaluation - 1] if evaluation else 0, steps[evaluation]
    value = quality(config) * (evaluation + 1) / REPORTS
    found: Curve = [(at, {"train/loss": 1.0, "train/learning_rate": 1e-3}) for at in config.set_points() if before < at <= step]
    found[-1][1].update({f"val/{name}": value for name in METRICS})
    return found


def report_of(config: TrialConfig, evaluation: int) -> TrialReport:
    points = points_of(config, evaluation)
    metrics = {name: value for name, value in points[-1][1].items() if name.startswith("val/")}
    return TrialReport(
        step=points[-1][0],
        status="done" if evaluation == REPORTS - 1 else "running",
        objective=metrics["val/rho_views"],
        metrics=metrics,
        points=points,
    )


@contextlib.contextmanager
def unsynced() -> Iterator[None]:
    """What is only made ready need not outlive a power cut."""
    real, os.fsync = os.fsync, lambda handle: None
    try:
        yield
    finally:
        os.fsync = real


def fill(folder: SweepFolder, sweep: Sweep, num: int, storage: str | None = None, *, running: int = 0) -> None:
    """A sweep's record with ``num`` trials that have ended, two of three at a rung, and ``running`` that have begun."""
    environment = Environment(git_commit=None, git_dirty=None, lock_sha256=None, machine="", python="", versions={})
    rest: Any = {"question": "", "shards": "nowhere", "control": None, "where": None, "num_train": 1000, "num_val": 100}
    rest |= {"identity": "ab" * 32, "val_keys_sha256": "2" * 64, "se_objective": 0.01, "storage": "journal", "sweep_id": "d" * 32}
    SweepRecord(
        name=sweep.name,
        definition=sweep.definition(),
        trials=sweep.trials,
        environment=environment,
        environments=(environment,),
        started_at=time.time(),
        tasks=sweep.space.task,
        objective="rho_views",
        **rest,
    ).write(folder.definition)
    dice, began = random.Random(0), time.time()
    startup = [(task, f"{START_UP} {task} {turn}") for turn in range(sweep.startup_per_task) for task in sweep.space.task]
    for number in range(num + running):
        task, origin = startup[number] if number < len(startup) else (dice.choice(sweep.space.task), None)
        rates = {"learning_rate": 10 ** dice.uniform(-6, -2), "head_multiplier": 10 ** dice.uniform(0, 2)}
        point = {"task": task, "outlier_sd": dice.choice((None, 6.0, 3.0)), **rates}
        config = sweep.trial(point, seed=number, threads=1)
        trial, evaluations = folder.trial(f"{number:04d}"), REPORTS if number % 3 == 0 else 3
        TrialStart(config=config, purpose="search", label=trial_label(trial.key, config), started_at=began + number, origin=origin).write(trial.start)
        if number >= num:
            continue
        curve = [point for evaluation in range(evaluations) for point in points_of(config, evaluation)]
        trial.points.write_text(point_lines(curve, config.sha256))
        metrics = {name: value for name, value in curve[-1][1].items() if name.startswith("val/")}
        end: Any = {"status": "done" if evaluations == REPORTS else "pruned", "objective": metrics["val/rho_views"], "metrics": metrics}
        TrialOutcome(settings_sha256=config.sha256, ended_at=began + number + 0.5, **end).write(trial.outcome)
    rebuild(open_storage(folder.journal, storage)[0], folder, sweep, SweepRecord.read(folder.definition), {})


class SilentClient:
    """In MLflow's place: takes everything and holds nothing, so that what is measured is ours."""

    def __init__(self) -> None:
        self.num = 0
        self.get_experiment = lambda experiment: SimpleNamespace(tags={})

    def create_run(self, *args: Any, **named: Any) -> Any:
        self.num += 1
        return SimpleNamespace(info=SimpleNamespace(run_id=str(self.num)))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **named: None


class SilentTracker(Tracker):
    """What MLflow would tell of the runs that were just made is taken from what was sent."""

    def __init__(self, changes: Changes | None) -> None:
        super().__init__("silent", changes=changes)
        self._silent = SilentClient()

    def _connect(self, folder: SweepFolder) -> tuple[Any, str]:
        return self._silent, "0"

    def _ask(self, client: Any, experiment: str) -> None:
        self._ask_all, self._doubt = False, {}


class Driver:
    """A sweep with ``concurrent`` trials under way, played on."""

    def __init__(self, folder: SweepFolder, sweep: Sweep, concurrent: int, storage: str | None, *, told: bool = True) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.concurrent, self.folder, changes = concurrent, folder, Changes()
        self.store: TrialStore = self.timed(
            "reopen", lambda: TrialStore(folder, sweep, storage_url=storage, concurrent=concurrent, changed=changes.add)
        )
        self.running: list[tuple[Assignment, int]] = []  # with the next evaluation
        self.dice = random.Random(1)
        self.tracker = SilentTracker(changes if told else None)

    def timed(self, event: str, call: Callable[[], Answer]) -> Answer:
        began = time.process_time()
        found = call()
        self.seconds[event].append(time.process_time() - began)
        return found

    def ask(self) -> None:
        assignment = self.timed("suggest", self.store.ask)
        assert assignment is not None
        self.running.append((assignment, 0))

    def start(self) -> None:
        """The first trials, each somewhere on its way, and the first pass."""
        with unsynced():
            while len(self.running) < self.concurrent:
                self.ask()
                assignment, _ = self.running.pop()
                evaluation, aim = 0, self.dice.randrange(REPORTS - 1)
                while evaluation < aim and self.store.report(assignment.key, report_of(assignment.config, evaluation)):
                    evaluation += 1
                if evaluation == aim:  # else it was pruned
                    self.running.append((assignment, evaluation))
        self.timed("first pass", lambda: self.tracker.project(self.folder))
        self.seconds["suggest"].clear()

    def step(self) -> str:
        """One trial reports; where it ends another is asked for. Returns its key."""
        place = self.dice.randrange(len(self.running))
        assignment, evaluation = self.running[place]
        report = report_of(assignment.config, evaluation)
        began = time.process_time()
        goes_on = self.store.report(assignment.key, report)
        self.seconds["report" if goes_on else "end"].append(time.process_time() - began)
        if goes_on:
            self.running[place] = (assignment, evaluation + 1)
        else:
            self.running.pop(place)
            self.ask()
        return assignment.key

    def play(self, steps: int) -> None:
        changed = {self.step() for _ in range(steps)}
        self.timed(BUSY, lambda: self.tracker.project(self.folder))
        self.seconds[BUSY][-1] /= len(changed)
        self.tracker.project(self.folder)  # which asks once more about the runs that were made
        self.timed("idle pass", lambda: self.tracker.project(self.folder))

    def medians(self) -> dict[str, float]:
        return {event: statistics.median(values) for event, values in self.seconds.items() if values}


@dataclasses.dataclass(frozen=True)
class Row:
    storage: str
    trials: int
    concurrent: int
    ms: dict[str, float]


def measure(work: Path, trials: int, concurrent: tuple[int, ...], steps: int, rounds: int, databases: Callable[[], str] | None) -> list[Row]:
    """The same number of ended trials, and each number of concurrent ones, in turns."""
    made, sweep = work / f"made-{trials}", sweep_of(trials + 10 * max(concurrent) + rounds * steps)
    drivers: list[Driver] = []
    with unsynced():
        if not made.exists():
            fill(SweepFolder(made), sweep, trials, None)
        for number in concurrent:
            folder = SweepFolder(work / f"{'journal' if databases is None else 'database'}-{trials}-{number}")
            shutil.copytree(made, folder.path)
            url = None
            if databases is not None:
                url = databases()
                rebuild(open_storage(folder.journal, url)[0], folder, sweep, SweepRecord.read(folder.definition), {})
            drivers.append(Driver(folder, sweep, number, url))
    for driver in drivers:
        driver.start()
    for _ in range(rounds):
        for driver in drivers:
            driver.play(steps)
    name = "journal" if databases is None else "PostgreSQL"
    return [Row(name, trials, driver.concurrent, {event: 1e3 * value for event, value in driver.medians().items()}) for driver in drivers]


def table(rows: list[Row]) -> str:
    lines = ["| storage, ended trials, concurrent | " + " | ".join(EVENTS) + " |", "|---" * (len(EVENTS) + 1) + "|"]
    for row in rows:
        lines.append(f"| {row.storage}, {row.trials:,}, {row.concurrent:,} | " + " | ".join(f"{row.ms[event]:.2f}" for event in EVENTS) + " |")
    return "\n".join(lines)


def ratios(rows: list[Row]) -> list[tuple[str, float, float]]:
    """(what, value, limit): from the fewest concurrent trials to the most, where a sweep can have as many at a time, and of the idle pass from the
    fewest trials to the most."""
    found = []
    for storage in dict.fromkeys(row.storage for row in rows):
        for trials in dict.fromkeys(row.trials for row in rows if row.storage == storage):
            some = sorted((row for row in rows if (row.storage, row.trials) == (storage, trials)), key=lambda row: row.concurrent)
            few, many = some[0], some[-1]
            if few is many or many.concurrent > trials:
                continue
            for event, limit in (("report", 1.5), ("suggest", 2.0)):
                text = f"{event}, {storage}, {trials:,} trials, {many.concurrent:,} concurrent against {few.concurrent}"
                found.append((text, many.ms[event] / few.ms[event], limit))
        of_one = [row for row in rows if row.storage == storage]
        fewest, most = (choose(of_one, key=lambda row: row.trials) for choose in (min, max))
        if fewest.trials < most.trials:
            text = f"idle pass, {storage}, {most.trials:,} trials against {fewest.trials:,}"
            found.append((text, most.ms["idle pass"] / fewest.ms["idle pass"], 1.5))
    return found


def shares(row: Row, nodes: int = NODES) -> dict[str, float]:
    """Shares of a core, with one trial of `TRIAL_S` on each node."""
    a_second = nodes / TRIAL_S
    times = {"suggest": a_second, "report": (REPORTS - 1) * a_second, "end": a_second, BUSY: (REPORTS + 1) * a_second}
    return {event: row.ms[event] / 1e3 * often for event, often in times.items()}


def saturates(row: Row) -> str:
    found = shares(row)
    first = max(found, key=lambda event: found[event])
    whole = sum(found.values())
    each = ", ".join(f"{event} {100 * share:.1f} %" for event, share in found.items())
    return (
        f"{NODES:,} nodes, {row.storage}, {row.trials:,} trials of {TRIAL_S / 60:.0f} minutes and {REPORTS} reports: {100 * whole:.0f} % of a core "
        f"({each}); first to saturate: {first}, at about {NODES / whole:,.0f} nodes"
    )


@contextlib.contextmanager
def postgres() -> Iterator[Callable[[], str] | None]:
    """New databases of a throwaway server; None, said aloud, where there is none."""
    import pytest

    try:
        from tests.helpers.postgres import Postgres

        server = Postgres()
    except (ImportError, pytest.skip.Exception) as error:
        print(f"PostgreSQL: not measured: {error}", flush=True)
        yield None
        return
    try:
        yield lambda: server.make(f"driver{time.monotonic_ns()}")
    finally:
        server.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/driver.py", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000], help="trials that have ended")
    parser.add_argument("--concurrent", type=int, nargs="+", default=[10, 100, 1000], help="trials at a time")
    parser.add_argument("--database-trials", type=int, nargs="*", default=[100, 1000], help="the same with PostgreSQL; none: left out")
    parser.add_argument("--steps", type=int, default=60, help="reports in a turn")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each")
    parser.add_argument("--out", type=Path, help="a file for the figures, JSON")
    asked = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="peoria-driver-") as work:
        for trials in asked.trials:
            rows += measure(Path(work), trials, tuple(asked.concurrent), asked.steps, asked.rounds, None)
            print(table(rows[-len(asked.concurrent) :]), flush=True)
        if asked.database_trials:
            with postgres() as databases:
                for trials in asked.database_trials if databases is not None else []:
                    rows += measure(Path(work), trials, tuple(asked.concurrent), asked.steps, asked.rounds, databases)
                    print(table(rows[-len(asked.concurrent) :]), flush=True)
    print(f"\nCPU milliseconds, medians:\n\n{table(rows)}\n")
    found = ratios(rows)
    for text, value, limit in found:
        print(f"{text}: {value:.2f} x ({'holds' if value <= limit else 'MISSED'}: at most {limit:g})")
    for storage in dict.fromkeys(row.storage for row in rows):
        print(saturates(max((row for row in rows if row.storage == storage), key=lambda row: (row.trials, row.concurrent))))
    if asked.out:
        asked.out.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
    return int(any(value > limit for _, value, limit in found))


if __name__ == "__main__":
    sys.exit(main())
