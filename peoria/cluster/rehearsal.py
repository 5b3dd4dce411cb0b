"""A sweep rehearsed: the very command, under Ray's own autoscaler, on nodes that are processes of this machine, one of which is killed on the way."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peoria.cluster.rehearsal_chart import chart
from peoria.cluster.rehearsal_cluster import RehearsalCluster
from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.records.json_file import write_json
from peoria.records.schema import TrialWorker
from peoria.sweep.resources import Say
from shards.files import write_atomic

IDLE_S = 15.0  # without work until a node is taken down; in earnest it is longer than a node's boot
SCALE_DOWN_S = 120.0  # for all of them to go, on a busy machine
STOP_S = 7.0  # for the sweep to write where it is
SAMPLES, OUTCOME, CHART = "nodes.jsonl", "rehearsal.json", "rehearsal.svg"
EXIT_INCOMPLETE = 3


@dataclass
class Course:
    """What was seen of a rehearsal, sample by sample."""

    price: float  # of a node, an hour
    times: list[float] = field(default_factory=list)  # unix seconds
    nodes: list[int] = field(default_factory=list)
    used: list[float] = field(default_factory=list)  # GPUs that trials held
    ended: list[int] = field(default_factory=list)  # trials
    kills: list[float] = field(default_factory=list)  # unix seconds
    cpu_seconds: dict[int, float] = field(default_factory=dict)  # of each process that trials ran in
    gpu_seconds: float = 0.0
    node_seconds: float = 0.0
    costs: list[float] = field(default_factory=list)
    autoscaler: int = 0

    def add(self, now: float, nodes: int, used: float, ended: int) -> dict[str, float]:
        if self.times:
            passed = now - self.times[-1]
            self.gpu_seconds += passed * self.used[-1]
            self.node_seconds += passed * self.nodes[-1]
        self.times.append(now)
        self.nodes.append(nodes)
        self.used.append(used)
        self.ended.append(ended)
        self.costs.append(self.node_seconds / 3600 * self.price)
        return {"time": now, "nodes": nodes, "used": used, "ended": ended, "cost": self.costs[-1]}

    @property
    def peak(self) -> int:
        return max(self.nodes, default=0)

    @property
    def replaced(self) -> bool:
        """Whether there were as many nodes as ever once more, after the last one was killed."""
        gone = False
        for now, nodes in zip(self.times, self.nodes, strict=True):
            if self.kills and now > self.kills[-1]:
                gone = gone or nodes < self.peak
                if gone and nodes == self.peak:
                    return True
        return False


def rehearse(
    words: Sequence[str], name: str, folder: Path, *, nodes: int, kills: int, price: float, cpus_per_node: int, planned: tuple[float, float], say: Say
) -> int:
    """Runs ``peoria sweep WORDS`` on up to ``nodes`` nodes with a GPU each, kills ``kills`` of them one after another in mid-trial, and waits until
    all are gone. Returns the exit status: 0 where the sweep finished and the nodes came and went.

    Args:
        words: of the sweep's command, which has ``folder`` for its home.
        name: of the sweep, in that home.
        price: of a node, an hour, in any money.
        planned: GPU-seconds by the clock, and CPU-seconds of the trials' processes, for comparison.

    Raises:
        SweepError: it is finished already.
    """
    sweep = SweepFolder.of(folder, name)
    if sweep.is_finished():
        raise SweepError(f"{folder}: rehearsed already; a folder of its own", hint="remove it, or name another --home")
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    course = Course(price)
    say(f"rehearsal of {name}: 0 to {nodes} nodes with a pretended GPU each, {kills} to be killed; their logs are in {folder / 'logs'}")
    with RehearsalCluster(folder / "logs", most_nodes=nodes, cpus_per_node=cpus_per_node, idle_s=IDLE_S) as cluster:
        environment = cluster.environment | {"RAY_ADDRESS": cluster.address, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen([sys.executable, "-m", "peoria", "sweep", *words], env=environment, start_new_session=True)
        try:
            watch(process, cluster, sweep, course, folder, nodes, kills, say)
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):  # it is then ended with the cluster
                    process.wait(STOP_S)
            cluster.keep_logs()
            if course.times:
                write_atomic(folder / CHART, chart(course.times, course.nodes, course.used, course.ended, course.costs, course.kills, name).encode())
    return conclude(process.returncode, sweep, course, folder, nodes, kills, planned, say)


def watch(
    process: "subprocess.Popen[bytes]", cluster: RehearsalCluster, sweep: SweepFolder, course: Course, folder: Path, nodes: int, kills: int, say: Say
) -> None:
    """Until the sweep has ended and its nodes are gone."""
    deadline, known, killed = float("inf"), -1, set[str]()
    with (folder / SAMPLES).open("a") as samples:
        while time.monotonic() < deadline:
            found = cluster.sample(timeout_s=1.0)
            if process.poll() is not None and deadline == float("inf"):
                if process.returncode != 0:
                    return
                deadline = time.monotonic() + IDLE_S + SCALE_DOWN_S
            if found is None:
                continue
            there = [node for node in found["nodes"] if node["name"] not in killed]  # whose heartbeats Ray misses only after seconds
            course.autoscaler = found["autoscaler"]
            course.cpu_seconds |= cpu_seconds(sweep)
            line = course.add(time.time(), len(there), sum(node["used"] for node in there), ended(sweep))
            samples.write(json.dumps(line) + "\n")
            samples.flush()
            if len(there) != known:
                known = len(there)
                say(f"  rehearsal: {known} of {nodes} nodes, {line['ended']} trials ended")
            if process.poll() is not None and not there:
                return
            if len(course.kills) < kills and len(there) == nodes and (victim := under_way(sweep, there)) is not None:
                cluster.kill(victim)
                killed.add(victim)
                course.kills.append(time.time())
                say(f"  rehearsal: {victim} was killed in mid-trial")


def ended(sweep: SweepFolder) -> int:
    return sum(1 for _ in sweep.path.glob(f"trials/*/{sweep.trial('').outcome.name}"))


def cpu_seconds(sweep: SweepFolder) -> dict[int, float]:
    """CPU time so far of the processes that trials run in, by their ids; a process that is gone keeps what was last seen."""
    found = {}
    for trial in sweep.trials():
        worker = TrialWorker.read_if_there(trial.worker)
        if worker is not None:
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(") ")[2].split()
                found[worker.pid] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return found


def under_way(sweep: SweepFolder, nodes: list[dict[str, Any]]) -> str | None:
    """A node with a trial that has reported and goes on."""
    for trial in sweep.trials():
        if not trial.outcome.exists() and trial.points.exists() and (worker := TrialWorker.read_if_there(trial.worker)) is not None:
            for node in nodes:
                if node["used"] and node["id"].startswith(worker.node.split()[-1]):
                    return str(node["name"])
    return None


def conclude(code: int, sweep: SweepFolder, course: Course, folder: Path, nodes: int, kills: int, planned: tuple[float, float], say: Say) -> int:
    """Says what was seen, and keeps it."""
    last = course.nodes[-1] if course.nodes else 0
    finished = code == 0 and sweep.is_finished()
    computed = sum(course.cpu_seconds.values())
    outcome = {
        "autoscaler": course.autoscaler,
        "nodes": nodes,
        "peak": course.peak,
        "last": last,
        "killed": len(course.kills),
        "replaced": course.replaced,
        "trials_ended": ended(sweep),
        "finished": finished,
        "gpu_seconds": course.gpu_seconds,
        "node_seconds": course.node_seconds,
        "cost": course.costs[-1] if course.costs else 0.0,
        "planned_gpu_seconds": planned[0],
        "cpu_seconds": computed,
        "planned_cpu_seconds": planned[1],
        "load": os.getloadavg()[0],
    }
    write_json(folder / OUTCOME, outcome)
    say(f"rehearsal of {sweep.name}: {'finished' if finished else 'not finished'}, {outcome['trials_ended']} trials")
    if code != 0 and not course.peak:
        return code if code > 0 else EXIT_INCOMPLETE
    say(f"  autoscaler  v{course.autoscaler} of Ray: nodes 0 → {course.peak} → {last}")
    say(f"  killed      {len(course.kills)} of {kills}{', and replaced' if course.replaced else ''}")
    say(f"  GPU time    {against(course.gpu_seconds, planned[0])} held by trials; by the clock, at a load of {os.getloadavg()[0]:.0f}")
    say(f"  of that     {against(computed, planned[1])} computed: a pretended GPU is a CPU")
    say(f"  paid        {course.node_seconds:,.0f} s of nodes, {outcome['cost']:.2f} at {course.price:g} an hour")
    say(f"  over time   {folder / CHART}, {folder / SAMPLES}")
    if course.peak < nodes:
        say(f"  warning     {nodes} nodes were never there at a time: the sweep had too few trials left, or the autoscaler did not give them")
    if len(course.kills) < kills:
        say(f"  warning     {kills - len(course.kills)} not killed: no trial had reported while all nodes were there")
    if code != 0:
        return code if code > 0 else EXIT_INCOMPLETE
    return 0 if finished and last == 0 else EXIT_INCOMPLETE


def against(found: float, planned: float) -> str:
    """Seconds, beside those planned."""
    return f"{found:,.0f} s, {planned:,.0f} s planned{f' ({found / planned - 1:+.0%})' if planned else ''}"
