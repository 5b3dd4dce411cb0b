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
from peoria.verdict.scores import Scored
from shards.inspection.describe import near_duplicates
from shards.pack.splits import cap_owners
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet

PURPOSE = "report"
NUM_NOISE = 200  # pictures of white noise


def open_and_score(cache: Path, cache_bytes: int | None, folder: SweepFolder, sweep: SweepRecord, judged: Judged, say: Any) -> Scored:
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
    rows = sheet_rows(shipped.views, test.labels.views)
    extra = {f"sheet|{name}": thumbnails(test.pixels, of_sheet) for name, of_sheet in rows.items()}
    extra |= {f"sheet-rows|{name}": of_sheet for name, of_sheet in rows.items()}
    if sweep.control is None and (pairs := near_duplicates(shard_set, opening)) is not None:  # counts handed out anew are no picture's
        extra |= {f"copies|{name}": values for name, values in pairs.items()}
    extra["noise"] = network_score(judged.winners["views"], noise_pictures(NUM_NOISE, seed=0))
    train, val = dataset.train.labels, dataset.val.labels
    if CONTEXT in predictors:
        context = ValScores.read(folder.baseline(CONTEXT).val_scores).views
        extra |= {"val|image": val_score(judged.winners["views"], len(val)), "val|context": context, "val|views": val.views}
    extra["val-se"] = np.array(metrics.standard_error(val.views, Clusters.of(val.owners)))
    of_train = Clusters.of(train.owners)
    extra["sizes|all"] = np.array([of_train.num, len(train)])
    for trial in judged.subsets:
        subset = str(trial.config.subset)
        if subset == f"pictures:{PICTURE_SHARE:g}":
            rest = complement(train, subset, dataset.identity)
            surplus = cap_owners(train.owners[rest], train.ids[rest], np.full(rest.sum(), "val"), shard_set.manifest.split_rule)  # as val is capped
            held_out = dataset.train.take(np.flatnonzero(rest)[~surplus])
            for name, split in (("random", held_out), ("owner", dataset.val)):
                extra |= {f"leak-score|{name}": network_score(trial, split.pixels)}
                extra |= {f"leak-views|{name}": split.labels.views, f"leak-owners|{name}": split.labels.owners}
        else:
            seen = subset_mask(train, subset, dataset.identity)
            extra |= {f"subset|{trial.key}": network_score(trial, test.pixels)}
            extra[f"sizes|{trial.key}"] = np.array([of_train.take(seen).num, seen.sum()])
    found = Scored(predictors, test.labels, opening.number, extra)
    found.write(folder, signature(sweep, judged))
    return found
