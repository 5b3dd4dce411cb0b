"""docs/sources.md from top to bottom, as it is written: YFCC100M's metadata, counts from a Flickr of our own, its pictures packed, swept and judged.

What popularity was planted in the pictures, the verdict has to find. What is replaced: the queries an hour, which a stand-in has no limit of; where
pictures may be fetched from; and `sweeps/paper.py`, which trains two small nets for seconds.
"""

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from peoria.data.synthetic import plant
from peoria.verdict.schema import Verdict
from tests.helpers.flickr_server import FlickrServer, flickr_server
from tests.helpers.local_cluster import BIN
from tests.helpers.yfcc_rows import Photo, others, planted, write
from tests.test_commands import ROOT, steps

NUM_PICTURES, NUM_OTHERS = 1800, 60
SMALL = """
from peoria.config.space import LogUniform

small = {"net": "tiny", "weights": None, "target_scale": "log1p", "pictures": 3000, "batch_size": 32, "evaluations": 2, "curve_points": 10}
space = Space(task=("regression",), learning_rate=LogUniform(3e-3, 2e-2), head_multiplier=LogUniform(1.0, 10.0), outlier_sd=(None,))
asked = {"trials": 2, "seeds": 0, "questions": (), "queue": (), "paper": False, "startup_per_task": 1}
SWEEP = Sweep(**dict(SWEEP) | asked | {"space": space, "shared": SWEEP.shared | small | {"schedule": "cosine"}})
"""


def flickr_of(folder: Path) -> list[Photo]:
    """Pictures whose views follow their colours, and what else there is in the metadata: videos, and photos that are gone since."""
    plant(folder / "made", num_pictures=NUM_PICTURES, seed=5, colour=1.1, arrangement=0.3, owner=0.0, age=0.0, noise=0.6)
    photos = planted(folder / "made" / "metadata.csv")
    half = len(photos) // 2
    metadata = folder / "yfcc100m_dataset"
    metadata.mkdir()
    write(metadata / "yfcc100m_dataset-0", [*photos[:half], *others(NUM_OTHERS)], 25)
    write(metadata / "yfcc100m_dataset-1", photos[half:], 23)
    return photos


def export_of(folder: Path) -> None:
    """An account's, of some pictures."""
    with (folder / "made" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:40]
    names = {
        "count_views": "views",
        "count_faves": "favorites",
        "count_comments": "comments",
        "date_imported": "uploaded_at",
        "observed_at": "observed_at",
    }
    lines = [
        {"id": row["id"], "path": f"made/{row['path']}", "date_taken": "", "license": "0"} | {name: row[of] for name, of in names.items()}
        for row in rows
    ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def sweeps_of(folder: Path) -> None:
    (folder / "sweeps").mkdir()
    before, main, after = (ROOT / "sweeps" / "paper.py").read_text().partition('\nif __name__ == "__main__":')
    assert main
    (folder / "sweeps" / "paper.py").write_text(before + SMALL + main + after)


def as_here(command: str, server: FlickrServer) -> str:
    """The command of the page, with what a stand-in needs."""
    if command.startswith("peoria flickr counts "):
        return f"{command} --queries-per-hour 10000000"
    if command.startswith("peoria pack counts.parquet "):
        return f"{command} --fetch-from {server.url.removeprefix('http://')}"
    return command


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_metadata_to_a_verdict_that_finds_what_was_planted(tmp_path: Path) -> None:
    photos = flickr_of(tmp_path)
    export_of(tmp_path)
    sweeps_of(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    environment |= {"HOME": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT)}
    environment |= {"OMP_NUM_THREADS": "1"}  # threads that wait for one another take as long as work
    commands = [step.text for step in steps(ROOT / "docs" / "sources.md")]
    assert [command.split()[1] for command in commands] == ["flickr", "flickr", "flickr", "pack", "describe", "sweep", "report", "pack"]
    said = {}
    with flickr_server(photos, per_hour=10**7) as server:
        for command in commands:
            words = ["bash", "-c", as_here(command, server)]
            ran = subprocess.run(
                words, cwd=tmp_path, env=environment | server.environment(), capture_output=True, text=True, check=False, timeout=600
            )
            assert ran.returncode == 0, f"{command}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
            said[command] = " ".join(ran.stdout.split())
    table = pq.read_table(tmp_path / "counts.parquet").to_pylist()
    views = {photo.id: (photo.views, photo.favorites, photo.comments) for photo in photos}
    assert {row["id"]: (row["views"], row["favorites"], row["comments"]) for row in table} == views
    assert f"left out: {NUM_OTHERS * 9 // 10} not found" in said[commands[2]]
    assert f"at most {2 * (NUM_PICTURES + NUM_OTHERS * 9 // 10):,} queries" in said[commands[1]]
    assert re.search(rf"{NUM_PICTURES:,} rows|{NUM_PICTURES} rows", said[commands[3]])
    verdict = Verdict.model_validate_json((tmp_path / "data" / "sweeps" / "paper" / "report" / "verdict.json").read_bytes())
    lines = {line.key: line.answer for line in verdict.targets.views.lines}
    print(f"\n{verdict.headline}\n{lines}\n{verdict.targets.views.lines[0]}")
    assert lines["image"] == "shown"
