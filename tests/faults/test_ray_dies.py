"""Workers, drivers and Ray itself killed or stopped in the middle of a sweep: told in a line, gone on with, and in the end the same bits."""

import contextlib
import os
import random
import signal
import time
from typing import Any

import pytest

from tests.helpers.faults import Command, digests, long_count, sample

pytestmark = pytest.mark.slow

SERVERS = {"raylet": "raylet/raylet", "gcs_server": "gcs/gcs_server", "process": "-P -c import json"}
NOT_WATCHED = """
import peoria.sweep.ray_process as ray_process
ray_process.SILENT_S = ray_process.STUCK_S = 1e9
ray_process.CODE = ray_process.CODE.replace("serve(int", "import peoria.sweep.ray_executor as e; e.watch = lambda *_: None; serve(int")
"""


def hit(run: Command, words: str, number: int = signal.SIGKILL) -> None:
    (first, *_) = run.processes(words)
    os.kill(first, number)


def lost(run: Command) -> list[str]:
    return [line for line in run.said().splitlines() if line.startswith("  Ray: ")]


@pytest.mark.parametrize("what", [pytest.param("raylet", marks=long_count), "gcs_server"])
def test_a_server_of_ray_is_killed_and_the_sweep_goes_on(what: str, undisturbed: dict[str, Any], command: Any) -> None:
    """Twice in a run it is started again; the long count is made of several sweeps, each from the start."""
    run, dice = command(), random.Random(what)
    for _ in range(sample(5, 1)):
        process = run.start()
        for turn in range(2):
            before = run.num_reports()
            run.wait_until(lambda before=before: run.num_reports() > before + 1, process)
            time.sleep(dice.uniform(0, 0.5))
            hit(run, SERVERS[what])
            run.wait_until(lambda turn=turn: len(lost(run)) > turn, process, timeout_s=90)
        assert lost(run)[0] == f"  Ray: its {what} ended; started again, the sweep goes on (1 of 2)"
        assert process.wait(timeout=400) == 0, run.said()[-3000:]
        assert run.gone_within(30)
        assert digests(run.folder) == undisturbed
        run.empty()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGABRT, marks=long_count)], ids=lambda number: number.name)
def test_the_last_word_of_rays_process_is_ours(number: signal.Signals, undisturbed: dict[str, Any], command: Any) -> None:
    """What Ray's compiled half says of such an end (addresses, every module) is in its log, and nowhere else."""
    run = command()
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2, process)
    hit(run, SERVERS["process"], number)
    run.wait_until(lambda: lost(run), process, timeout_s=90)
    assert lost(run) == [f"  Ray: its process ended by {number.name}; started again, the sweep goes on (1 of 2)"]
    assert process.wait(timeout=400) == 0, run.said()[-3000:]
    log = run.folder.ray_log.read_text()
    assert ("asked to end by SIGTERM" if number == signal.SIGTERM else "Extension modules: ") in log  # the control: it did say something
    assert not [words for words in ("logging.cc", "@ ", "received at time", "Extension modules", "Fatal") if words in run.said()]
    assert digests(run.folder) == undisturbed


@pytest.mark.parametrize("what", ["raylet", *(pytest.param(what, marks=long_count) for what in ("gcs_server", "process"))])
def test_a_server_that_is_stopped_is_noticed_within_a_minute(what: str, undisturbed: dict[str, Any], command: Any) -> None:
    run = command()
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2 and run.training(), process)
    worker = run.training()[0]
    hit(run, SERVERS[what], signal.SIGSTOP)
    if what == "raylet":  # the worker itself needs none, and could end the sweep before anybody looks
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    run.wait_until(lambda: lost(run), process, timeout_s=60)
    assert process.wait(timeout=400) == 0, run.said()[-3000:]
    assert digests(run.folder) == undisturbed


def test_control_nobody_watches(command: Any) -> None:
    """Ray itself tells nothing of its dead raylet: once it needs another worker, the sweep would wait for ever."""
    run = command(before=NOT_WATCHED)
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2 and run.training(), process)
    worker = run.training()[0]
    hit(run, SERVERS["raylet"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    time.sleep(1)
    reports, deadline = run.num_reports(), time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    assert run.num_reports() <= reports + 1
    assert not lost(run)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert run.gone_within(30)


@long_count
def test_a_ray_that_is_lost_three_times_ends_the_run_and_nothing_else(undisturbed: dict[str, Any], command: Any) -> None:
    run = command()
    process = run.start()
    for turn in range(3):
        run.wait_until(lambda: run.processes(SERVERS["raylet"]) and run.training(), process)
        hit(run, SERVERS["raylet"])
        if turn < 2:
            run.wait_until(lambda turn=turn: len(lost(run)) > turn, process, timeout_s=90)
    assert process.wait(timeout=60) == 3, run.said()[-3000:]
    assert f"stopped: Ray: its raylet ended; started 3 times, no more; what it says is in {run.folder.ray_log}" in run.said()
    assert run.status() == "interrupted"
    assert run.gone_within(30)
    run.finish()
    assert digests(run.folder) == undisturbed


def test_killed_workers_and_drivers(undisturbed: dict[str, Any], command: Any) -> None:
    """Nothing lost, nothing doubled; Ray's own words go to its log, ours are a line a death."""
    run, dice = command(), random.Random(3)
    workers, drivers = sample(100, 3), sample(50, 2)
    while workers or drivers:
        process = run.start()
        ended_before = run.num_ended()
        for _ in range(min(workers, 4)):
            before = run.num_reports()
            while not (run.num_reports() > before and run.training()) and process.poll() is None:
                time.sleep(0.02)
            if process.poll() is not None:  # there was no more work
                break
            told = run.said().count("its worker died")
            os.kill(run.training()[0], signal.SIGKILL)
            workers -= 1
            while run.said().count("its worker died") == told and process.poll() is None:
                time.sleep(0.02)
        said = [line for line in run.said().splitlines() if "Traceback" in line or "ActorDied" in line or "ray.exceptions" in line]
        assert not said
        if drivers and process.poll() is None:
            time.sleep(dice.uniform(0, 2))
            (process.kill if dice.random() < 0.5 else lambda process=process: os.killpg(process.pid, signal.SIGKILL))()
            process.wait()
            drivers -= 1
            assert run.gone_within(30), run.processes()  # Ray's process sees that its own driver is gone
            assert run.num_ended() >= ended_before
        else:
            assert process.wait(timeout=400) == 0, run.said()[-3000:]
        if run.num_ended() == len(undisturbed) and (workers or drivers):  # there is more to kill than work to do: once more from the start
            run.finish()
            assert digests(run.folder) == undisturbed
            run.empty()
    run.finish()
    assert digests(run.folder) == undisturbed


def test_a_folder_that_is_gone_is_told_in_a_line(command: Any, tmp_path: Any) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    run = command()
    process = run.start(cwd=gone, preexec_fn=gone.rmdir)
    assert process.wait(timeout=60) == 2
    assert run.said().count("\n") == 2, run.said()
    (line, hint), said = run.said().splitlines()[:2], run.said()
    assert "Traceback" not in said
    assert "FATAL" not in said
    assert line == "the folder that the command was given in: no longer there; one that is"
    assert hint.startswith("hint: ")
