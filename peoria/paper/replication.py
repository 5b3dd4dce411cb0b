"""The paper's tables, figures and headline numbers made again from a packed set and a finished sweep, to be laid beside the printed ones.

Labels are of train and val; of test nothing is read here, what is known of it comes in as the verdict's own predictors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from peoria.data.targets import kept_by_outlier_filter
from peoria.errors import PeoriaError
from peoria.paper import arithmetic, printed
from peoria.records.selection import best_by_objective
from peoria.records.trials import TrialRecord
from peoria.stats import metrics
from peoria.stats.tails import Tail, compare
from peoria.verdict.sentences import tail_laws
from shards.inspection.count_tables import COUNTS, CountTables
from shards.inspection.histograms import SHOWN_VIEWS, ViewsHistogram
from shards.labels import Labels

MAX_POINTS = 200  # of a curve that is drawn
LONGEST_WINDOW = 0.1  # of a run: one as short as the paper's window would have no curve left
# of each experiment: the loss that the paper gives, the metric of ours, that of the constant, and the rank metric that says the same of any task
NATIVE = {
    "regression": ("half_mse_views", "half_mse_views_mean", "rho_views"),
    "classification": ("log_loss_fav", "log_loss_fav_prior", "gini_fav"),
    "hybrid": ("half_mse_bin", "half_mse_bin_mean_bin", "rho_views"),
}


def remade(train: Labels, val: Labels, trials: Sequence[TrialRecord], predictors: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Plain JSON values; a value that cannot be had is None.

    Args:
        train, val: as the sweep sees them, before any cut. Tables and Figure 2 are of both together.
        trials: of a sweep, `records.read_trials`.
        predictors: ``verdict["predictors"]``, where the test split has been opened; else nothing is said of test.

    Returns:
        ``pictures``: {"train", "val"}, how many.
        ``table_1``: {"outlier_sd", "num_before", "num_after", "rows"}; a row {"count", "limit" (largest count that stays), "paper": {"mean", "sd",
            "max"}, "before", "after"}, each {"mean", "sd" (sample, n − 1), "sd_population" (n), "max", "share_zero"}. The cut is the paper's, by
            mean and population sd of these pictures, each count by its own, a picture out if one is beyond.
        ``table_2``: {"rows"}; a row {"first", "second", "paper", "pearson_before", "pearson_after", "spearman_before", "spearman_after"}.
        ``figure_1``: {"average", "most_viewed"}, pictures of train: {"key", "id", "views", "favorites", "comments"}; average: the one whose views
            are nearest to the mean. {"mean_views", "paper": {"average", "most_viewed"}} beside them.
        ``figure_2``: {"num", "shown_views", "num_beyond", "edges" [B + 1], "heights" [B] (pictures, the last bin's right edge included), "ccdf":
            [{"views", "share" (of pictures with at least so many views)}], "fits", "why_no_fit"}. Two fits where there are enough counts: from one
            view on, and from the xmin of the smallest KS distance; each is `tails.Tail` with "sentence" (which law fits better) and "curve":
            [{"views", "power_law", "lognormal"}], shares as in ccdf.
        ``figure_3``, ``figure_4``: the training loss of the classification and of the hybrid trial with the paper's settings; None where the sweep
            has none. {"trial", "label", "status", "window_of_paper", "window" (iterations; the paper's, of a short run a tenth of it),
            "batch_size", "iterations_a_point", "coarser_than_window", "smoothed_over" (points), "note", "points": [{"iterations", "pictures",
            "loss"}], "val": the same of the loss on val, "constant": the val loss of the task's constant}. Our points are means of the training
            loss since the point before, over stretches that do not overlap; they are averaged further only as far as the window goes.
            Iterations are pictures seen / batch size.
        ``headline``: [{"task", "paper", "ours"}]. ``paper``: {"loss", "best", "constant", "d2", "best_d2", "unit"} as printed, d2 computed from
            it. ``ours``: [{"role" ("paper" or "best of this task"), "trial", "label", "status", "val", "test" (None: not judged)}] with {"loss",
            "constant", "d2", "rank" (rho_views, for classification gini_fav), "rho_views", "accuracy"}; best of the task: by its objective on val,
            which flatters it there. Of the classification the paper's d2 is the share of wrong answers removed, ours that of the log-loss.
    """
    labels = _joined(train, val)
    columns = {name: column for name in COUNTS if (column := getattr(labels, name)) is not None}
    keep = kept_by_outlier_filter(labels, printed.OUTLIER_SD)
    before, after = CountTables.of(columns), CountTables.of({name: column[keep] for name, column in columns.items()})
    by_key = {trial.key: trial for trial in trials}
    return {
        "pictures": {"train": len(train), "val": len(val)},
        "table_1": _table_1(before, after),
        "table_2": _table_2(columns, keep, before, after),
        "figure_1": _figure_1(train),
        "figure_2": _figure_2(labels.views),
        "figure_3": _losses(by_key.get("paper-classification"), "classification"),
        "figure_4": _losses(by_key.get("paper-hybrid"), "hybrid"),
        "headline": [_headline(task, trials, predictors) for task in NATIVE],
    }


def _joined(train: Labels, val: Labels) -> Labels:
    def both(name: str) -> Any:
        a, b = getattr(train, name), getattr(val, name)
        return None if a is None or b is None else np.concatenate([a, b])

    return Labels(**{name: both(name) for name in ("keys", "ids", "owners", *COUNTS)})


def _table_1(before: CountTables, after: CountTables) -> dict[str, Any]:
    rows = [
        {
            "count": name,
            "paper": printed.TABLE_1[name]._asdict(),
            "limit": row.mean + printed.OUTLIER_SD * row.sd_population,
            "before": asdict(row),
            "after": asdict(after.table_1[name]),
        }
        for name, row in before.table_1.items()
    ]
    return {"outlier_sd": printed.OUTLIER_SD, "num_before": before.num_pictures, "num_after": after.num_pictures, "rows": rows}


def _table_2(columns: Mapping[str, np.ndarray], keep: np.ndarray, before: CountTables, after: CountTables) -> dict[str, Any]:
    rows = []
    for pair, pearson in before.table_2.items():
        first, second = pair.split()
        row = {"first": first, "second": second, "paper": printed.TABLE_2[pair], "pearson_before": pearson, "pearson_after": after.table_2[pair]}
        for when, rows_of in (("before", slice(None)), ("after", keep)):
            varies = row[f"pearson_{when}"] is not None
            row[f"spearman_{when}"] = metrics.spearman(columns[first][rows_of], columns[second][rows_of]) if varies else None
        rows.append(row)
    return {"rows": rows}


def _figure_1(train: Labels) -> dict[str, Any]:
    def picture(row: int) -> dict[str, Any]:
        counts = {name: None if (column := getattr(train, name)) is None else int(column[row]) for name in COUNTS}
        return {"key": str(train.keys[row]), "id": str(train.ids[row]), **counts}

    mean = float(train.views.mean())
    return {
        "average": picture(int(np.abs(train.views - mean).argmin())),
        "most_viewed": picture(int(train.views.argmax())),
        "mean_views": mean,
        "paper": {"average": printed.AVERAGE_PICTURE, "most_viewed": printed.TABLE_1["views"].max},
    }


def _figure_2(views: np.ndarray) -> dict[str, Any]:
    histogram = ViewsHistogram.of(views)
    values, num = np.unique(views[views >= 1], return_counts=True)
    share = np.cumsum(num[::-1])[::-1] / len(views)
    spaced = np.geomspace(values[0], values[-1], MAX_POINTS) if len(values) else np.empty(0)
    places = np.unique(np.searchsorted(values, np.floor(spaced)))
    fits, why = [], None
    try:
        fits = [_fit(compare(views, 1), views), _fit(compare(views), views)]
    except PeoriaError as error:
        why = str(error)
    return {
        "num": histogram.num,
        "shown_views": SHOWN_VIEWS,
        "num_beyond": histogram.num_beyond,
        "edges": histogram.edges.tolist(),
        "heights": histogram.heights.tolist(),
        "ccdf": [{"views": int(values[i]), "share": float(share[i])} for i in places],
        "fits": fits,
        "why_no_fit": why,
    }


def _fit(tail: Tail, views: np.ndarray) -> dict[str, Any]:
    x = np.unique(np.round(np.geomspace(tail.xmin, views.max(), MAX_POINTS)))
    power, lognormal = tail.ccdf(x)
    curve = [{"views": int(a), "power_law": float(b), "lognormal": float(c)} for a, b, c in zip(x, power, lognormal, strict=True)]
    return {**tail.plain(), "sentence": tail_laws(tail.better, tail.z, tail.p), "curve": curve}


def _losses(trial: TrialRecord | None, task: str) -> dict[str, Any] | None:
    if trial is None:
        return None
    batch_size = trial.config.batch_size
    points = [(step, values) for step, values in trial.points()]
    raw = [(step, values["train/loss"]) for step, values in points if "train/loss" in values]
    resolution = raw[0][0] / batch_size if raw else None  # the first point is the mean of all before it
    window = min(printed.WINDOWS[task], trial.config.pictures / batch_size * LONGEST_WINDOW)
    over = max(1, int(window / resolution)) if resolution else 1
    means: list[float] = np.convolve([loss for _, loss in raw], np.full(over, 1 / over), "valid").tolist() if len(raw) >= over else []
    constants = [values[f"val/{NATIVE[task][1]}"] for _, values in points if f"val/{NATIVE[task][1]}" in values]
    return {
        "trial": trial.key,
        "label": trial.label,
        "status": trial.status,
        "window_of_paper": printed.WINDOWS[task],
        "window": window,
        "batch_size": batch_size,
        "iterations_a_point": resolution,
        "coarser_than_window": resolution is not None and resolution > window,
        "smoothed_over": over,
        "note": _note(resolution, over, window, printed.WINDOWS[task]),
        "points": [_point(step, batch_size, loss) for (step, _), loss in zip(raw[over - 1 :], means, strict=True)],
        "val": [_point(step, batch_size, values[f"val/{NATIVE[task][0]}"]) for step, values in points if f"val/{NATIVE[task][0]}" in values],
        "constant": constants[-1] if constants else None,
    }


def _note(resolution: float | None, over: int, window: float, of_paper: int) -> str:
    if resolution is None:
        return "No point was noted."
    each = f"Each point is the mean loss of {resolution:,.0f} iterations"
    if resolution > window:
        return f"{each}, more than {'the paper' if window == of_paper else 'a tenth of the run'}'s window of {window:,.0f}."
    return f"{each}, averaged over {over} for a window of {window:,.0f}{' as in the paper' if window == of_paper else ', a tenth of the run'}."


def _point(step: int, batch_size: int, loss: float) -> dict[str, float]:
    return {"iterations": step / batch_size, "pictures": step, "loss": float(loss)}


def _headline(task: str, trials: Sequence[TrialRecord], predictors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    of_task = [trial for trial in trials if trial.config.task == task]
    best = best_by_objective(of_task)
    judged = {predictor["name"]: predictor for predictor in predictors}
    ours = []
    for role, trial in [("paper", next((t for t in of_task if t.key == f"paper-{task}"), None)), ("best of this task", best)]:
        if trial is not None:
            on_test = judged.get(f"trial-{trial.key}")
            val = {name.removeprefix("val/"): value for name, value in trial.metrics.items() if name.startswith("val/")}
            test = (
                None
                if on_test is None
                else on_test["losses"] | {name: on_test[name]["value"] for name in ("rho_views", "gini_fav") if name in on_test}
            )
            ours.append(
                {"role": role, "trial": trial.key, "label": trial.label, "status": trial.status, "val": _numbers(task, val)}
                | {"test": None if test is None else _numbers(task, test)}
            )
    return {"task": task, "paper": _printed(task), "ours": ours}


def _numbers(task: str, found: Mapping[str, float]) -> dict[str, float | None]:
    """The native loss beside its constant's; on another target or for a diverged trial there may be none."""
    loss, constant = found.get(NATIVE[task][0]), found.get(NATIVE[task][1])
    d2 = None if loss is None or constant is None or constant <= 0 else metrics.d2(loss, constant)
    rank, rho = found.get(NATIVE[task][2]), found.get("rho_views")
    return {"loss": loss, "constant": constant, "d2": d2, "rank": rank, "rho_views": rho, "accuracy": found.get("accuracy_fav")}


def _printed(task: str) -> dict[str, Any]:
    """The regression's constant is half the variance of the paper's Table 1 (`audit.readings`, B), not the 87,000 that it compares with."""
    if task == "classification":
        numbers = printed.CLASSIFICATION
        errors = {name: 1 - value for name, value in numbers.items()}
        found = {"loss": numbers["mean"], "best": numbers["max"], "constant": numbers["constant"], "unit": "accuracy"}
        return found | {"d2": metrics.d2(errors["mean"], errors["constant"]), "best_d2": metrics.d2(errors["max"], errors["constant"])}
    if task == "hybrid":
        loss, best, constant, unit = printed.HYBRID["mean"], printed.HYBRID["min"], printed.HYBRID["constant"], "half-MSE of the bin"
    else:
        constant = next(reading.constant for reading in arithmetic.readings() if reading.name == "B")
        loss, best, unit = printed.REGRESSION["train"], printed.REGRESSION["val"], "half-MSE of views; loss on train, best on val"
    return {"loss": loss, "best": best, "constant": constant, "d2": metrics.d2(loss, constant), "best_d2": metrics.d2(best, constant), "unit": unit}
