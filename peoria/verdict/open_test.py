"""The test split scored, once it is open: every judged network, every baseline, and what the further questions need."""

from pathlib import Path
from typing import Any

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.data.control_signals import noise_pictures
from peoria.data.dataset import open_dataset, open_split
from peoria.data.subsets import complement, subset_mask
from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.records.val_scores import ValScores
from peoria.stats import metrics
from peoria.stats.clusters import Clusters
from peoria.sweep.follow_ups import PICTURE_SHARE
from peoria.verdict.contact_rows import sheet_rows, thumbnails
from peoria.verdict.judged import Judged, signature
from peoria.verdict.predictors import (
    baseline_predictors,
    network_predictors,
    network_score,
    oracle_predictor,
    val_score,
    with_context,
)
from peoria.verdict.scores import ContactSheet, ContextOnVal, CopyPairs, LeakScores, LeakSide, SubsetScores, TestScores, TrainSize
from shards.inspection.describe import near_duplicates
from shards.pack.splits import cap_owners
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet

PURPOSE = "report"
NUM_NOISE = 200  # pictures of white noise


def open_and_score(cache: Path, cache_bytes: int | None, folder: SweepFolder, sweep: SweepRecord, judged: Judged, say: Any) -> TestScores:
    """Opens the test split, on record first, and scores it."""
    shard_set = ShardSet(Path(sweep.shards))
    how: dict[str, Any] = {"control": sweep.control, "where": sweep.where, "budget_bytes": cache_bytes, "say": say}
    dataset = open_dataset(shard_set.root, cache, **how)
    if dataset.identity != sweep.identity:
        raise ReportError(f"{sweep.shards}: data {dataset.identity[:12]}; the sweep ran on {sweep.identity[:12]}")
    shard_set.verify_files(["train", "test"])
    opening = open_test(shard_set.root, sweep=sweep.name, purpose=PURPOSE)
    say(f"opening {opening.number} of this test set")
    test = open_split(shard_set, "test", cache, opening=opening, train=dataset.train, **how)
    predictors = network_predictors(judged, test) | baseline_predictors(judged, dataset, test, sweep.tasks)
    predictors |= with_context(judged, predictors, folder, dataset.val.labels)
    predictors |= oracle_predictor(test, sweep.control)
    shipped = predictors[f"trial-{judged.winners['views'].key}"]
    assert shipped.views is not None
    train, val = dataset.train.labels, dataset.val.labels
    owners, views_winner = Clusters.of(train.owners), judged.winners["views"]
    context_on_val = None
    if CONTEXT in predictors:
        context = ValScores.read(folder.baseline(CONTEXT).val_scores).views
        context_on_val = ContextOnVal(val_score(views_winner, len(val)), context, val.views)
    subsets, leak = {}, None
    for trial in judged.subsets:
        subset = str(trial.config.subset)
        if subset == f"pictures:{PICTURE_SHARE:g}":
            rest = complement(train, subset, dataset.identity)
            surplus = cap_owners(train.owners[rest], train.ids[rest], np.full(rest.sum(), "val"), shard_set.manifest.split_rule)  # as val is capped
            held_out = dataset.train.take(np.flatnonzero(rest)[~surplus])
            leak = LeakScores(*(LeakSide(network_score(trial, of.pixels), of.labels.views, of.labels.owners) for of in (held_out, dataset.val)))
        else:
            seen = subset_mask(train, subset, dataset.identity)
            subsets[trial.key] = SubsetScores(network_score(trial, test.pixels), TrainSize(owners.take(seen).num, int(seen.sum())))
    # Counts that were reassigned are no picture's own.
    pairs = near_duplicates(shard_set, opening) if sweep.control is None else None
    found = TestScores(
        predictors=predictors,
        labels=test.labels,
        opening=opening.number,
        val_se=metrics.standard_error(val.views, Clusters.of(val.owners)),
        noise=network_score(views_winner, noise_pictures(NUM_NOISE, seed=0)),
        train=TrainSize(owners.num, len(train)),
        sheets={name: ContactSheet(rows, thumbnails(test.pixels, rows)) for name, rows in sheet_rows(shipped.views, test.labels.views).items()},
        subsets=subsets,
        leak=leak,
        copies=None if pairs is None else CopyPairs(**pairs),
        context_on_val=context_on_val,
    )
    found.write(folder, signature(sweep, judged))
    return found
