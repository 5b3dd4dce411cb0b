"""The command line: quick to answer, plain when refusing, and each command does what it says."""

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peoria.cli import EXIT_USER_ERROR, main, parser
from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.records.selection import winners_of
from peoria.records.trials import read_trials
from peoria.serving.card import ExportedModel
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from shards.read.openings import openings
from tests.helpers.small import small_sweep


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in words])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom peoria.cli import main\n"
        "try:\n  main(argv=['--help'])\nexcept SystemExit:\n  pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'numpy', 'pyarrow', 'cv2', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pack" in done.stdout


@pytest.fixture(scope="module")
def home(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("cli")
    run_sweep(small_sweep(planted_shards), RunOptions(home=home, local=True, tracking="off"), lambda line: None)
    return home


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("pack", "gone.csv"), "gone.csv: "),
        (("pack", "gone.csv", "--column", "views"), "--column: 'views'; FIELD=COLUMN is needed"),
        (("verify", "gone"), "gone: no manifest.json"),
        (("sweep", "gone.py"), "gone.py: no such file; a sweep file is Python"),
        (("report", "gone"), "sweep gone: none in"),
        (("status", "gone"), "sweep gone: none in"),
        (("sweep", "s.py", "--control", "plant-sound"), "--control: 'plant-sound'; one of shuffle, plant-colour, plant-arrangement"),
        (
            ("sweep", "s.py", "--control", "shuffle", "--strength", "0.3"),
            "--strength: 0.3 with --control shuffle; only what is planted has",
        ),
        (("sweep", "s.py", "--control", "plant-age", "--strength", "1.5"), "--strength: 1.5; a number from 0 to 1"),
        (("sweep", "s.py", "--control", "plant-age", "--strength", "nan"), "--strength: nan; a number from 0 to 1"),
        (("sweep", "s.py", "--strength", "0.3"), "--strength: 0.3 without --control; only what a control plants has a strength"),
        (("plant", "out", "--plant", "sound"), "plant: 'sound'; one of both, colour"),
    ],
)
def test_refusals_are_plain(
    words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == EXIT_USER_ERROR or words[0] == "verify"
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error


def test_pack_verify_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plant", tmp_path / "p", "--pictures", 60) == 0
    assert run("pack", tmp_path / "p" / "metadata.csv", "--out", tmp_path / "s", "--processes", 1, "--keep", "oracle") == 0
    text = capsys.readouterr().out
    assert "60 rows" in text
    assert "dropped   columns planted_colour, planted_arrangement" in text
    assert run("verify", tmp_path / "s") == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""  # silent when whole
    assert run("describe", tmp_path / "s") == 0
    assert (tmp_path / "s" / "describe.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    assert run("describe", tmp_path / "s", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "s" / "describe.json").read_text())
    shard = next((tmp_path / "s" / "train").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[700] ^= 4
    shard.write_bytes(data)
    assert run("verify", tmp_path / "s") == 1
    assert f"train/{shard.name}" in capsys.readouterr().err


def test_cache_lists_and_clears(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree(home / "cache", tmp_path / "cache")  # which nobody has mapped
    for words in (("--home", tmp_path), ("--cache", tmp_path / "cache")):
        assert run("cache", *words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:3] for line in sorted(lines[:-1])] == [["decoded", "train", "pictures"], ["decoded", "val", "pictures"]]
        assert all(line.endswith("not in use") for line in lines[:-1])
        assert lines[-1].startswith("2 files, 0.10 GB, in")
        assert f" {tmp_path}/cache; " in lines[-1]
    with next((tmp_path / "cache").glob("*-val.u8")).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert run("cache", "--home", tmp_path, "--clear") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("removed 1 file, 0.0")
        assert [line.endswith(" in use") and "decoded val" in line for line in lines[1:-1]] == [True]
    assert [path.name.rpartition("-")[2] for path in (tmp_path / "cache").glob("*.u8")] == ["val.u8"]


@pytest.mark.parametrize("words", [("--cache-gb", "-1"), ("--cache-gb", "inf")])
def test_a_budget_is_a_size(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "any", *words) == EXIT_USER_ERROR
    assert f"argument --cache-gb: {words[1]}; 0 or more" in capsys.readouterr().err
    assert parser().parse_args(["report", "any", "--cache-gb", "1.5"]).cache_bytes == 1_500_000_000


def test_a_report_opens_the_next_vault_unless_it_is_asked_for_all() -> None:
    assert [parser().parse_args(["report", "any", *words]).rest for words in ([], ["--all"])] == [False, True]


def test_report_predict_export(home: Path, planted_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = len(openings(planted_shards)) + 1  # other tests may have opened the shared set before
    assert run("report", "small", "--home", home, "--tracking", "off") == 0
    first = capsys.readouterr().out
    assert f"opening {number} of this test set" in first
    target = home / "sweeps" / "small" / "report"
    verdict = (target / "verdict.json").read_bytes()
    assert run("report", "small", "--home", home, "--tracking", "off") == 0
    assert "opening" not in capsys.readouterr().out.split("Test split")[0]
    assert (target / "verdict.json").read_bytes() == verdict
    assert len(openings(planted_shards)) == number

    pictures = sorted((planted_shards.parent / "pictures" / "images").iterdir())[:3]
    assert (target / "report.html").read_text().count('alt="what moved the score of picture') == 48
    assert run("predict", "small", "--home", home, "--target", "views", *pictures) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(path) for path in pictures]
    assert all("of the val pictures" in line for line in lines)
    (tmp_path / "page.html").write_text("<html>")
    assert run("predict", "small", "--home", home, tmp_path / "page.html", tmp_path / "gone.jpg") == EXIT_USER_ERROR
    said = capsys.readouterr().err
    assert "page.html: undecodable: text or HTML" in said
    assert "gone.jpg: no such file; a picture\n0 of 2 pictures have a value, 2 have none\n" in said

    assert run("export", "small", "--home", home, "--out", tmp_path / "model") == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert json.loads(verdict)["headline"] in card
    assert "227×227" in card
    from safetensors.torch import load_file

    from peoria.models import build

    model = ExportedModel.read(tmp_path / "model" / "model.json").model
    net, _ = build(model.config.net, head=model.config.head, num_outputs=model.task["num_outputs"], seed=0)
    assert set(load_file(tmp_path / "model" / "model.safetensors")) == set(net.state_dict())


def test_every_flag_of_a_sweep_reaches_its_options(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunOptions] = []

    def fake(sweep: Sweep, options: RunOptions) -> SweepResult:
        seen.append(options)
        names = ("finished", "remaining", "unsearched_remaining", "done", "pruned", "diverged", "failed", "infeasible")
        return SweepResult(SweepFolder(tmp_path), dict.fromkeys(names, 0), {}, None)

    monkeypatch.setattr("peoria.sweep.run.run_sweep", fake)
    words = "--home h --cache c --cache-gb 2 --trials 3 --pictures 7 --from other --hours 4 --trial-hours 1.5 --concurrent 5 --cpus-per-trial 6"
    words += " --gpus-per-trial 0.5 --local --tracking off"
    with pytest.raises(SystemExit):
        main(small_sweep(planted_shards), [*words.split(), "--control", "plant-age", "--strength", "0.3", "--storage", "sqlite:///s.db"])
    limits: dict[str, Any] = {"trials": 3, "pictures": 7, "hours": 4.0, "trial_hours": 1.5, "concurrent": 5, "cpus_per_trial": 6}
    limits |= {"gpus_per_trial": 0.5, "cache_bytes": 2_000_000_000}
    what: dict[str, Any] = {"start_from": "other", "control": "plant-age-0.3", "tracking": "off", "storage": "sqlite:///s.db"}
    assert seen == [RunOptions(Path("h"), local=True, cache_dir=Path("c"), **limits, **what)]


def test_the_address_of_the_storage_comes_from_the_environment(
    planted_shards: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str | None] = []

    def fake(sweep: Sweep, options: RunOptions) -> SweepResult:
        seen.append(options.storage)
        raise KeyboardInterrupt

    monkeypatch.setattr("peoria.sweep.run.run_sweep", fake)
    monkeypatch.delenv("PEORIA_STORAGE", raising=False)
    for value in (None, "", "postgresql://ann:hunter2@db/x"):
        if value is not None:
            monkeypatch.setenv("PEORIA_STORAGE", value)
        for words in ([], ["--storage", "sqlite:///s.db"], ["--storage", "postgresql://ann:secret@db/y"]):
            with pytest.raises(SystemExit) as ended:
                main(small_sweep(planted_shards), words)
            assert ended.value.code == 130
            error = capsys.readouterr().err
            assert ("warning: --storage: a password on the command line" in error) == ("secret" in " ".join(words))
            assert "hunter2" not in error
            assert "secret@" not in error
    flags = ["sqlite:///s.db", "postgresql://ann:secret@db/y"]
    assert seen == [None, *flags, None, *flags, "postgresql://ann:hunter2@db/x", *flags]
    with pytest.raises(SystemExit):
        main(argv=["sweep", "--help"])
    assert "hunter2" not in capsys.readouterr().out


def test_a_filter_has_one_spelling_in_the_record_and_a_name_of_its_own(planted_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str | None, str]] = []

    def fake(sweep: Sweep, options: RunOptions) -> SweepResult:
        seen.append((sweep.where, sweep.name))
        raise KeyboardInterrupt

    monkeypatch.setattr("peoria.sweep.run.run_sweep", fake)
    for where in ("tag=beach,ocean", "tag=beach|ocean", "tag=猫", "tag=собака"):
        with pytest.raises(SystemExit):
            main(small_sweep(planted_shards), ["--where", where])
    assert seen[0] == seen[1] == ("tag=beach|ocean", "small-tag-beach-ocean")
    assert len({name for _, name in seen}) == 3
    assert all(small_sweep(planted_shards, name=name).name == name for _, name in seen)


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(home: object, name: str, held: object) -> str:
        raise error

    monkeypatch.setattr("peoria.sweep.status.status", broken)
    for error in (AssertionError("a bug"), KeyError("a bug"), TypeError("a bug"), ValueError("a bug")):
        with pytest.raises(type(error), match="a bug"):
            main(argv=["status", "any"])
    error = PermissionError(13, "Permission denied", str(tmp_path))
    assert run("status", "any") == EXIT_USER_ERROR  # control: one of the world is a line
    assert capsys.readouterr().err == f"{tmp_path}: no permission; a place that this user may read and write\n"
    monkeypatch.setenv("PEORIA_TRACEBACK", "1")
    with pytest.raises(PermissionError):
        main(argv=["status", "any"])


def test_names_from_outside_do_not_move_the_cursor(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    red = "\x1b[31mred\x07"
    assert run("status", red, "--home", tmp_path) == EXIT_USER_ERROR
    assert run("predict", "small", f"{red}\n.jpg", "--home", home) == EXIT_USER_ERROR
    assert run("pack", f"{red}.csv", "--out", tmp_path) == EXIT_USER_ERROR
    assert run("status", "small", red) == EXIT_USER_ERROR
    shutil.copytree(home / "sweeps", tmp_path / "sweeps")
    for trial in SweepFolder.of(tmp_path, "small").trials():
        trial.start.write_text(json.dumps(json.loads(trial.start.read_text()) | {"label": f"{trial.key} {red}"}))
    run("status", "small", "--home", tmp_path)
    run("report", "small", "--home", tmp_path, "--tracking", "off")
    printed = capsys.readouterr()
    assert "\\x1b[31mred\\x07" in printed.err
    assert "\\x1b[31mred\\x07" in printed.out
    assert "\x1b" not in printed.out + printed.err
    assert "\x07" not in printed.out + printed.err


def test_a_report_waits_for_the_whole_sweep(planted_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_sweep(small_sweep(planted_shards), RunOptions(home=tmp_path, local=True, tracking="off", hours=1e-9), lambda line: None)
    before = (planted_shards / "openings.jsonl").read_bytes() if (planted_shards / "openings.jsonl").exists() else b""
    assert run("report", "small", "--home", tmp_path, "--tracking", "off") == EXIT_USER_ERROR
    assert "sweep small: not finished; the test split is opened once, when nothing more will be chosen" in capsys.readouterr().err
    after = (planted_shards / "openings.jsonl").read_bytes() if (planted_shards / "openings.jsonl").exists() else b""
    assert after == before


def test_what_is_lost_of_a_finished_sweep_opens_nothing(home: Path, planted_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of what is left another trial would win, and test be opened for it."""
    run("report", "small", "--home", home, "--tracking", "off")
    shutil.copytree(home / "sweeps", tmp_path / "sweeps")
    folder = SweepFolder.of(tmp_path, "small")
    winner = winners_of(folder.read_definition(), read_trials(folder))["views"].folder
    before = openings(planted_shards)
    outcome = winner.outcome.read_bytes()

    winner.outcome.unlink()
    capsys.readouterr()
    assert run("report", "small", "--home", tmp_path, "--tracking", "off") == EXIT_USER_ERROR
    assert f"finished, yet its folder has no outcome of {winner.key}" in capsys.readouterr().err
    shutil.rmtree(winner.path)
    assert run("report", "small", "--home", tmp_path, "--tracking", "off") == EXIT_USER_ERROR
    assert "trials; all trials of a finished sweep" in capsys.readouterr().err
    shutil.copytree(SweepFolder.of(home, "small").trial(winner.key).path, winner.path)
    assert winner.outcome.read_bytes() == outcome

    scores = folder.test_scores.read_bytes()
    for damaged in (scores[: len(scores) // 2], b"", b"garbage"):
        folder.test_scores.write_bytes(damaged)
        assert run("report", "small", "--home", tmp_path, "--tracking", "off") == EXIT_USER_ERROR
        assert "test_scores.npz: " in capsys.readouterr().err
    folder.test_scores.write_bytes(scores)
    assert run("report", "small", "--home", tmp_path, "--tracking", "off") == 0  # control: whole, it is judged again from what is stored
    assert openings(planted_shards) == before


def test_a_new_winner_does_not_carry_the_verdict_on_the_former_one(home: Path, tmp_path: Path) -> None:
    run("report", "small", "--home", home, "--tracking", "off")
    shutil.copytree(home / "sweeps", tmp_path / "sweeps")
    path = SweepFolder.of(tmp_path, "small").verdict
    assert run("export", "small", "--home", tmp_path, "--out", tmp_path / "judged", "--format", "safetensors") == 0
    assert "not yet judged" not in (tmp_path / "judged" / "README.md").read_text()  # control
    verdict = json.loads(path.read_text())
    verdict["winners"]["views"]["key"] = "0099"
    path.write_text(json.dumps(verdict))
    assert run("export", "small", "--home", tmp_path, "--out", tmp_path / "model", "--format", "safetensors") == 0
    assert "not yet judged on a test split" in (tmp_path / "model" / "README.md").read_text()


def test_a_view_and_a_control_are_sweeps_of_their_own_with_cards_that_say_so(
    planted_shards: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = small_sweep(planted_shards, trials=1, shared=small_sweep(planted_shards).shared | {"subset": "pictures:0.9", "order": "fixed"})
    where = "tag=bird|Beach|city|family|flower|garden|lake"
    name = "small-tag-beach-bird-city-family-flower-garden-lake-plant-arrangement-0.45"
    words = ["--where", where, "--control", "plant-arrangement", "--home", tmp_path, "--cache", home / "cache", "--local", "--tracking", "off"]
    with pytest.raises(SystemExit) as ended:
        main(sweep, [str(word) for word in words])
    assert ended.value.code == 0
    folder = tmp_path / "sweeps" / name
    assert f"next: peoria report {name}" in capsys.readouterr().out
    written = json.loads((folder / "sweep.json").read_text())
    assert (written["where"], written["control"]) == (where, "plant-arrangement-0.45")
    assert run("export", name, "--home", tmp_path, "--out", tmp_path / "model", "--format", "safetensors") == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert f" pictures, of those with {where}, the subset pictures:0.9, each pass in the same order." in card
    assert "(control plant-arrangement-0.45: its counts were reassigned; not a model of anything)" in card
    assert ExportedModel.read(tmp_path / "model" / "model.json").model.num_train < written["num_train"]
    assert [trial.status for trial in read_trials(SweepFolder(folder))] == ["done"]
    plain = tmp_path / "plain"
    run_sweep(small_sweep(planted_shards, trials=1), RunOptions(home=plain, cache_dir=home / "cache", local=True, tracking="off"), lambda line: None)
    assert run("export", "small", "--home", plain, "--out", plain / "model", "--format", "safetensors") == 0
    assert "not a model of" not in (plain / "model" / "README.md").read_text()  # control
