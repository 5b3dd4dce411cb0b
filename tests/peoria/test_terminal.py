"""What a sweep looks like on a terminal, in a log and to a program; and that the terminal is whole afterwards, however the sweep ended."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from peoria.aloud import WIDTH
from peoria.borders import folded
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialSeen
from peoria.screen_text import beat, event_of, region
from peoria.screens import BEAT_S, Lines
from peoria.sweep.board import Best, Money, Now, Running
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from tests.helpers.pty_screen import Act, Terminal, resize, run_in_terminal
from tests.helpers.small import small_sweep

LONG = "the paper's hyper-parameters on convnext_tiny (classification), half the batch"
COUNTS = {"done": 2, "pruned": 1, "running": 2, "finished": 3, "remaining": 2, "unsearched_remaining": 0}


def now(**changes: Any) -> Now:
    given: dict[str, Any] = {
        "sweep": "demo",
        "counts": COUNTS,
        "wanted": 5,
        "running": (Running("0003", f"0003 {LONG}", 9_000, 20_000), Running("0004", "0004 hybrid", 0, 20_000, waits=True)),
        "objective": "rank_mean",
        "se": 0.034,
        "best": Best(f"0001 {LONG}", 0.312),
        "baseline": Best("colour ridge", 0.29),
        "pictures_s": 340.4,
        "left_s": 240.0,
    }
    return Now(**given | changes)


def test_the_view_has_what_is_asked_of_it_and_no_line_is_too_long() -> None:
    lines = region(now(nodes=3, money=Money(0.4, 1.2, "USD", "prices.toml of 2026-11-26"), waits_for="waiting for 1 node"), 80, 24)
    assert lines[0] == "demo: 3 of 5 trials (2 done, 1 pruned); 340 pictures/s; about 4 min left"
    assert lines[1].startswith("  best      rank_mean +0.312 ± 0.034  0001 the paper's")
    assert lines[2].split() == ["baseline", "rank_mean", "+0.290", "colour", "ridge"]
    assert " 45% of 20,000" in lines[3]
    assert lines[4].split() == ["0004", "waits", "for", "a", "place"]
    assert lines[5] == "  nodes     3; 0.40 USD so far, 1.20 an hour, by prices.toml of 2026-11-26"
    assert lines[6] == "  waiting for 1 node"
    for width in (20, 40, 80):
        assert max(map(len, region(now(), width, 24))) <= width
    many = tuple(Running(f"{number:04}", "x", 1, 2) for number in range(100))
    assert len(region(now(running=many), 80, 12)) < 12
    assert "  and 96 more" in region(now(running=many), 80, 12)
    assert json.loads(json.dumps(event_of(now())))["running"][0] == {
        "key": "0003", "label": f"0003 {LONG}", "seen": 9_000, "pictures": 20_000, "waits": False,
    }  # fmt: skip


def test_lines_are_folded_below_what_they_name_and_a_path_stays_whole() -> None:
    path = "/" + "x" * 100
    text = folded(f"  warning     {'word ' * 40}\n  0000 hybrid lr 1e-3           done     +0.705  1 of 3\n{path} is full")
    assert [len(line) <= WIDTH or path in line for line in text.splitlines()] == [True] * len(text.splitlines())
    assert text.splitlines()[1].startswith(" " * 14 + "word")
    assert "  0000 hybrid lr 1e-3           done     +0.705  1 of 3" in text.splitlines()
    assert path in text.splitlines()


def test_after_a_long_silence_a_line_says_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    lines.show(now())
    lines._turn()
    assert capsys.readouterr().out == ""  # nobody has waited for long
    later = time.monotonic() + BEAT_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    lines._turn()
    lines._turn()  # and once, for it has just been said
    said = capsys.readouterr().out
    assert " ".join(said.split()).endswith(beat(now()))
    assert "0003 45% of 20,000 pictures" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= WIDTH
    assert said.count("pictures/s") == 1
    assert BEAT_S >= 120


def script(tmp_path: Path, shards: Path, **changes: object) -> Path:
    settings: dict[str, object] = {"pictures": 3200, "evaluations": 4, "curve_points": 20} | changes
    path = tmp_path / "own.py"
    path.write_text(
        "import peoria\nfrom peoria import Sweep, Space\n"
        f"SWEEP = Sweep(name='own', shards={str(shards)!r}, trials=2, space=Space(task=('regression',)), startup_per_task=1, seeds=0, questions=(),\n"
        f"  shared={ {'net': 'tiny', 'batch_size': 16, **settings}!r})\n"
        "if __name__ == '__main__':\n    peoria.main(SWEEP)\n"
    )
    return path


def typed(text: str) -> Act:
    return lambda pid, terminal: os.write(terminal, text.encode())


def words(file: Path, *more: str) -> list[str]:
    home = str(file.parent / "home")
    return [sys.executable, "-m", "peoria", "sweep", str(file), "--home", home, "--cache", str(file.parent.parent / "cache"), "--local", "--tracking",
            "off", *more]  # fmt: skip


@pytest.mark.slow
def test_on_a_terminal(planted_shards: Path, tmp_path: Path) -> None:
    """Drawn, stopped and continued, resized, ended: what ended stays, nothing is wider than the terminal, and the cursor is there."""
    file = script(tmp_path, planted_shards, pictures=32_000)  # its trainings go on while it is stopped, and are to last longer than that
    command = shlex.join(words(file, "--on-end", "sh -c 'echo told $PEORIA_STATE $PEORIA_EXIT_CODE'"))
    shell = ["bash", "--norc", "-i"]  # for only a shell's jobs can be stopped by Ctrl-Z
    acts: list[tuple[str, Act]] = [
        ("$ ", typed(command + "\r")),
        ("pictures/s", typed("\x1a")),
        ("Stopped", lambda pid, terminal: (resize(terminal, 24, 70), typed("fg\r")(pid, terminal))),
        ("pictures/s", typed("")),  # it is drawn again
        ("told finished 0", typed("exit\r")),
    ]
    written, status = run_in_terminal(shell, environment={"PS1": "$ ", "BASH_SILENCE_DEPRECATION_WARNING": "1"}, acts=acts)
    assert status == 0, written[-2000:]
    written = written[written.index("on: this process") :]
    screen = Terminal().feed(written)
    assert screen.cursor
    assert "\x1b[?25l" not in written  # never hidden, so that no end can leave it hidden
    text = "\n".join(screen.shown)
    assert "pictures/s" not in text  # what was drawn is gone
    assert len(re.findall(r"^  000\d .*(done|pruned)", text, re.MULTILINE)) == 2
    assert "told finished 0" in screen.shown
    drawn = [line for line in re.split(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]+", written) if str(tmp_path) not in line and "--home" not in line]
    assert max(map(len, drawn)) <= 80

    for more, environment in ((("--plain",), {}), ((), {"TERM": "dumb"})):  # all is there already: the plan and how it ended
        control, status = run_in_terminal(words(file, *more), environment=environment)
        assert status == 0
        assert "\x1b" not in control
        assert "2 of 2 trials" in control
        assert max(len(line) for line in control.splitlines() if str(tmp_path) not in line) <= 80


def test_control_without_the_screen_a_line_of_the_plan_is_longer(planted_shards: Path, tmp_path: Path) -> None:
    said = list[str]()
    run_sweep(small_sweep(planted_shards, trials=1), RunOptions(home=tmp_path, local=True, tracking="off"), said.append)
    assert max(len(line) for text in said for line in text.splitlines()) > 80
    assert max(len(line) for text in said for line in folded(text).splitlines() if str(tmp_path) not in line) <= 80


@pytest.mark.slow
def test_interrupted_on_a_terminal_and_told_as_events(planted_shards: Path, tmp_path: Path) -> None:
    file = script(tmp_path, planted_shards, pictures=640_000)
    tell = "sh -c 'echo told $PEORIA_SWEEP $PEORIA_STATE $PEORIA_EXIT_CODE; exit 7'"
    written, status = run_in_terminal(
        words(file, "--on-end", tell), environment={"NO_COLOR": "1"}, acts=[("left", lambda pid, terminal: os.write(terminal, b"\x03"))]
    )
    assert status == 130
    shown = [line for line in Terminal().feed(written).shown if line]
    assert "told own interrupted 130" in shown
    assert any(line.startswith("--on-end: sh: status 7; the sweep and its status are") for line in shown)
    assert "interrupted by SIGINT; the same command goes on from here" in " ".join(shown)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", written)

    events: list[dict[str, Any]] = []
    with subprocess.Popen(words(file, "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as ran:
        assert ran.stdout is not None
        for line in ran.stdout:
            events.append(json.loads(line))  # each of them, and nothing else
            if [event["event"] for event in events].count("progress") == 1 and events[-1]["event"] == "progress":
                ran.send_signal(signal.SIGTERM)
    assert ran.returncode == 143
    assert {"said", "progress", "end"} <= {event["event"] for event in events}
    assert events[-1] | {"at": 0} == {"event": "end", "at": 0, "sweep": "own", "state": "interrupted", "exit_code": 143, "why": "SIGTERM"}


def test_how_far_a_trial_is_between_two_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peoria.sweep.board import told_of
    from peoria.training import pulse

    folder = SweepFolder(tmp_path).trial("0000")
    folder.path.mkdir(parents=True)
    beating = pulse.Pulse(folder.seen, 16)
    beating.at(20)  # an evaluation, in the midst of a batch
    beating.batch()
    assert told_of(folder) == 0  # nothing in the first seconds
    monkeypatch.setattr(pulse, "EVERY_S", -1.0)
    beating = pulse.Pulse(folder.seen, 16)
    beating.at(20)
    for _ in range(3):
        beating.batch()
    assert told_of(folder) == 32 + 2 * 16
    folder.seen.write_text("torn")
    assert told_of(folder) == 0
    TrialSeen(step=5).write(folder.seen)
    beating.end()
    assert not folder.seen.exists()
