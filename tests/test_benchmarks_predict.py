"""The benchmark of `peoria predict` runs, on a model of seconds."""

from pathlib import Path

import pytest

from benchmarks import predict
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from tests.helpers.small import small_sweep


def test_it_tells_each_loop_beside_the_bare_one(
    planted_shards: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sweep(small_sweep(planted_shards, trials=1), RunOptions(home=tmp_path, cache_dir=home / "cache", local=True, tracking="off"))
    monkeypatch.setattr(predict, "TURNS", 1)
    capsys.readouterr()
    predict.main(str(tmp_path), "small", str(planted_shards.parent / "pictures" / "images"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("x bare  ")[2] for line in lines] == [
        "predict --no-seeds",
        "predict --no-seeds --no-unlike",
        "decode and forward, bare",
        "forward alone, of squares in memory",
    ]
    assert lines[2].count(" 1.00 x bare") == 2
