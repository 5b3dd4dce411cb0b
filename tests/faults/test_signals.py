"""INT, TERM and HUP at any moment: the status that a shell knows, a record that says so, no process left, and nothing lost for the next run."""

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.faults import FULL, Command, digests, tracked

pytestmark = pytest.mark.slow

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
PATIENCE_S = 30  # for what takes 10 s where a core is free
NOT_HANDLED = """
import contextlib, peoria.sweep.signals as signals
signals.handled = contextlib.contextmanager(lambda **_: (yield signals.Signals()))
"""
BUSY = """
import hashlib, peoria.sweep.run as run
run.write_baselines = lambda *_: (print("busy", flush=True), hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1))
"""
DEAF = "import peoria.sweep.signals as signals\nsignals.Signals._listen = lambda *_: None\n"


def end(run: Command, process: "subprocess.Popen[bytes]", number: int) -> None:
    """Sends the signal as it comes: Ctrl-C to the whole foreground group, the others to the process."""
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(timeout=PATIENCE_S) == CODES[signal.Signals(number)], run.said()[-3000:]
    assert f"interrupted by {signal.Signals(number).name}; the same command goes on from here" in run.said()
    assert run.gone_within(PATIENCE_S), run.processes()
    assert "Traceback" not in run.said()
    if run.folder.definition.exists():
        assert run.status() == "interrupted"
    assert not run.folder.stopping.exists()


@pytest.mark.parametrize("flags", [(), ("--local",)], ids=["ray", "local"])
def test_at_any_moment(flags: tuple[str, ...], undisturbed: dict[str, Any], command: Any, migrated_database: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated_database, database)
    run = command(*flags, tracking=f"sqlite:///{database}")
    dice = random.Random(7)
    moments = [  # while it starts, reads and decodes; while the first trial trains; in the follow-ups
        lambda: time.monotonic() > began + dice.uniform(0.3, 4),
        lambda: run.num_reports() > 2,
        lambda: run.num_ended() >= 3,
        lambda: run.folder.trial("0000-seed-1").points.exists() or run.num_ended() >= 4,
    ]
    moments += [lambda: time.monotonic() > began + dice.uniform(0.1, 15)] * 26
    moments = moments if FULL else moments[0 if flags else 1 : 4 : 2]
    for turn, moment in enumerate(moments):
        process = run.start()
        began = time.monotonic()
        if not run.until(moment, process):  # a random moment after its end
            continue
        end(run, process, [signal.SIGTERM, signal.SIGHUP, signal.SIGINT][turn % 3])
        if run.folder.definition.exists() and tracked(database):
            assert "RUNNING" not in tracked(database)
    run.finish()
    assert run.status() == "finished"
    assert digests(run.folder) == undisturbed
    assert set(tracked(database)) <= {"FINISHED", "KILLED"}


def test_a_second_one_hastens_the_end_and_the_record_is_whole(undisturbed: dict[str, Any], command: Any) -> None:
    run = command()
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2 and run.training(), process)
    os.kill(run.training()[0], signal.SIGSTOP)  # a trial that hears nothing
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 143
    assert run.gone_within(PATIENCE_S)
    assert run.status() == "interrupted"
    run.finish()
    assert digests(run.folder) == undisturbed


def test_a_closed_terminal(undisturbed: dict[str, Any], command: Any) -> None:
    run = command()
    ours, theirs = pty.openpty()
    # a shell of its own makes the terminal its controlling one; when our side is closed the kernel sends SIGHUP
    process = run.start(stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=False, preexec_fn=lambda: controlled(theirs))
    os.close(theirs)
    os.set_blocking(ours, False)
    run.wait_until(lambda: drained(ours) and run.num_reports() > 2, process)
    os.close(ours)
    assert process.wait(timeout=PATIENCE_S) == 129
    assert run.gone_within(PATIENCE_S)
    assert run.status() == "interrupted"
    run.finish()
    assert digests(run.folder) == undisturbed


def controlled(fd: int) -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def drained(fd: int) -> bool:
    try:
        while os.read(fd, 1 << 16):
            pass
    except OSError:
        pass
    return True


def test_a_main_thread_in_compiled_code_is_ended_all_the_same(command: Any) -> None:
    run = command("--local", before=BUSY)
    process = run.start()
    run.wait_until(lambda: "busy" in run.said(), process)
    end(run, process, signal.SIGTERM)


def test_control_nobody_listens(command: Any) -> None:
    """Without the thread the handler waits for the main thread, which is in compiled code."""
    run = command("--local", before=DEAF + BUSY)
    process = run.start()
    run.wait_until(lambda: "busy" in run.said(), process)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=15)
    process.kill()
    process.wait()


def test_control_no_handler(command: Any) -> None:
    run = command("--local", before=NOT_HANDLED)
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGTERM
    assert run.status() == ""
    assert not any(json.loads(path.read_text()).get("status") == "interrupted" for path in run.folder.path.glob("*.json"))


def test_nohup_stays_in_force(command: Any) -> None:
    run = command("--local")
    process = run.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    run.wait_until(lambda: run.num_reports() > 2, process)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=240) == 0
    assert run.status() == "finished"
