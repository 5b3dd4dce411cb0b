"""Scores and baselines that were copied from elsewhere, and a sweep's record that somebody edited: named by `peoria check`, refused before test is
opened, mended by a repair."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peoria.config.sweep import Sweep
from peoria.errors import PeoriaError, RecordError
from peoria.records.folder import SweepFolder
from peoria.records.schema import BaselineRecord, SweepRecord, TrialOutcome
from peoria.records.selection import seed_key, winners_of
from peoria.records.trials import read_trials
from peoria.records.val_scores import ValScores
from peoria.report.build import report
from peoria.serving.predict import predict
from peoria.sweep.check import refuse_edited
from peoria.sweep.repair import check
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.read.openings import openings
from tests.helpers.small import small_sweep

Damage = Callable[[SweepFolder], object]
pytestmark = pytest.mark.slow


def sweep_of(shards: Path, **changes: object) -> Sweep:
    return small_sweep(shards, **{"name": "copied", "trials": 6, "prune": False, "seeds": 3} | changes)


def go_on(sweep: Sweep, home: Path, cache: Path) -> list[str]:
    said: list[str] = []
    result = run_sweep(sweep, RunOptions(home=home, local=True, tracking="off", cache_dir=cache), said.append)
    assert result.exit_code == 0
    return said


@pytest.fixture(scope="module")
def whole(planted_shards: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    folder = tmp_path_factory.mktemp("whole")
    go_on(sweep_of(planted_shards), folder, home / "cache")
    return SweepFolder.of(folder, "copied")


@pytest.fixture
def folder(whole: SweepFolder, tmp_path: Path) -> SweepFolder:
    return SweepFolder(Path(shutil.copytree(whole.path, SweepFolder.of(tmp_path, "copied").path)))


def facts(folder: SweepFolder) -> dict[str, bytes]:
    """Of all that is judged: ends but for their times, scores, baselines, and what the sweep is."""
    found = {str(path.relative_to(folder.path)): path.read_bytes() for path in folder.path.glob("baselines/*/*")}
    for trial in read_trials(folder):
        end = TrialOutcome.read(trial.folder.outcome).model_copy(update={"ended_at": 0.0})
        found[trial.key] = end.model_dump_json().encode()
        if trial.folder.model.exists():
            found[f"{trial.key} scores"] = trial.folder.val_scores.read_bytes() + trial.folder.model.read_bytes()
    about = SweepRecord.read(folder.definition)
    return found | {"about": json.dumps([about.sweep_id, about.definition, about.trials, about.control]).encode()}


def seed_of(folder: SweepFolder) -> str:
    """The first of the views' winner."""
    return seed_key(winners_of(SweepRecord.read(folder.definition), read_trials(folder))["views"].key, 1)


def scores_of_another_trial(folder: SweepFolder) -> None:
    key = seed_of(folder)
    shutil.copy(folder.trial(key.rpartition("-seed-")[0]).val_scores, folder.trial(key).val_scores)


def scores_with_their_digest(folder: SweepFolder) -> None:
    """The end says the digest of the copied scores; Optuna's storage does not."""
    scores_of_another_trial(folder)
    key = seed_of(folder)
    other = TrialOutcome.read(folder.trial(key.rpartition("-seed-")[0]).outcome)
    own = TrialOutcome.read(folder.trial(key).outcome)
    own.model_copy(update={"val_scores_sha256": other.val_scores_sha256}).write(folder.trial(key).outcome)


def without_digest(folder: SweepFolder) -> None:
    end = folder.trial(seed_of(folder)).outcome
    TrialOutcome.read(end).model_copy(update={"val_scores_sha256": None}).write(end)


def scores_that_nothing_needs(folder: SweepFolder) -> None:
    kept, dropped = (next(trial.folder for trial in read_trials(folder) if trial.folder.model.exists() == there) for there in (True, False))
    shutil.copy(kept.val_scores, dropped.val_scores)


def copied(name: str) -> Damage:
    return lambda folder: shutil.copy(folder.baseline("context").path / name, folder.baseline("colour-ridge").path / name)


def metrics(folder: SweepFolder) -> None:
    own, other = folder.baseline("colour-ridge").record, BaselineRecord.read(folder.baseline("context").record)
    BaselineRecord.read(own).model_copy(update={"metrics": other.metrics}).write(own)


def both(folder: SweepFolder) -> None:
    copied("baseline.json")(folder)
    copied("val_scores.npz")(folder)


SCORES = r"{}/val_scores\.npz: sha256 \w+…; \w+… was written; the scores of this trial"
COPIES: dict[str, tuple[Damage, str, bool]] = {  # with whether the report, which does not read Optuna's storage, refuses it
    "scores of another trial": (scores_of_another_trial, SCORES, True),
    "scores of another trial, and their digest": (scores_with_their_digest, r"{}: outcome\.json has the digest of other val scores than", False),
    "no digest": (without_digest, r"{}/val_scores\.npz: sha256 \w+…; none was written", True),
    "scores that nothing needs": (scores_that_nothing_needs, r"val_scores\.npz: sha256 \w+…; \w+… was written; the scores of this trial", True),
    "a baseline's scores": (copied("val_scores.npz"), r"colour-ridge/val_scores\.npz: sha256 .*; the scores of this baseline", True),
    "a baseline's record": (copied("baseline.json"), r"colour-ridge/baseline\.json: not the one that was written", True),
    "a baseline's record and scores": (both, r"colour-ridge/baseline\.json: not the one that was written", True),
    "a baseline's metrics": (metrics, r"colour-ridge/baseline\.json: not the one that was written", True),
    "a baseline more": (
        lambda folder: shutil.copytree(folder.baseline("context").path, folder.baseline("more").path),
        r"more/baseline\.json: not among those of done\.json",
        True,
    ),
    "a baseline less": (lambda folder: shutil.rmtree(folder.baseline("context").path), r"context/baseline\.json: not there", True),
    "no word of the baselines": (lambda folder: folder.baselines_done.unlink(), r"done\.json: not there; the baselines of a finished sweep", True),
}


@pytest.mark.parametrize("name", COPIES)
def test_what_was_copied_is_named_refused_and_mended(
    planted_shards: Path, home: Path, tmp_path: Path, whole: SweepFolder, folder: SweepFolder, name: str
) -> None:
    damage, text, refused = COPIES[name]
    pattern = re.compile(text.replace("{}", seed_of(folder)))
    damage(folder)
    for baseline in folder.baselines():  # control: what was copied is whole in itself
        BaselineRecord.read(baseline.record)
    for trial in read_trials(folder):
        ValScores.read(trial.folder.val_scores)
    before = openings(planted_shards)
    (line,) = check(tmp_path, "copied")
    assert pattern.search(line)
    if refused:
        with pytest.raises(PeoriaError, match=pattern):
            report(tmp_path, "copied", tracking="off", cache=home / "cache", say=lambda line: None)
        assert openings(planted_shards) == before
    said: list[str] = []
    assert check(tmp_path, "copied", repair=True, say=said.append) == []
    assert said
    go_on(sweep_of(planted_shards), tmp_path, home / "cache")
    assert check(tmp_path, "copied") == []
    found = facts(folder)
    shutil.rmtree(folder.baseline("more").path, ignore_errors=True)
    assert {key: found[key] for key in facts(whole)} == facts(whole)


def test_a_sweep_fits_changed_baselines_again(planted_shards: Path, home: Path, tmp_path: Path, whole: SweepFolder, folder: SweepFolder) -> None:
    both(folder)
    said = go_on(sweep_of(planted_shards), tmp_path, home / "cache")
    assert any("colour-ridge/baseline.json: not the one that was written" in line and "fitted again" in line for line in said)
    assert facts(folder) == facts(whole)


def test_a_prediction_is_placed_among_its_own_scores(tmp_path: Path, planted_shards: Path, folder: SweepFolder) -> None:
    picture = next(planted_shards.parent.glob("pictures/**/*.jpg"))
    (first,) = predict("copied", [picture], home=tmp_path, target="views")
    scores_of = {trial.key: trial.folder.val_scores for trial in read_trials(folder)}
    seed = seed_of(folder)
    shutil.copy(scores_of[seed], scores_of[seed.rpartition("-seed-")[0]])
    with pytest.raises(RecordError, match=r"val_scores\.npz: sha256 "):
        list(predict("copied", [picture], home=tmp_path, target="views"))
    assert first.percentile is not None


def edited(**changes: Any) -> Damage:
    """By hand."""

    def change(folder: SweepFolder) -> None:
        found = json.loads(folder.definition.read_text())
        for name, value in changes.items():
            (found["definition"] if name in found["definition"] else found)[name] = value
        folder.definition.write_text(json.dumps(found))

    return change


def forged(**changes: Any) -> Damage:
    """With the digest of the edited record."""

    def change(folder: SweepFolder) -> None:
        about = SweepRecord.read(folder.definition)
        definition = about.definition | {name: value for name, value in changes.items() if name in about.definition}
        rest = {name: value for name, value in changes.items() if name not in about.definition}
        about.model_copy(update={"definition": definition, **rest}).write(folder.definition)

    return change


BY_HAND = "sweep.json: edited since peoria wrote it; as it was written"
EDITS: dict[str, tuple[Damage, str]] = {
    "seeds": (edited(seeds=0), BY_HAND),
    "sweep_id": (edited(sweep_id="7" * 32), BY_HAND),
    "trials": (edited(trials=1), BY_HAND),
    "control": (edited(control="shuffle"), BY_HAND),
    "objective": (edited(objective="rho_views"), BY_HAND),
    "no digest": (edited(sha256=None), BY_HAND),
    "seeds, forged": (forged(seeds=0), "sweep.json: definition: not as in the study that was begun with it; edited since"),
    "sweep_id, forged": (forged(sweep_id="7" * 32), "sweep.json: sweep_id: not as in the study that was begun with it; edited since"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_refused_by_all_and_written_again(
    planted_shards: Path, home: Path, tmp_path: Path, whole: SweepFolder, folder: SweepFolder, name: str
) -> None:
    damage, text = EDITS[name]
    shutil.copytree(folder.path, tmp_path / "first")  # the study says where its sweep was begun: here
    folder = SweepFolder(Path(shutil.copytree(tmp_path / "first", whole.path.with_name("copied"), dirs_exist_ok=True)))
    root = whole.path.parents[1]
    try:
        damage(folder)
        before, opened = folder.definition.read_bytes(), openings(planted_shards)
        assert any(text in line for line in check(root, "copied"))
        with pytest.raises(PeoriaError) as caught:
            report(root, "copied", tracking="off", cache=home / "cache", say=lambda line: None)
        assert text in str(caught.value)
        assert caught.value.hint.startswith("peoria check NAME --repair moves it aside")
        assert openings(planted_shards) == opened
        asked = sweep_of(planted_shards, seeds=0) if name == "seeds, forged" else sweep_of(planted_shards)  # as the forger would ask
        with pytest.raises(PeoriaError) as caught:
            go_on(asked, root, home / "cache")
        assert text in str(caught.value)
        if "forged" not in name:
            assert folder.definition.read_bytes() == before
        assert "sweep.json" in check(root, "copied", repair=True, say=lambda line: None)[0]
        go_on(sweep_of(planted_shards), root, home / "cache")
        assert check(root, "copied") == []
        assert facts(folder) == facts(SweepFolder(tmp_path / "first"))
    finally:
        shutil.rmtree(whole.path)
        shutil.copytree(tmp_path / "first", whole.path)


def test_without_its_study_a_forged_record_would_be_believed(folder: SweepFolder) -> None:
    """Control: what the study says is what notices it."""
    forged(seeds=0)(folder)
    folder.journal.unlink()
    assert SweepRecord.read(folder.definition).definition["seeds"] == 0
    refuse_edited(folder)
