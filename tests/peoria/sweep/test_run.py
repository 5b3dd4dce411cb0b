"""A sweep as its user meets it: what it says first, what it refuses, what it leaves."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from peoria.config.sweep import Sweep
from peoria.data.dataset import Dataset
from peoria.errors import ConfigError, RecordError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.selection import winners_of
from peoria.records.trials import read_trials
from peoria.records.val_scores import ValScores
from peoria.sweep.lock import holder
from peoria.sweep.plan import make_plan, objective_standard_error, pictures_text
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from peoria.sweep.status import status
from shards.cache.decoded import CacheForecast
from shards.errors import DamagedShardError, ShardsError
from tests.helpers.small import own_file, small_sweep


@pytest.fixture(scope="module")
def finished(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, Path, list[str]]:
    home, said = tmp_path_factory.mktemp("sweep"), []
    result = run_sweep(small_sweep(planted_shards), RunOptions(home=home, local=True, tracking="off"), said.append)
    return result, home, said


def test_what_it_says_before_it_starts(finished: tuple[SweepResult, Path, list[str]]) -> None:
    plan = finished[2][0]
    for words in (
        "4 remaining of 4",
        "1 at a time, in this process",
        "tiny (fc head), 640 pictures seen",
        "objective   rank_mean; its standard error on this val split is",
        "settings are told apart, four times in five, where they differ by about",
        "start-up    1 random point of each task, anywhere in its ranges",
        "the best of 4 trials that know nothing would reach",
        "pictures    decoded copy 0.10 GB in ",
        "test        one vault of 10 owners, which a report opens once",
        " MB more at most",
        "warning     val: an effect of ρ 0.1 could not be seen with these",
    ):
        assert words in plan


def test_what_it_leaves(finished: tuple[SweepResult, Path, list[str]], dataset: Dataset) -> None:
    result, home, said = finished
    assert result.complete
    assert result.folder.is_finished()
    trials = read_trials(result.folder)
    assert len(trials) == 4
    best = winners_of(result.folder.read_definition(), trials).get("views")
    assert best is not None
    assert result.winners["views"] == best.key
    sweep = json.loads(result.folder.definition.read_text())
    assert sweep["environment"]["lock_sha256"]
    assert sweep["identity"] == dataset.identity
    assert sweep["num_val"] == len(dataset.val)
    for trial in trials:
        if trial.status == "done":
            assert len(trial.points()) >= 20
            assert all(np.isfinite(values["train/loss"]) for _, values in trial.points())
            assert (ValScores.read(trial.folder.val_scores).keys == dataset.val.labels.keys).all()
    assert {path.parent.name for path in result.folder.path.glob("baselines/*/baseline.json")} == {
        *("trivial-regression", "trivial-hybrid", "random-score", "colour-ridge", "age-only", "context")
    }
    assert sum("baseline" in line for line in said) == 6
    lines = status(home, "small").splitlines()
    assert lines[0].startswith("sweep small: 4 of 4 trials (")
    assert any(line.startswith("  winner for views (rho_views +0.") and best.label in line for line in lines)
    assert any(line.startswith("  winner for favourites (gini_fav ") for line in lines)
    assert any(line.startswith("  best by objective (rank_mean +0.") for line in lines)
    assert lines[-1] == f"  finished; next: peoria report small --home {home}"


def test_the_same_command_again_does_nothing(finished: tuple[SweepResult, Path, list[str]], planted_shards: Path) -> None:
    result, home, _ = finished
    before = {path: path.read_bytes() for path in result.folder.path.glob("trials/*/*") if path.name != ".lock"}
    again = run_sweep(small_sweep(planted_shards), RunOptions(home=home, local=True, tracking="off"), lambda line: None)
    assert again.counts == result.counts
    assert {path: path.read_bytes() for path in result.folder.path.glob("trials/*/*") if path.name != ".lock"} == before


def test_another_definition_is_refused_by_name(finished: tuple[SweepResult, Path, list[str]], planted_shards: Path) -> None:
    _, home, _ = finished
    changed = small_sweep(planted_shards, reduction_factor=4, shared=small_sweep(planted_shards).shared | {"momentum": 0.5})
    with pytest.raises(SweepError) as caught:
        run_sweep(changed, RunOptions(home=home, local=True, tracking="off"))
    assert caught.value.problems == (
        "small: reduction_factor: 2 before, 4 now; a sweep goes on as it was defined",
        "small: shared.momentum: null before, 0.5 now; a sweep goes on as it was defined",
    )


def test_a_folder_of_another_format_is_refused_and_left_as_it_was(planted_shards: Path, tmp_path: Path) -> None:
    run_sweep(small_sweep(planted_shards, trials=1), RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None)
    folder = SweepFolder.of(tmp_path, "small")
    former = json.loads(folder.definition.read_text())
    del former["format_version"]
    folder.definition.write_text(json.dumps(former))

    def held() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}

    before = held()
    with pytest.raises(RecordError, match=r"sweep\.json: format 0; this version of peoria reads format 2"):
        run_sweep(small_sweep(planted_shards, trials=2), RunOptions(home=tmp_path, local=True, tracking="off"))
    assert held() == before
    with pytest.raises(ShardsError):
        run_sweep(small_sweep(tmp_path / "nowhere", name="new"), RunOptions(home=tmp_path, local=True, tracking="off"))
    assert not SweepFolder.of(tmp_path, "new").path.exists()


def test_another_storage_is_refused(finished: tuple[SweepResult, Path, list[str]], planted_shards: Path) -> None:
    options = RunOptions(home=finished[1], local=True, tracking="off", storage=f"sqlite:///{finished[1]}/other.db")
    with pytest.raises(SweepError, match=r"small: storage journal before, sqlite:///.*/other.db now; its trials are in the first one"):
        run_sweep(small_sweep(planted_shards), options)


def test_a_refused_plan_leaves_nothing_behind(planted_shards: Path, tmp_path: Path) -> None:
    """So that the sweep file can be mended and run under the same name."""
    wrong = small_sweep(planted_shards, shared=small_sweep(planted_shards).shared | {"net": "resnet19"})
    with pytest.raises(ConfigError):
        run_sweep(wrong, RunOptions(home=tmp_path, local=True, tracking="off"))
    assert not (tmp_path / "sweeps" / "small" / "study.journal").exists()
    assert run_sweep(small_sweep(planted_shards, trials=1), RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None).complete


def test_other_data_are_refused_on_resume(finished: tuple[SweepResult, Path, list[str]], tmp_path: Path) -> None:
    from peoria.data.synthetic import EFFECT_WEIGHTS, plant
    from shards.pack.pack import pack

    plant(tmp_path / "p", num_pictures=60, seed=11, **EFFECT_WEIGHTS["both"])
    pack(tmp_path / "p" / "metadata.csv", tmp_path / "s", processes=1)
    with pytest.raises(SweepError, match=r"small: data [0-9a-f]{12} before, [0-9a-f]{12} now; a sweep goes on with the pictures it began with"):
        run_sweep(small_sweep(tmp_path / "s"), RunOptions(home=finished[1], local=True, tracking="off"))


def test_a_changed_byte_stops_the_sweep_and_names_the_shard(planted_shards: Path, tmp_path: Path) -> None:
    shutil.copytree(planted_shards, tmp_path / "s")
    shard = next((tmp_path / "s" / "val").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedShardError, match=re.escape(f"val/{shard.name}")):
        run_sweep(small_sweep(tmp_path / "s"), RunOptions(home=tmp_path / "h", local=True, tracking="off"))


def test_a_held_sweep_names_its_holder(planted_shards: Path, tmp_path: Path) -> None:
    code = (
        "import sys,time\nfrom pathlib import Path\nfrom peoria.records.folder import SweepFolder\nfrom peoria.sweep.lock import sweep_lock\n"
        "with sweep_lock(SweepFolder(Path(sys.argv[1]))):\n  print('held', flush=True)\n  time.sleep(60)\n"
    )
    folder = SweepFolder.of(tmp_path, "small")
    with subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = holder(folder)
        assert found is not None
        assert found.pid == process.pid
        with pytest.raises(SweepError, match=rf"sweep small: held by process {process.pid} on .* since .*; one process at a time runs a sweep"):
            run_sweep(small_sweep(planted_shards), RunOptions(home=tmp_path, local=True, tracking="off"))
        process.kill()
    deadline = time.monotonic() + 10
    while holder(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert holder(folder) is None  # a dead holder holds nothing


def test_a_shuffled_control_is_another_sweep(planted_shards: Path, tmp_path: Path) -> None:
    sweep = small_sweep(planted_shards, trials=1)
    result = run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off", control="shuffle"), lambda line: None)
    assert result.folder.name == "small-shuffle"
    assert json.loads(result.folder.definition.read_text())["control"] == "shuffle"


def test_hours_end_a_run_and_the_same_command_goes_on(planted_shards: Path, tmp_path: Path) -> None:
    sweep = small_sweep(planted_shards)
    cut = run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off", hours=1e-9), lambda line: None)
    assert not cut.complete
    assert json.loads(cut.folder.finished.read_text())["status"] == "interrupted"
    assert "run by nobody; the same command goes on" in status(tmp_path, "small")
    whole = run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None)
    assert whole.complete
    assert whole.counts["finished"] == 4


def test_a_cache_without_room_stops_nothing_and_changes_nothing(
    finished: tuple[SweepResult, Path, list[str]], planted_shards: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    options = RunOptions(home=tmp_path, local=True, tracking="off", cache_bytes=0)
    result = run_sweep(small_sweep(planted_shards), options, said.append)
    assert result.complete
    texts = [f"no room for a decoded copy of {split} (needs " for split in ("train", "val")]
    assert all(text in said[0] for text in texts)  # the plan says so
    assert [line.strip()[: len(text)] for line, text in zip(said[1:3], texts, strict=True)] == texts  # and once it is so
    assert sum("no room" in line for line in said) == 3
    assert not list((tmp_path / "cache").glob("*.u8"))
    kept = sorted(path.relative_to(result.folder.path) for path in result.folder.path.glob("trials/*/model.safetensors"))
    assert kept == sorted(path.relative_to(finished[0].folder.path) for path in finished[0].folder.path.glob("trials/*/model.safetensors")) != []
    assert all((result.folder.path / path).read_bytes() == (finished[0].folder.path / path).read_bytes() for path in kept)


def test_a_disk_too_small_for_pictures_is_no_refusal_one_too_small_for_models_is(
    planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, said = small_sweep(planted_shards, trials=1), []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=120_000_000, total=1_000_000_000))
    assert run_sweep(sweep, RunOptions(home=tmp_path / "enough", local=True, tracking="off"), said.append).complete
    assert "no room for a decoded copy of train (needs 0.09 GB, 0.02 GB free)" in said[0]
    assert "decoded copy 0.01 GB in" in said[0]  # of val
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000, total=1_000_000_000))
    with pytest.raises(ConfigError, match=r"little: [0-9,]+ bytes are needed for models and checkpoints; 1,000 bytes are free"):
        run_sweep(sweep, RunOptions(home=tmp_path / "little", local=True, tracking="off"))


def test_where_the_pictures_will_come_from() -> None:
    train, val, there = (
        CacheForecast("train", 12_300_000_000, False, 20_000_000_000),
        CacheForecast("val", 10**9, False, 7),
        CacheForecast("val", 10**9, True, 0),
    )
    no_val = "no room for a decoded copy of val (needs 1.00 GB, 0.00 GB free): its pictures are decoded from the shards each time"
    assert pictures_text([train, val], Path("c")) == f"decoded copy 12.30 GB in c; {no_val}"
    assert pictures_text([train, there], Path("c")) == "decoded copy 13.30 GB in c"
    assert pictures_text([there], Path("c")) == "decoded copy 1.00 GB in c, there already"
    assert pictures_text([val], Path("c")) == no_val


def plan_of(sweep: Sweep, dataset: Dataset, cache: Path, **labels: object) -> object:
    train, val = replace(dataset.train.labels, **labels), replace(dataset.val.labels, **labels)  # type: ignore[arg-type]
    return make_plan(sweep, train, val, concurrent=1, home=cache, pictures="")


def test_no_favourites_no_classification(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="task: 'classification' with no favorites column in the packed set"):
        plan_of(small_sweep(Path("x"), space={"task": ("classification",)}), dataset, tmp_path, favorites=None)
    plan = plan_of(small_sweep(Path("x")), dataset, tmp_path, favorites=None)
    assert plan.objective == "rho_views"  # type: ignore[attr-defined]


def test_a_net_or_weights_that_are_not_there_are_said_before_anything_runs(dataset: Dataset, tmp_path: Path) -> None:
    shared = small_sweep(Path("x")).shared
    with pytest.raises(ValueError, match="net: 'resnet19'"):
        plan_of(small_sweep(Path("x"), shared=shared | {"net": "resnet19"}), dataset, tmp_path)
    with pytest.raises(ValueError, match=r"gone\.pth"):
        plan_of(small_sweep(Path("x"), shared=shared | {"weights": str(tmp_path / "gone.pth")}), dataset, tmp_path)


def test_the_standard_error_of_the_objective_is_that_of_chance(dataset: Dataset) -> None:
    """Against scores that know nothing, owners unknown: each score alone, so that the closed form has nothing to do with clusters."""
    from peoria.training.evaluate import rank_metrics

    labels = replace(dataset.val.labels, owners=np.full(len(dataset.val), ""))
    dice = np.random.default_rng(0)
    drawn = [rank_metrics(score, score, labels) for score in dice.standard_normal((2000, len(labels)))]
    for name in ("rank_mean", "rho_views"):
        assert objective_standard_error(labels, name) == pytest.approx(np.std([found[name] for found in drawn]), rel=0.05)


def test_a_sweep_file_runs_itself(planted_shards: Path, tmp_path: Path) -> None:
    """``python sweeps/x.py`` has the flags of ``peoria sweep sweeps/x.py``."""
    path = own_file(tmp_path)
    words = ["--shards", str(planted_shards), "--trials", "1", "--local", "--tracking", "off", "--home", str(tmp_path / "home")]
    done = subprocess.run([sys.executable, str(path), *words], capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "1 of 1 trials (1 done); winner for views (rho_views " in done.stdout
    assert "next: peoria report own" in done.stdout
