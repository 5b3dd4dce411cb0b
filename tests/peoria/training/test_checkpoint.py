"""What a trial goes on from: stopped between any two batches, with a checkpoint that was damaged, or with none."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from peoria.data.dataset import Dataset
from peoria.errors import RecordError
from peoria.records.folder import TrialFolder
from peoria.records.points import Curve
from peoria.training.checkpoint import check_model, load_checkpoint
from peoria.training.loop import train
from peoria.training.messages import TrialReport
from tests.helpers.small import trial_config


@pytest.fixture(scope="module")
def alone(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrialReport], TrialFolder]:
    folder = TrialFolder(tmp_path_factory.mktemp("alone"))
    return list(train(trial_config(), dataset, folder)), folder


def curve(reports: list[TrialReport]) -> Curve:
    """As the store keeps it: a step once."""
    found: dict[int, dict[str, float]] = {}
    for report in reports:
        for step, values in report.points:
            found.setdefault(step, values)
    return sorted(found.items())


def after(num_batches: int) -> Callable[[], bool]:
    left = num_batches

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return stop


@pytest.mark.parametrize("batches", [1, 2, 3, 7])  # a point is each 2 batches, an evaluation each 10
def test_stopped_between_batches_it_ends_with_the_same_bits(
    alone: tuple[list[TrialReport], TrialFolder], dataset: Dataset, tmp_path: Path, batches: int
) -> None:
    folder, told, runs = TrialFolder(tmp_path), list[TrialReport](), 0
    while not told or told[-1].status != "done":
        found = list(train(trial_config(), dataset, folder, after(batches)))
        assert found[-1].status in ("interrupted", "done")
        told += found
        runs += 1
    assert runs == 40 // batches + (40 % batches > 0)
    assert curve(told) == curve(alone[0])
    assert {report.step: report.metrics for report in told if report.metrics} == {report.step: report.metrics for report in alone[0]}
    assert folder.model.read_bytes() == alone[1].model.read_bytes()
    assert not folder.checkpoint_before.exists()


def test_a_checkpoint_sends_the_whole_curve_again(dataset: Dataset, tmp_path: Path, alone: tuple[list[TrialReport], TrialFolder]) -> None:
    """So that a report that was lost on its way, or with the disk that it was entered on, is not lost."""
    running = train(trial_config(), dataset, folder := TrialFolder(tmp_path))
    reports = [next(running) for _ in range(3)]
    running.close()
    again = next(train(trial_config(), dataset, folder))
    assert (again.step, again.metrics) == (reports[-1].step, reports[-1].metrics)
    assert again.points == curve(reports)
    assert len(again.points) > len(reports[-1].points)  # the control: what the report itself brought
    ended = next(train(trial_config(), dataset, alone[1]))
    assert (ended.status, ended.points) == ("done", curve(alone[0]))


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


class RunsCode:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def code(data: bytes) -> bytes:
    return pickle.dumps(RunsCode())


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("damage", [truncated, flipped, code, lambda data: b"", lambda data: data.partition(b"\n")[2]])
def test_a_damaged_checkpoint_goes_back_to_the_one_before_or_to_the_start(
    alone: tuple[list[TrialReport], TrialFolder],
    dataset: Dataset,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    both: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = TrialFolder(tmp_path)
    running = train(trial_config(), dataset, folder)
    told = [next(running) for _ in range(3)]
    running.close()  # type: ignore[attr-defined]
    for path in (folder.checkpoint, folder.checkpoint_before)[: 1 + both]:
        path.write_bytes(damage(path.read_bytes()))
    rest = list(train(trial_config(), dataset, folder))
    assert rest[0].step == told[0 if both else 1].step
    assert f"{folder.checkpoint}: not whole, or changed; the checkpoint that was written; the trial goes on from the one before" in rest[0].note
    assert ("goes on from the start" in rest[0].note) is both
    assert curve(told + rest) == curve(alone[0])
    assert folder.model.read_bytes() == alone[1].model.read_bytes()
    assert not (tmp_path / "ran").exists()
    assert folder.checkpoint.with_name("checkpoint.pt.damaged").exists()  # nothing is thrown away


def test_without_the_digest_a_flipped_bit_goes_unnoticed(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: torch loads it and training goes on from other weights."""
    folder = TrialFolder(tmp_path)
    running = train(trial_config(), dataset, folder)
    next(running)
    running.close()  # type: ignore[attr-defined]
    first, _, payload = folder.checkpoint.read_bytes().partition(b"\n")
    whole = load_checkpoint(folder, settings := _settings(folder), print)
    name = next(name for name, tensor in whole.state["net"].items() if tensor.ndim == 1)  # type: ignore[index, union-attr]
    weights = whole.state["net"][name].numpy().tobytes()  # type: ignore[index, union-attr]
    place = payload.index(weights)
    changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
    monkeypatch.setattr("peoria.training.checkpoint._MAGIC", first.rpartition(b" ")[0] + b" ")
    monkeypatch.setattr("peoria.training.checkpoint.hashlib.sha256", lambda _: _Digest(first.rpartition(b" ")[2].decode()))
    folder.checkpoint.write_bytes(first + b"\n" + changed)
    taken = load_checkpoint(folder, settings, print)
    assert taken is not None
    assert taken.state["net"][name].numpy().tobytes() != weights  # type: ignore[index]


class _Digest:
    def __init__(self, text: str) -> None:
        self.text = text

    def hexdigest(self) -> str:
        return self.text


def _settings(folder: TrialFolder) -> dict[str, object]:
    import io

    import torch

    payload = folder.checkpoint.read_bytes().partition(b"\n")[2]
    found: dict[str, object] = torch.load(io.BytesIO(payload), weights_only=True)["settings"]
    return found


def test_a_model_is_what_its_card_says(alone: tuple[list[TrialReport], TrialFolder], tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    folder.model_card.write_bytes(alone[1].model_card.read_bytes())
    with pytest.raises(RecordError, match=r"model\.safetensors: No such file or directory; the weights of a finished trial"):
        check_model(folder)
    folder.model.write_bytes(alone[1].model.read_bytes())
    assert check_model(folder).model_sha256
    folder.model.write_bytes(flipped(alone[1].model.read_bytes()))
    with pytest.raises(RecordError, match=r"model\.safetensors: sha256 [0-9a-f]{16}…; [0-9a-f]{16}… was written"):
        check_model(folder)
