"""The paper's tables, figures and headline numbers made again from a packed set and a finished sweep, to be laid beside the printed ones.

Labels are of train and val; of test nothing is read here, what is known of it comes in as the verdict's own predictors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from peoria.data.targets import kept_by_outlier_filter
from peoria.errors import PeoriaError
from peoria.paper import arithmetic, printed
from peoria.records.selection import best_by_objective
from peoria.records.trials import TrialRecord
from peoria.stats import metrics
from peoria.stats.tails import Tail, compare
from peoria.verdict.schema import Predictor
from peoria.verdict.sentences import tail_laws
from peoria.verdict.tables import (
    CutSummary,
    Figure1,
    Figure2,
    Headline,
    LawPoint,
    LossPoint,
    LossWindow,
    NativeNumbers,
    NumPictures,
    OurTrial,
    Paper,
    PictureCounts,
    PrintedCount,
    PrintedLoss,
    PrintedPictures,
    Table1,
    Table1Row,
    Table2,
    Table2Row,
    TailFit,
    TailPoint,
)
from shards.counts import Counts, joined
from shards.inspection.count_tables import COUNTS, CountTables, both_known
from shards.inspection.histograms import SHOWN_VIEWS, ViewsHistogram
from shards.labels import OPTIONAL_COUNTS, Labels

MAX_POINTS = 200  # of a curve that is drawn
LONGEST_WINDOW = 0.1  # of a run: one as short as the paper's window would have no curve left
# of each experiment: the loss that the paper gives, the metric of ours, that of the constant, and the rank metric that says the same of any task
NATIVE = {
    "regression": ("half_mse_views", "half_mse_views_mean", "rho_views"),
    "classification": ("log_loss_fav", "log_loss_fav_prior", "gini_fav"),
    "hybrid": ("half_mse_bin", "half_mse_bin_mean_bin", "rho_views"),
}


def remade(train: Labels, val: Labels, trials: Sequence[TrialRecord], predictors: Sequence[Predictor] = ()) -> Paper:
    """The paper's tables and figures; a value that is not available is None.

    Tables and Figure 2 are of both splits together. The outlier filter is the paper's, by mean and population sd of these pictures: each count by its
    own, a picture out if one is beyond. Of Figures 3 and 4 our points are means of the training loss since the point before, over stretches that do
    not overlap; they are averaged further only as far as the window goes. Of the classification the paper's d2 is the share of wrong answers removed,
    ours that of the log-loss. The best of a task is so by its objective on val, which flatters it there.

    Args:
        train, val: as the sweep sees them, before any filter of outliers.
        trials: of a sweep, `records.trials.read_trials`.
        predictors: of the verdict, where the test split has been opened; else nothing is said of test.
    """
    labels = _joined(train, val)
    columns = {name: column for name in COUNTS if (column := getattr(labels, name)) is not None}
    keep = kept_by_outlier_filter(labels, printed.OUTLIER_SD)
    before, after = CountTables.of(columns), CountTables.of(_kept(columns, keep))
    by_key = {trial.key: trial for trial in trials}
    return Paper(
        pictures=NumPictures(train=len(train), val=len(val)),
        table_1=_table_1(before, after),
        table_2=_table_2(columns, keep, before, after),
        figure_1=_figure_1(train),
        figure_2=_figure_2(labels.views),
        figure_3=_losses(by_key.get("paper-classification"), "classification"),
        figure_4=_losses(by_key.get("paper-hybrid"), "hybrid"),
        headline=tuple(_headline(task, trials, predictors) for task in NATIVE),
    )


def _joined(train: Labels, val: Labels) -> Labels:
    columns: dict[str, Any] = {name: np.concatenate([getattr(train, name), getattr(val, name)]) for name in ("keys", "ids", "owners", "views")}
    for name in OPTIONAL_COUNTS:
        columns[name] = joined([(getattr(labels, name), len(labels)) for labels in (train, val)])
    return Labels(**columns)


def _kept(columns: Mapping[str, Counts], keep: np.ndarray) -> dict[str, Counts]:
    """The counts of the pictures that stay; a count that is known for none of them is left out."""
    return {name: kept for name, column in columns.items() if (kept := column[keep]) is not None}


def _table_1(before: CountTables, after: CountTables) -> Table1:
    rows = [
        Table1Row(
            count=name,
            paper=PrintedCount.model_validate(printed.TABLE_1[name]),
            limit=row.mean + printed.OUTLIER_SD * row.sd_population,
            before=CutSummary.model_validate(row),
            after=CutSummary.model_validate(after.table_1[name]),
        )
        for name, row in before.table_1.items()
        if name in after.table_1
    ]
    return Table1(outlier_sd=printed.OUTLIER_SD, num_before=before.num_pictures, num_after=after.num_pictures, rows=tuple(rows))


def _table_2(columns: Mapping[str, Counts], keep: np.ndarray, before: CountTables, after: CountTables) -> Table2:
    def row(pair: str) -> Table2Row:
        first, second = pair.split()

        def spearman(of: Mapping[str, Counts], pearson: float | None) -> float | None:
            return None if pearson is None else metrics.spearman(*both_known(of[first], of[second]))  # None: one does not vary

        return Table2Row(
            first=first,
            second=second,
            paper=printed.TABLE_2[pair],
            pearson_before=before.table_2[pair],
            pearson_after=after.table_2[pair],
            spearman_before=spearman(columns, before.table_2[pair]),
            spearman_after=spearman(kept, after.table_2[pair]),
        )

    kept = _kept(columns, keep)
    return Table2(rows=tuple(row(pair) for pair in before.table_2 if pair in after.table_2))


def _figure_1(train: Labels) -> Figure1:
    known = {name: dict(zip(*(of.tolist() for of in train.counted(name)), strict=True)) for name in COUNTS}

    def picture(row: int) -> PictureCounts:
        counts = {name: of.get(row) for name, of in known.items()}
        return PictureCounts.model_validate({"key": str(train.keys[row]), "id": str(train.ids[row]), **counts})

    mean = float(train.views.mean())
    return Figure1(
        average=picture(int(np.abs(train.views - mean).argmin())),
        most_viewed=picture(int(train.views.argmax())),
        mean_views=mean,
        paper=PrintedPictures(average=printed.AVERAGE_PICTURE, most_viewed=printed.TABLE_1["views"].max),
    )


def _figure_2(views: np.ndarray) -> Figure2:
    histogram = ViewsHistogram.of(views)
    values, num = np.unique(views[views >= 1], return_counts=True)
    share = np.cumsum(num[::-1])[::-1] / len(views)
    spaced = np.geomspace(values[0], values[-1], MAX_POINTS) if len(values) else np.empty(0)
    places = np.unique(np.searchsorted(values, np.floor(spaced)))
    fits: tuple[TailFit, ...] = ()
    why = None
    try:
        fits = (_fit(compare(views, 1), views), _fit(compare(views), views))
    except PeoriaError as error:
        why = str(error)
    return Figure2(
        num=histogram.num,
        shown_views=SHOWN_VIEWS,
        num_beyond=histogram.num_beyond,
        edges=histogram.edges.tolist(),
        heights=histogram.heights.tolist(),
        ccdf=tuple(TailPoint(views=int(values[i]), share=float(share[i])) for i in places),
        fits=fits,
        why_no_fit=why,
    )


def _fit(tail: Tail, views: np.ndarray) -> TailFit:
    x = np.unique(np.round(np.geomspace(tail.xmin, views.max(), MAX_POINTS)))
    power, lognormal = tail.ccdf(x)
    curve = [LawPoint(views=int(a), power_law=float(b), lognormal=float(c)) for a, b, c in zip(x, power, lognormal, strict=True)]
    return TailFit.model_validate({**asdict(tail), "sentence": tail_laws(tail.better, tail.z, tail.p), "curve": curve})


def _losses(trial: TrialRecord | None, task: str) -> LossWindow | None:
    if trial is None:
        return None
    batch_size = trial.config.batch_size
    points = trial.points()
    raw = [(step, values["train/loss"]) for step, values in points if "train/loss" in values]
    resolution = raw[0][0] / batch_size if raw else None  # the first point is the mean of all before it
    window = min(printed.WINDOWS[task], trial.config.pictures / batch_size * LONGEST_WINDOW)
    over = max(1, int(window / resolution)) if resolution else 1
    means: list[float] = np.convolve([loss for _, loss in raw], np.full(over, 1 / over), "valid").tolist() if len(raw) >= over else []
    constants = [values[f"val/{NATIVE[task][1]}"] for _, values in points if f"val/{NATIVE[task][1]}" in values]
    on_val = [(step, values[f"val/{NATIVE[task][0]}"]) for step, values in points if f"val/{NATIVE[task][0]}" in values]
    return LossWindow(
        trial=trial.key,
        label=trial.label,
        status=trial.status,
        window_of_paper=printed.WINDOWS[task],
        window=window,
        batch_size=batch_size,
        iterations_a_point=resolution,
        coarser_than_window=resolution is not None and resolution > window,
        smoothed_over=over,
        note=_note(resolution, over, window, printed.WINDOWS[task]),
        points=tuple(_point(step, batch_size, loss) for (step, _), loss in zip(raw[over - 1 :], means, strict=True)),
        val=tuple(_point(step, batch_size, loss) for step, loss in on_val),
        constant=constants[-1] if constants else None,
    )


def _note(resolution: float | None, over: int, window: float, of_paper: int) -> str:
    if resolution is None:
        return "No point was noted."
    each = f"Each point is the mean loss of {resolution:,.0f} iterations"
    if resolution > window:
        return f"{each}, more than {'the paper' if window == of_paper else 'a tenth of the run'}'s window of {window:,.0f}."
    return f"{each}, averaged over {over} for a window of {window:,.0f}{' as in the paper' if window == of_paper else ', a tenth of the run'}."


def _point(step: int, batch_size: int, loss: float) -> LossPoint:
    return LossPoint(iterations=step / batch_size, pictures=step, loss=loss)


def _headline(task: str, trials: Sequence[TrialRecord], predictors: Sequence[Predictor]) -> Headline:
    of_task = [trial for trial in trials if trial.config.task == task]
    judged = {predictor.name: predictor for predictor in predictors}

    def ours(role: Literal["paper", "best of this task"], trial: TrialRecord) -> OurTrial:
        on_test = judged.get(f"trial-{trial.key}")
        val = {name.removeprefix("val/"): value for name, value in trial.metrics.items() if name.startswith("val/")}
        test = None if on_test is None else _numbers(task, on_test.losses | _ranks(on_test))
        return OurTrial(role=role, trial=trial.key, label=trial.label, status=trial.status, val=_numbers(task, val), test=test)

    found = [ours("paper", trial) for trial in of_task if trial.key == f"paper-{task}"]
    if (best := best_by_objective(of_task)) is not None:
        found.append(ours("best of this task", best))
    return Headline(task=task, paper=_printed(task), ours=tuple(found))


def _ranks(predictor: Predictor) -> dict[str, float]:
    found = {"rho_views": predictor.rho_views, "gini_fav": predictor.gini_fav}
    return {name: interval.value for name, interval in found.items() if interval is not None}


def _numbers(task: str, found: Mapping[str, float]) -> NativeNumbers:
    """The native loss beside its constant's; on another target or for a diverged trial there may be none."""
    loss, constant = found.get(NATIVE[task][0]), found.get(NATIVE[task][1])
    d2 = None if loss is None or constant is None or constant <= 0 else metrics.d2(loss, constant)
    rank, rho = found.get(NATIVE[task][2]), found.get("rho_views")
    return NativeNumbers(loss=loss, constant=constant, d2=d2, rank=rank, rho_views=rho, accuracy=found.get("accuracy_fav"))


def _printed(task: str) -> PrintedLoss:
    """The regression's constant is half the variance of the paper's Table 1 (`arithmetic.readings`, B), not the 87,000 that it compares with."""
    if task == "classification":
        numbers = printed.CLASSIFICATION
        errors = {name: 1 - value for name, value in numbers.items()}
        return PrintedLoss(
            loss=numbers["mean"],
            best=numbers["max"],
            constant=numbers["constant"],
            unit="accuracy",
            d2=metrics.d2(errors["mean"], errors["constant"]),
            best_d2=metrics.d2(errors["max"], errors["constant"]),
        )
    if task == "hybrid":
        loss, best, constant, unit = printed.HYBRID["mean"], printed.HYBRID["min"], printed.HYBRID["constant"], "half-MSE of the bin"
    else:
        constant = next(reading.constant for reading in arithmetic.readings() if reading.name == "B")
        loss, best, unit = printed.REGRESSION["train"], printed.REGRESSION["val"], "half-MSE of views; loss on train, best on val"
    return PrintedLoss(loss=loss, best=best, constant=constant, d2=metrics.d2(loss, constant), best_d2=metrics.d2(best, constant), unit=unit)
