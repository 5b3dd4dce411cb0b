"""What `peoria submit` packs, passes on and refuses, before anything is sent."""

import json
import os
import shlex
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from peoria.cli import parser, run_command
from peoria.cluster.job import JOB_FILE, job_bytes
from peoria.cluster.package import MOST_BYTES, Package, checkout, pack_job
from peoria.config.sweep import load_sweep
from peoria.errors import ConfigError
from peoria.submit_command import name_of, passed_on, words_of_the_sweep

FILE = 'from peoria import Sweep\nSWEEP = Sweep(name="mine", shards={shards!r}, shared={shared!r})\n'
PLACES = ["--home", "/mnt/peoria", "--shards", "s3://bucket/shards"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command is given in, with a sweep file; no token anywhere, so nothing is ever sent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "PEORIA_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # put back afterwards
    write(tmp_path)
    return tmp_path


def write(folder: Path, shards: str = "data/shards", **shared: object) -> Path:
    (folder / "mine.py").write_text(FILE.format(shards=shards, shared={"net": "tiny"} | shared))
    return Path("mine.py")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    given = ["submit", "mine.py", "--address", "http://127.0.0.1:1", *words]
    assert run_command(None, given, for_good=False) == 2
    found: str = capsys.readouterr().err
    return found


def test_the_last_thing_that_is_missing_is_the_token(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The control of the refusals below: with all that it needs the command comes as far as this."""
    assert ".ray/auth_token: No such file" in refused(capsys, *PLACES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shards", "/a"], "--home: 'data'; an absolute path on the cluster's nodes, or a URL"),
        (["--home", "/a"], "--shards: 'data/shards'; an absolute path"),
        ([*PLACES, "--cache", "cache"], "--cache: 'cache'; an absolute path on the cluster's nodes\n"),
        ([*PLACES, "--local"], "--local, --ray: with peoria submit"),
        ([*PLACES, "--again", "-1"], "--again: -1; 0 or more"),
        ([*PLACES, "--strength", "0.2"], "--strength: 0.2 without --control"),
        ([*PLACES, "--env", "NO_SUCH_*"], "--env: 'NO_SUCH_*'; the name of a variable that is set here"),
        ([*PLACES, "--env", "RAY_AUTH_*"], "--env: RAY_AUTH_MODE; none of Ray's own"),
    ],
)
def test_what_cannot_be_meant_is_refused(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert said in refused(capsys, *words)


def test_one_way_to_the_cluster(here: Path) -> None:
    for words in ([], ["--address", "http://h:1", "--cluster", "ray_cluster.yaml"], ["--addr", "http://h:1"]):
        with pytest.raises(SystemExit):
            parser().parse_args(["submit", "mine.py", *words])


def test_weights_that_are_not_there_or_lie_elsewhere(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, weights="data/weights/tiny.safetensors")
    assert "weights: no file data/weights/tiny.safetensors" in refused(capsys, *PLACES)
    (here.parent / "up.safetensors").touch()
    write(here, weights="../up.safetensors")
    assert "weights: ../up.safetensors; a path below the folder that the command is given in" in refused(capsys, *PLACES)
    for weights in ("torchvision", "/on/every/node.safetensors", None):
        assert set(pack_job(Path("mine.py"), load_sweep(write(here, weights=weights)), b"").files) == {"mine.py"}


def test_over_100_mb_is_refused_with_the_largest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "data").mkdir()
    path = here / "data" / "big.safetensors"
    path.touch()
    write(here, weights="data/big.safetensors")
    os.truncate(path, MOST_BYTES)
    folders = ["--home", "/mnt/peoria", "--shards", "/mnt/peoria/shards"]
    said = refused(capsys, *folders)
    assert "what the job needs: 100.0 MB; at most 100.0 MB" in said
    assert "100.0 MB  data/big.safetensors" in said
    assert "with --home in a bucket, weights of any size go there" in said
    for places in (PLACES, [*folders, "--home", "s3://bucket/peoria"]):  # as it says: nothing is put before all else is there
        assert "auth_token" in refused(capsys, *places)
    os.truncate(path, MOST_BYTES - 2000)  # control
    assert "auth_token" in refused(capsys, *folders)


def test_the_package_holds_the_same_paths_and_a_private_file(here: Path) -> None:
    (here / "data" / "w ü").mkdir(parents=True)
    (here / "data" / "w ü" / "tiny.safetensors").write_bytes(b"weights")
    package = pack_job(Path("./mine.py"), load_sweep(write(here, weights="./data/w ü/tiny.safetensors")), job_bytes(["sweep"], {"A": "b"}))
    for name in ("one.zip", "two.zip"):
        package.write(here / name)
        os.utime(here / "mine.py", (0, 0))
    assert (here / "one.zip").read_bytes() == (here / "two.zip").read_bytes()
    with zipfile.ZipFile(here / "one.zip") as found:
        assert set(found.namelist()) == {"mine.py", "data/w ü/tiny.safetensors", JOB_FILE}
        assert found.read("data/w ü/tiny.safetensors") == b"weights"
        assert json.loads(found.read(JOB_FILE)) == {"words": ["sweep"], "environment": {"A": "b"}}
        assert stat.S_IMODE(found.getinfo(JOB_FILE).external_attr >> 16) == 0o600
    assert JOB_FILE not in package.text()


def test_many_files_are_counted_and_the_largest_named(here: Path) -> None:
    for number in range(30):
        (here / f"f{number}").write_bytes(b"x" * (1000 + number))
    text = Package({f"f{number}": here / f"f{number}" for number in range(30)}).text()
    assert text.splitlines()[0] == "packed: 30.4 kB, 30 files"
    assert "f29" in text
    assert text.splitlines()[-1] == "  and 20 smaller ones"


def test_the_checkout_without_what_git_ignores(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if subprocess.run(["git", "-C", str(Path(__file__).parent), "status"], capture_output=True).returncode:
        pytest.skip("takes a git checkout")
    monkeypatch.setenv("GIT_DIR", str(here / "elsewhere"))  # as in a hook of another repository
    found = checkout()
    assert {"peoria/cluster/job.py", "shards/__init__.py", "pyproject.toml"} <= set(found)
    assert not [name for name in found if name.startswith((".venv/", "data/", ".git/")) or "__pycache__" in name]


def test_code_that_is_no_checkout(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.cluster.package.__file__", str(here / "lib" / "peoria" / "cluster" / "package.py"))
    with pytest.raises(ConfigError, match="--with-code"):
        checkout()


def test_only_the_words_of_the_sweep_are_left() -> None:
    words = ["submit", "--address", "http://h:1", "--trials", "3", "mine.py", "--env=A", "--env", "B_*", "--with-code", "--again", "2"]
    words += ["--where", "tag=beach|ocean", "--storage", "postgresql://me:pass@h/d", "--strength", "-1"]
    assert words_of_the_sweep(words) == ["sweep", "--trials", "3", "mine.py", "--where", "tag=beach|ocean", "--strength", "-1"]
    parser().parse_args(words_of_the_sweep(words))


def test_the_environment_is_what_was_named_and_the_database(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PEO_A", "PEO_B", "MLFLOW_C"):
        monkeypatch.setenv(name, f"of {name}")
    given = ["submit", "mine.py", "--address", "http://h:1", "--env", "PEO_*"]
    assert passed_on(parser().parse_args(given)) == {"PEO_A": "of PEO_A", "PEO_B": "of PEO_B"}
    monkeypatch.setenv("PEORIA_STORAGE", "sqlite:////mnt/a.db")
    assert passed_on(parser().parse_args(given))["PEORIA_STORAGE"] == "sqlite:////mnt/a.db"
    assert passed_on(parser().parse_args([*given, "--storage", "sqlite:////mnt/b.db"]))["PEORIA_STORAGE"] == "sqlite:////mnt/b.db"


@pytest.mark.parametrize(
    ("flags", "name"),
    [("", "mine"), ("--where tag=beach,ocean", "mine-tag-beach-ocean"), ("--control plant-owner --strength 0.3", "mine-plant-owner-0.3")],
)
def test_the_name_is_that_of_the_sweep(here: Path, flags: str, name: str) -> None:
    found = name_of(load_sweep("mine.py"), parser().parse_args(["submit", "mine.py", "--address", "http://h:1", *shlex.split(flags)]))
    assert found == name


@pytest.mark.slow
def test_nothing_is_submitted_that_costs_too_much(
    here: Path, planted_shards: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of no cluster")
    write(here, pictures=320, batch_size=16, evaluations=1, curve_points=20)
    words = ["submit", "mine.py", "--home", "/mnt/peoria", "--shards", str(planted_shards), "--gpus-per-trial", "1", "--again", "0"]
    assert run_command(None, [*words, "--address", "http://127.0.0.1:1", "--max-money", "0.001"], for_good=False) == 2
    said = capfd.readouterr()
    assert "--max-money: 0.001 USD; " in said.err
    assert "above --max-money" in said.out
    assert "packed: " not in said.out

    (here / "own.yaml").write_text((Path(__file__).parents[2] / "ray_cluster.yaml").read_text().replace("g6.2xlarge", "g6.9xlarge"))
    assert run_command(None, [*words, "--cluster", "own.yaml", "--max-money", "1000"], for_good=False) != 0  # it is asked: control
    said = capfd.readouterr()
    assert "g5.2xlarge spot" in said.out
    assert "packed: " in said.out
    assert "g6.2xlarge" not in said.out  # no node of that cluster
    assert not Path("/mnt/peoria/plans").exists()
