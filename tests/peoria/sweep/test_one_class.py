"""Favourites of one class tell no picture from another: a sweep goes by views alone, and says so."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.config.space import Space
from peoria.data.dataset import Dataset
from peoria.errors import ConfigError
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.sweep.plan import make_plan, short_of_owners
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.pack.pack import pack
from shards.read.shard_set import ShardSet
from tests.helpers.small import small_sweep, trial_config


@pytest.mark.slow
def test_a_sweep_of_pictures_that_all_have_a_favourite(planted_shards: Path, tmp_path: Path) -> None:
    pictures = planted_shards.parent / "pictures"
    with (pictures / "metadata.csv").open(newline="") as file:
        records = [record | {"favorites": f"{1 + int(record['favorites'])}"} for record in csv.DictReader(file)][:200]
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    packed = pack(tmp_path / "metadata.csv", tmp_path / "set", pictures=pictures, processes=1)
    assert any("trials are ranked by views alone, favourites are not judged: --drop favorites" in text for text in packed.warnings)
    few = {"pictures": 64, "evaluations": 1, "curve_points": 2}
    shared = trial_config(**few).model_dump(include={"net", "target_scale", "batch_size", *few})
    sweep = small_sweep(tmp_path / "set", trials=2, shared=shared, prune=False)
    said: list[str] = []
    result = run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off"), said.append)
    assert result.complete
    assert "objective   rho_views; " in said[0]
    assert said[0].count("all of one class: trials are ranked by views alone, favourites are not judged") == 1
    assert result.folder.read_definition().objective == "rho_views"
    trials = read_trials(result.folder)
    assert all(trial.status == "done" and trial.objective == trial.metrics["val/rho_views"] for trial in trials)
    verdict = report(tmp_path, sweep.name, tracking="off", say=lambda line: None)
    assert verdict.targets.favorites is None
    assert verdict.headline.startswith("Too little to judge")


def test_a_task_that_has_nothing_to_learn_is_refused(dataset: Dataset, planted_shards: Path, tmp_path: Path) -> None:
    train, val = dataset.train.labels, dataset.val.labels
    one = {"favorites": np.ones(len(train), np.int64)}
    plan = {"concurrent": 1, "home": tmp_path, "pictures": ""}
    with pytest.raises(ConfigError, match=r"all of one class; both classes are needed\n.*Space\(task=\('regression', 'hybrid'\)\); trials are then"):
        make_plan(small_sweep(planted_shards, space=Space()), replace(train, **one), val, **plan)  # type: ignore[arg-type]
    assert make_plan(small_sweep(planted_shards), replace(train, **one), val, **plan).objective == "rank_mean"  # type: ignore[arg-type]


def test_the_plan_says_first_what_a_verdict_would_lack(dataset: Dataset, planted_shards: Path, vaulted_shards: Path, tmp_path: Path) -> None:
    few = short_of_owners(ShardSet(planted_shards))
    assert few.startswith("test: 10 owners; a verdict needs 20 owners, worth 5 of equal size, which takes 100 owners in all")
    assert short_of_owners(ShardSet(vaulted_shards)) == ""  # control
    filtered = short_of_owners(ShardSet(vaulted_shards), where="owner=" + ",".join(f"owner{i}" for i in range(100, 600)))
    assert filtered == ""
    assert short_of_owners(ShardSet(vaulted_shards), where="owner=owner1,owner2,owner3,owner4,owner5,owner6,owner7,owner8").startswith("test: ")
    labels = {"train": dataset.train.labels, "val": dataset.val.labels}
    plan = make_plan(small_sweep(planted_shards), **labels, concurrent=1, home=tmp_path, pictures="", too_few=few)
    assert plan.warnings[0] == few
