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
