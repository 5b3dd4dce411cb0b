"""The further questions of a verdict as ``verdict.json`` keeps them; a question that these data or this sweep cannot answer is null."""

from typing import Literal

from pydantic import Field

from peoria.verdict.values import Interval, Model, Number

STATEMENT = "the answer in one sentence"


class Selection(Model):
    """The winner's curse: what the winner for views showed on val beside what it shows on test."""

    val: Number = Field(description="ρ of views on val, by which it was chosen")
    test: Number = Field(description="ρ of views on test, the same weights")
    seeds: tuple[Number, ...] = Field(description="ρ of views on test of its settings with each fresh seed")
    num_trials: int = Field(description="searched trials")
    luck: Number = Field(description="ρ that the best of so many trials without skill shows on this val split, on average")
    curve: tuple[Number, ...] = Field(description="expected best val ρ of n of the trials, n = 1 first (Tang et al. 2020)")


class LearningCurvePoint(Model):
    """The same settings trained on a share of train's owners."""

    fraction: Number = Field(description="share of the owners")
    num_owners: int = Field(description="owners of train")
    num_pictures: int = Field(description="pictures of train")
    num_trainings: int = Field(description="trainings with different seeds, of which ρ is the mean")
    rho: Interval = Field(description="ρ of views on test; holds the luck of training where there are several trainings")


class PowerLaw(Model):
    """ρ(n) = a − b·n^(−c), n in pictures of train."""

    a: Number = Field(description="ρ of endless data")
    b: Number = Field(description="ρ lost at n = 1")
    c: Number = Field(description="exponent")
    sse: Number = Field(description="sum of squared errors of ρ")
    curve: tuple[tuple[Number, Number], ...] = Field(description="(pictures of train, ρ)")


class Extrapolation(Model):
    """What the power law promises of more pictures."""

    times: int = Field(description="times the pictures of train")
    num_pictures: int = Field(description="pictures of train")
    rho: Interval = Field(description="ρ of views on test")


class LearningCurve(Model):
    """ρ against the size of train, over nested parts of its owners."""

    points: tuple[LearningCurvePoint, ...] = Field(description="the smallest part first")
    last_doubling: Interval | None = Field(description="ρ of all owners less ρ of half of them; null without these two")
    answer: Literal["rising", "falling", "negligible", "undecided", "too few owners", "too few trainings"] | None = Field(
        description="rising or falling: last_doubling is above or below 0 for sure; negligible: it is below 0.02 for sure; null without last_doubling"
    )
    detectable: Number | None = Field(description="smallest last_doubling that is seen in 4 cases of 5; null without it")
    fit: PowerLaw | None = Field(description="null with fewer than 3 points")
    further: tuple[Extrapolation, ...] = Field(description="empty with fewer than 3 points")
    statement: str = Field(description=STATEMENT)


class HeldOut(Model):
    """Pictures that were not trained on."""

    num_pictures: int = Field(description="pictures")
    num_owners: int = Field(description="owners that are resampled")
    rho: Interval = Field(description="ρ of views")


class Leak(Model):
    """What a split that ignores owners flatters by."""

    random: HeldOut = Field(description="held-out pictures of train's owners")
    owner: HeldOut = Field(description="pictures of owners never seen")
    difference: Interval = Field(description="ρ of random less ρ of owner; not paired")
    leaks: bool = Field(description="whether the lower bound of the difference is above 0, of enough owners")
    detectable: Number = Field(description="smallest difference that is seen in 4 cases of 5")
    statement: str = Field(description=STATEMENT)


class TimeSplit(Model):
    """Test pictures from a cutoff date on, by models of the past and by models of as many pictures of any time."""

    cutoff: str = Field(description="date, YYYY-MM-DD")
    num_pictures: int = Field(description="test pictures from the cutoff on")
    num_owners: int = Field(description="owners that are resampled")
    num_trainings: int = Field(description="trainings a side, with different seeds, of which ρ is the mean")
    past: Interval = Field(description="ρ of views, trained on pictures from before the cutoff")
    control: Interval = Field(description="ρ of views, trained on as many pictures of any time, of owners taken by chance")
    all: Interval = Field(description="ρ of views, trained on all of train")
    difference: Interval = Field(description="past less control")
    answer: Literal["worse", "negligible", "undecided", "too few owners", "too few trainings"] = Field(
        description="worse: the difference is below 0 for sure; negligible: it is above −0.02 for sure"
    )
    detectable: Number = Field(description="smallest difference that is seen in 4 cases of 5")
    statement: str = Field(description=STATEMENT)


class Places(Model):
    """Quantiles of places among the test pictures, as the share of them that scores lower."""

    q05: Number = Field(description="5 % quantile")
    q50: Number = Field(description="median")
    q95: Number = Field(description="95 % quantile")


class Noise(Model):
    """Where pictures of white noise rank among the test pictures."""

    num: int = Field(description="pictures of white noise")
    places: Places = Field(description="of the noise pictures")
    statement: str = Field(description=STATEMENT)


class Copies(Model):
    """Pairs of nearly the same picture, and how far a score of what they share could get."""

    num_pairs: int = Field(description="pairs")
    num_units: int = Field(description="groups of owners that are resampled")
    rho: Interval | None = Field(description="ρ of views between the two of a pair; null of too few pairs")
    ceiling: Interval | None = Field(description="highest ρ with views of a score of what the two share; null of too few pairs")
    statement: str = Field(description=STATEMENT)


class Content(Model):
    """How far a score of the content could get, by near-duplicates of the whole packed set."""

    other_owner: Copies = Field(description="copies by different owners share their content")
    same_owner: Copies = Field(description="copies by one owner share their content and their owner")


class CountNoise(Model):
    """The highest ρ that Poisson counting alone leaves to a score that knows every picture's true rate; counts that vary more leave less."""

    half: Number = Field(description="ρ between random halves of the counts")
    reliability: Interval | None = Field(description="ρ between two readings of the counts; null where that cannot be told")
    ceiling: Interval | None = Field(description="highest ρ; null where that cannot be told")
    num_pictures: int = Field(description="test pictures")
    num_thinnings: int = Field(description="random halvings that were averaged")
    num_owners: int = Field(description="owners that are resampled; where most counts are 0 those who have another")
    zero_share: Number = Field(description="share of counts that are 0")
    upper_bound_only: bool = Field(description="a tenth of the counts or more are 0, so that of Poisson counts too the truth may lie lower")
    statement: str = Field(description=STATEMENT)


class CountNoises(Model):
    """Counting noise of each target; null where the counts rank nothing."""

    views: CountNoise | None = Field(default=None, description="of views")
    favorites: CountNoise | None = Field(default=None, description="of favourites")


class Quantiles(Model):
    """Quantiles of the views of some pictures."""

    q05: Interval = Field(description="views, 5 % quantile")
    q25: Interval = Field(description="views, 25 % quantile")
    q50: Interval = Field(description="views, median")
    q75: Interval = Field(description="views, 75 % quantile")
    q95: Interval = Field(description="views, 95 % quantile")


class QuantileDecile(Model):
    """A tenth of the test pictures by score."""

    decile: int = Field(description="1, the lowest score, to 10")
    num_pictures: int = Field(description="test pictures")
    quantiles: Quantiles = Field(description="of their views")


class Slopes(Model):
    """Slopes of log(1 + quantile) over the tenths, from the lowest score to the highest."""

    q05: Interval = Field(description="of the 5 % quantile")
    q50: Interval = Field(description="of the median")
    q95: Interval = Field(description="of the 95 % quantile")


class Factors(Model):
    """(1 + quantile) of the highest tenth over that of the lowest."""

    q05: Interval = Field(description="of the 5 % quantile")
    q95: Interval = Field(description="of the 95 % quantile")


class UpperEnd(Model):
    """Whether the score tells how far a picture may get (a potential), more than how far it gets."""

    deciles: tuple[QuantileDecile, ...] = Field(description="the lowest score first")
    slopes: Slopes = Field(description="per whole range of the score")
    slope_difference: Interval = Field(description="slope of the 95 % quantile less that of the 5 % quantile")
    top_to_bottom: Factors = Field(description="factors between the highest tenth and the lowest")
    shape: Literal["upper_end", "whole", "lower_end", "none", "unknown"] = Field(description="upper_end: a potential")
    statement: str = Field(description=STATEMENT)


class Month(Model):
    """Test pictures that were uploaded in one month."""

    month: str = Field(description="YYYY-MM")
    num_pictures: int = Field(description="test pictures")
    num_owners: int = Field(description="owners that are resampled")
    rho: Interval = Field(description="ρ of views among them")


class WithinMonths(Model):
    """ρ of views within months of upload, where age cannot help."""

    rho: Interval = Field(description="mean over months, weighted by pictures")
    num_months: int = Field(description="months with enough pictures")
    num_pictures: int = Field(description="test pictures in them")
    num_left_out: int = Field(description="test pictures undated, or in a month with few")
    months: tuple[Month, ...] = Field(description="in order of time")


class CalibrationDecile(Model):
    """A tenth of the test pictures by score."""

    decile: int = Field(description="1, the lowest score, to 10")
    num_pictures: int = Field(description="test pictures")
    score: Number = Field(description="mean score, in the task's unit")
    truth: Interval = Field(description="mean place by views, 0 the least viewed to 1 the most")


class Calibration(Model):
    """Whether a higher score means more views, on average."""

    deciles: tuple[CalibrationDecile, ...] = Field(description="the lowest score first")
    mean: Number = Field(description="mean place by views of all test pictures")
    slope: Interval | None = Field(description="slope of truth on score, where both have one scale")


class Questions(Model):
    """Further questions of the winner for views, on the same opening of the test split."""

    selection: Selection | None = Field(default=None, description="the winner's curse")
    learning_curve: LearningCurve | None = Field(default=None, description="would more pictures help?")
    leak: Leak | None = Field(default=None, description="what would a split that ignores owners flatter by?")
    time: TimeSplit | None = Field(default=None, description="does a model of the past hold later?")
    noise: Noise | None = Field(default=None, description="where does white noise rank?")
    content: Content | None = Field(default=None, description="how far could a score of the content get?")
    count_noise: CountNoises = Field(default=CountNoises(), description="how far could any score get?")
    upper_end: UpperEnd | None = Field(default=None, description="does it tell a potential, or an outcome?")
    within_months: WithinMonths | None = Field(default=None, description="ρ among pictures uploaded in one month")
    calibration: Calibration | None = Field(default=None, description="does a higher score mean more views?")
