"""What the figures of a GPU do where it, or what they need beside it, is not there: told, and no other figure is lost."""

import os
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.figures import NotRunError, Setting
from benchmarks.rounds import Candidate, Process


@pytest.mark.parametrize("group", [gpu.gpu_steps, gpu.gpu_trials])
def test_without_a_gpu_each_figure_is_told(group, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = list(group(Setting(tmp_path, 1, "python", None)))
    assert len(found) == len(gpu.STEPS if group is gpu.gpu_steps else gpu.TRIALS)
    assert {one.why for one in found} == {"no GPU here"}


def control_program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "nvidia-cuda-mps-control"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_control_program_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control_program(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(NotRunError, match="does not start"), gpu.mps():
        pytest.fail("it began")
    control_program(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/asked; cat >> {tmp_path}/asked')  # the control: one that starts is ended too
    with gpu.mps() as env:
        assert set(env) == {"CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"}
    assert (tmp_path / "asked").read_text().split() == ["-d", "quit"]


def test_processes_beside_one_that_cannot_start_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Process] = []
    launch = Process.launch
    monkeypatch.setattr(Process, "launch", lambda process: (begun.append(process), launch(process))[1])
    with pytest.raises(NotRunError, match=r"benchmarks\.nothing"):
        gpu.together(Candidate("nothing:there", {}), 2)
    assert len(begun) == 2
    assert all(process._process is not None and process._process.poll() is not None for process in begun)
