"""What a signal leaves at once, for whoever sent it may kill before the end; tests/faults/test_signals.py has the rest."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
from pathlib import Path
from peoria.sweep.signals import handled

said = Path(sys.argv[1])

def say():
    with said.open("a") as file:
        file.write("said\\n")

with handled() as signals, signals.sweep(said.with_name("stopping"), say):
    signals.hold()
    said.with_name("ready").touch()
    while True:
        time.sleep(0.05)
"""


@pytest.mark.slow
def test_the_last_word_is_said_when_the_signal_comes_and_once_more_at_the_end(tmp_path: Path) -> None:
    """The second one is the control: it alone would come too late for who kills after 3 s."""
    said = tmp_path / "said"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(said)])
    try:
        until(tmp_path / "ready", process)
        assert not said.exists()
        process.send_signal(signal.SIGTERM)
        until(said, process)
        assert said.read_text() in ("said\n", "")  # as it is written
        assert process.wait(120) == 143
        assert said.read_text() == "said\nsaid\n"
    finally:
        process.kill()
        process.wait()


CALLED = """
import os, signal, sys, time
from pathlib import Path
from peoria.sweep import signals

signals.END_S = 2.2  # else this test takes as long as that
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell leaves it ignored in what it starts in the background
number, ends = int(sys.argv[1]), sys.argv[3] == "ends"
try:
    with signals.handled(for_good=sys.argv[2] == "for_good") as came:
        if not ends:
            came.hold()  # as a sweep does, which then asks
        os.kill(os.getpid(), number)
        time.sleep(4)
except KeyboardInterrupt as error:
    print("interrupted", error, flush=True)
time.sleep(4)  # a notebook waits for its next cell
print("alive", flush=True)
"""


@pytest.mark.parametrize(
    ("number", "how", "ends", "code", "said"),
    [
        (signal.SIGINT, "called", "ends", 0, "interrupted SIGINT\nalive\n"),
        (signal.SIGINT, "called", "late", 0, "alive\n"),
        (signal.SIGTERM, "called", "ends", 0, "interrupted SIGTERM\nalive\n"),
        (signal.SIGTERM, "called", "late", 143, ""),
        (signal.SIGINT, "for_good", "ends", 130, "interrupted SIGINT\n"),  # control: a command's own process, as every one was
    ],
)
def test_an_interrupted_call_does_not_end_the_process_that_made_it(number: int, how: str, ends: str, code: int, said: str) -> None:
    """As of a cell of a notebook. SIGTERM is for the process: where what is called does not come to an end, it is ended."""
    done = subprocess.run([sys.executable, "-c", CALLED, str(int(number)), how, ends], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (code, said), done.stderr


def until(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
