"""Sentences of the further questions by rule from their numbers: no sentence claims what a lower bound does not hold."""

from peoria.stats.ceiling import MIN_COUNT, MIN_PAIRS, CountNoise, PairCeiling, UpperEnd
from peoria.stats.estimates import MIN_EFFECTIVE, MIN_OWNERS
from peoria.stats.learning_curve import Leak, LearningCurve, TimeSplit
from peoria.stats.noise import NoisePlaces
from peoria.stats.trainings import MIN_SEEDS, NEGLIGIBLE
from peoria.verdict.answers import Calibration, WithinMonths
from peoria.verdict.words import estimate, number, other_way

_FEW_OWNERS = f"at least {MIN_OWNERS} owners, worth {MIN_EFFECTIVE:.0f} of equal size, are needed"


def said_of_count_noise(found: CountNoise, copies: PairCeiling | None = None) -> str:
    """
    Args:
        copies: of one picture by one owner: a second count of nearly the same, which holds what varies beyond Poisson.
    """
    zeros = f"{100 * found.zero_share:.0f} % of the counts are 0"
    if found.ceiling is None and found.num_owners < MIN_OWNERS:
        return f"What counting noise leaves cannot be told: {found.num_owners} owners have a count above 0, where at least {MIN_OWNERS} are needed."
    if found.ceiling is None:
        return f"What counting noise leaves cannot be told: {zeros}, and halves do not correlate."
    said = f"Were counts Poisson, counting them would leave at most ρ = {estimate(found.ceiling)} to a score that knows every picture's true rate"
    real = "real counts vary more and leave less"
    if copies is not None and copies.ceiling is not None:
        real += f": copies of one picture by one owner, {estimate(copies.ceiling)} to a score of content and owner"
    return f"{said}{f' ({zeros})' if found.upper_bound_only else ''}; {real}."


def said_of_copies(found: PairCeiling, one_owner: bool) -> str:
    whose, what = ("the same owner", "their content and owner") if one_owner else ("different owners", "their content")
    if found.rho is None or found.ceiling is None:
        needed = f"at least {MIN_PAIRS} pairs in {MIN_OWNERS} groups of owners are needed"
        return f"Copies of one picture by {whose}: {found.num_pairs:,} pairs in {found.num_units:,} groups; {needed}."
    said = f"counts correlate with ρ = {estimate(found.rho)}, so that a score of {what} could reach {estimate(found.ceiling)} at most"
    return f"Copies of one picture by {whose} ({found.num_pairs:,} pairs): {said}."


def said_of_upper_end(found: UpperEnd, num_owners: int) -> str:
    if num_owners < MIN_OWNERS:
        return f"Too little to judge whether the score tells a potential: {num_owners} owners, where at least {MIN_OWNERS} are needed."
    high, low = (f"× {estimate(factor)}" for factor in (found.top_to_bottom.q95, found.top_to_bottom.q05))
    still = "" if found.slopes.q05.low > 0 else " and the lower end does not measurably rise"
    meaning = {
        "upper_end": f"the upper end rises more than the lower{still}: the score tells a potential more than an outcome",
        "lower_end": "the lower end rises more than the upper: the score tells what a picture gets at least",
        "whole": "both ends rise, and which of them rises more is not decided: no evidence of a potential apart from the outcome",
        "none": "no evidence that the score sets a potential",
        "unknown": f"the lower end lies below a count of {MIN_COUNT} and has no room to fall, so that nothing can be said of a potential",
    }
    return f"From the lowest to the highest tenth of the score the 95 % quantile goes {high}, the 5 % quantile {low}: {meaning[found.shape]}."


def said_of_learning_curve(found: LearningCurve) -> str:
    if found.answer == "too few owners":
        return f"Too little to judge whether more data would help: {_FEW_OWNERS}."
    if found.last_doubling is None or found.detectable is None:
        return "Whether more data would help cannot be told: a run on half of the owners, and one on all of them, are needed."
    trained = {point.fraction: point.num_trainings for point in found.points}
    half, whole = (_times(trained[fraction]) for fraction in (0.5, 1.0))
    change = f"from half of the owners (trained {half}) to all of them ({whole}) ρ changes by {estimate(found.last_doubling, sign=True)}"
    meaning = {
        "rising": "Still rising",
        "falling": "Falling, not rising",
        "negligible": f"Rising by less than {NEGLIGIBLE} a doubling, if at all",
        "undecided": "Not decided whether more data would help",
        "too few trainings": f"Not decided whether more data would help, for the luck of training is unknown without {MIN_SEEDS} trainings a side",
    }
    said = f"{meaning[found.answer or 'undecided']}: {change}"
    if found.answer == "undecided":
        said += f"; smallest rise that could be seen in 4 cases of 5: {number(found.detectable)}"
    if not found.further:
        return f"{said}."
    guesses = " and ".join(f"{estimate(guess.rho)} with {guess.times} times the pictures" for guess in found.further)
    once = "; smaller parts were trained once, whose luck is in no interval" if 1 in trained.values() else ""
    return f"{said}. If the power law holds, ρ would be {guesses}{once}."


def said_of_leak(found: Leak) -> str:
    if (least := min(found.random.num_owners, found.owner.num_owners)) < MIN_OWNERS:
        return f"Too little to judge what a random split would flatter by: {least} owners, where at least {MIN_OWNERS} are needed."
    more = f"ρ {estimate(found.difference, sign=True)} on other pictures of train's owners against pictures of owners never seen, by one training"
    understated = "those owners are val's, on whom the recipe was chosen, so that the truth is more rather than less"
    if found.leaks:
        return f"A random split would flatter: {more}; {understated}."
    seen = f"smallest difference that could be seen in 4 cases of 5: {number(found.detectable)}"
    return f"Not decided whether a random split would flatter: {more}; {understated}; {seen}."


def said_of_time(found: TimeSplit) -> str:
    if found.answer == "too few owners":
        return f"Too little to judge whether a model of the past does worse on later pictures: {_FEW_OWNERS}."
    meaning = {
        "worse": "A model of the past does worse on later pictures",
        "negligible": f"A model of the past does worse on later pictures by less than {NEGLIGIBLE}, if at all",
        "undecided": "Not decided whether a model of the past does worse on later pictures",
        "too few trainings": "Not decided whether a model of the past does worse on later pictures, for the luck of training is unknown "
        f"without {MIN_SEEDS} trainings a side",
    }
    trained = f"trained {_times(found.num_trainings)} on pictures from before {found.cutoff}, against as many pictures of any time"
    judged_on = f"judged on {found.num_pictures:,} of other owners from then on"
    seen = f"; smallest difference that could be seen in 4 cases of 5: {number(found.detectable)}" if found.answer == "undecided" else ""
    return f"{meaning[found.answer]}: ρ {estimate(found.difference, sign=True)}, {trained}, {judged_on}{seen}."


def said_of_noise(found: NoisePlaces) -> str:
    low, middle, high = found.places.q05, found.places.q50, found.places.q95
    where = "in the lower half" if high < 0.5 else "in the upper half" if low > 0.5 else "in both halves"
    said = f"it ranks {where}, which is a place in a ranking and no sign of what the model knows of noise"
    return f"White noise scores above {100 * middle:.0f} % of the test pictures ({100 * low:.0f} to {100 * high:.0f} %): {said}."


def said_of_calibration(found: Calibration) -> str:
    first, last = (found.deciles[k].truth for k in (0, -1))
    lowest, highest = f"{estimate(first)} in the lowest tenth of the score", f"{estimate(last)} in the highest"
    return f"Mean place by views: {lowest}, {highest}; {number(found.mean)} of all."


def said_of_months(found: WithinMonths) -> str:
    where = f"over {found.num_months} months and {found.num_pictures:,} pictures"
    left_out = f"{found.num_left_out:,} left out (undated, or in a month with few)"
    return f"Within months of upload, weighted by pictures: ρ = {estimate(found.rho)}{other_way(found.rho)} {where}; {left_out}."


def _times(number_of: int) -> str:
    return "once" if number_of == 1 else f"{number_of} times"
