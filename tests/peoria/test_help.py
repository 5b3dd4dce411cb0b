"""Help with examples that are understood, words that were meant, completion for shells, and sweeps at a glance."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from peoria.cli import main, parser
from peoria.examples import EXAMPLES, commands_of
from shards.store import open_store
from tests.helpers.s3_server import s3_server
from tests.helpers.sweep_folder import WrittenSweep, whole_sweep


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_every_command_has_examples_and_they_are_understood() -> None:
    commands = commands_of(parser())
    assert [name for name, command in commands.items() if "examples:" not in command.format_help()] == []
    assert {name for name in EXAMPLES if name not in commands} == set()
    for name, lines in EXAMPLES.items():
        for line in lines:
            program, *words = shlex.split(line.partition(" > ")[0])
            assert program == "peoria"
            assert " ".join(words).startswith(name)
            parser().parse_args(words)


def test_no_help_is_wider_than_80(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = {name: command.format_help() for name, command in commands_of(parser()).items()}
    assert [(name, line) for name, text in shown.items() for line in text.splitlines() if len(line) > 80] == []
    flags = ["--cluster", "ray_cluster.yaml", "--home", "s3://bucket/peoria", "--shards", "s3://bucket/shards/photos"]
    example = shown["submit"].partition("examples:")[2]
    assert "\\\n" in example
    assert shlex.split(example.replace("\\\n", " ")) == ["peoria", "submit", "sweeps/demo.py", *flags]  # as a shell joins it


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("swep", "x.py"), "sweep"),
        (("sweep", "x.py", "--trails", "3"), "--trials"),
        (("sweep", "x.py", "--gpu-per-trail=1"), "--gpus-per-trial"),
        (("cluster", "chekc", "x"), "check"),
        (("completion", "bsh"), "bash"),
    ],
)
def test_what_was_meant_is_asked(words: tuple[str, ...], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert f"hint: did you mean {meant}?" in capsys.readouterr().err
    assert run("sweep", "x.py", "--zzz") == 2  # the control: nothing is near
    assert "did you mean" not in capsys.readouterr().err


def test_bash_completes_commands_flags_and_names_of_sweeps(tmp_path: Path) -> None:
    printed = subprocess.run([sys.executable, "-m", "peoria", "completion", "bash"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "completion.bash").write_text(printed)
    for name in ("demo", "deep"):
        (tmp_path / "data" / "sweeps" / name).mkdir(parents=True)

    def completed(*words: str) -> set[str]:
        given = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}"
        script = f"source completion.bash; {given}; _shtab_peoria peoria; printf '%s\\n' ${{COMPREPLY[@]}}"
        ran = subprocess.run(["bash", "--norc", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        return {word.strip() for word in ran.stdout.split()}

    assert {"plan", "plant"} <= completed("peoria", "pla")
    assert "--on-end" in completed("peoria", "sweep", "--on")
    assert completed("peoria", "status", "de") == {"demo", "deep"}
    assert completed("peoria", "status", "dem") == {"demo"}
    (tmp_path / "data" / "sweeps" / "de$(touch taken)").mkdir()  # bash expands what it is given to complete
    assert completed("peoria", "status", "de") == {"demo", "deep"}
    assert not (tmp_path / "taken").exists()
    control = printed.replace(" | grep -xE '[A-Za-z0-9][A-Za-z0-9._-]*'", "")
    (tmp_path / "completion.bash").write_text(control)
    completed("peoria", "status", "de")
    assert (tmp_path / "taken").exists()


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", shell) == 0
    printed = capsys.readouterr().out
    assert "sweep" in printed
    assert "data/sweeps" in printed


def test_sweeps_at_a_glance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--home", tmp_path) == 0
    assert capsys.readouterr().out == "no sweep yet\n"
    done = whole_sweep(tmp_path / "sweeps" / "demo")
    assert run("status", "--home", tmp_path) == 0  # the only one there is
    assert capsys.readouterr().out.startswith("sweep demo: 4 of 6 trials")
    WrittenSweep(tmp_path / "sweeps" / "fresh")
    (tmp_path / "sweeps" / "torn").mkdir()
    (tmp_path / "sweeps" / "torn" / "sweep.json").write_text("{")
    done.finish()
    for words in (("list",), ("status",)):  # of several none is meant
        assert run(*words, "--home", tmp_path) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [
            " ".join(line.split()).startswith(said)
            for line, said in zip(lines, ("sweep state trials", "demo finished", "fresh killed"), strict=False)
        ]
        assert next(line for line in lines if line.startswith("demo")).split()[1:7] == ["finished", "4", "of", "6", "rank_mean", "+0.300"]
        assert any(line.startswith("torn") and "damaged" in line for line in lines)
        assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert run("list", "--home", tmp_path, "--json") == 0
    found = {sweep["sweep"]: sweep for sweep in json.loads(capsys.readouterr().out)["sweeps"]}
    assert {name: sweep["state"] for name, sweep in found.items()} == {"demo": "finished", "fresh": "killed", "torn": "damaged"}
    assert run("status", "demo", "--home", tmp_path, "--json") == 0
    one = json.loads(capsys.readouterr().out)
    assert one == found["demo"]
    assert (one["ended"], one["wanted"], one["trials"]["interrupted"], one["best"]["value"]) == (4, 6, 1, 0.3)
    assert one["report"].endswith("report.html")
    assert run("check", "demo", "--home", tmp_path, "--json") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["whole"] is False
    assert printed.err == ""


def test_the_sweeps_of_a_bucket(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as s3:
        s3.request("PUT", "/bucket")
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PEORIA_RECORDS", str(tmp_path / "records"))
        assert run("list", "--home", "s3://bucket/peoria") == 0
        assert capsys.readouterr().out == "no sweep yet\n"
        open_store("s3://bucket/peoria").put("sweeps/ghost/lease.json", b"{}")
        assert run("list", "--home", "s3://bucket/peoria", "--json") == 0
        (found,) = json.loads(capsys.readouterr().out)["sweeps"]
        assert (found["sweep"], found["state"]) == ("ghost", "damaged")
        assert run("list", "--home", "s3://nobody/peoria") == 2
        assert "s3://nobody" in capsys.readouterr().err
