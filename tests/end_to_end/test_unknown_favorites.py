"""A study whose table has blank cells, through the whole path: no picture is lost to them, and the report says what they leave out."""

import contextlib
import csv
import io
from pathlib import Path

import numpy as np
import pytest

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.verdict import judged, scores
from peoria.verdict.schema import Verdict
from shards.counts import PartlyKnown
from shards.pack.pack import pack
from tests.helpers.small import trial_config

pytestmark = pytest.mark.slow

SHARED = trial_config().model_dump(include={"net", "target_scale", "pictures", "batch_size", "evaluations", "curve_points", "schedule"})


def test_a_sweep_of_a_table_with_blank_favourites(tmp_path: Path) -> None:
    plant(tmp_path / "p", num_pictures=600, seed=1, **EFFECT_WEIGHTS["both"])
    table = tmp_path / "p/metadata.csv"
    with table.open(newline="") as file:
        records = list(csv.DictReader(file))
    random = np.random.default_rng(0)
    for number, record in enumerate(records):
        record["favorites"] = str(int(np.log1p(float(record["views"])) + random.normal() > 5))
        if random.random() < 0.3:
            record["favorites"] = ["", "NaN", "-"][number % 3]
        if random.random() < 0.3:
            record["comments"] = ""
        if number % 100 == 7:
            record["views"] = "many"
        if number % 300 == 9:
            record["comments"] = "about 5"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    packed = pack(table, tmp_path / "shards", processes=2)
    assert packed.rejected["bad_count"] == 6
    sweep = Sweep(
        name="blank",
        shards=str(tmp_path / "shards"),
        trials=3,
        space=Space(task=("classification", "hybrid", "regression"), learning_rate=LogUniform(1e-3, 1e-2), outlier_sd=(None, 6.0)),
        shared=SHARED,
        startup_per_task=1,
        prune=False,
        seeds=0,
        questions=(),
    )
    said: list[str] = []
    result = run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off"), say=said.append)
    assert result.complete
    assert any("favorites: unknown for" in line for line in said)
    trials = read_trials(result.folder)
    assert {trial.config.task for trial in trials} == {"classification", "hybrid", "regression"}
    assert all(trial.status == "done" for trial in trials)
    with contextlib.redirect_stdout(io.StringIO()):
        verdict = report(tmp_path, "blank", tracking="off", say=lambda line: None)

    taken = judged.Judged.of(result.folder.read_definition(), trials)
    scored = scores.TestScores.read(result.folder, judged.signature(result.folder.read_definition(), taken))
    assert scored is not None
    assert isinstance(scored.labels.favorites, PartlyKnown)
    unknown = 1 - len(scored.labels.counted("favorites")[0]) / len(scored.labels)
    assert 0.15 < unknown < 0.45
    assert verdict.test.num_pictures == len(scored.labels) == packed.kept["test"]  # of whom none was lost to a blank cell
    assert verdict.targets.favorites is not None
    assert any(text.startswith(f"Favourites unknown for {100 * unknown:.1f} % of the test pictures") for text in verdict.notes)
    assert f"{100 * 6 / 600:.1f} % of the table's rows were left out for missing or unreadable views." in verdict.notes
    assert any(text.startswith("comments could not be read for ") and "'about 5' is not a number" in text for text in verdict.notes)
    assert verdict.paper is not None
    assert {row.count for row in verdict.paper.table_1.rows} == {"views", "favorites", "comments"}
    page = result.folder.page.read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"Favourites unknown for {100 * unknown:.1f} % of the test pictures" in page

    # once more from what was stored: the same to the byte, and no second opening
    before = result.folder.verdict.read_bytes()
    with contextlib.redirect_stdout(io.StringIO()):
        report(tmp_path, "blank", tracking="off", say=lambda line: None)
    assert result.folder.verdict.read_bytes() == before
    assert Verdict.read(result.folder.verdict).openings.number == 1
