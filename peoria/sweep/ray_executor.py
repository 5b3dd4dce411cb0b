"""Ray Tune as executor, in a process of its own: it places trials on CPUs and GPUs. What is true, and who is tried again, stays in the store of the
process that started this one (`ray_process`), which it asks and tells over a socket, a line of JSON each.

Nothing of ours lives in Tune's own state: its experiment file is not written atomically, and a torn one loses the sweep in silence. Nor does Ray live
in the process of the record: it ends the process that it is in when its own server is gone, and hangs it when its local half is.
"""

import json
import logging
import os
import re
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from peoria.sweep.deaths import why_of
from peoria.sweep.leaving import WATCHED, Leaving
from peoria.sweep.preflight import look_again
from peoria.sweep.processes import MARK, end_from_outside
from peoria.sweep.ray_errand import do_errand
from peoria.sweep.ray_leaving import leaving
from peoria.sweep.ray_nodes import here, outlook, scout, watch, watch_nodes
from peoria.sweep.ray_setup import Setup, first_line
from peoria.sweep.ray_start import ActorClasses, connect
from peoria.training.gpu import release_memory
from peoria.training.messages import TrialReport, TrialSpec
from peoria.training.trial import run_trial

KILLED = re.compile(r"pid=(\d+), (?:actual )?memory used=([\d.]+)\s*GB")  # by Ray's memory monitor


class TrialActor(tune.Trainable):
    """A trial for Tune: each ``train`` call brings the next report. Tune's checkpoints are not used; the trial's folder has ours."""

    def setup(self, config: dict[str, Any]) -> None:
        self._broken = False
        self._refused: dict[str, Any] = {}
        self._leaving: Callable[[], bool] = leaving() if os.environ.get(WATCHED) == "1" else lambda: False
        node, node_id = here()
        if wrong := look_again(config["probe"], node, node_id):
            self._refused = {"node": node, "node_id": node_id, "why": list(wrong)}
            self._reports = not_here()
            return
        spec, share = TrialSpec.model_validate_json(config["spec"]), ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
        self._reports = run_trial(spec, gpu_share=share, broken=self._break, node=node, leaving=self._leaving)

    def step(self) -> dict[str, Any]:
        if self._broken:
            # Not by returning False from `reset_config`: Tune would drop the next trial without telling the searcher.
            ray.actor.exit_actor()
        report = next(self._reports) if not isinstance(self._leaving, Leaving) else self._leaving.within(lambda: next(self._reports))
        self._broken |= report.preempted  # nothing more is to begin on this node
        # as text: Tune would flatten every curve into columns of its own
        return {"report": report.model_dump_json(), "broken": self._broken, "refused": json.dumps(self._refused)}

    def cleanup(self) -> None:
        self._reports.close()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._reports.close()
        release_memory()
        self.setup(new_config)
        return True

    def _break(self) -> None:
        self._broken = True


def not_here() -> Generator[TrialReport, None, None]:
    """In place of a trial, on a node that is refused."""
    yield TrialReport(step=0, status="interrupted", error="its node is refused")


class ActorManager(RayActorManager):
    """Tune's own lets most of Ray's errors end the whole run: to this one a worker that Ray's memory monitor killed is one that died."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        super()._actor_task_failed(tracked_actor_task, exception)


class Line:
    """The socket to the process that holds the record. This one asks and waits for the answer; what that one says of itself is done as it comes."""

    def __init__(self, connection: socket.socket, setup: Setup) -> None:
        self._connection, self._setup = connection, setup
        self._sending = threading.Lock()
        self._answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.trials: dict[str, Any] = {}  # Tune's, by key
        self.turns = 0  # of Tune's loop
        self.begin = threading.Event()
        self.leaving = False  # asked to by SIGTERM: what a Ray that is being taken down raises in other threads is no news
        self.listened = threading.Event()  # set while the other side reads what is told: decoding and fitting it does not
        self.refused: list[str] = []  # ids of nodes that no trial is placed on any more
        threading.Thread(target=self._read, name="line", daemon=True).start()

    def tell(self, **message: Any) -> None:
        with self._sending:
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, **message: Any) -> dict[str, Any]:
        self.tell(**message)
        return self._answers.get()

    def give_up(self, error: BaseException | None) -> None:
        """Whatever Ray raised, its traceback goes to the log and its first line to the one who starts Ray again."""
        if self.leaving:
            return
        traceback.print_exception(error)
        words = str(error).strip().splitlines() or [""]
        self.tell(error=f"{type(error).__name__}: {words[0][:300]}", kind=type(error).__name__)
        os._exit(1)

    def _read(self) -> None:
        try:
            for line in self._connection.makefile("rb"):
                said = json.loads(line)
                if "kill" in said:
                    self._kill(said["kill"])
                elif "begin" in said:
                    self.listened.set()
                    self.begin.set()
                elif "look" in said:
                    self.listened.set()
                    threading.Thread(target=self._look, name="look", daemon=True).start()
                elif "errand" in said:
                    self.listened.set()
                    threading.Thread(target=self._do, args=(said,), name="errand", daemon=True).start()
                else:
                    self._answers.put(said)
        except OSError:
            traceback.print_exc()
        # Whoever holds the record is gone, however it went: nothing of this Ray outlives it. Another process ends them all, this one included, whose
        # main thread may be starting more of them.
        end_from_outside(os.environ[MARK], Path(self._setup.temporary).parent if self._setup.temporary else None)
        os._exit(1)

    def _look(self) -> None:
        assert self._setup.probe is not None
        wrong, remark = scout(self._setup.probe, self._setup.cpus, self._setup.gpus)
        self.listened.clear()
        self.tell(looked=wrong, remark=remark)

    def _do(self, errand: dict[str, Any]) -> None:
        do_errand(self.tell, self._setup.probe_text, self._setup.cpus, self._setup.gpus, self.refused, errand)

    def _kill(self, key: str) -> None:
        trial = self.trials.get(key)
        actor = None if trial is None else trial.temporary_state.ray_actor
        if actor is not None:
            ray.kill(actor)


class TuneState:
    """What searcher and scheduler share. Tune copies and pickles both for its own state; a copy of the state is the state, a pickle is empty."""

    def __init__(self, line: Line, probe: str) -> None:
        self.line, self.probe, self.keys = line, probe, dict[str, str]()  # keys by Tune's own ids
        self.ended = set[str]()  # by those ids: what is left of them is a process that ends itself

    def __deepcopy__(self, memo: dict[int, Any]) -> "TuneState":
        return self

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (dict, ())


class StoreSearcher(Searcher):
    """Asks the store for the next trial. Tune itself retries nothing: it takes a worker that dies between two trials for a trial that failed."""

    def __init__(self, state: TuneState) -> None:
        super().__init__(metric="report", mode="max")
        self.state = state

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        self.state.line.turns += 1
        answer = self.state.line.ask(ask=trial_id)
        if "spec" not in answer:
            return None if answer["more"] else str(Searcher.FINISHED)
        self.state.keys[trial_id] = answer["key"]
        return {"spec": answer["spec"], "probe": self.state.probe, "refused": list(self.state.line.refused)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.state.line.trials.pop(self.state.keys[trial_id], None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""


class StoreScheduler(FIFOScheduler):
    """Enters every report in the store and stops a trial when the store says that it is over; tells it whose worker died, and how."""

    def __init__(self, state: TuneState) -> None:
        super().__init__()
        self.state = state

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if refused := json.loads(result["refused"]):
            if refused["node_id"] not in self.state.line.refused:
                self.state.line.refused.append(refused["node_id"])
            self.state.line.tell(refused=refused, key=self.state.keys[trial.trial_id])
            return str(TrialScheduler.STOP)
        if self.state.line.ask(report=json.loads(result["report"]), key=self.state.keys[trial.trial_id])["more"]:
            return str(TrialScheduler.CONTINUE)
        # A broken process is let go on to its own end: stopped, it would be given the next trial.
        if result["broken"]:
            self.state.ended.add(trial.trial_id)
        return str(TrialScheduler.CONTINUE if result["broken"] else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_error(tune_controller, trial)
        if trial.trial_id in self.state.ended:
            return  # of its key another may already be under way
        text, key = Path(trial.error_file).read_text(), self.state.keys[trial.trial_id]
        print(f"{key}: {text}", flush=True)  # to the log
        if "OutOfMemoryError" in text or "low on memory" in text:
            self.state.line.tell(memory=[(int(pid), int(float(used) * 2**30)) for pid, used in KILLED.findall(text)], key=key)
        else:
            self.state.line.tell(died=why_of(text), key=key)


class Turns(tune.Callback):
    """Counts the turns of Tune's loop, and tells which trial has begun."""

    def __init__(self, state: TuneState) -> None:
        self.state = state

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.state.line.turns += 1

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = self.state.keys[trial.trial_id]
        self.state.line.trials[key] = trial
        self.state.line.tell(started=key)


def run_tune(line: Line, setup: Setup) -> None:
    """Runs all that the store owes; returns when it has no more."""
    shutil.rmtree(setup.scratch, ignore_errors=True)
    tune_controller.RayActorManager = ActorManager
    if setup.address is None:
        tune_controller._ActorClassCache = ActorClasses
    module, _, name = setup.actor.partition(":")
    __import__(module)
    state = TuneState(line, setup.probe_text)

    def place(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        elsewhere = {"bundle_label_selector": [{"ray.io/node-id": f"!in({','.join(config['refused'])})"}]} if config["refused"] else {}
        return tune.PlacementGroupFactory([{"CPU": setup.cpus, "GPU": setup.gpus}], **elsewhere)

    tuner = tune.Tuner(
        tune.with_resources(getattr(sys.modules[module], name), place),
        tune_config=tune.TuneConfig(
            search_alg=StoreSearcher(state),
            scheduler=StoreScheduler(state),
            num_samples=-1,
            max_concurrent_trials=setup.concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(setup.scratch.resolve()),
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[JsonLoggerCallback(), Turns(state)],
            verbose=0,
        ),
    )
    tuner.fit()


def serve(fd: int) -> None:
    """All of this process: starts Ray, waits for the word to begin, runs Tune, and waits to be ended."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the process that holds the record decides
    connection = socket.socket(fileno=fd)
    connection.set_inheritable(False)  # else a worker would hold the line open
    setup = Setup.model_validate_json(first_line(connection))
    line = Line(connection, setup)
    sys.excepthook = lambda kind, error, trace: line.give_up(error)
    threading.excepthook = lambda hooked: line.give_up(hooked.exc_value)
    line.tell(starting=True)
    logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
    connect(setup)

    def leave(number: int, frame: FrameType | None) -> None:
        line.leaving = True
        print(f"asked to end by {signal.Signals(number).name}", flush=True)  # to the log
        if setup.address is None:
            os._exit(128 + number)  # whoever started this one ends what is left
        sys.exit(128 + number)  # leaves the cluster in order

    signal.signal(signal.SIGTERM, leave)  # Ray's own prints its stack, and takes seconds
    line.tell(up=True, outlook=None if setup.address is None else outlook().model_dump_json())
    threading.Thread(target=watch, args=(line.tell, lambda: line.turns, line.listened, setup.address is None), name="watch", daemon=True).start()
    if setup.address is not None:
        threading.Thread(target=watch_nodes, args=(line.tell, line.listened), name="nodes", daemon=True).start()
    line.begin.wait()
    run_tune(line, setup)
    line.tell(end=True)
    threading.Event().wait()  # this process, and Ray with it, is ended from outside
