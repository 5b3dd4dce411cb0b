"""A sweep that is killed as a power cut would, and started again by the same command: exactly the remaining trials, none twice, none again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from peoria.records.folder import SweepFolder
from peoria.records.points import read_points
from peoria.records.selection import choice_of, seed_key
from peoria.records.trials import TrialRecord, read_trials
from tests.helpers.studies import sampled

pytestmark = pytest.mark.slow

TRIALS = sampled(9, 6)
SWEEP = """
import peoria
from peoria import LogUniform, Space, Sweep

SWEEP = Sweep(
    name="kill", shards="named by the flag", trials={trials}, paper=True, startup_per_task=2,
    space=Space(learning_rate=LogUniform(1e-4, 1e-2), head_multiplier=LogUniform(1.0, 10.0), outlier_sd=(None, 3.0)),
    shared={{"net": "tiny", "target_scale": "log1p", "pictures": 4000, "batch_size": 32, "curve_points": 40, "schedule": "cosine"}},
    seeds=3, questions=(),
)

if __name__ == "__main__":
    peoria.main(SWEEP)
"""


class Runs:
    """Starts the same command again and again; every process it leaves is known by a mark in its environment."""

    def __init__(self, folder: Path, shards: Path, tracking: str, *flags: str) -> None:
        self.home, self.mark = folder / "home", uuid.uuid4().hex
        folder.mkdir(exist_ok=True)
        path = folder / "kill.py"
        path.write_text(SWEEP.format(trials=TRIALS))
        self.words = [
            sys.executable,
            "-m",
            "peoria",
            "sweep",
            str(path),
            "--home",
            str(self.home),
            "--shards",
            str(shards),
            "--tracking",
            tracking,
            *flags,
        ]
        self.folder = SweepFolder.of(self.home, "kill")
        self.log = folder / "log"

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self.words, start_new_session=True, stdout=log, stderr=log, env=os.environ | {"PEORIA_TEST_MARK": self.mark})

    def ended(self) -> dict[str, float]:
        """When each trial ended."""
        return {path.parent.name: json.loads(path.read_text())["ended_at"] for path in self.folder.path.glob("trials/*/outcome.json")}

    def processes(self) -> dict[int, str]:
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and f"PEORIA_TEST_MARK={self.mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def wait_until(self, done: Any, process: subprocess.Popen[bytes], timeout_s: float = 240) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.02)


@pytest.fixture
def cleanup() -> Iterator[list[Runs]]:
    """Whatever a failed test leaves behind is ended by its id."""
    runs: list[Runs] = []
    yield runs
    for run in runs:
        for pid in run.processes():
            os.kill(pid, signal.SIGKILL)


def test_four_kills(planted_shards: Path, mlflow_server: str, tmp_path: Path, cleanup: list[Runs]) -> None:
    run = Runs(tmp_path / "run", planted_shards, mlflow_server)
    cleanup.append(run)
    dice = random.Random(0)
    before: dict[str, float] = {}
    for num_ended in (0, 3, TRIALS - 2, TRIALS + 4):  # the last when the search is over and its winners are trained again
        process = run.start()
        run.wait_until(lambda num=num_ended: len(run.ended()) >= num and any(run.folder.path.glob("trials/*/points.jsonl")), process)
        time.sleep(dice.uniform(0, 0.5))
        ended = run.ended()
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert before.items() <= ended.items()  # what had ended was not run again
        before = ended
    process = run.start()
    assert process.wait(timeout=400) == 0, run.log.read_text()[-3000:]

    trials = read_trials(run.folder)
    searched = [trial.key for trial in trials if trial.of is None]
    assert searched == [*(f"{n:04d}" for n in range(TRIALS)), "paper-classification", "paper-hybrid", "paper-regression"]
    check_probes(trials)
    assert all(trial.status in ("done", "pruned") for trial in trials)
    assert before.items() <= run.ended().items()
    for trial in trials:
        steps = [step for step, _ in trial.points()]
        assert steps == sorted(set(steps))
        if trial.status == "done":
            assert steps == [4000 * k // 40 for k in range(1, 41)]
    check_pruning(run.folder)
    check_mlflow(mlflow_server, trials)


def check_probes(trials: list[TrialRecord]) -> None:
    """The candidates, and nobody else, again with the seeds that choose, and the winners with each fresh seed."""
    choice = choice_of(trials, seeds=3, wanted=TRIALS)
    assert choice.winners.keys() == choice.candidates.keys() == {"views", "favorites"}
    wanted = {seed_key(key, number) for keys in choice.candidates.values() if len(keys) > 1 for key in keys for number in (1, 2)}
    wanted |= {seed_key(key, number) for key in choice.winners.values() for number in (1, 2, 3)}
    assert {trial.key for trial in trials if trial.of is not None} == wanted


def check_pruning(folder: SweepFolder) -> None:
    """Every decision is the one that the rule gives for what had been stored when it was made, whatever was killed in between."""
    journal = optuna.storages.journal.JournalFileBackend(str(folder.journal))
    fixed = optuna.load_study(study_name="kill/unsearched", storage=optuna.storages.JournalStorage(journal)).get_trials(deepcopy=False)
    papers = {trial._trial_id for trial in fixed}  # of another study, on no rung
    reached: dict[int, dict[int, float]] = {}
    decided: set[tuple[int, str]] = set()
    for log in journal.read_logs(0):  # in the order of writing
        if "intermediate_value" in log and log["trial_id"] not in papers:
            reached.setdefault(log["step"], {})[log["trial_id"]] = log["intermediate_value"]
        for step, decision in (log.get("user_attr") or {}).get("rungs", {}).items():
            if (log["trial_id"], step) not in decided:
                decided.add((log["trial_id"], step))
                values = sorted(reached[int(step)].values(), reverse=True)
                pruned = len(values) >= 2 and reached[int(step)][log["trial_id"]] < values[len(values) // 2 - 1]
                assert decision == ("pruned" if pruned else "kept")
    assert len(decided) >= TRIALS


def check_mlflow(uri: str, trials: list[Any]) -> None:
    """One parent, a child a trial and a baseline, every point once."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("peoria")
    runs = client.search_runs([experiment.experiment_id], "tags.`peoria.sweep` = 'kill'", max_results=200)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    assert all(run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id for run in runs if run not in parents)
    children = {run.data.tags["peoria.trial"]: run for run in runs if "peoria.trial" in run.data.tags}
    assert sorted(children) == [trial.key for trial in trials]
    assert len([run for run in runs if "peoria.trial" in run.data.tags]) == len(trials)
    assert len({run.data.tags["val_keys_sha256"] for run in runs if run not in parents}) == 1
    for child in (run for run in runs if run not in parents):
        for key in child.data.metrics:
            curve = client.get_metric_history(child.info.run_id, key)
            assert len({point.step for point in curve}) == len(curve)
            assert all(abs(point.value) < 1e300 for point in curve)  # neither NaN, nor inf, which is stored as 1.8e308
    for trial in trials:
        history = client.get_metric_history(children[trial.key].info.run_id, "train/loss")
        assert [(point.step, point.value) for point in sorted(history, key=lambda point: point.step)] == [
            (step, values["train/loss"]) for step, values in trial.points()
        ]


def test_killed_one_at_a_time_it_is_the_sweep_that_was_left_alone(planted_shards: Path, tmp_path: Path, cleanup: list[Runs]) -> None:
    """With one trial at a time nothing depends on who was faster: the same draws, curves, decisions and weights to the bit."""
    alone, killed = (Runs(tmp_path / name, planted_shards, "off", "--concurrent", "1") for name in ("alone", "killed"))
    cleanup += [alone, killed]
    assert alone.start().wait(timeout=400) == 0, alone.log.read_text()[-3000:]
    for num_ended in (1, 4, TRIALS - 1, TRIALS + 4):
        process = killed.start()
        killed.wait_until(lambda num=num_ended: len(killed.ended()) >= num and any(killed.folder.path.glob("trials/*/points.jsonl")), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert killed.start().wait(timeout=400) == 0, killed.log.read_text()[-3000:]
    for one, other in zip(read_trials(alone.folder), read_trials(killed.folder), strict=True):
        assert (one.key, one.config, one.status, one.objective, one.metrics) == (
            other.key,
            other.config,
            other.status,
            other.objective,
            other.metrics,
        )
        assert read_points(one.folder.points) == read_points(other.folder.points)
        models = [trial.folder.model for trial in (one, other)]
        assert models[0].exists() == models[1].exists()
        if models[0].exists():
            assert models[0].read_bytes() == models[1].read_bytes()


def training(run: Runs) -> list[int]:
    """Workers in the middle of a report."""
    return [pid for pid, command in run.processes().items() if command.startswith("ray::") and ".train" in command]


def test_a_dead_worker_is_replaced_and_its_trial_goes_on(planted_shards: Path, tmp_path: Path, cleanup: list[Runs]) -> None:
    run = Runs(tmp_path / "run", planted_shards, "off", "--concurrent", "2")
    cleanup.append(run)
    process = run.start()
    killed = 0
    for num_ended in (1, 4):
        run.wait_until(lambda num=num_ended: len(run.ended()) >= num, process)
        run.wait_until(lambda: training(run), process)
        os.kill(training(run)[0], signal.SIGKILL)
        killed += 1
    assert process.wait(timeout=400) == 0, run.log.read_text()[-3000:]
    assert killed == 2
    assert all(trial.status in ("done", "pruned") for trial in read_trials(run.folder))
    trials = read_trials(run.folder)
    assert len([trial for trial in trials if trial.of is None]) == TRIALS + 3
    check_probes(trials)
