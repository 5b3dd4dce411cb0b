"""The sweep whose trials do nothing runs by the product's own path, and a group of figures that breaks takes no other with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import stub
from benchmarks.figures import Figure, Measured, NotRunError, Setting
from peoria.sweep import place


def broken(setting: Setting) -> Iterator[Measured]:
    raise NotRunError("its process ended")
    yield


def whole(setting: Setting) -> Iterator[Measured]:
    yield Measured(Figure("one", "a figure", 1.0, 2.0), 3.0)


@pytest.mark.parametrize(("names", "status"), [(["broken", "whole"], 1), (["whole"], 0)])
def test_a_group_that_breaks_is_told_and_costs_no_others_figures(
    names: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "GROUPS", {"broken": broken, "whole": whole})
    assert command.main([*names, "--work", str(tmp_path), "--out", str(tmp_path / "found.json")]) == status
    assert ("broken: not run: its process ended" in capsys.readouterr().out) is bool(status)
    assert [figure["name"] for figure in json.loads((tmp_path / "found.json").read_text())["figures"]] == ["one"]


@pytest.mark.slow
def test_every_trial_ends_and_is_told(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "TRIAL_ACTOR", place.TRIAL_ACTOR)  # put back afterwards
    num, told = stub.empty_sweep(str(planted_shards), str(tmp_path), trials=6, tracked=True, concurrent=2)()
    assert num == 6
    assert len(told["wall"]) == len(told["cpu"]) == 6
    assert told["wall"] == sorted(told["wall"])
    assert told["closing_s"] > 0
