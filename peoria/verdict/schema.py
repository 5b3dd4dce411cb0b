"""The verdict as ``report/verdict.json`` keeps it: written from these models and read by them, with a version.

Numbers are rounded to 6 decimals as they enter, so that what is read equals what was written, and the same scores give the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from peoria.config.trial import TrialConfig
from peoria.errors import RecordError, ReportError
from peoria.records.json_file import read_json, write_json
from peoria.verdict.answers import Questions
from peoria.verdict.left_out import LeftOut
from peoria.verdict.tables import PackedSet, Paper
from peoria.verdict.values import Interval, Model, Number

FORMAT_VERSION: Literal[2] = 2
Target = Literal["views", "favorites"]
Measure = Literal[
    "rho_views", "gini_fav",
    "rho_given_context", "fav_given_context",
    "pair_accuracy", "fav_pair_accuracy",
    "pair_share", "fav_pair_share",
    "rho_neighbours", "fav_neighbours",
]  # fmt: skip
Answer = Literal["shown", "smaller", "undecided"]
Cause = Literal["context", "owner", "change"]
Kind = Literal["recipe", "shipped", "paper", "learned", "context", "combined", "trivial", "oracle"]


class Pairs(Model):
    """Pairs of pictures of one owner with different counts."""

    num: int = Field(description="pairs")
    num_owners: int = Field(description="owners that have some")


class Units(Model):
    """The units of some of the test pictures."""

    num_units: int = Field(description="owners, and each picture of an unknown owner")
    effective_owners: Number = Field(description="owners of one size that the units are worth")


class SplitSummary(Model):
    """Counts of the test split, and the smallest effect that it could have shown."""

    num_pictures: int = Field(description="pictures")
    num_owners: int = Field(description="known owners")
    num_units: int = Field(description="units that are resampled: owners, and each picture of an unknown owner")
    effective_owners: Number = Field(description="owners of one size that the units are worth")
    enough_owners: bool = Field(description="whether intervals were shown to hold for so many; without, nothing is claimed")
    unknown_owner_share: Number = Field(description="share of pictures of unknown owners")
    favorited_share: Number | None = Field(description="share of pictures favourited at all, of those where it is known; null where it is of none")
    favorites_known: Units | None = Field(
        default=None, description="units of pictures whose favourites are known; null where they are of all or none"
    )
    num_dated: int = Field(description="pictures with a date of upload")
    context: tuple[str, ...] = Field(description="what is known beside the picture and held fixed")
    pairs_near_in_time: bool = Field(description="whether pairs are at most pair_days apart")
    standard_error: Number = Field(description="standard error of ρ without skill")
    detectable_rho: Number = Field(description="smallest true ρ that is seen in 4 cases of 5")
    pairs_views: Pairs = Field(description="pairs with different views")
    pairs_favorites: Pairs | None = Field(description="pairs of which one was favourited; null where favourites are not judged")


class Openings(Model):
    """Which part of the test split was opened, and what luck may claim on it."""

    number: int = Field(description="of this opening among all of the packed set, controls included")
    false_claims_at_most: Number = Field(
        description="chance of a claim by luck; of vaults at this opening, whatever earlier ones showed; without vaults among so many looks"
    )
    first_vault: int | None = Field(default=None, description="of test, that was opened; null in a report of before there were vaults")
    last_vault: int | None = Field(default=None, description="likewise")
    num_vaults: int | None = Field(default=None, description="that test was cut into")
    owner_share: Number = Field(default=1.0, description="share of test's owners in the vaults that were opened")
    owners_sealed: int = Field(default=0, description="owners in vaults that no opening has shown by then")


class Predictor(Model):
    """One predictor on the test split; a measure that it or the data do not have is null."""

    name: str = Field(description="unique in the verdict")
    label: str = Field(description="as people read it")
    kind: Kind = Field(description="recipe: a trial's settings trained again with fresh seeds; oracle: a perfect reader of planted pictures")
    losses: dict[str, Number] = Field(description="native losses, each in its task's unit; of a constant by LOSS (CONSTANT)")
    num_seeds: int = Field(description="scores that are averaged; 0: ranks nothing")
    rho_views: Interval | None = Field(default=None, description="Spearman's ρ of score and views")
    rho_given_context: Interval | None = Field(default=None, description="correlation with views, all known context held fixed")
    pair_accuracy: Interval | None = Field(
        default=None, description="pairs of one owner in the right order of views beyond what context tells; chance ½"
    )
    pair_share: Interval | None = Field(default=None, description="plain share of pairs of one owner in the right order of views, chance ½")
    rho_neighbours: Interval | None = Field(
        default=None, description="correlation with views of what sets a picture apart from its neighbours in time"
    )
    gini_fav: Interval | None = Field(default=None, description="2·AUC − 1 for favourited at all")
    fav_given_context: Interval | None = Field(default=None, description="correlation with favourited at all, all known context held fixed")
    fav_pair_accuracy: Interval | None = Field(default=None, description="as pair_accuracy, of favourited at all")
    fav_pair_share: Interval | None = Field(default=None, description="as pair_share, of favourited at all")
    fav_neighbours: Interval | None = Field(default=None, description="as rho_neighbours, of favourited at all")

    def measure(self, name: Measure) -> Interval | None:
        found: Interval | None = getattr(self, name)
        return found


class AboveChance(Model):
    """Whether a lower bound is above chance; null where there is no such estimate."""

    pooled: bool = Field(description="all test pictures")
    given_context: bool | None = Field(default=None, description="all known context held fixed")
    within_owner: bool | None = Field(default=None, description="pairs of one owner, less what context tells")
    neighbours: bool | None = Field(default=None, description="more than its neighbours in time, by ranks and on the score's own scale")


class Detectable(Model):
    """The smallest true effects that this test split shows in 4 cases of 5; null where there is no such estimate."""

    pooled: Number = Field(description="ρ or Gini, all test pictures")
    given_context: Number | None = Field(default=None, description="correlation, context held fixed")
    within_owner: Number | None = Field(default=None, description="share of pairs beyond ½")
    neighbours: Number | None = Field(default=None, description="correlation, against neighbours in time")
    deep: Number | None = Field(default=None, description="difference to the cheap image model")
    context: Number | None = Field(default=None, description="gain on top of context")


class Difference(Model):
    """What the judged predictor has more than another, on the same resamples."""

    name: str = Field(description="the other predictor")
    label: str = Field(description="its label")
    kind: Kind = Field(description="its kind")
    difference: Interval = Field(description="ρ or Gini of the judged one less that of the other")
    given_context: Interval | None = Field(default=None, description="likewise, context held fixed")
    within_owner: Interval | None = Field(default=None, description="likewise, of pairs of one owner")
    neighbours: Interval | None = Field(default=None, description="likewise, against neighbours in time")
    more: bool = Field(description="whether every one of the lower bounds is above 0")
    p: Number = Field(description="two-sided bootstrap p-value of no difference")
    p_is_floor: bool = Field(default=False, description="whether p is the least that the resamples can show")


class ContextGain(Model):
    """Context without and with the image."""

    label: str = Field(description="label of the context")
    without_image: Interval = Field(description="ρ or Gini of the context alone")
    with_image: Interval = Field(description="ρ or Gini of both, combined on val")
    difference: Interval = Field(description="with less without")


class Wider(Model):
    """A check of the intervals: pictures of one day, or with one tag, may be alike across owners."""

    group: Literal["day", "tag"] = Field(description="what pictures share")
    interval: Interval = Field(description="against neighbours in time, by owners and groups")
    holds: bool = Field(description="whether it is still above 0")


class SingleTrial(Model):
    """A single trained network against chance."""

    name: str = Field(description="the predictor")
    label: str = Field(description="its label")
    p: Number = Field(description="two-sided bootstrap p-value of no skill")
    p_holm: Number = Field(description="corrected for how many are listed (Holm 1979)")
    p_is_floor: bool = Field(default=False, description="whether p is the least that the resamples can show")


class Line(Model):
    """One of the three lines of a target."""

    key: Literal["image", "deep", "context"] = Field(description="image against chance, deep against cheap image, image on top of context")
    title: str = Field(description="as people read it")
    answer: Answer = Field(description="shown; shown to be smaller than small_effect; or not decided")
    text: str = Field(description="the line in words, by rule from the numbers")


class TargetVerdict(Model):
    """The yes and no of one target, each from bounds. No line is shown that another puts down to something else than the picture."""

    predictor: str = Field(description="name of the judged predictor: the winner's recipe, or the winner itself where no seed was trained")
    num_seeds: int = Field(description="seeds of the recipe")
    num_diverged: int = Field(description="of which so many diverged; they count as ranking nothing")
    pooled: Interval = Field(description="ρ of views or Gini of favourites, all test pictures")
    given_context: Interval | None = Field(default=None, description="correlation, all known context held fixed; null where none is known")
    within_owner: Interval | None = Field(
        default=None, description="pairs of one owner in the right order beyond what context tells, chance ½; null of too few owners"
    )
    pair_share: Interval | None = Field(default=None, description="plain share of pairs of one owner in the right order; null of too few owners")
    neighbours: Interval | None = Field(
        default=None,
        description="correlation of what sets a picture apart from its neighbours in time: of two scales the lower number, bounds of both",
    )
    control: Interval | None = Field(
        default=None, description="negative control: correlation of scores with the views of other pictures uploaded between; null of too few"
    )
    wider: tuple[Wider, ...] = Field(default=(), description="checks of the intervals")
    enough_owners: bool = Field(description="as of the test split, and of owners with pictures of the rarer class")
    enough_seeds: bool = Field(description="of a recipe at least 3; a single network tells of itself alone")
    above_chance: AboveChance = Field(description="of the four estimates")
    in_the_picture: bool = Field(
        description="all four above chance, every check holds, and where the control is above chance `neighbours` is above it"
    )
    confounded: bool = Field(description="whether the negative control is above chance")
    explained_by: Cause | None = Field(
        default=None,
        description="what explains a correlation that is not in the picture: known context, what an owner's pictures share, or what changes",
    )
    robustness: Number | None = Field(
        default=None,
        description="share of score and counts that something hidden would have to explain to bring the lower bound of `neighbours` to 0",
    )
    known_strength: Number | None = Field(default=None, description="such a share of hour, weekday and tags together, as known here")
    above_chance_after_openings: bool = Field(description="pooled skill, corrected for how often the test split was opened")
    deep: Difference | None = Field(description="to the cheap image model that is hardest to be told from; null without one")
    deep_shown: bool = Field(description="in the picture, and more than every cheap image model by every measure")
    context: ContextGain | None = Field(description="null where no context is known")
    context_shown: bool = Field(description="in the picture, and a gain on top of context")
    differences: tuple[Difference, ...] = Field(description="to every other predictor")
    beats_all_baselines: bool | None = Field(description="in the picture, and more than every baseline by every measure; null without one")
    detectable: Detectable = Field(description="smallest effects that could be seen")
    single_trials: tuple[SingleTrial, ...] = Field(description="every single trained network that was tested")
    lines: tuple[Line, ...] = Field(default=(), description="what it comes to: image, deep, context")


class Targets(Model):
    """The verdict of each target."""

    views: TargetVerdict = Field(description="of views")
    favorites: TargetVerdict | None = Field(default=None, description="of favourites; null where they are not judged")

    @property
    def known(self) -> Iterator[tuple[Target, TargetVerdict]]:
        """Those that are judged, views first."""
        yield "views", self.views
        if self.favorites is not None:
            yield "favorites", self.favorites

    def of(self, target: Target) -> TargetVerdict:
        return dict(self.known)[target]


class Judgement(Model):
    """What the test split says: numbers with intervals, and the sentences that they allow."""

    level: Number = Field(description="of all intervals")
    num_resamples: int = Field(description="of owners")
    seed: int = Field(description="of the resamples")
    min_owners: int = Field(description="units below which nothing is claimed")
    small_effect: Number = Field(description="correlation below which an effect is called small")
    pair_days: Number = Field(description="days that pairs of one owner are apart at most, where dates are known")
    test: SplitSummary = Field(description="the test split")
    openings: Openings = Field(description="how often it was opened")
    predictors: tuple[Predictor, ...] = Field(description="judged ones first, then by kind")
    targets: Targets = Field(description="by target")
    left_out: tuple[LeftOut, ...] = Field(default=(), description="test pictures that lack an optional label, one entry a label")
    headline: str = Field(default="", description="one sentence, of views")
    notes: tuple[str, ...] = Field(default=(), description="what limits the verdict")

    def predictor(self, name: str) -> Predictor | None:
        return next((found for found in self.predictors if found.name == name), None)


class ChosenTrial(Model):
    """A finished searched trial that one measure on val chose; its numbers are as the trial's folder has them."""

    key: str = Field(description="of the trial")
    label: str = Field(description="as people read it")
    measure: str = Field(description="name of the val metric that chose it, by its last value")
    value: float = Field(description="its last value of that metric")
    config: TrialConfig = Field(description="its settings")
    val: dict[str, float] = Field(description="all its last val metrics")
    num_candidates: int = Field(
        default=1, description="trials with the highest of these values that fresh seeds chose it among; 1: it is the highest"
    )
    fresh: Number | None = Field(default=None, description="mean of that metric on val over its own fresh seeds that chose it; null where none did")


class Chosen(Model):
    """The trials that val chose."""

    views: ChosenTrial = Field(description="winner for views")
    favorites: ChosenTrial | None = Field(description="winner for favourites; null where they are not judged")
    objective: ChosenTrial | None = Field(description="best by objective; null without a finite one")


class Verdict(Judgement):
    """A whole ``verdict.json``."""

    format_version: Literal[2] = Field(default=FORMAT_VERSION, description="of this file")
    sweep: str = Field(description="name of the sweep")
    identity: str = Field(description="sha256 of the data that the sweep ran on")
    control: str | None = Field(description="shuffle or plant-KIND-STRENGTH; null of true counts")
    where: str | None = Field(description="filter of the pictures; null: all")
    num_trials: int = Field(description="searched trials")
    winners: Chosen = Field(description="the trials that val chose")
    questions: Questions = Field(description="further questions")
    paper: Paper | None = Field(description="the paper made again; null of a control")
    data: PackedSet | None = Field(description="the packed set; null where it was not described")
    scored_on: str = Field(default="cpu", description="what the networks scored test on, in float32: cpu, or the name of a GPU")

    def __repr__(self) -> str:
        from peoria.verdict.sentences import all_said

        first, *more = all_said(self)
        return "\n".join([first, *(f"- {sentence}" for sentence in more)])

    __str__ = __repr__

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> "Verdict":
        """
        Raises:
            ReportError: another version, or no verdict at all.
        """
        hint = f"peoria report {path.parent.parent.name} writes it anew"
        try:
            found = read_json(path)
            version = found.get("format_version", 0) if isinstance(found, dict) else None
            if type(version) is not int or version != FORMAT_VERSION:
                raise ReportError(f"{path}: format_version {str(version)[:20]}; {FORMAT_VERSION} is read here", hint=hint)
            return cls.model_validate(found)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise ReportError(f"{path}: {where}: {error.errors()[0]['msg']}; what `peoria report` wrote is read here", hint=hint) from None
        except RecordError as error:
            raise ReportError(*error.problems, hint=hint) from None
