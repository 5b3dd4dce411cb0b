"""The paper's tables and figures made again, and what is in the packed set, as ``verdict.json`` keeps them."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from peoria.verdict.values import Model, Number


class CountSummary(Model):
    """One count over some pictures: a row of the paper's Table 1."""

    mean: Number = Field(description="mean count")
    sd: Number | None = Field(description="sample standard deviation (n − 1); null of one picture")
    max: int = Field(description="largest count")
    share_zero: Number = Field(description="share of pictures with none")


class CutSummary(CountSummary):
    """One count before or after the paper's outlier filter."""

    sd_population: Number = Field(description="population standard deviation (n), by which the paper cuts")


class PrintedCount(Model):
    """One count as the paper prints it."""

    mean: Number = Field(description="mean count")
    sd: Number = Field(description="standard deviation")
    max: int = Field(description="largest count")


class Table1Row(Model):
    """One count of Table 1."""

    count: str = Field(description="views, favorites or comments")
    paper: PrintedCount = Field(description="as printed")
    limit: Number = Field(description="largest count that stays")
    before: CutSummary = Field(description="all pictures")
    after: CutSummary = Field(description="pictures that the outlier filter keeps")


class Table1(Model):
    """Popularity, before and after the paper's outlier filter."""

    outlier_sd: Number = Field(description="population standard deviations above the mean")
    num_before: int = Field(description="pictures")
    num_after: int = Field(description="pictures that stay")
    rows: tuple[Table1Row, ...] = Field(description="one a count")


class Table2Row(Model):
    """How two counts go together; null where one does not vary."""

    first: str = Field(description="a count")
    second: str = Field(description="another")
    paper: Number = Field(description="correlation as printed")
    pearson_before: Number | None = Field(description="Pearson's r, all pictures")
    pearson_after: Number | None = Field(description="Pearson's r, pictures that stay")
    spearman_before: Number | None = Field(description="Spearman's ρ, all pictures")
    spearman_after: Number | None = Field(description="Spearman's ρ, pictures that stay")


class Table2(Model):
    """Correlations of the counts."""

    rows: tuple[Table2Row, ...] = Field(description="one a pair of counts")


class PictureCounts(Model):
    """A picture of train by its counts."""

    key: str = Field(description="key in the packed set")
    id: str = Field(description="id in the table")
    views: int = Field(description="views")
    favorites: int | None = Field(description="favourites; null where unknown")
    comments: int | None = Field(description="comments; null where unknown")


class PrintedPictures(Model):
    """Views of the two pictures that the paper shows."""

    average: int = Field(description="views of the average one")
    most_viewed: int = Field(description="views of the most viewed one")


class Figure1(Model):
    """An average and a popular picture of train."""

    average: PictureCounts = Field(description="whose views are nearest to the mean")
    most_viewed: PictureCounts = Field(description="with the most views")
    mean_views: Number = Field(description="mean views of train")
    paper: PrintedPictures = Field(description="as printed")


class TailPoint(Model):
    """Share of pictures with at least so many views."""

    views: int = Field(description="views")
    share: Number = Field(description="share of all pictures")


class LawPoint(Model):
    """Share of pictures with at least so many views, by both laws."""

    views: int = Field(description="views")
    power_law: Number = Field(description="share of all pictures by the power law")
    lognormal: Number = Field(description="share of all pictures by the lognormal")


class TailFit(Model):
    """A power law and a lognormal for the counts from ``xmin`` on, compared by Vuong's test."""

    num_counts: int = Field(description="pictures")
    xmin: int = Field(description="views from which on both laws are fitted")
    xmin_chosen: bool = Field(description="by the smallest KS distance of the power law")
    num: int = Field(description="pictures of at least xmin views")
    exponent: Number = Field(description="α of the power law, p(x) ∝ x^−α")
    ks: Number = Field(description="Kolmogorov and Smirnov's distance of the power law")
    mu: Number = Field(description="mean of log(views) of the lognormal")
    sigma: Number = Field(description="standard deviation of log(views) of the lognormal")
    mu_at_bound: bool = Field(description="the fit would have a median below one view")
    ratio: Number = Field(description="log-likelihood of the lognormal less that of the power law")
    z: Number = Field(description="Vuong's statistic, above 0 where the lognormal fits better")
    p: Number = Field(description="two-sided p-value")
    better: Literal["lognormal", "power law"] | None = Field(description="null: they cannot be told apart")
    sentence: str = Field(description="which law fits better")
    curve: tuple[LawPoint, ...] = Field(description="both laws, from xmin on")


class Figure2(Model):
    """The distribution of views, and whether its tail is a power law."""

    num: int = Field(description="pictures")
    shown_views: int = Field(description="views up to which the histogram goes")
    num_beyond: int = Field(description="pictures with more")
    edges: tuple[Number, ...] = Field(description="views, one more than heights; the last bin's right edge is inside")
    heights: tuple[int, ...] = Field(description="pictures in each bin")
    ccdf: tuple[TailPoint, ...] = Field(description="views ascending")
    fits: tuple[TailFit, ...] = Field(description="from one view on, and from the xmin where a power law fits best; empty of too few counts")
    why_no_fit: str | None = Field(description="null where laws were fitted")


class LossPoint(Model):
    """A loss at one time of a training."""

    iterations: Number = Field(description="pictures seen / batch size")
    pictures: int = Field(description="pictures seen, repeats counted")
    loss: Number = Field(description="in the task's unit")


class LossWindow(Model):
    """The training loss of a trial with the paper's settings."""

    trial: str = Field(description="key of the trial")
    label: str = Field(description="name of the trial")
    status: str = Field(description="how it ended")
    window_of_paper: int = Field(description="iterations that the paper averages over")
    window: Number = Field(description="iterations that are averaged over here; of a short run a tenth of it")
    batch_size: int = Field(description="pictures")
    iterations_a_point: Number | None = Field(description="iterations between two points; null without a point")
    coarser_than_window: bool = Field(description="whether one point is more than the window")
    smoothed_over: int = Field(description="points that are averaged")
    note: str = Field(description="what a point is, in one sentence")
    points: tuple[LossPoint, ...] = Field(description="training loss")
    val: tuple[LossPoint, ...] = Field(description="loss on val")
    constant: Number | None = Field(description="loss of the task's constant on val")


class PrintedLoss(Model):
    """Headline numbers of one task as the paper prints them."""

    loss: Number = Field(description="in the paper's unit")
    best: Number = Field(description="its best, in the same unit")
    constant: Number = Field(description="of the constant, in the same unit")
    d2: Number = Field(description="share of the constant's loss that is removed")
    best_d2: Number = Field(description="likewise of the best")
    unit: str = Field(description="of the losses, in words")


class NativeNumbers(Model):
    """One network on one split; null where it has no such number."""

    loss: Number | None = Field(description="in the task's unit")
    constant: Number | None = Field(description="loss of the task's constant")
    d2: Number | None = Field(description="share of the constant's loss that is removed")
    rank: Number | None = Field(description="ρ of views; of the classification the Gini of favourites")
    rho_views: Number | None = Field(description="ρ of views")
    accuracy: Number | None = Field(description="share of right answers of the classification")


class OurTrial(Model):
    """A trial of this sweep beside the paper's numbers."""

    role: Literal["paper", "best of this task"] = Field(description="the paper's settings, or the highest last objective among the task's trials")
    trial: str = Field(description="key of the trial")
    label: str = Field(description="name of the trial")
    status: str = Field(description="how it ended")
    val: NativeNumbers = Field(description="on val")
    test: NativeNumbers | None = Field(description="on test; null where it was not judged")


class Headline(Model):
    """The paper's numbers of one task beside ours."""

    task: str = Field(description="name of the task")
    paper: PrintedLoss = Field(description="as printed")
    ours: tuple[OurTrial, ...] = Field(description="empty where the task was not trained")


class NumPictures(Model):
    """Pictures that the tables and Figure 2 are of."""

    train: int = Field(description="pictures of train")
    val: int = Field(description="pictures of val")


class Paper(Model):
    """The paper's tables and figures made again from train and val."""

    pictures: NumPictures = Field(description="before any cut")
    table_1: Table1 = Field(description="popularity")
    table_2: Table2 = Field(description="how the counts go together")
    figure_1: Figure1 = Field(description="an average and a popular picture")
    figure_2: Figure2 = Field(description="the distribution of views")
    figure_3: LossWindow | None = Field(description="training loss of the classification; null where it was not trained")
    figure_4: LossWindow | None = Field(description="training loss of the hybrid; null where it was not trained")
    headline: tuple[Headline, ...] = Field(description="one a task")


class PartCounts(Model):
    """Each count of some pictures, of those where it is known; null where the table did not have it."""

    views: CountSummary = Field(description="views")
    favorites: CountSummary | None = Field(default=None, description="favourites")
    comments: CountSummary | None = Field(default=None, description="comments")


class PackedPart(Model):
    """A split of the packed set, or the whole."""

    num_pictures: int = Field(description="pictures")
    share: Number = Field(description="share of all pictures")
    num_owners: int = Field(description="known owners")
    num_unknown_owners: int = Field(description="pictures of unknown owners")
    largest_owner_share: Number | None = Field(description="share of the owner with the most pictures; null where owners are unknown")
    counts: PartCounts = Field(description="summaries of the counts")
    correlations: dict[str, Number | None] = Field(description="Pearson's r by pair of counts, as in 'views favorites'; null where one does not vary")
    unknown: dict[str, int] = Field(default_factory=dict, description="pictures without an optional count or time, where there are some")


class PackedParts(Model):
    """The whole and each split that has pictures."""

    total: PackedPart = Field(description="the whole")
    train: PackedPart | None = Field(default=None, description="train")
    val: PackedPart | None = Field(default=None, description="val")
    test: PackedPart | None = Field(default=None, description="test")

    @property
    def known(self) -> Iterator[tuple[str, PackedPart]]:
        """Those there are, the whole first."""
        return ((name, part) for name, part in self if part is not None)


class NearDuplicates(Model):
    """Pairs of nearly the same picture in the packed set, rejected pictures too."""

    other_owner: int = Field(description="pairs by different owners")
    same_owner: int = Field(description="pairs by one owner")


class PackedSet(Model):
    """What is in the packed set, whole, and what was left out and why (`shards.inspection.describe`)."""

    table: str = Field(description="file name of the table")
    identity: str = Field(description="sha256 of the set")
    num_rows: int = Field(description="rows of the table")
    num_kept: int = Field(description="pictures packed")
    num_rejected: int = Field(description="rows left out")
    rejected: dict[str, int] = Field(description="rows left out by reason")
    unreadable_counts: dict[str, int] = Field(default_factory=dict, description="rows left out for a count that was missing or unreadable, by it")
    unreadable: dict[str, tuple[int, str]] = Field(
        default_factory=dict, description="kept pictures with an optional value that could not be read, by its name, with an example"
    )
    num_shards: int = Field(description="shards")
    num_bytes: int = Field(description="bytes of the shards")
    uploaded_at: tuple[str, str] | None = Field(description="first and last date of upload, YYYY-MM-DD; null where unknown")
    observed_at: tuple[str, str] | None = Field(description="first and last date at which counts were read; null where unknown")
    near_duplicates: NearDuplicates | None = Field(description="null in a set that did not keep them")
    warnings: tuple[str, ...] = Field(default=(), description="what stands in the way of a study, as it was known at packing")
    parts: PackedParts = Field(description="the whole and each split")
