"""The benchmark of the intervals judges what the product judges."""

from pathlib import Path

import pytest

from benchmarks import verdict as module
from benchmarks.figures import Setting


def test_it_claims_what_is_in_its_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "PICTURES", 2000)
    monkeypatch.setattr(module, "OWNERS", 100)
    seconds, memory = module.verdict(Setting(tmp_path, 1, ""))
    assert seconds.detail["claims"]["views"]
    assert seconds.value is not None
    assert memory.value is not None
    assert memory.value > 0.1  # GiB: Python with torch's friends
