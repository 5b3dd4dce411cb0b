"""The command line in real processes: a disk that is full or may not be written, output that nobody takes, any encoding, any damage of the folder."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.cli import main
from peoria.records.folder import SweepFolder
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from tests.helpers.small import small_sweep

PEORIA = (sys.executable, "-m", "peoria")
SWEEP_FILE = """
from peoria import LogUniform, Space, Sweep
SWEEP = Sweep(
    name="small", question="ρ? \\x1b[31mred", shards={shards!r}, trials={trials}, startup_per_task=1, seeds=0, questions=(),
    space=Space(task=("regression",), learning_rate=LogUniform(1e-3, 1e-2), head_multiplier=LogUniform(1, 10), outlier_sd=(None,)),
    shared=dict(net="tiny", target_scale="log1p", pictures=640, batch_size=16, evaluations=4, curve_points=20, schedule="cosine"),
)
"""


@pytest.fixture(scope="module")
def home(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a sweep that has ended and been reported; tests take copies."""
    home = tmp_path_factory.mktemp("borders")
    run_sweep(small_sweep(planted_shards, trials=2), RunOptions(home=home, local=True, tracking="off"), lambda line: None)
    run("report", "small", "--home", home, "--tracking", "off")
    return home


@pytest.fixture
def sweep_file(planted_shards: Path, tmp_path: Path) -> Path:
    path = tmp_path / "s.py"
    path.write_text(SWEEP_FILE.format(shards=str(planted_shards), trials=1), encoding="utf-8")
    return path


def run(*words: object) -> int:
    """In this process, where an error that nobody tells goes on to the test."""
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def process(*words: object, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """In a process of its own; ``shell`` stands behind the command."""
    command = ["bash", "-c", f'"$@" {shell}', "-", *PEORIA, *map(str, words)]
    names = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO"))}
    ran = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, env=names | environment, timeout=300)
    assert b"Traceback" not in ran.stderr + ran.stdout, ran.stderr.decode()
    assert b"Exception ignored" not in ran.stderr
    return ran


ENCODINGS = [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1:strict"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("environment", ENCODINGS, ids=lambda names: next(iter(names)))
def test_every_encoding_is_served(environment: dict[str, str], home: Path, sweep_file: Path, tmp_path: Path) -> None:
    control = subprocess.run([sys.executable, "-c", "print('\\u03c1')"], capture_output=True, check=False, env=dict(os.environ) | environment)
    assert b"UnicodeEncodeError" in control.stderr
    shutil.copytree(home, tmp_path / "home")
    ran = process("report", "small", "--home", tmp_path / "home", "--tracking", "off", **environment)
    assert ran.returncode == 0
    assert b"rho views" in ran.stdout
    ran = process("sweep", sweep_file, "--home", tmp_path / "new", "--local", "--tracking", "off", **environment)
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[1] == b"sweep small: rho? \\x1b[31mred"  # and no colour of somebody else's
    assert b"\x1b" not in ran.stdout


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        (">&-", 0, b""),
        (">&- 2>&- <&-", 0, b""),
        ("> /dev/full", 2, b"standard output: No space left on device; a place that takes what is printed"),
        ("| true; exit ${PIPESTATUS[0]}", 141, b""),
    ],
)
def test_output_that_nobody_takes_is_told(shell: str, code: int, said: bytes, home: Path) -> None:
    ran = process("status", "small", "--home", home, shell=shell)
    assert ran.returncode == code
    assert said in ran.stderr
    assert process("status", "gone", "--home", home, shell="2> /dev/full").returncode == 2


@pytest.mark.parametrize(("shell", "code"), [(">&- <&-", 0), ("> /dev/full", 2)])
def test_output_that_nobody_takes_ends_no_work(shell: str, code: int, home: Path, sweep_file: Path, tmp_path: Path) -> None:
    words = ("sweep", sweep_file, "--home", tmp_path, "--cache", home / "cache", "--local", "--tracking", "off")
    assert process(*words, shell=shell).returncode == code
    assert json.loads(SweepFolder.of(tmp_path, "small").finished.read_bytes())["status"] == "finished"


def test_control_plain_output_ends_with_a_traceback() -> None:
    ran = subprocess.run(["bash", "-c", f"{sys.executable} -c 'print(1, flush=True)' > /dev/full"], capture_output=True, check=False)
    assert b"Traceback" in ran.stderr


RECORDS = ["sweep.json", "finished.json", "holder.json", "study.journal", ".lock", "trials", "baselines", "report", "report/verdict.json"]
RECORDS += ["report/test_scores.npz", "trials/0000/config.json", "trials/0000/outcome.json", "trials/0000/points.jsonl"]
RECORDS += ["trials/0000/model.safetensors", "trials/0000/model.json", "trials/0000/val_scores.npz", "baselines/done.json"]


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes() if path.is_file() else b""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kind == "folder":
        (path / "inside").mkdir(parents=True)
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind != "gone":
        path.write_bytes(
            {"empty": b"", "torn": data[: len(data) // 2], "binary": bytes(range(256)) * 3, "latin-1": "{'ä': 'é'}".encode("latin-1")}[kind]
        )


@pytest.mark.parametrize("kind", ["folder", "empty", "torn", "binary", "latin-1", "link to itself", "gone"])
@pytest.mark.parametrize("name", RECORDS)
def test_whatever_is_damaged_is_said(name: str, kind: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No error goes on to here (`run`), and what is refused is said."""
    shutil.copytree(home / "sweeps", tmp_path / "sweeps", symlinks=True)
    damage(SweepFolder.of(tmp_path, "small").path / name, kind)
    for words in (("status",), ("export", "--out", tmp_path / "model")):
        capsys.readouterr()
        code = run(words[0], "small", "--home", tmp_path, *words[1:])
        printed = capsys.readouterr()
        assert code in (0, 2)
        if code == 2:
            assert str(tmp_path) in printed.err or "sweep small" in printed.err
            assert "; " in printed.err


@pytest.mark.parametrize("kind", ["folder", "empty", "torn", "binary"])
@pytest.mark.parametrize(
    "name", ["sweep.json", "finished.json", "holder.json", "study.journal", ".lock", "trials", "baselines", "trials/0000/outcome.json"]
)
def test_a_sweep_goes_on_or_says_why_not(
    name: str, kind: str, home: Path, planted_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "sweeps", tmp_path / "sweeps")
    damage(SweepFolder.of(tmp_path, "small").path / name, kind)
    words = ("--home", str(tmp_path), "--cache", str(home / "cache"), "--local", "--tracking", "off")
    with pytest.raises(SystemExit) as ended:
        main(small_sweep(planted_shards, trials=2), list(words))
    assert ended.value.code in (0, 2, 3)
    assert ended.value.code == 0 or "; " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "small", "--home", "FILE"),
        ("report", "small", "--home", "FILE", "--tracking", "off"),
        ("predict", "small", "FILE", "--home", "FILE"),
        ("export", "small", "--home", "FILE"),
        ("export", "small", "--home", "HOME", "--out", "FILE"),
        ("sweep", "SWEEP", "--home", "FILE", "--local", "--tracking", "off"),
        ("sweep", "SWEEP", "--home", "FOLDER", "--cache", "FILE", "--local", "--tracking", "off"),
        ("sweep", "FOLDER", "--home", "FOLDER"),
        ("sweep", "SWEEP", "--home", "FOLDER", "--shards", "FILE", "--local", "--tracking", "off"),
        ("sweep", "SWEEP", "--home", "FOLDER", "--local", "--tracking", "htp:/what"),
        ("sweep", "SWEEP", "--home", "LONG", "--local"),
        ("sweep", "SWEEP", "--home", "BYTES", "--local", "--tracking", "off"),
        ("pack", "FOLDER", "--out", "FOLDER"),
        ("pack", "FILE.csv", "--out", "FILE"),
        ("verify", "FILE"),
        ("describe", "FILE"),
        ("plant", "FILE", "--pictures", "3"),
        ("demo", "--home", "FILE"),
        ("cache", "--cache", "FILE/x"),
    ],
    ids=" ".join,
)
def test_what_is_given_and_cannot_be_used_is_said(
    words: tuple[str, ...], home: Path, sweep_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "file").write_text("x")
    (tmp_path / "file.csv").write_bytes(b"id,path\n\xff\xfe,x\n")
    (tmp_path / "folder").mkdir()
    given = {"FILE": tmp_path / "file", "FILE.csv": tmp_path / "file.csv", "FILE/x": tmp_path / "file" / "x", "FOLDER": tmp_path / "folder"}
    given |= {"HOME": home, "SWEEP": sweep_file, "LONG": tmp_path / "/".join(["x" * 200] * 4), "BYTES": tmp_path / "b\udcff"}
    code = run(*(given.get(word, word) for word in words))
    error = capsys.readouterr().err
    assert code in (1, 2) or words[0] == "cache" or "--cache" in words
    assert "; " in error or code == 0
    assert not list((tmp_path / "folder").glob("sweeps/*/trials/*/outcome.json")) or "--cache" in words


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("left_kb", [0, 40])
def test_a_full_disk_is_named_and_nothing_is_lost(left_kb: int, small_disk: Path, home: Path, sweep_file: Path) -> None:
    words = ("sweep", sweep_file, "--home", small_disk, "--cache", home / "cache", "--local", "--tracking", "off", "--trials", 2)
    room = os.statvfs(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - left_kb * 1024))
    ran = process(*words)
    assert ran.returncode in (2, 3)
    said = (ran.stdout + ran.stderr).decode()
    assert str(small_disk) in said
    assert any(word in said for word in ("the disk is full", "bytes are free", "bytes free", "GB free", "No space left")), said
    filler.unlink()
    assert process(*words).returncode == 0
    assert json.loads(SweepFolder.of(small_disk, "small").finished.read_bytes())["status"] == "finished"


def test_a_disk_that_may_only_be_read_is_named(small_disk: Path, home: Path, sweep_file: Path) -> None:
    shutil.copytree(home / "sweeps", small_disk / "sweeps", ignore=shutil.ignore_patterns("*.safetensors"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for words in (
        ("sweep", sweep_file, "--home", small_disk / "other", "--local", "--tracking", "off"),
        ("plant", small_disk / "pictures", "--pictures", 3),
        ("cache", "--home", small_disk, "--clear"),
        ("status", "small", "--home", small_disk),
    ):
        ran = process(*words)
        assert ran.returncode == 2 or (ran.returncode == 0 and words[0] in ("cache", "status")), words
        if ran.returncode:
            assert b"read-only" in ran.stderr
            assert str(small_disk).encode() in ran.stderr


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_named(sweep_file: Path, home: Path, tmp_path: Path) -> None:
    """Works without the right to mount: no file may be larger than 30 KB."""
    command = [*PEORIA, "sweep", str(sweep_file), "--home", str(tmp_path / "new"), "--cache", str(home / "cache"), "--local", "--tracking", "off"]

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    ran = subprocess.run(command, capture_output=True, check=False, preexec_fn=limited, timeout=300)
    assert ran.returncode in (0, 2, 3)
    assert b"Traceback" not in ran.stderr


def test_the_address_of_the_storage_stands_nowhere(sweep_file: Path, tmp_path: Path) -> None:
    """A server that refuses; the environment's address is in no file and no output, a flag's is warned of."""
    address = "postgresql+psycopg://ann:hunter2@127.0.0.1:1/x"
    words = ("sweep", sweep_file, "--home", tmp_path / "home", "--local", "--tracking", "off")
    ran = process(*words, PEORIA_STORAGE=address)
    assert ran.returncode == 2
    assert b"hunter2" not in ran.stdout + ran.stderr
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert b"warning" not in ran.stderr
    ran = process(*words, "--storage", address)  # control: in the flag it is warned of
    assert b"warning: --storage: a password on the command line" in ran.stderr
    assert b"hunter2" not in ran.stdout + ran.stderr


@pytest.mark.slow
def test_the_storage_of_the_environment_is_in_no_command_line(sweep_file: Path, tmp_path: Path) -> None:
    """With Ray and its many processes; the name of the database stands for the password."""
    words = ("sweep", str(sweep_file), "--home", str(tmp_path), "--tracking", "off", "--concurrent", "1")
    address = f"sqlite:///{tmp_path}/hunter2.db"
    names = dict(os.environ) | {"PEORIA_STORAGE": address, "PEORIA_TEST_MARK": str(tmp_path)}
    seen: set[str] = set()
    with (tmp_path / "printed").open("w") as printed:
        running = subprocess.Popen([*PEORIA, *words], env=names, stdout=printed, stderr=printed, start_new_session=True)
    deadline = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < deadline:
        seen |= command_lines(str(tmp_path))
        time.sleep(0.3)
    assert running.wait(timeout=60) == 0, (tmp_path / "printed").read_text()
    assert (tmp_path / "hunter2.db").exists()  # it was used
    assert any("ray" in line for line in seen)
    assert not [line for line in seen if "hunter2" in line]
    shown = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", address], env=names, start_new_session=True)  # control
    try:
        assert [line for line in command_lines(str(tmp_path)) if "hunter2" in line]
    finally:
        shown.kill()
        shown.wait()


def command_lines(mark: str) -> set[str]:
    """Of all processes that a marked one started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                found.add((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
