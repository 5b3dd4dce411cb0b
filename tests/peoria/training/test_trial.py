"""The boundary around a trial: whose fault an error is."""

import errno
import mmap
import os
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch

from peoria.data.dataset import Dataset
from peoria.errors import ConfigError, RecordError, SweepError
from peoria.records.folder import TrialFolder
from peoria.records.schema import TrialWorker
from peoria.training import memory, trial
from peoria.training.memory import asked_bytes, available_bytes, outgrew, rss_bytes
from peoria.training.messages import TrialReport, TrialSpec
from peoria.training.trial import run_trial
from shards.errors import DamagedShardError, NoRoomError
from tests.helpers.small import trial_config

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/x")
HUGE = np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype(np.uint8))  # what numpy raises


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: Dataset, error: Exception) -> list[TrialReport]:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(trial, "_dataset", lambda *_: dataset)
    monkeypatch.setattr(trial, "train", broken)
    return list(run_trial(spec(tmp_path)))


def spec(tmp_path: Path) -> TrialSpec:
    places = {"shards": tmp_path, "cache": tmp_path, "cache_bytes": None, "control": None, "where": None}
    return TrialSpec(key="0000", folder=tmp_path / "0000", config=trial_config(), stop_file=tmp_path / "stopping", **places)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (FULL, "interrupted", "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "interrupted", "Disk quota exceeded"),
        (OSError(errno.EIO, "Input/output error"), "interrupted", "Input/output error"),
        (OSError(errno.ESTALE, "Stale file handle"), "interrupted", "Stale file handle"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "interrupted", "Permission denied"),
        (filelock.Timeout("/data/trials/0000/.lock"), "interrupted", "another process still trains in /data/trials/0000"),
        (NoRoomError(Path("/c"), 10, 1, "features"), "interrupted", "10 bytes are needed for features"),
        (DamagedShardError("train/00000.tar: 3 bytes"), "interrupted", "train/00000.tar: 3 bytes"),
        (SweepError("c.pt: torch: '2.9' before", hint="go on with it"), "interrupted", "c.pt: torch: '2.9' before (hint: go on with it)"),
        (RecordError("worker.json: a folder"), "interrupted", "worker.json: a folder"),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), "interrupted", "uncorrectable ECC error"),
        (HUGE, "infeasible", "memory: the machine has no more"),
        (RuntimeError("DefaultCPUAllocator: you tried to allocate 99999999999999 bytes"), "infeasible", "memory: the machine has no more"),
        (MemoryError(), "interrupted", "memory: the machine has no more"),
        (torch.OutOfMemoryError("CUDA out of memory"), "infeasible", "GPU memory: "),
        (ValueError("a bug"), "failed", "ValueError: a bug"),
        (KeyError("a bug"), "failed", "KeyError: 'a bug'"),
        (ConfigError("val: 3 pictures"), "failed", "val: 3 pictures"),
    ],
)
def test_whose_fault_it_is(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str, text: str) -> None:
    (found,) = run(tmp_path, monkeypatch, dataset, error)
    assert found.status == status
    assert text in str(found.error)
    assert ("Traceback" in str(found.error)) is (status != "interrupted")
    if status == "interrupted":
        assert len(str(found.error).splitlines()) == 1


def test_a_trial_says_where_it_runs(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, monkeypatch, dataset, FULL)
    worker = TrialWorker.read(TrialFolder(tmp_path / "0000").worker)
    assert worker.pid == os.getpid()
    assert worker.node == worker.host
    assert 10 << 20 < worker.rss_bytes < 1 << 40
    assert worker.available_bytes > 10 << 20


def test_a_folder_that_cannot_be_made_interrupts(tmp_path: Path) -> None:
    (tmp_path / "0000").write_text("a file")
    (found,) = run_trial(spec(tmp_path))
    assert found.status == "interrupted"
    assert "0000" in str(found.error)


def test_the_stop_file_ends_it_where_it_is(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_dataset", lambda *_: dataset)
    monkeypatch.setattr(trial, "STOP_CHECK_S", 0.0)
    running = run_trial(spec(tmp_path))
    assert next(running).status == "running"
    (tmp_path / "stopping").touch()
    (last,) = running
    assert (last.status, last.error) == ("interrupted", "the sweep is being stopped")
    assert next(run_trial(spec(tmp_path))).status == "running"  # where it was
    (tmp_path / "stopping").unlink()
    assert list(run_trial(spec(tmp_path)))[-1].status == "done"


def test_memory_of_its_own_and_of_others() -> None:
    assert outgrew(6, 10)
    assert not outgrew(4, 10)
    assert outgrew(1, 0)  # nothing is known of the room: the trial is the nearest
    assert asked_bytes(HUGE) == 1 << 40
    assert asked_bytes(RuntimeError("you tried to allocate 512 bytes. Error code 12")) == 512
    assert asked_bytes(MemoryError()) == 0


def test_what_a_process_takes_is_seen(tmp_path: Path) -> None:
    before = rss_bytes()
    with mmap.mmap(-1, 64 << 20) as taken:  # of the kernel: what numpy asks for may be left of what was freed
        taken.write(b"x" * (64 << 20))
        assert rss_bytes() - before > 48 << 20
    assert 0 < available_bytes() < 1 << 46


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = available_bytes()
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert available_bytes() == 2_000_000 < free
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() > 2_000_000


@pytest.mark.parametrize(
    ("device", "share", "wanted"), [("auto", 0.0, "cpu"), ("auto", 0.5, "auto"), ("auto", 1.0, "auto"), ("cuda", 0.0, "cuda"), ("cpu", 1.0, "cpu")]
)
def test_without_a_gpu_of_its_own_a_trial_trains_on_the_cpu(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, share: float, wanted: str
) -> None:
    """Also where it sees one, as in a cluster's worker that Ray gave none."""
    given: list[object] = []

    def train(*arguments: object) -> list[TrialReport]:
        given.append(arguments[-1])
        return [TrialReport(step=1, status="done")]

    monkeypatch.setattr(trial, "_dataset", lambda *_: dataset)
    monkeypatch.setattr(trial, "train", train)
    of = spec(tmp_path).model_copy(update={"config": trial_config(device=device)})
    assert [report.status for report in run_trial(of, gpu_share=share)] == ["done"]
    assert given == [wanted]
