"""The sweep whose trials do nothing runs by the product's own path: what the figures of a further trial are measured on."""

from pathlib import Path

import pytest

from benchmarks import stub
from peoria.sweep import place

pytestmark = pytest.mark.slow


def test_every_trial_ends_and_is_told(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "TRIAL_ACTOR", place.TRIAL_ACTOR)  # put back afterwards
    num, told = stub.empty_sweep(str(planted_shards), str(tmp_path), trials=6, tracked=True, concurrent=2)()
    assert num == 6
    assert len(told["wall"]) == len(told["cpu"]) == 6
    assert told["wall"] == sorted(told["wall"])
    assert told["closing_s"] > 0
