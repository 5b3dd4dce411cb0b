"""What a worker puts into the bucket, and how often."""

from pathlib import Path

import pytest

from peoria.records.folder import TrialFolder
from peoria.training.messages import RemotePlace, TrialReport
from peoria.training.remote import RemoteTrial
from shards.files import write_atomic


def test_a_checkpoint_goes_to_the_bucket_when_there_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's is written by time, not at each evaluation; and it has half a gigabyte."""
    (tmp_path / "bucket").mkdir()
    folder = TrialFolder(tmp_path / "scratch")
    folder.path.mkdir()
    trial = RemoteTrial(RemotePlace(sweep=str(tmp_path / "bucket"), attempt="000001-0001"), folder, "ab" * 32)
    put: list[str] = []
    real = trial.put
    monkeypatch.setattr(trial, "put", lambda *names: (put.extend(names), real(*names)))
    for data in (None, b"one", None, b"two", b"two", None):
        if data is not None:
            write_atomic(folder.checkpoint, data)
        trial.report(TrialReport(step=1, status="running"))
    assert put == [folder.checkpoint.name] * 3
    (found,) = (tmp_path / "bucket").rglob(folder.checkpoint.name)
    assert found.read_bytes() == b"two"
