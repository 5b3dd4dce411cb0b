"""The verdict as ``report/verdict.json`` keeps it: written from these models and read by them, with a version.

Numbers are rounded to 6 decimals as they enter, so that what is read equals what was written, and the same scores give the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from peoria.config.trial import TrialConfig
from peoria.errors import RecordError, ReportError
from peoria.records.schema import read_json, write_json
from peoria.verdict.answers import Questions
from peoria.verdict.tables import PackedSet, Paper
from peoria.verdict.values import Interval, Model, Number

FORMAT_VERSION: Literal[1] = 1
Target = Literal["views", "favorites"]
Measure = Literal["rho_views", "gini_fav", "rho_given_age", "pair_accuracy", "fav_given_age", "fav_pair_accuracy"]
Kind = Literal["recipe", "shipped", "paper", "learned", "context", "combined", "trivial", "oracle"]


class Pairs(Model):
    """Pairs of pictures of one owner with different counts."""

    num: int = Field(description="pairs")
    num_owners: int = Field(description="owners that have some")


class SplitSummary(Model):
    """Counts of the test split, and the smallest effect that it could have shown."""

    num_pictures: int = Field(description="pictures")
    num_owners: int = Field(description="known owners")
    num_units: int = Field(description="units that are resampled: owners, and each picture of an unknown owner")
    effective_owners: Number = Field(description="owners of one size that the units are worth")
    enough_owners: bool = Field(description="whether intervals were shown to hold for so many; without, nothing is claimed")
    unknown_owner_share: Number = Field(description="share of pictures of unknown owners")
    favorited_share: Number | None = Field(description="share of pictures favourited at all; null where unknown")
    num_dated: int = Field(description="pictures with a date of upload")
    pairs_near_in_time: bool = Field(description="whether pairs are at most pair_days apart")
    standard_error: Number = Field(description="standard error of ρ without skill")
    detectable_rho: Number = Field(description="smallest true ρ that is seen in 4 cases of 5")
    pairs_views: Pairs = Field(description="pairs with different views")
    pairs_favorites: Pairs | None = Field(description="pairs of which one was favourited; null where favourites are not judged")


class Openings(Model):
    """What looking several times at one test split costs."""

    number: int = Field(description="times that it has been opened by now")
    false_claims_at_most: Number = Field(description="chance that any of so many looks claims by luck")


class Predictor(Model):
    """One predictor on the test split; a measure that it or the data do not have is null."""

    name: str = Field(description="unique in the verdict")
    label: str = Field(description="as people read it")
    kind: Kind = Field(description="recipe: a trial's settings trained again with fresh seeds; oracle: a perfect reader of planted pictures")
    losses: dict[str, Number] = Field(description="native losses, each in its task's unit; of a constant by LOSS (CONSTANT)")
    num_seeds: int = Field(description="scores that are averaged; 0: ranks nothing")
    rho_views: Interval | None = Field(default=None, description="Spearman's ρ of score and views")
    rho_given_age: Interval | None = Field(default=None, description="rank correlation with views, age held fixed")
    pair_accuracy: Interval | None = Field(default=None, description="share of pairs of one owner in the right order of views, chance ½")
    gini_fav: Interval | None = Field(default=None, description="2·AUC − 1 for favourited at all")
    fav_given_age: Interval | None = Field(default=None, description="rank correlation with favourited at all, age held fixed")
    fav_pair_accuracy: Interval | None = Field(default=None, description="share of pairs of one owner in the right order of favourited, chance ½")

    def measure(self, name: Measure) -> Interval | None:
        found: Interval | None = getattr(self, name)
        return found


class AboveChance(Model):
    """Whether a lower bound is above chance; null where there is no such estimate."""

    pooled: bool = Field(description="all test pictures")
    given_age: bool | None = Field(default=None, description="age held fixed")
    within_owner: bool | None = Field(default=None, description="pairs of one owner")


class Detectable(Model):
    """The smallest true effects that this test split shows in 4 cases of 5; null where there is no such estimate."""

    pooled: Number = Field(description="ρ or Gini, all test pictures")
    given_age: Number | None = Field(default=None, description="ρ, age held fixed")
    within_owner: Number | None = Field(default=None, description="share of pairs beyond ½")
    deep: Number | None = Field(default=None, description="difference to the cheap image model")
    context: Number | None = Field(default=None, description="gain on top of context")


class Difference(Model):
    """What the judged predictor has more than another, on the same resamples."""

    name: str = Field(description="the other predictor")
    label: str = Field(description="its label")
    kind: Kind = Field(description="its kind")
    difference: Interval = Field(description="ρ or Gini of the judged one less that of the other")
    p: Number = Field(description="two-sided bootstrap p-value of no difference")


class ContextGain(Model):
    """Context without and with the image."""

    label: str = Field(description="label of the context")
    without_image: Interval = Field(description="ρ or Gini of the context alone")
    with_image: Interval = Field(description="ρ or Gini of both, combined on val")
    difference: Interval = Field(description="with less without")


class SingleTrial(Model):
    """A single trained network against chance."""

    name: str = Field(description="the predictor")
    label: str = Field(description="its label")
    p: Number = Field(description="two-sided bootstrap p-value of no skill")
    p_holm: Number = Field(description="corrected for how many are listed (Holm 1979)")


class Line(Model):
    """One of the three lines of a target."""

    key: Literal["image", "deep", "context"] = Field(description="image against chance, deep against cheap image, image on top of context")
    title: str = Field(description="as people read it")
    claim: bool | None = Field(description="what a lower bound holds; null where these data cannot tell")
    text: str = Field(description="the line in words, by rule from the numbers")


class TargetVerdict(Model):
    """The yes and no of one target, each from a lower bound."""

    predictor: str = Field(description="name of the judged predictor: the winner's recipe, or the winner itself where no seed was trained")
    num_seeds: int = Field(description="seeds of the recipe")
    pooled: Interval = Field(description="ρ of views or Gini of favourites, all test pictures")
    given_age: Interval | None = Field(default=None, description="ρ, age held fixed; null of too few dates")
    within_owner: Interval | None = Field(
        default=None, description="share of pairs of one owner in the right order, chance ½; null of too few owners"
    )
    enough_owners: bool = Field(description="as of the test split")
    above_chance: AboveChance = Field(description="of the three estimates")
    in_the_picture: bool = Field(description="skill given age and within owner")
    above_chance_after_openings: bool = Field(description="pooled skill, corrected for how often the test split was opened")
    deep: Difference | None = Field(description="against the cheap image model that did best on val; null without one")
    context: ContextGain | None = Field(description="null where no context is known")
    differences: tuple[Difference, ...] = Field(description="to every other predictor")
    beats_all_baselines: bool | None = Field(description="whether every lower bound of a difference to a baseline is above 0; null without one")
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


class Judgement(Model):
    """What the test split says: numbers with intervals, and the sentences that they allow."""

    level: Number = Field(description="of all intervals")
    num_resamples: int = Field(description="of owners")
    seed: int = Field(description="of the resamples")
    min_owners: int = Field(description="units below which nothing is claimed")
    pair_days: Number = Field(description="days that pairs of one owner are apart at most, where dates are known")
    test: SplitSummary = Field(description="the test split")
    openings: Openings = Field(description="how often it was opened")
    predictors: tuple[Predictor, ...] = Field(description="judged ones first, then by kind")
    targets: Targets = Field(description="by target")
    headline: str = Field(default="", description="one sentence, of views")
    notes: tuple[str, ...] = Field(default=(), description="what limits the verdict")

    def predictor(self, name: str) -> Predictor | None:
        return next((found for found in self.predictors if found.name == name), None)


class ChosenTrial(Model):
    """A finished searched trial that is highest by one measure on val; its numbers are as the trial's folder has them."""

    key: str = Field(description="of the trial")
    label: str = Field(description="as people read it")
    measure: str = Field(description="name of the val metric that chose it, by its last value")
    value: float = Field(description="its last value of that metric")
    config: TrialConfig = Field(description="its settings")
    val: dict[str, float] = Field(description="all its last val metrics")


class Chosen(Model):
    """The trials that val chose."""

    views: ChosenTrial = Field(description="winner for views")
    favorites: ChosenTrial | None = Field(description="winner for favourites; null where they are not judged")
    objective: ChosenTrial | None = Field(description="best by objective; null without a finite one")


class Verdict(Judgement):
    """A whole ``verdict.json``."""

    format_version: Literal[1] = Field(default=FORMAT_VERSION, description="of this file")
    sweep: str = Field(description="name of the sweep")
    identity: str = Field(description="sha256 of the data that the sweep ran on")
    control: str | None = Field(description="shuffle or plant-KIND-STRENGTH; null of true counts")
    where: str | None = Field(description="filter of the pictures; null: all")
    num_trials: int = Field(description="searched trials")
    winners: Chosen = Field(description="the trials that val chose")
    questions: Questions = Field(description="further questions")
    paper: Paper | None = Field(description="the paper made again; null of a control")
    data: PackedSet | None = Field(description="the packed set; null where it was not described")

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
