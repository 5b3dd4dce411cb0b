"""Sentences by rule from the numbers of a verdict: no sentence claims what a lower bound does not hold.

"In the picture" is said only where upload age and the owner are both held fixed and skill is left; where one of the two is unknown, the
sentence names what may stand behind the correlation instead.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

from peoria.stats.ceiling import MIN_COUNT, MIN_PAIRS, CountNoise, PairCeiling, UpperEnd
from peoria.stats.combine import OnTopOfContext
from peoria.stats.estimates import MIN_OWNERS, Interval
from peoria.stats.learning_curve import Leak, LearningCurve, TimeSplit
from peoria.stats.noise import NoisePlaces

FROZEN = "Frozen trunk: what was loaded stayed as it was, and a linear head was trained on its features; another experiment than fine-tuning."
LINES = {"image": "Image against chance", "deep": "Deep against cheap image", "context": "Image on top of context"}


class Names(NamedTuple):
    """How one target is called, and its measures' keys."""

    name: str
    popularity: str
    symbol: str
    pooled: str
    given_age: str
    within_owner: str


TARGETS = {
    "views": Names("Views", "views", "ρ", "rho_views", "rho_given_age", "pair_accuracy"),
    "favorites": Names("Favourites", "favourites", "Gini", "gini_fav", "fav_given_age", "fav_pair_accuracy"),
}


def headline(verdict: dict[str, Any]) -> str:
    """One sentence, of views: skill, what it may be skill at, and whether the baselines have it too."""
    found = verdict["targets"]["views"]
    rho = f"ρ = {estimate(found['pooled'])}"
    if not found["enough_owners"]:
        return f"Too little to judge: {_too_few(verdict)}."
    if found["in_the_picture"]:
        within = f"{percent(found['within_owner'])} of pairs of one owner in the right order"
        said = f"Part of a picture's popularity is in the picture ({rho}; {within})"
    elif not found["above_chance"]["pooled"]:
        return f"No evidence that the score tells how often a picture is viewed: {rho}."
    else:
        said = f"The score and the views correlate ({rho}), but {_explained(found) or f'{_not_held(found)} may stand behind it'}"
    if found["beats_all_baselines"] is None:
        return f"{said}."
    if found["beats_all_baselines"]:
        return f"{said}; it ranks views better than every baseline."
    return f"{said}; there is no evidence that it ranks views better than {_unbeaten(found)}."


def lines(target: str, verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """The three lines of a target: ``key``, ``title``, ``claim`` (None where the data cannot tell) and ``text``."""
    found = verdict["targets"][target]
    if not found["enough_owners"]:
        few = f"too little to judge: {_too_few(verdict)}."
        return [{"key": key, "title": title, "claim": None, "text": few} for key, title in LINES.items()]
    said = {
        "image": (_skill(found), _image(target, verdict)),
        "deep": (_higher(found["deep"]), _deep(target, found)),
        "context": (_higher(found["context"]), _context(target, found, verdict["test"])),
    }
    return [{"key": key, "title": LINES[key], "claim": claim, "text": text} for key, (claim, text) in said.items()]


def notes(verdict: dict[str, Any]) -> list[str]:
    """What limits the verdict."""
    test, openings = verdict["test"], verdict["openings"]
    oracles = [predictor for predictor in verdict["predictors"] if predictor["kind"] == "oracle" and "rho_views" in predictor]
    found = []
    for oracle in oracles:
        share = verdict["targets"]["views"]["pooled"]["value"] / oracle["rho_views"]["value"] if oracle["rho_views"]["value"] > 0 else None
        reached = "" if share is None else f"; {100 * share:.0f} % of it was found"
        found.append(f"A perfect reader of these planted pictures would reach ρ = {estimate(oracle['rho_views'])}{reached}.")
    if test["num_owners"] == 0:
        found.append("Owners unknown: intervals are per picture, leakage by owner not controlled.")
    elif test["unknown_owner_share"] > 0:
        share_text = f"{100 * test['unknown_owner_share']:.1f} % of the pictures"
        found.append(f"Owners unknown for {share_text}: there, intervals are per picture, leakage by owner not controlled.")
    number_of = openings["number"]
    if number_of == 1:
        found.append("Opening 1 of this test set: a claim by luck alone has a chance of at most 2.5 %.")
    else:
        most = f"{100 * openings['false_claims_at_most']:.1f} %"
        kept = [names.name.lower() for t, names in TARGETS.items() if verdict["targets"].get(t, {}).get("above_chance_after_openings")]
        held = f"corrected for that, skill stands for {' and '.join(kept)}" if kept else "corrected for that, no skill can be claimed"
        found.append(f"Opening {number_of} of this test set: among {number_of} looks, a claim by luck alone has a chance of up to {most}; {held}.")
    return found


def all_said(verdict: dict[str, Any]) -> list[str]:
    """Every sentence of a verdict, in the order in which they should be read."""
    said = [
        f"{TARGETS[target].name}, {line['title'].lower()}: {line['text']}" for target, found in verdict["targets"].items() for line in found["lines"]
    ]
    return [verdict["headline"], *said, *verdict["notes"]]


def estimate(found: dict[str, float], sign: bool = False) -> str:
    """``0.213 [0.190, 0.236]``; with a sign where it is a difference."""
    value, low, high = (number(found[key], sign) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def number(value: float, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.3f}".replace("-", "−")


def percent(found: dict[str, float]) -> str:
    return f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def named(predictor: dict[str, Any]) -> str:
    """How a sentence calls a predictor: "the colour ridge baseline", "the paper's regression"."""
    label: str = predictor["label"]
    return f"the {label} baseline" if predictor["kind"] in ("learned", "context", "trivial") else label


def _too_few(verdict: dict[str, Any]) -> str:
    test = verdict["test"]
    if test["num_units"] < verdict["min_owners"]:
        return f"{test['num_units']} owners in test, where at least {verdict['min_owners']} are needed"
    return f"the {test['num_units']} owners in test are worth {test['effective_owners']:.1f}, for few have most of the pictures"


def _skill(found: dict[str, Any]) -> bool | None:
    """Whether part of it is in the picture; None where age or owner are not known well enough to tell."""
    if {"given_age", "within_owner"} <= found.keys():
        return bool(found["in_the_picture"])
    return None if found["above_chance"]["pooled"] else False


def _higher(found: dict[str, Any] | None) -> bool | None:
    return None if found is None else bool(found["difference"]["low"] > 0)


def _image(target: str, verdict: dict[str, Any]) -> str:
    names, found, test = TARGETS[target], verdict["targets"][target], verdict["test"]
    pairs = test[f"pairs_{target}"]
    near = f", at most {verdict['pair_days']:.0f} days apart" if test["pairs_near_in_time"] else ""
    measured = [f"pooled {names.symbol} = {estimate(found['pooled'])}"]
    missing = []
    if "given_age" in found:
        measured.append(f"given upload age ρ = {estimate(found['given_age'])}")
    else:
        dates = f"upload dates of {test['num_dated']:,} pictures known" if test["num_dated"] else "upload dates unknown"
        missing.append(f"{dates}: age, which raises {names.popularity}, is not held fixed")
    if "within_owner" in found:
        measured.append(f"{percent(found['within_owner'])} of {pairs['num']:,} pairs of one owner{near} in the right order (50 % is chance)")
    elif test["num_owners"]:
        few = f"{pairs['num']:,} pairs of {pairs['num_owners']:,} owners{near}"
        missing.append(f"owner fame is not held fixed: {few}; pairs of at least {verdict['min_owners']} owners are needed")
    if found["in_the_picture"]:
        said = f"part of the {names.popularity} is in the picture"
    elif found["above_chance"]["pooled"]:
        said = f"score and {names.popularity} correlate, but {_explained(found) or f'{_not_held(found)} may stand behind it'}"
    else:
        said = "no evidence of skill"
    smallest = [f"{names.symbol} {number(found['detectable']['pooled'])}"]
    if "given_age" in found:
        smallest.append(f"ρ given age {number(found['detectable']['given_age'])}")
    if "within_owner" in found:
        smallest.append(f"{100 * (0.5 + found['detectable']['within_owner']):.1f} % of pairs")
    also = "".join(f"; {text}" for text in missing)
    return f"{said}: {', '.join(measured)}{also}. Smallest effect that could be seen in 4 cases of 5: {', '.join(smallest)}."


def _deep(target: str, found: dict[str, Any]) -> str:
    names, deep = TARGETS[target], found["deep"]
    if deep is None:
        return "no cheap image model was fitted."
    gap = f"{names.symbol} {estimate(deep['difference'], sign=True)} against {named(deep)}, the better cheap one on val"
    said = "more" if deep["difference"]["low"] > 0 else "less" if deep["difference"]["high"] < 0 else "no evidence of more"
    beaten = "all baselines are beaten" if found["beats_all_baselines"] else f"not beaten: {_unbeaten(found)}"
    return f"{said}: {gap}; {beaten}. Smallest difference that could be seen in 4 cases of 5: {number(found['detectable']['deep'])}."


def _context(target: str, found: dict[str, Any], test: dict[str, Any]) -> str:
    names, context = TARGETS[target], found["context"]
    if context is None:
        return "context unknown: the table has neither upload dates nor tags."
    gain = context["difference"]
    said = "the image adds" if gain["low"] > 0 else "the image takes away" if gain["high"] < 0 else "no evidence that the image adds anything"
    raised = f"{names.symbol} {number(context['without']['value'])} of {context['label']} becomes {number(context['with']['value'])} with the image"
    apart = "not defined, for no owner of test is in train" if test["num_owners"] else "not known"
    history = "" if "owner history" in context["label"] else f"; owner history is {apart}"
    smallest = f"Smallest gain that could be seen in 4 cases of 5: {number(found['detectable']['context'])}."
    return f"{said}: {raised}, {estimate(gain, sign=True)}{history}. {smallest}"


def _unbeaten(found: dict[str, Any]) -> str:
    """The baselines that are not beaten for sure."""
    baselines = [d for d in found["differences"] if d["kind"] in ("learned", "context", "trivial")]
    return " or ".join(named(d) for d in baselines if not d["difference"]["low"] > 0) or "chance"


def _explained(found: dict[str, Any]) -> str:
    """What explains a pooled correlation: the first that was held fixed and left no skill; empty where none did."""
    for what, cause in (("given_age", "age"), ("within_owner", "owner fame")):
        if what in found and not found["above_chance"][what]:
            return f"{cause} explains it as far as these data can tell"
    return ""


def _not_held(found: dict[str, Any]) -> str:
    """What these data do not hold fixed."""
    return " and ".join(what for key, what in (("given_age", "age"), ("within_owner", "owner fame")) if key not in found)


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
    said = f"Counting noise alone leaves ρ = {between(found.ceiling)} {most}to a score that knows every picture's true rate"
    return f"{said}{f'; {zeros}' if found.upper_bound_only else ''}."


def said_of_copies(found: PairCeiling, one_owner: bool) -> str:
    whose, what = ("the same owner", "their content and owner") if one_owner else ("different owners", "their content")
    if found.rho is None or found.ceiling is None:
        needed = f"at least {MIN_PAIRS} pairs in {MIN_OWNERS} groups of owners are needed"
        return f"Copies of one picture by {whose}: {found.num_pairs:,} pairs in {found.num_units:,} groups; {needed}."
    said = f"counts correlate with ρ = {between(found.rho)}, so that a score of {what} could reach {between(found.ceiling)} at most"
    return f"Copies of one picture by {whose} ({found.num_pairs:,} pairs): {said}."


def said_of_upper_end(found: UpperEnd, num_owners: int) -> str:
    if num_owners < MIN_OWNERS:
        return f"Too little to judge whether the score tells a potential: {num_owners} owners, where at least {MIN_OWNERS} are needed."
    high, low = (f"× {between(found.top_to_bottom[q])}" for q in ("0.95", "0.05"))
    still = "" if found.slopes["0.05"].low > 0 else " and the lower end does not measurably rise"
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
    change = f"from half of the owners to all of them ρ changes by {between(found.last_doubling, sign=True)}"
    said = f"Still rising: {change}." if found.still_rising else f"No evidence that more data would help: {change}."
    if not found.further:
        return said
    guesses = " and ".join(f"{between(guess.rho)} with {guess.times} times the pictures" for guess in found.further)
    return f"{said} If the power law holds, ρ would be {guesses}."


def said_of_leak(found: Leak) -> str:
    if (least := min(found.random.num_owners, found.owner.num_owners)) < MIN_OWNERS:
        return f"Too little to judge what a random split would flatter by: {least} owners, where at least {MIN_OWNERS} are needed."
    more = f"ρ {between(found.difference, sign=True)} on other pictures of train's owners against pictures of owners never seen"
    return f"A random split would flatter: {more}." if found.leaks else f"No evidence that a random split would flatter: {more}."


def said_of_time(found: TimeSplit) -> str:
    said = "does worse on later pictures" if found.difference.high < 0 else "shows no evidence of doing worse on later pictures"
    judged_on = f"judged on {found.num_pictures:,} of other owners from then on"
    return f"A model of the past {said}: trained on pictures from before {found.cutoff} and {judged_on}."


def said_of_context(found: OnTopOfContext) -> str:
    if found.num_owners < MIN_OWNERS:
        return f"Too little to judge what the image adds: {found.num_owners} owners, where at least {MIN_OWNERS} are needed."
    text = f"ρ {between(found.rho_context)} from context alone, {between(found.difference, sign=True)} with the image"
    said = f"The image adds to what is known without it: {text}" if found.adds else f"No evidence that the image adds to the context: {text}"
    given = found.image_given_context
    return f"{said}{'' if given is None else f'; given the context, image and views correlate with ρ = {between(given)}'}."


def said_of_noise(found: NoisePlaces) -> str:
    low, middle, high = (found.places[q] for q in ("0.05", "0.5", "0.95"))
    said = "the model knows that noise is not popular" if high < 0.5 else "the model does not know that noise is unpopular: it never saw any"
    return f"White noise scores above {100 * middle:.0f} % of the test pictures ({100 * low:.0f} to {100 * high:.0f} %): {said}."


def between(found: Interval, sign: bool = False) -> str:
    return estimate(asdict(found), sign)
