"""What a training takes of its machine is told where MLflow's own switch wants it, and nowhere else."""

from pathlib import Path

import pytest

from peoria.data.dataset import Dataset
from peoria.records.folder import TrialFolder
from peoria.training.loop import train
from peoria.training.usage import PREFIX, SWITCH, Usage, passed_on
from tests.helpers.small import trial_config


def test_at_each_evaluation_and_without_a_word_of_the_machine_else(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for wanted in ("", "true"):
        monkeypatch.setenv(SWITCH, wanted)
        reports = list(train(trial_config(), dataset, TrialFolder(tmp_path / f"wanted {wanted}")))
        found[wanted] = [point for report in reports for point in report.points]
        assert not any(name.startswith(PREFIX) for report in reports for name in report.metrics)  # what trials are compared by
    told = [{name: value for name, value in values.items() if name.startswith(PREFIX)} for _, values in found["true"]]
    assert [bool(values) for values in told] == ["val/rho_views" in values for _, values in found["true"]]
    assert all(values[f"{PREFIX}pictures_per_second"] > 0 for values in told if values)
    assert all(values[f"{PREFIX}process_memory_usage_megabytes"] > 50 for values in told if values)
    without = [(step, {name: value for name, value in values.items() if not name.startswith(PREFIX)}) for step, values in found["true"]]
    assert without == found[""]


def test_a_speed_is_of_the_pictures_since_it_was_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((100.0, 110.0, 130.0))
    monkeypatch.setenv(SWITCH, "1")
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    usage = Usage("cpu")
    assert [usage.since(seen)[f"{PREFIX}pictures_per_second"] for seen in (500, 900)] == [50.0, 20.0]


@pytest.mark.parametrize("wanted", ["", "0", "false", "no"])
def test_off(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, wanted)
    assert Usage("cpu").since(100) == {}
    monkeypatch.delenv(SWITCH)
    assert Usage("cpu").since(100) == passed_on() == {}
