"""The files of a sweep's folder: what is written is read again, and nothing else is taken for it."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from peoria.errors import RecordError, ReportError
from peoria.records.folder import SweepFolder
from peoria.records.points import read_points
from peoria.records.schema import FORMAT_VERSION, RunState, SweepRecord, TrialOutcome, TrialStart
from peoria.records.trials import read_trials
from peoria.records.val_scores import ValScores
from peoria.sweep.status import status
from tests.helpers.sweep_folder import WrittenSweep, whole_sweep

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return whole_sweep(tmp_path / "sweeps" / "demo").folder


def changed(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_file_has_its_version_and_reads_as_written(folder: SweepFolder) -> None:
    WrittenSweep(folder.path).finish()
    records = [
        *(SweepRecord.read(folder.definition), RunState.read(folder.finished)),
        *(TrialStart.read(trial.start) for trial in folder.trials()),
        *(TrialOutcome.read(trial.outcome) for trial in folder.trials() if trial.outcome.exists()),
        *folder.read_baselines(),
    ]
    assert len(records) == 2 + 7 + 5 + 2
    for record in records:
        again = folder.path / "again.json"
        record.write(again)
        assert json.loads(again.read_text())["format_version"] == FORMAT_VERSION
        assert type(record).read(again) == record


def test_a_folder_of_format_0_is_refused_in_one_line(folder: SweepFolder, tmp_path: Path) -> None:
    before = json.loads(folder.definition.read_text())
    del before["format_version"]
    folder.definition.write_text(json.dumps(before))
    with pytest.raises(RecordError) as caught:
        status(tmp_path, "demo")
    (problem,) = caught.value.problems
    assert problem == f"{folder.definition}: format 0; this version of peoria reads format 2"
    assert "begin anew under another name" in caught.value.hint


def test_a_later_format_is_refused_too(folder: SweepFolder) -> None:
    changed(folder.trial("0000").start, format_version=1)
    with pytest.raises(RecordError, match=r"0000/config\.json: format 1; this version of peoria reads format 2"):
        read_trials(folder)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": "great"}, r"outcome\.json: status: Input should be 'done', 'pruned', 'diverged', 'failed' or 'infeasible'"),
        ({"objective": "high"}, r"outcome\.json: objective: Input should be a valid number"),
        ({"mood": 1}, r"outcome\.json: mood: Extra inputs are not permitted"),
    ],
)
def test_what_was_edited_is_named(folder: SweepFolder, changes: dict[str, object], text: str) -> None:
    changed(folder.trial("0000").outcome, **changes)
    with pytest.raises(RecordError, match=text):
        read_trials(folder)


@pytest.mark.parametrize(("content", "text"), [(b"{", "not JSON"), (b"\xff", "not JSON"), (b"[1]", "format 0"), (b"", "not JSON")])
def test_what_is_no_record_is_named(folder: SweepFolder, content: bytes, text: str) -> None:
    folder.trial("0000").outcome.write_bytes(content)
    with pytest.raises(RecordError, match=rf"0000/outcome\.json: {text}"):
        read_trials(folder)


def test_no_such_sweep_lists_those_there_are(folder: SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"sweep other: none in .*; there are demo"):
        SweepFolder.of(tmp_path, "other").read_definition()


def test_val_scores_are_read_as_written(tmp_path: Path) -> None:
    keys, views, favorites = np.array(["000000001", "000000002"]), np.array([0.5, -1.0]), np.array([0.1, 0.2])
    for own in (views, favorites):
        ValScores(keys, views, own).write(tmp_path / "s.npz")
        found = ValScores.read(tmp_path / "s.npz")
        assert (found.keys.tolist(), found.views.tolist(), found.favorites.tolist()) == (keys.tolist(), views.tolist(), own.tolist())


def test_every_file_name_stands_once_in_the_product() -> None:
    """Whoever else needs a file asks the folder for it."""
    names = ["sweep.json", "config.json", "outcome.json", "finished.json", "points.jsonl", "baseline.json", "val_scores.npz", "study.journal"]
    for name in [*names, "holder.json", "test_scores.npz", "verdict.json", "model.json", "run.json", "done.json", "report.html"]:
        found = subprocess.run(["grep", "-rlF", f'"{name}"', "--include=*.py", "peoria"], cwd=ROOT, capture_output=True, text=True, check=True)
        # an exported model has a card of that name too, which its own code reads where peoria is not
        exported = ["peoria/serving/export.py", "peoria/tracking/registry.py", "peoria/tracking/served.py"] if name == "model.json" else []
        assert sorted(found.stdout.split()) == ["peoria/records/folder.py", *exported], name


@pytest.mark.parametrize(
    "change",
    [
        b'"val/rho_views": NaN',
        b'"val/rho_views": Infinity',
        b'"val/rho_views": true',
        b'"val/rho_views": "0.9"',
        b'"val/rho_views": 1e999',
        b'"val/rho_views": 0.1, "val/rho_views": 0.9',
    ],
)
def test_no_edited_number_chooses_a_winner(folder: SweepFolder, change: bytes) -> None:
    path = folder.trial("0000").outcome
    path.write_bytes(re.sub(rb'"val/rho_views": [\d.]+', change, path.read_bytes()))
    with pytest.raises(RecordError, match=r"0000/outcome\.json"):
        read_trials(folder)


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "null", "1" * 400])
def test_a_version_is_a_whole_number(folder: SweepFolder, version: str) -> None:
    folder.definition.write_text(folder.definition.read_text().replace('"format_version": 2', f'"format_version": {version}'))
    with pytest.raises(RecordError, match=r"sweep\.json: (format .{1,20}; this version|not JSON)"):
        folder.read_definition()


def test_done_has_an_objective(folder: SweepFolder) -> None:
    changed(folder.trial("0000").outcome, objective=None)
    with pytest.raises(RecordError, match="done without an objective"):
        read_trials(folder)


def test_json_deep_beyond_reading_is_named(folder: SweepFolder) -> None:
    folder.trial("0000").outcome.write_bytes(b"[" * 100_000)
    with pytest.raises(RecordError, match=r"outcome\.json: not JSON"):
        read_trials(folder)


def test_an_outcome_without_settings_is_no_trial_that_is_gone(folder: SweepFolder) -> None:
    """Left out, another trial would win."""
    folder.trial("0004").start.unlink()
    with pytest.raises(RecordError, match=r"0004/config\.json: no such file, beside the trial's outcome"):
        read_trials(folder)


def test_a_folder_in_the_place_of_an_outcome_is_no_trial_under_way(folder: SweepFolder) -> None:
    folder.trial("0004").outcome.unlink()
    assert read_trials(folder)[4].status == "running"  # control
    folder.trial("0004").outcome.mkdir()
    with pytest.raises(RecordError, match=r"0004/outcome\.json: Is a directory"):
        read_trials(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage", "cut", "other", None])
def test_damaged_scores_of_val_are_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "val_scores.npz"
    ValScores(np.array(["1", "2"]), np.array([0.5, 1.0]), np.array([0.1, 0.2])).write(path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif content == "other":
        np.savez(path, keys=np.array(["1"]), scores=np.zeros(2))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(RecordError, match=r"val_scores\.npz: "):
        ValScores.read(path)


def test_points_that_are_none_are_left_out(tmp_path: Path) -> None:
    lines = ['{"metrics":{}}', '{"step":5}', '{"step":1e999,"metrics":{}}', "[" * 100_000, "[1]", '{"step":7,"metrics":{"a":1.0}}']
    (tmp_path / "points.jsonl").write_text("\n".join(lines) + "\n")
    assert read_points(tmp_path / "points.jsonl") == [(7, {"a": 1.0})]
