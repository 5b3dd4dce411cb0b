"""Sentences by rule from the numbers of a verdict: no sentence claims what a lower bound does not hold.

"In the picture" is said only where upload age and the owner are both held fixed and skill is left; where one of the two is unknown, the
sentence names what may stand behind the correlation instead.
"""

from typing import Literal, NamedTuple

from peoria.stats import estimates
from peoria.stats.ceiling import MIN_COUNT, MIN_PAIRS, CountNoise, PairCeiling, UpperEnd
from peoria.stats.combine import OnTopOfContext
from peoria.stats.estimates import MIN_OWNERS
from peoria.stats.learning_curve import Leak, LearningCurve, TimeSplit
from peoria.stats.noise import NoisePlaces
from peoria.verdict.answers import Calibration, WithinMonths
from peoria.verdict.schema import Chosen, ContextGain, Difference, Judgement, Line, Measure, Predictor, SplitSummary, Target, TargetVerdict
from peoria.verdict.values import Interval

FROZEN = "Frozen trunk: what was loaded stayed as it was, and a linear head was trained on its features; another experiment than fine-tuning."
LINES: dict[Literal["image", "deep", "context"], str] = {
    "image": "Image against chance",
    "deep": "Deep against cheap image",
    "context": "Image on top of context",
}


class Names(NamedTuple):
    """How one target is called, and its measures' keys."""

    name: str
    popularity: str
    symbol: str
    pooled: Measure
    given_age: Measure
    within_owner: Measure


TARGETS: dict[Target, Names] = {
    "views": Names("Views", "views", "ρ", "rho_views", "rho_given_age", "pair_accuracy"),
    "favorites": Names("Favourites", "favourites", "Gini", "gini_fav", "fav_given_age", "fav_pair_accuracy"),
}


def with_sentences(judged: Judgement) -> Judgement:
    """The numbers with the sentences that they allow."""
    said: dict[str, TargetVerdict] = {target: found.model_copy(update={"lines": lines(target, judged)}) for target, found in judged.targets.known}
    judged = judged.model_copy(update={"targets": judged.targets.model_copy(update=said)})
    return judged.model_copy(update={"headline": headline(judged), "notes": notes(judged)})


def headline(judged: Judgement) -> str:
    """One sentence, of views: skill, what it may be skill at, and whether the baselines have it too."""
    found = judged.targets.views
    rho = f"ρ = {estimate(found.pooled)}"
    if not found.enough_owners:
        return f"Too little to judge: {_too_few(judged)}."
    if found.in_the_picture and found.within_owner is not None:
        within = f"{percent(found.within_owner)} of pairs of one owner in the right order"
        said = f"Part of a picture's popularity is in the picture ({rho}; {within})"
    elif not found.above_chance.pooled:
        return f"No evidence that the score tells how often a picture is viewed: {rho}."
    else:
        said = f"The score and the views correlate ({rho}), but {_explained(found) or f'{_not_held(found)} may stand behind it'}"
    if found.beats_all_baselines is None:
        return f"{said}."
    if found.beats_all_baselines:
        return f"{said}; it ranks views better than every baseline."
    return f"{said}; there is no evidence that it ranks views better than {_unbeaten(found)}."


def lines(target: Target, judged: Judgement) -> tuple[Line, ...]:
    """The three lines of a target."""
    found = judged.targets.views if target == "views" else judged.targets.favorites
    assert found is not None
    if not found.enough_owners:
        few = f"too little to judge: {_too_few(judged)}."
        return tuple(Line(key=key, title=title, claim=None, text=few) for key, title in LINES.items())
    return (
        Line(key="image", title=LINES["image"], claim=_skill(found), text=_image(target, found, judged)),
        Line(key="deep", title=LINES["deep"], claim=_higher(found.deep), text=_deep(target, found)),
        Line(
            key="context",
            title=LINES["context"],
            claim=_higher(found.context),
            text=_context(target, found, judged.test),
        ),
    )


def notes(judged: Judgement) -> tuple[str, ...]:
    """What limits the verdict."""
    test, openings = judged.test, judged.openings
    found = []
    for oracle in (predictor.rho_views for predictor in judged.predictors if predictor.kind == "oracle"):
        if oracle is not None:
            reached = f"; {100 * judged.targets.views.pooled.value / oracle.value:.0f} % of it was found" if oracle.value > 0 else ""
            found.append(f"A perfect reader of these planted pictures would reach ρ = {estimate(oracle)}{reached}.")
    if test.num_owners == 0:
        found.append("Owners unknown: intervals are per picture, leakage by owner not controlled.")
    elif test.unknown_owner_share > 0:
        share_text = f"{100 * test.unknown_owner_share:.1f} % of the pictures"
        found.append(f"Owners unknown for {share_text}: there, intervals are per picture, leakage by owner not controlled.")
    number_of = openings.number
    if number_of == 1:
        found.append("Opening 1 of this test set: a claim by luck alone has a chance of at most 2.5 %.")
    else:
        most = f"{100 * openings.false_claims_at_most:.1f} %"
        kept = [TARGETS[target].name.lower() for target, of in judged.targets.known if of.above_chance_after_openings]
        held = f"corrected for that, skill stands for {' and '.join(kept)}" if kept else "corrected for that, no skill can be claimed"
        found.append(f"Opening {number_of} of this test set: among {number_of} looks, a claim by luck alone has a chance of up to {most}; {held}.")
    return tuple(found)


def all_said(judged: Judgement) -> list[str]:
    """Every sentence of a verdict, in the order in which they should be read."""
    said = [f"{TARGETS[target].name}, {line.title.lower()}: {line.text}" for target, found in judged.targets.known for line in found.lines]
    return [judged.headline, *said, *judged.notes]


def chosen(winners: Chosen) -> list[str]:
    """Which trials val chose, and by which measure; one sentence a trial."""
    by_trial: dict[str, list[str]] = {}
    for what, trial in (("winner for views", winners.views), ("winner for favourites", winners.favorites), ("best by objective", winners.objective)):
        if trial is not None:
            by_trial.setdefault(trial.label, []).append(f"{what} (last {trial.measure} {number(trial.value)})")
    return [f"{_first_capital(', '.join(said))}: {label}." for label, said in by_trial.items()]


def estimate(found: Interval | estimates.Interval, sign: bool = False) -> str:
    """``0.213 [0.190, 0.236]``; with a sign where it is a difference."""
    value, low, high = (number(one, sign) for one in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def number(value: float, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.3f}".replace("-", "−")


def percent(found: Interval) -> str:
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def named(predictor: Predictor | Difference) -> str:
    """How a sentence calls a predictor: "the colour ridge baseline", "the paper's regression"."""
    return f"the {predictor.label} baseline" if predictor.kind in ("learned", "context", "trivial") else predictor.label


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _too_few(judged: Judgement) -> str:
    test = judged.test
    if test.num_units < judged.min_owners:
        return f"{test.num_units} owners in test, where at least {judged.min_owners} are needed"
    return f"the {test.num_units} owners in test are worth {test.effective_owners:.1f}, for few have most of the pictures"


def _skill(found: TargetVerdict) -> bool | None:
    """Whether part of it is in the picture; None where age or owner are not known well enough to tell."""
    if found.given_age is not None and found.within_owner is not None:
        return found.in_the_picture
    return None if found.above_chance.pooled else False


def _higher(found: Difference | ContextGain | None) -> bool | None:
    return None if found is None else found.difference.low > 0


def _image(target: Target, found: TargetVerdict, judged: Judgement) -> str:
    names, test, detectable = TARGETS[target], judged.test, found.detectable
    pairs = test.pairs_views if target == "views" else test.pairs_favorites
    assert pairs is not None
    near = f", at most {judged.pair_days:.0f} days apart" if test.pairs_near_in_time else ""
    measured = [f"pooled {names.symbol} = {estimate(found.pooled)}"]
    smallest = [f"{names.symbol} {number(detectable.pooled)}"]
    missing = []
    if found.given_age is not None and detectable.given_age is not None:
        measured.append(f"given upload age ρ = {estimate(found.given_age)}")
        smallest.append(f"ρ given age {number(detectable.given_age)}")
    else:
        dates = f"upload dates of {test.num_dated:,} pictures known" if test.num_dated else "upload dates unknown"
        missing.append(f"{dates}: age, which raises {names.popularity}, is not held fixed")
    if found.within_owner is not None and detectable.within_owner is not None:
        measured.append(f"{percent(found.within_owner)} of {pairs.num:,} pairs of one owner{near} in the right order (50 % is chance)")
        smallest.append(f"{100 * (0.5 + detectable.within_owner):.1f} % of pairs")
    elif test.num_owners:
        few = f"{pairs.num:,} pairs of {pairs.num_owners:,} owners{near}"
        missing.append(f"owner fame is not held fixed: {few}; pairs of at least {judged.min_owners} owners are needed")
    if found.in_the_picture:
        said = f"part of the {names.popularity} is in the picture"
    elif found.above_chance.pooled:
        said = f"score and {names.popularity} correlate, but {_explained(found) or f'{_not_held(found)} may stand behind it'}"
    else:
        said = "no evidence of skill"
    also = "".join(f"; {text}" for text in missing)
    return f"{said}: {', '.join(measured)}{also}. Smallest effect that could be seen in 4 cases of 5: {', '.join(smallest)}."


def _deep(target: Target, found: TargetVerdict) -> str:
    names, deep, detectable = TARGETS[target], found.deep, found.detectable.deep
    if deep is None or detectable is None:
        return "no cheap image model was fitted."
    gap = f"{names.symbol} {estimate(deep.difference, sign=True)} against {named(deep)}, the better cheap one on val"
    said = "more" if deep.difference.low > 0 else "less" if deep.difference.high < 0 else "no evidence of more"
    beaten = "all baselines are beaten" if found.beats_all_baselines else f"not beaten: {_unbeaten(found)}"
    return f"{said}: {gap}; {beaten}. Smallest difference that could be seen in 4 cases of 5: {number(detectable)}."


def _context(target: Target, found: TargetVerdict, test: SplitSummary) -> str:
    names, context, detectable = TARGETS[target], found.context, found.detectable.context
    if context is None or detectable is None:
        return "context unknown: the table has neither upload dates nor tags."
    gain = context.difference
    said = "the image adds" if gain.low > 0 else "the image takes away" if gain.high < 0 else "no evidence that the image adds anything"
    becomes = f"{number(context.without_image.value)} of {context.label} becomes {number(context.with_image.value)} with the image"
    apart = "not defined, for no owner of test is in train" if test.num_owners else "not known"
    history = "" if "owner history" in context.label else f"; owner history is {apart}"
    smallest = f"Smallest gain that could be seen in 4 cases of 5: {number(detectable)}."
    return f"{said}: {names.symbol} {becomes}, {estimate(gain, sign=True)}{history}. {smallest}"


def _unbeaten(found: TargetVerdict) -> str:
    """The baselines that are not beaten for sure."""
    baselines = [other for other in found.differences if other.kind in ("learned", "context", "trivial")]
    return " or ".join(named(other) for other in baselines if not other.difference.low > 0) or "chance"


def _explained(found: TargetVerdict) -> str:
    """What explains a pooled correlation: the first that was held fixed and left no skill; empty where none did."""
    for above, cause in ((found.above_chance.given_age, "age"), (found.above_chance.within_owner, "owner fame")):
        if above is False:
            return f"{cause} explains it as far as these data can tell"
    return ""


def _not_held(found: TargetVerdict) -> str:
    """What these data do not hold fixed."""
    return " and ".join(what for known, what in ((found.given_age, "age"), (found.within_owner, "owner fame")) if known is None)


def tail_laws(better: str | None, z: float, p: float) -> str:
    """Which law fits the tail of views better, of the numbers of `stats.tails.Tail`."""
    numbers = f"(z = {z:.1f}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})"
    return f"a {better} fits better {numbers}" if better else f"a lognormal and a power law cannot be told apart {numbers}"


# Of the further questions.


def said_of_count_noise(found: CountNoise) -> str:
    zeros = f"{100 * found.zero_share:.0f} % of the counts are 0"
    if found.ceiling is None:
        return f"What counting noise alone leaves cannot be told: {zeros}, and halves do not correlate."
    most = "at most " if found.upper_bound_only else ""
    said = f"Counting noise alone leaves ρ = {estimate(found.ceiling)} {most}to a score that knows every picture's true rate"
    return f"{said}{f'; {zeros}' if found.upper_bound_only else ''}."


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
        "whole": "no evidence of a potential apart from the outcome, as both ends rise alike",
        "none": "no evidence that the score sets a potential",
        "unknown": f"the lower end lies below a count of {MIN_COUNT} and has no room to fall, so that nothing can be said of a potential",
    }
    return f"From the lowest to the highest tenth of the score the 95 % quantile goes {high}, the 5 % quantile {low}: {meaning[found.shape]}."


def said_of_learning_curve(found: LearningCurve, num_owners: int) -> str:
    if num_owners < MIN_OWNERS:
        return f"Too little to judge whether more data would help: {num_owners} owners, where at least {MIN_OWNERS} are needed."
    if found.last_doubling is None:
        return "Whether more data would help cannot be told: a run on half of the owners, and one on all of them, are needed."
    change = f"from half of the owners to all of them ρ changes by {estimate(found.last_doubling, sign=True)}"
    said = f"Still rising: {change}." if found.still_rising else f"No evidence that more data would help: {change}."
    if not found.further:
        return said
    guesses = " and ".join(f"{estimate(guess.rho)} with {guess.times} times the pictures" for guess in found.further)
    return f"{said} If the power law holds, ρ would be {guesses}."


def said_of_leak(found: Leak) -> str:
    if (least := min(found.random.num_owners, found.owner.num_owners)) < MIN_OWNERS:
        return f"Too little to judge what a random split would flatter by: {least} owners, where at least {MIN_OWNERS} are needed."
    more = f"ρ {estimate(found.difference, sign=True)} on other pictures of train's owners against pictures of owners never seen"
    return f"A random split would flatter: {more}." if found.leaks else f"No evidence that a random split would flatter: {more}."


def said_of_time(found: TimeSplit) -> str:
    said = "does worse on later pictures" if found.difference.high < 0 else "shows no evidence of doing worse on later pictures"
    judged_on = f"judged on {found.num_pictures:,} of other owners from then on"
    return f"A model of the past {said}: trained on pictures from before {found.cutoff} and {judged_on}."


def said_of_context(found: OnTopOfContext) -> str:
    if found.num_owners < MIN_OWNERS:
        return f"Too little to judge what the image adds: {found.num_owners} owners, where at least {MIN_OWNERS} are needed."
    text = f"ρ {estimate(found.rho_context)} from context alone, {estimate(found.difference, sign=True)} with the image"
    said = f"The image adds to what is known without it: {text}" if found.adds else f"No evidence that the image adds to the context: {text}"
    given = found.image_given_context
    return f"{said}{'' if given is None else f'; given the context, image and views correlate with ρ = {estimate(given)}'}."


def said_of_noise(found: NoisePlaces) -> str:
    low, middle, high = found.places.q05, found.places.q50, found.places.q95
    said = "the model knows that noise is not popular" if high < 0.5 else "the model does not know that noise is unpopular: it never saw any"
    return f"White noise scores above {100 * middle:.0f} % of the test pictures ({100 * low:.0f} to {100 * high:.0f} %): {said}."


def said_of_calibration(found: Calibration) -> str:
    first, last = (found.deciles[k].truth for k in (0, -1))
    lowest, highest = f"{estimate(first)} in the lowest tenth of the score", f"{estimate(last)} in the highest"
    return f"Mean place by views: {lowest}, {highest}; {number(found.mean)} of all."


def said_of_months(found: WithinMonths) -> str:
    where = f"over {found.num_months} months and {found.num_pictures:,} pictures"
    left_out = f"{found.num_left_out:,} left out (undated, or in a month with few)"
    return f"Within months of upload, weighted by pictures: ρ = {estimate(found.rho)} {where}; {left_out}."
