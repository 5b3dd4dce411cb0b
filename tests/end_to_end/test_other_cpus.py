"""The verdict on given scores is the same to the byte whatever CPU judges them."""

import shutil
from pathlib import Path

import pytest

from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from tests.helpers.cpus import cpus, on_each
from tests.helpers.small import small_sweep

pytestmark = pytest.mark.slow

VERDICT = "sweeps/small/report/verdict.json"
REPORT = """
import sys
from pathlib import Path
from peoria.report.build import report

report(Path(sys.argv[1]), "small", tracking="off", say=lambda line: None)
"""


def test_a_verdict_has_the_same_bytes_on_every_cpu(planted_shards: Path, tmp_path: Path) -> None:
    sweep = small_sweep(planted_shards, seeds=3, questions=("learning-curve", "leak", "time"))
    run_sweep(sweep, RunOptions(home=tmp_path / "home", local=True, tracking="off"), say=lambda line: None)
    report(tmp_path / "home", "small", tracking="off", say=lambda line: None)  # the one that opens the test split and stores the scores
    given = (tmp_path / "home" / VERDICT).read_bytes()
    for name in cpus():
        shutil.copytree(tmp_path / "home" / "sweeps", tmp_path / name / "sweeps")
        (tmp_path / name / VERDICT).unlink()
    on_each(REPORT, f"{tmp_path}/{{name}}")
    assert {name: (tmp_path / name / VERDICT).read_bytes() == given for name in cpus()} == dict.fromkeys(cpus(), True)
    assert b'"lognormal"' in given  # the fits of the tail are among it
