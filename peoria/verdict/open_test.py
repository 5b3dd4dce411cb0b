"""The test split scored, once it is open: every judged network, every baseline, and what the further questions need."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peoria.data.control_signals import noise_pictures
from peoria.data.dataset import Dataset, SplitData, open_dataset, open_split
from peoria.data.subsets import complement, subset_mask
from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.stats import metrics
from peoria.stats.clusters import Clusters
from peoria.sweep.follow_ups import PICTURE_SHARE
from peoria.sweep.mirror import Mirror
from peoria.verdict.contact_rows import moved_by, sheet_rows, thumbnails
from peoria.verdict.judged import Judged, signature
from peoria.verdict.opening import closed, opened
from peoria.verdict.predictors import (
    baseline_predictors,
    network_predictors,
    network_score,
    oracle_predictor,
    with_context,
)
from peoria.verdict.scores import ContactSheet, CopyPairs, LeakScores, LeakSide, SubsetScores, TestScores, TrainSize
from peoria.verdict.vaults import NextVaults
from shards.cache.fetched import open_shards
from shards.inspection.describe import describe, near_duplicates
from shards.pack.splits import cap_owners
from shards.read.openings import TestOpening, entries
from shards.read.shard_set import ShardSet

NUM_NOISE = 200  # pictures of white noise


@dataclass(frozen=True)
class Ready:
    """All that the scoring needs, looked through before test is opened."""

    shard_set: ShardSet
    dataset: Dataset
    how: dict[str, Any]  # arguments of `open_split`
    held: object  # keeps the shards of test on this node


def open_and_score(
    cache: Path, cache_bytes: int | None, folder: SweepFolder, judged: Judged, choice: NextVaults, say: Any, mirror: Mirror
) -> TestScores:
    """Opens the vaults of test that are chosen, on record first, and scores them."""
    sweep = choice.sweep
    ready = get_ready(sweep.shards, cache, cache_bytes, sweep, say)
    opening = opened(choice, folder, judged, say, mirror)
    found = score_test(ready, cache, folder, sweep, judged, opening)
    found.write(folder, signature(sweep, judged))
    mirror.flush()
    closed(folder)
    return found


def get_ready(shards: str | Path, cache: Path, cache_bytes: int | None, sweep: SweepRecord, say: Any) -> Ready:
    """
    Args:
        shards: where this machine has the packed set.

    Raises:
        ReportError: it holds other data than the sweep ran on.
        DamagedShardError: a shard, or a table, is not what was packed.
    """
    shard_set = open_shards(shards, cache, cache_bytes)
    how: dict[str, Any] = {"control": sweep.control, "where": sweep.where, "budget_bytes": cache_bytes, "say": say}
    dataset = open_dataset(shards, cache, **how)
    if dataset.identity != sweep.identity:
        raise ReportError(f"{sweep.shards}: data {dataset.identity[:12]}; the sweep ran on {sweep.identity[:12]}")
    shard_set.verify_files(["train", "test"] if shard_set.source is None else ["test"])
    describe(shard_set)  # reads every table, the report's and that of near-duplicates
    return Ready(shard_set, dataset, how, shard_set.held("test"))  # on this node until it is decoded


def score_test(ready: Ready, cache: Path, folder: SweepFolder, sweep: SweepRecord, judged: Judged, opening: TestOpening) -> TestScores:
    """Scores of an opening that is on record."""
    from peoria.models import device_name, pick_device

    shard_set, dataset = ready.shard_set, ready.dataset
    test = open_split(shard_set, "test", cache, opening=opening, train=dataset.train, **ready.how)
    predictors = network_predictors(judged, test) | baseline_predictors(judged, dataset, test, sweep.tasks)
    predictors |= with_context(judged, predictors, folder, dataset.val.labels)
    predictors |= oracle_predictor(test, sweep.control)
    shipped = predictors[f"trial-{judged.winners['views'].key}"]
    assert shipped.views is not None
    train, val = dataset.train.labels, dataset.val.labels
    owners, views_winner = Clusters.of(train.owners), judged.winners["views"]
    subsets, leak = {}, None
    for trial in judged.subsets:
        subset = str(trial.config.subset)
        if subset == f"pictures:{PICTURE_SHARE:g}" and trial.status == "done":
            rest = complement(train, subset, dataset.identity)
            surplus = cap_owners(train.owners[rest], train.ids[rest], np.full(rest.sum(), "val"), shard_set.manifest.split_rule)  # as val is capped
            held_out = dataset.train.take(np.flatnonzero(rest)[~surplus])
            leak = LeakScores(*(LeakSide(network_score(trial, of.pixels), of.labels.views, of.labels.owners) for of in (held_out, dataset.val)))
        else:
            seen = subset_mask(train, subset, dataset.identity)
            subsets[trial.key] = SubsetScores(network_score(trial, test.pixels), TrainSize(owners.take(seen).num, int(seen.sum())))
    # Counts that were reassigned are no picture's own.
    pairs = near_duplicates(shard_set, opening) if sweep.control is None else None
    return TestScores(
        predictors=predictors,
        labels=test.labels,
        opening=opening.number,
        shown=NextVaults(shard_set, sweep, rest=False).shown(opening, entries(shard_set.at)),
        val_se=metrics.standard_error(val.views, Clusters.of(val.owners)),
        noise=network_score(views_winner, noise_pictures(NUM_NOISE, seed=0)),
        train=TrainSize(owners.num, len(train)),
        sheets=contact_sheets(judged, test, shipped.views),
        subsets=subsets,
        leak=leak,
        copies=None if pairs is None else CopyPairs(**pairs),
        scored_on=device_name(pick_device("auto")),
    )


def contact_sheets(judged: Judged, test: SplitData, score: np.ndarray) -> dict[str, ContactSheet]:
    """Of the winner for views; ``score`` is its own as shipped, [N]."""
    found = {}
    for name, rows in sheet_rows(score, test.labels.views).items():
        small = thumbnails(test.pixels, rows)
        found[name] = ContactSheet(rows, small, moved_by(judged.winners["views"], test.pixels, rows, small, float(score.std())))
    return found
