"""The lock of a sweep's folder, where it cannot be taken."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import Holder
from peoria.sweep.lock import holder, sweep_lock


@contextmanager
def no_root() -> Iterator[None]:
    """This process with the rights of another user, where it runs as root, who may do everything."""
    if os.geteuid():
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that another user can reach."""
    with tempfile.TemporaryDirectory(prefix="peoria-lock-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def taken(folder: SweepFolder) -> str:
    """What taking the lock says; the lock is free again, whatever it says."""
    with pytest.raises(SweepError) as caught, sweep_lock(folder):
        pass
    text = str(caught.value)
    assert len(text.splitlines()) == 2
    assert text.splitlines()[1].startswith("hint: ")
    return text


@pytest.mark.parametrize("name", [".lock", "holder.json"])
def test_a_folder_where_a_file_of_the_lock_should_be(tmp_path: Path, name: str) -> None:
    folder = SweepFolder(tmp_path / "small")
    (folder.path / name / "inner").mkdir(parents=True)
    assert f"small/{name}" in taken(folder)
    (folder.path / name / "inner").rmdir()
    (folder.path / name).rmdir()
    with sweep_lock(folder):  # the failed try holds nothing
        assert holder(folder) is not None
    assert holder(folder) is None


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("")
    assert "small" in taken(SweepFolder(tmp_path / "small"))
    assert "not a directory" in taken(SweepFolder(tmp_path / "small" / "inner")).lower()


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_folder_that_may_not_be_written(open_folder: Path, mode: int) -> None:
    with no_root():
        home = open_folder / "home"
        home.mkdir()
        folder = SweepFolder(home / "small")
        home.chmod(mode)
        try:
            text = taken(folder)
        finally:
            home.chmod(0o755)
        assert f"{home}" in text
        assert "permission denied; a sweep writes into its folder" in text
        with sweep_lock(folder):  # control: it was the mode
            pass
        folder.path.chmod(mode)
        try:
            assert "permission denied" in taken(folder).lower()
        finally:
            folder.path.chmod(0o755)


def test_who_runs_a_sweep_can_be_asked_where_nothing_may_be_written(open_folder: Path) -> None:
    folder = SweepFolder(open_folder / "small")
    with sweep_lock(folder):
        folder.path.chmod(0o555)
        with no_root():
            found = holder(folder)
        assert found is not None
        assert found.pid == os.getpid()
    with no_root():
        assert holder(folder) is None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EIO, errno.ENOSPC])
def test_a_file_system_that_refuses_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    folder = SweepFolder(tmp_path / "small")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        text = taken(folder)
    assert ("has no locks" in text) == (number in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL))
    assert "small/.lock" in text
    with sweep_lock(folder):
        pass


def test_a_torn_holder_is_named_and_bars_nobody(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "small")
    with sweep_lock(folder):
        pass
    folder.holder.write_text('{"pid": 1')
    with sweep_lock(folder):  # a free lock is taken
        assert Holder.read(folder.holder).pid == os.getpid()
        folder.holder.write_text('{"pid": 1')
        assert "held by another process (" in taken(folder)
        assert "holder.json" in taken(folder)
        with pytest.raises(RecordError, match=r"holder\.json"):
            holder(folder)
