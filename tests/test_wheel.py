"""What is installed is enough: the wheel in an environment of its own, started from an empty folder, far from any checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("peoria", "shards")
# The demo, made small; one process, so that it is over in seconds.
SMALL_DEMO = """
import functools
from pathlib import Path
from peoria import demo

demo.NUM_PICTURES = 200
demo.RunOptions = functools.partial(demo.RunOptions, local=True, tracking="off")
demo.report = functools.partial(demo.report, tracking="off")
demo.SWEEP = demo.SWEEP.model_copy(update={
    "trials": 2, "seeds": 0, "questions": (), "paper": False, "shared": demo.SWEEP.shared | {"pictures": 640, "evaluations": 2, "curve_points": 4},
})
assert Path(demo.__file__).is_relative_to(Path("../venv").resolve()), demo.__file__
raise SystemExit(demo.demo(Path("data")))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files under version control alone; in the checkout, what an older build left would get into it."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(source))
    return next(built.glob("peoria-*.whl"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``venv``, the wheel in it, its dependencies by the path of those installed here; ``empty``, where it is started."""
    place = tmp_path_factory.mktemp("place")
    venv.create(place / "venv", with_pip=False)
    pip("--python", str(place / "venv" / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    # A path in a .pth file reads no .pth file at that place, so that the editable install there is not found.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    (place / "empty").mkdir()
    return place


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PEORIA_"))}
    command = [str(place / "venv" / "bin" / words[0]), *words[1:]]
    return subprocess.run(command, cwd=place / "empty", env=clean, capture_output=True, text=True, timeout=300)


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {name for name in tracked() if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    assert any(name.endswith(".j2") for name in packed)


@pytest.mark.slow
def test_the_demo_runs_from_an_empty_folder(place: Path) -> None:
    ran = run(place, "python", "-c", SMALL_DEMO)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert "What was planted: log views = " in ran.stdout
    assert (place / "empty" / "data" / "sweeps" / "demo" / "report" / "report.html").stat().st_size > 10_000
    assert [path.name for path in (place / "empty").iterdir()] == ["data"]
    exported = run(place, "peoria", "export", "demo")
    assert exported.returncode == 0, exported.stderr
    card = next((place / "empty" / "data" / "models" / "demo").glob("*.md")).read_text()
    assert "- code peoria 0.1.0, not from a checkout" in card


@pytest.mark.slow
def test_without_the_wheel_there_is_nothing(place: Path) -> None:
    """Control: what ran above was not the checkout, which the dependencies' place leads to."""
    ran = run(place, "python", "-c", "import sys; sys.path = [p for p in sys.path if '/venv/' not in p]; import numpy, peoria")
    assert "No module named 'peoria'" in ran.stderr
