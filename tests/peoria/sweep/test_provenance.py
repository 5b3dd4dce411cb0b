"""Where a result came from: never said of another repository than peoria's own."""

import subprocess
from pathlib import Path

import pytest

from peoria.sweep import provenance

ROOT = Path(__file__).parents[3]
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Somebody's project with one commit, and in it an environment of Python."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "theirs"\n')
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *IDENTITY, "commit", "--quiet", "--message", "one"], check=True)
    (tmp_path / "site-packages").mkdir()
    return tmp_path


def head(folder: Path) -> str:
    return subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_has_commit_and_lock(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.checkout(provenance.AROUND) == ROOT
    (repository / "pyproject.toml").write_text('[project]\nname = "peoria"\n')
    (repository / "requirements.lock").write_text("")
    monkeypatch.setattr(provenance, "AROUND", repository)
    found = provenance.environment().model_dump()
    assert (found["git_commit"], found["git_dirty"]) == (head(repository), True)
    assert found["lock_sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_was_installed_has_neither(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = repository / "site-packages"
    assert head(inside) == head(repository)  # control: git itself would answer for the project around it
    for around in (inside, repository):
        monkeypatch.setattr(provenance, "AROUND", around)
        found = provenance.environment().model_dump()
        assert (found["git_commit"], found["git_dirty"], found["lock_sha256"]) == (None, None, None)
        assert found["versions"]["numpy"]


def test_a_checkout_without_a_repository_of_its_own_has_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = repository / "site-packages"
    (inside / "pyproject.toml").write_text('[project]\nname = "peoria"\n')
    monkeypatch.setattr(provenance, "AROUND", inside)
    assert provenance.environment().git_commit is None


def test_what_the_environment_says_to_git_is_of_another_repository(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "pyproject.toml").write_text('[project]\nname = "peoria"\n')
    subprocess.run(["git", "-C", str(repository), *IDENTITY, "commit", "--quiet", "--all", "--message", "two"], check=True)
    monkeypatch.setattr(provenance, "AROUND", repository)
    here = head(repository)
    other = tmp_path_factory.mktemp("other")
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / "index",
        "GIT_OBJECT_DIRECTORY": other / ".git" / "objects",
        "GIT_CEILING_DIRECTORIES": other,
    }.items():
        monkeypatch.setenv(name, str(value))
    assert subprocess.run(["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, check=False).returncode != 0  # control
    found = provenance.environment()
    assert (found.git_commit, found.git_dirty) == (here, False)


@pytest.mark.parametrize(
    "text", ["project = 3", "[[project]]\nname = 'peoria'", "project = ['name']", "[project]\nname = 3", "a = " + "[" * 5000, "\xff"]
)
def test_a_strange_pyproject_is_no_checkout(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode("latin-1"))
    assert provenance.checkout(tmp_path) is None
