"""A report whose process is ended between the opening of test and the scores: what nobody has seen is not counted twice, and what somebody may have
seen is."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from peoria.errors import RecordError
from peoria.records.folder import SweepFolder
from peoria.records.schema import OpeningIntent
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.sweep.repair import check
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.training.checkpoint import load_model, save_model
from peoria.verdict.schema import Verdict
from shards.errors import NothingSealedError
from shards.read.openings import open_test, openings
from shards.read.shard_set import ShardSet
from tests.helpers.small import small_sweep

DIES = """
import os, signal, sys
from pathlib import Path

import peoria.verdict.open_test as scoring
import peoria.verdict.opening as opening
from peoria.report.build import report

home, cache, moment, number, rest = sys.argv[1:]

def die(*_, **__):
    os.kill(os.getpid(), int(number))

def opens_and_dies(*given, real=opening.open_test, **named):
    real(*given, **named)
    die()

if moment == "before it is entered":
    opening.open_test = die
elif moment == "after it is entered":
    opening.open_test = opens_and_dies
elif moment == "while test is scored":
    scoring.near_duplicates = die  # the networks and baselines are through
elif moment == "after the scores":
    scoring.closed = die
report(Path(home), "opens", tracking="off", cache=Path(cache), rest=rest == "rest")
"""
ENTERED = {"before it is entered": 0, "after it is entered": 1, "while test is scored": 1, "after the scores": 1}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(vaulted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three vaults."""
    return Path(shutil.copytree(vaulted_shards, tmp_path_factory.mktemp("opened") / "set"))


@pytest.fixture(scope="module")
def finished(shards: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    options = RunOptions(home=tmp_path_factory.mktemp("finished"), local=True, tracking="off", cache_dir=home / "cache")
    return run_sweep(small_sweep(shards, name="opens", trials=1, seeds=3), options, lambda line: None).folder


@pytest.fixture
def folder(shards: Path, finished: SweepFolder, tmp_path: Path) -> SweepFolder:
    (shards / "openings.jsonl").unlink(missing_ok=True)
    return SweepFolder(Path(shutil.copytree(finished.path, SweepFolder.of(tmp_path, "opens").path)))


@pytest.fixture
def dies(tmp_path: Path, home: Path) -> Callable[..., None]:
    def run(moment: str, by: signal.Signals = signal.SIGKILL, rest: bool = False) -> None:
        words = [sys.executable, "-c", DIES, str(tmp_path), str(home / "cache"), moment, str(int(by)), "rest" if rest else "next"]
        done = subprocess.run(words, env=os.environ, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == -by, done.stderr[-2000:]

    return run


@pytest.fixture
def judge(tmp_path: Path, home: Path) -> Callable[..., tuple[int, list[str]]]:
    def run(rest: bool = False) -> tuple[int, list[str]]:
        said: list[str] = []
        verdict = report(tmp_path, "opens", tracking="off", cache=home / "cache", rest=rest, say=said.append)
        return verdict.openings.number, said

    return run


Judge = Callable[..., tuple[int, list[str]]]


def vaults_of(shards: Path) -> list[tuple[int, int]]:
    return [(opening.vault, opening.last_vault) for opening in openings(shards)]


def seen(folder: SweepFolder, shard_set: ShardSet) -> set[int]:
    """The vaults whose pictures the stored scores are of."""
    ids = np.load(folder.test_scores)["label|ids"]
    columns = shard_set.test_columns(["id"])
    return set(shard_set.vaults.of[np.isin(columns["id"].astype(str), ids)].tolist())


@pytest.mark.parametrize("moment", ENTERED)
def test_a_report_that_was_killed_is_no_second_opening(
    folder: SweepFolder, shards: Path, dies: Callable[..., None], judge: Judge, moment: str
) -> None:
    dies(moment, signal.SIGTERM if moment == "after it is entered" else signal.SIGKILL)
    assert len(openings(shards)) == ENTERED[moment]
    assert OpeningIntent.read(folder.opening)
    if moment == "after it is entered":
        dies("while test is scored")  # any number of times
        vaults = ShardSet(shards).vaults  # a sweep of that name in another home
        open_test(shards, sweep="opens", purpose="report", choose=lambda before: vaults.sealed(before, rest=False))
    own, said = judge()
    assert own == 1
    assert len(openings(shards)) == 1 + (moment == "after it is entered")
    assert any("taken up" in line for line in said) == (moment in ("after it is entered", "while test is scored"))
    assert not folder.opening.exists()
    assert seen(folder, ShardSet(shards)) == {1}
    assert judge() == (1, [line for line in said if "opening 1 of" not in line and "--all would" not in line])
    assert check(folder.path.parents[1], "opens") == []


def test_without_the_intent_it_is_counted_twice(folder: SweepFolder, shards: Path, dies: Callable[..., None], judge: Judge) -> None:
    """Control."""
    dies("while test is scored")
    folder.opening.unlink()
    assert judge()[0] == len(openings(shards)) == 2
    assert vaults_of(shards) == [(1, 1), (2, 2)]


def test_a_model_that_changed_since_is_another_opening(folder: SweepFolder, shards: Path, dies: Callable[..., None], judge: Judge) -> None:
    dies("while test is scored")
    trial = next(trial.folder for trial in read_trials(folder) if trial.purpose == "reseed")
    net, card = load_model(trial)
    next(iter(net.parameters())).data.mul_(1.01)
    save_model(trial, net, card)
    assert judge()[0] == len(openings(shards)) == 2


def test_scores_that_were_stored_and_lost_are_another_opening(folder: SweepFolder, shards: Path, dies: Callable[..., None], judge: Judge) -> None:
    assert judge()[0] == 1
    folder.test_scores.unlink()
    dies("before it is entered")  # an intent of the same models, beside the entry of the opening that was seen
    assert judge()[0] == len(openings(shards)) == 2


def test_an_intent_that_is_damaged_opens_nothing_and_is_mended(folder: SweepFolder, shards: Path, dies: Callable[..., None], judge: Judge) -> None:
    dies("after it is entered")
    folder.opening.write_text("{")
    with pytest.raises(RecordError, match=r"report/opening\.json: not JSON"):
        judge()
    assert len(openings(shards)) == 1
    assert "opening.json: not JSON" in "".join(check(folder.path.parents[1], "opens"))
    assert check(folder.path.parents[1], "opens", repair=True, say=lambda line: None) == []
    assert judge()[0] == 2


def test_each_opening_judges_a_vault_of_its_own_and_all_the_rest_is_the_last(folder: SweepFolder, shards: Path, judge: Judge) -> None:
    shard_set = ShardSet(shards)
    number, said = judge()
    sizes = [shard_set.vaults.num_units((k, k)) for k in (1, 2, 3)]
    assert number == 1
    assert f"opening 1 of this test set: vault 1 of 3, {sizes[0]} of {sum(sizes)} owners; {sizes[1] + sizes[2]} stay sealed" in said
    assert any("--all would have looked at all at once, with intervals 0.7" in line for line in said)
    found = Verdict.read(folder.verdict).openings
    assert (found.first_vault, found.last_vault, found.num_vaults, found.owners_sealed) == (1, 1, 3, sizes[1] + sizes[2])
    assert found.false_claims_at_most == 0.025
    first = np.load(folder.test_scores)
    assert {column for column in first if column.startswith("label|")} >= {"label|views", "label|ids"}
    assert {len(first[name]) for name in first if name.startswith("label|")} == {int((shard_set.vaults.of == 1).sum())}
    assert seen(folder, shard_set) == {1}
    keys = shard_set.test_columns(["key"])["key"]
    for path in (folder.verdict, folder.page):
        text = path.read_text()
        assert not [key for key in keys[shard_set.vaults.of > 1].tolist() if key in text], path

    number, said = judge(rest=True)
    assert number == 2
    assert vaults_of(shards) == [(1, 1), (2, 3)]
    assert f"opening 2 of this test set: vaults 2 to 3 of 3, {sizes[1] + sizes[2]} of {sum(sizes)} owners; none stays sealed" in said
    assert seen(folder, shard_set) == {2, 3}
    second = np.load(folder.test_scores)
    assert not set(first["label|owners"].tolist()) & set(second["label|owners"].tolist())
    assert not any("opening" in line.split(":")[0] for line in judge(rest=True)[1][:1])  # rendered again
    assert Verdict.read(folder.verdict).openings.false_claims_at_most == 0.025

    folder.test_scores.unlink()
    for rest in (False, True):
        with pytest.raises(NothingSealedError, match=r"all 3 vaults of test were opened, last by sweep opens \(opening 2\)"):
            judge(rest=rest)
    assert len(openings(shards)) == 2


def test_all_the_rest_that_was_opened_and_never_looked_at_is_taken_up(
    folder: SweepFolder, shards: Path, dies: Callable[..., None], judge: Judge
) -> None:
    """Whichever flag the next command has; and what the vault before showed stays on the page until then."""
    assert judge()[0] == 1
    dies("while test is scored", rest=True)
    assert vaults_of(shards) == [(1, 1), (2, 3)]
    number, said = judge()
    assert number == 2
    assert "opening 2 of this test set, taken up: the process that opened it ended before it stored what it found" in said
    assert seen(folder, ShardSet(shards)) == {2, 3}
    assert not folder.opening.exists()


def test_an_entry_of_before_there_were_vaults_has_opened_all(folder: SweepFolder, shards: Path, judge: Judge) -> None:
    open_test(shards, sweep="older", purpose="report")
    with pytest.raises(NothingSealedError, match=r"all 3 vaults of test were opened, last by sweep older \(opening 1\)"):
        judge()
    assert not folder.opening.exists()
    assert len(openings(shards)) == 1
