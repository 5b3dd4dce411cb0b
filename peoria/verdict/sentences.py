"""Sentences by rule from the numbers of a verdict: no sentence claims what a bound does not hold.

Three answers and no fourth: shown, shown to be smaller than a stated effect, not decided. "In the picture" is shown only where all known context, the
owner, and what changes within the owner are held fixed and skill is left; every other line needs that too. A cause is named only where holding it
fixed takes the correlation away; where it merely does not leave enough to be sure, nothing is decided.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from peoria.records.selection import SEEDS_TO_CHOOSE
from peoria.verdict.left_out import said_of_left_out
from peoria.verdict.schema import Answer, Cause, Chosen, Difference, Judgement, Line, Target, TargetVerdict
from peoria.verdict.words import TARGETS, estimate, first_capital, listed, named, number, other_way, percent

FROZEN = "Frozen trunk: what was loaded stayed as it was, and a linear head was trained on its features; another experiment than fine-tuning."
LINES: dict[Literal["image", "deep", "context"], str] = {
    "image": "Image against chance",
    "deep": "Deep against cheap image",
    "context": "Image on top of context",
}


CAUSES: dict[Cause, str] = {
    "context": "what the table knows beside the picture explains it",
    "owner": "what pictures of one owner and month have in common explains it",
    "change": "what changes within an owner over time explains it",
}


def with_sentences(judged: Judgement) -> Judgement:
    """The numbers with the sentences that they allow."""
    said: dict[str, TargetVerdict] = {target: found.model_copy(update={"lines": lines(target, judged)}) for target, found in judged.targets.known}
    judged = judged.model_copy(update={"targets": judged.targets.model_copy(update=said)})
    return judged.model_copy(update={"headline": headline(judged), "notes": notes(judged)})


def headline(judged: Judgement) -> str:
    """One sentence, of views: skill, what it may be skill at, and whether the baselines have it too."""
    found, small = judged.targets.views, judged.small_effect
    rho = f"ρ = {estimate(found.pooled)}"
    if not found.enough_owners or not found.enough_seeds:
        return f"Too little to judge: {_too_few(judged, found)}."
    if found.in_the_picture and found.pair_share is not None:
        right = f"{percent(found.pair_share)} of pairs of one owner in the right order"
        if found.pair_share.low <= 0.5 and found.within_owner is not None:
            right = f"{percent(found.within_owner)} of pairs of one owner in the right order beyond what context tells"
        said = f"Part of a picture's popularity is in the picture ({rho}; {right})"
        if found.beats_all_baselines is None:
            return f"{said}."
        return f"{said}; {_against_baselines(found, judged, 'views')}."
    if found.pooled.high < 0:
        return f"The score ranks views the wrong way round: {rho}."
    if found.above_chance.pooled:
        return f"The score and the views correlate ({rho}), but {_behind('views', judged)}."
    above = found.above_chance
    if found.pooled.high < small and not (above.given_context or above.within_owner or above.neighbours):
        return f"If the score tells anything of how often a picture is viewed, it is less than a small effect (ρ < {small:g}): {rho}."
    return f"Not decided whether the score tells how often a picture is viewed: {rho}."


def lines(target: Target, judged: Judgement) -> tuple[Line, ...]:
    """The three lines of a target."""
    found = judged.targets.views if target == "views" else judged.targets.favorites
    assert found is not None
    if not found.enough_owners or not found.enough_seeds:
        few = f"too little to judge: {_too_few(judged, found)}."
        return tuple(Line(key=key, title=title, answer="undecided", text=few) for key, title in LINES.items())
    image = _image_answer(target, judged)
    deep = _answer(found.deep_shown, found.deep is not None and _little_more(found.deep, judged.small_effect))
    gain = found.context.difference if found.context is not None else None
    context = _answer(found.context_shown, gain is not None and gain.low < gain.high < judged.small_effect)
    return (
        Line(key="image", title=LINES["image"], answer=image, text=_image(target, found, judged, image)),
        Line(key="deep", title=LINES["deep"], answer=deep, text=_deep(target, found, judged, deep)),
        Line(key="context", title=LINES["context"], answer=context, text=_context(target, found, judged, context)),
    )


def notes(judged: Judgement) -> tuple[str, ...]:
    """What limits the verdict."""
    test = judged.test
    found = []
    for oracle in (predictor.rho_views for predictor in judged.predictors if predictor.kind == "oracle"):
        if oracle is not None:
            reached = f"; {100 * judged.targets.views.pooled.value / oracle.value:.0f} % of it was found" if oracle.value > 0 else ""
            found.append(f"A perfect reader of these planted pictures would reach ρ = {estimate(oracle)}{reached}.")
    for target, of in judged.targets.known:
        name = TARGETS[target].popularity
        if of.confounded and of.control is not None:
            told = f"scores tell the {name} of other pictures that the owner uploaded between, ρ = {estimate(of.control)}"
            found.append(f"Something that changes within owners moves score and {name} alike: {told}. No picture can do that by what it shows.")
        for check in of.wider:
            if not check.holds and of.above_chance.neighbours:
                wider = f"where pictures of one {check.group} may be alike across owners, skill against neighbours in time is not decided"
                found.append(f"{TARGETS[target].name}: {wider}, ρ = {estimate(check.interval)}.")
        if of.num_diverged:
            found.append(f"{of.num_diverged} of {of.num_seeds} seeds of the recipe for {name} diverged and count as ranking nothing.")
    alone = [TARGETS[target].popularity for target, of in judged.targets.known if of.num_seeds == 1]
    if alone:
        found.append(f"For {listed(alone)} one trained network is judged: another seed would give another number, and no interval holds that luck.")
    if test.num_owners == 0:
        found.append("Owners unknown: intervals are per picture, leakage by owner not controlled, and nothing is shown.")
    elif test.unknown_owner_share > 0:
        share_text = f"{100 * test.unknown_owner_share:.1f} % of the pictures"
        found.append(f"Owners unknown for {share_text}: there, intervals are per picture, leakage by owner not controlled.")
    found += [said_of_left_out(left) for left in judged.left_out]
    num = len(list(judged.targets.known))
    one, every, nothing = (f"at most {100 * lines * (1 - judged.level) / 2:.3g} %" for lines in (1, 3 * num, num))
    whole = f"any of the {3 * num} in {every}; where nothing is in the picture in {nothing}, for each line needs its image line"
    found += [f"By luck alone a line is shown in {one} of such studies, {whole}.", _opening(judged)]
    return tuple(found)


def _opening(judged: Judgement) -> str:
    """Which look this is, and what luck may claim at it."""
    openings = judged.openings
    number_of, most = openings.number, f"{100 * openings.false_claims_at_most:.1f} %"
    if openings.first_vault is not None:
        first, last, num = openings.first_vault, openings.last_vault, openings.num_vaults
        which = "all of it" if num == 1 else f"{f'vault {first}' if first == last else f'vaults {first} to {last}'} of {num}"
        unit = "owner" if judged.test.num_owners else "picture"  # each a unit of its own where none is known
        share = "" if num == 1 else f", {100 * openings.owner_share:.0f} % of its {unit}s"
        left = f"{openings.owners_sealed:,} {unit}s stay sealed" if openings.owners_sealed else f"no {unit} stays sealed"
        return (
            f"Opening {number_of} of this test set showed {which}{share}: whatever was seen before, a number without skill is claimed with a chance "
            f"of at most {most}; {left}."
        )
    if number_of == 1:
        return f"Opening 1 of this test set: a claim by luck alone has a chance of at most {most}."
    kept = [TARGETS[target].name.lower() for target, of in judged.targets.known if of.above_chance_after_openings]
    held = f"corrected for that, skill stands for {' and '.join(kept)}" if kept else "corrected for that, no skill can be claimed"
    return f"Opening {number_of} of this test set: among {number_of} looks, a claim by luck alone has a chance of up to {most}; {held}."


def all_said(judged: Judgement) -> list[str]:
    """Every sentence of a verdict, in the order in which they should be read."""
    said = [f"{TARGETS[target].name}, {line.title.lower()}: {line.text}" for target, found in judged.targets.known for line in found.lines]
    return [judged.headline, *said, *judged.notes]


def chosen(winners: Chosen) -> list[str]:
    """Which trials val chose, and by which measure; one sentence a trial."""
    by_trial: dict[str, list[str]] = {}
    for what, trial in (("winner for views", winners.views), ("winner for favourites", winners.favorites), ("best by objective", winners.objective)):
        if trial is not None:
            by = f"last {trial.measure} {number(trial.value)}"
            if trial.fresh is not None:
                by += f"; chosen among the best {trial.num_candidates} by {SEEDS_TO_CHOOSE} fresh seeds each, {number(trial.fresh)} in the mean"
            by_trial.setdefault(trial.label, []).append(f"{what} ({by})")
    return [f"{first_capital(', '.join(said))}: {label}." for label, said in by_trial.items()]


def said_of_near_constant(keys: Sequence[str]) -> str:
    """Which finished trials could not win."""
    one = len(keys) == 1
    return (
        f"Trial{'' if one else 's'} {', '.join(keys)} finished, and could not win: near-constant, "
        f"{'its' if one else 'their'} scores of nearly all val pictures differ by no more than rounding."
    )


def _too_few(judged: Judgement, found: TargetVerdict) -> str:
    test = judged.test
    if test.num_owners == 0:
        return "owners are unknown, and pictures of one owner are alike in looks and in fame"
    if not found.enough_seeds and found.num_diverged == found.num_seeds > 1:
        return f"all {found.num_seeds} seeds of the recipe diverged"
    if not found.enough_seeds:
        return f"the recipe was trained with {found.num_seeds} fresh seeds, where at least 3 are needed"
    if test.num_units < judged.min_owners:
        return f"{test.num_units} owners in test, where at least {judged.min_owners} are needed"
    if not test.enough_owners:
        return f"the {test.num_units} owners in test are worth {test.effective_owners:.1f}, for few have most of the pictures"
    known = test.favorites_known
    if known is not None and known.num_units < judged.min_owners:
        return f"{known.num_units} owners whose favourites are known in test, where at least {judged.min_owners} are needed"
    return f"fewer than {judged.min_owners} owners, or few with most of them, have pictures of the rarer class"


def _answer(shown: bool, little: bool) -> Answer:
    return "shown" if shown else "smaller" if little else "undecided"


def _image_answer(target: Target, judged: Judgement) -> Answer:
    found = judged.targets.of(target)
    near = found.neighbours or found.given_context or found.pooled
    return _answer(found.in_the_picture, near.low < near.high < _small(target, judged) or found.explained_by is not None)


def _small(target: Target, judged: Judgement) -> float:
    """The small effect as a correlation with the target's counts: with a yes or no of which few are yes, no score correlates highly."""
    share = judged.test.favorited_share
    if target == "views" or share is None or not 0 < share < 1:
        return judged.small_effect
    most = NormalDist().pdf(NormalDist().inv_cdf(share)) / (share * (1 - share)) ** 0.5
    return judged.small_effect * most


def _little_more(found: Difference, small: float) -> bool:
    """Whether it is more by less than a small effect; not where the same comparison within owners or with context held fixed says otherwise."""
    forms = [(found.given_context, small), (found.within_owner, small / 2), (found.neighbours, small)]
    return found.difference.low < found.difference.high < small and not any(of is not None and of.low > 0 and of.high >= most for of, most in forms)


def _image(target: Target, found: TargetVerdict, judged: Judgement, answer: Answer) -> str:
    names, test, detectable = TARGETS[target], judged.test, found.detectable
    pairs = test.pairs_views if target == "views" else test.pairs_favorites
    assert pairs is not None
    near = f", at most {judged.pair_days:.0f} days apart," if test.pairs_near_in_time else ""
    measured = [f"over all pictures {names.symbol} = {estimate(found.pooled)}{other_way(found.pooled)}"]
    smallest = [f"{names.symbol} {number(detectable.pooled)}"]
    if found.given_context is not None and detectable.given_context is not None:
        measured.append(f"given {listed(test.context)} ρ = {estimate(found.given_context)}{other_way(found.given_context)}")
        smallest.append(f"given context ρ {number(detectable.given_context)}")
    if found.within_owner is not None and detectable.within_owner is not None and found.pair_share is not None:
        beyond = f"{percent(found.within_owner)} beyond what context tells" if test.context else "50 % is chance"
        against = other_way(found.within_owner, 0.5)
        measured.append(f"{percent(found.pair_share)} of {pairs.num:,} pairs of one owner{near} in the right order ({beyond}){against}")
        smallest.append(f"{100 * (0.5 + detectable.within_owner):.1f} % of pairs")
    if found.neighbours is not None and detectable.neighbours is not None:
        measured.append(f"against neighbours in time ρ = {estimate(found.neighbours)}{other_way(found.neighbours)}")
        smallest.append(f"against neighbours ρ {number(detectable.neighbours)}")
    if answer == "shown":
        said = f"part of the {names.popularity} is in the picture"
    elif found.pooled.high < 0:
        said = "the score ranks them the wrong way round"
    elif found.above_chance.pooled:
        said = f"score and {names.popularity} correlate, but {_behind(target, judged)}"
    elif answer == "smaller":
        said = _too_small(target, judged)
    else:
        said = "not decided"
    hidden = ""
    if answer == "shown" and found.robustness is not None:
        parts = [part for part in test.context if part in ("hour", "weekday", "tags")]
        explain = f"{listed(parts)} {'explain' if len(parts) > 1 or parts == ['tags'] else 'explains'}"
        known = "" if found.known_strength is None or not parts else f"; {explain} {100 * found.known_strength:.1f} %"
        undo = f"{100 * found.robustness:.1f} % of score and {names.popularity} alike to bring the lower bound of the last of these to 0"
        hidden = f" Something hidden that sets neighbours apart would have to explain {undo}{known}."
    return f"{said}: {', '.join(measured)}.{hidden} Smallest effect that could be seen in 4 cases of 5: {', '.join(smallest)}."


def _deep(target: Target, found: TargetVerdict, judged: Judgement, answer: Answer) -> str:
    names, deep, detectable = TARGETS[target], found.deep, found.detectable.deep
    if deep is None or detectable is None:
        return "no cheap image model was fitted."
    forms = [("given context", deep.given_context), ("pairs", deep.within_owner), ("against neighbours", deep.neighbours)]
    gap = f"{names.symbol} {estimate(deep.difference, sign=True)} against {named(deep)}, the closest of the cheap models"
    gap += "".join(f", {form} {estimate(of, sign=True)}" for form, of in forms if of is not None)
    if answer == "shown":
        said, gap = "more", f"{gap}; {_against_baselines(found, judged, names.popularity)}"
    elif deep.difference.high < 0:
        said = "less over all pictures"
    elif answer == "smaller":
        said = f"more by less than {judged.small_effect:g}, if at all"
    else:
        said = "not decided" if found.in_the_picture else "not decided, as it is not shown that anything is in the picture"
    return f"{said}: {gap}. Smallest difference that could be seen in 4 cases of 5: {number(detectable)}."


def _context(target: Target, found: TargetVerdict, judged: Judgement, answer: Answer) -> str:
    names, context, detectable = TARGETS[target], found.context, found.detectable.context
    if context is None or detectable is None:
        return "no score of context was fitted." if judged.test.context else "context unknown: the table has neither upload dates nor tags."
    gain = context.difference
    if answer == "shown":
        said = "the image adds"
    elif gain.high < 0:
        said = "context and image together rank worse than context alone"
    elif answer == "smaller":
        said = f"the image adds less than {judged.small_effect:g}, if anything"
    else:
        said = "not decided" if found.in_the_picture else "not decided, as it is not shown that anything is in the picture"
    becomes = f"{number(context.without_image.value)} of {context.label} becomes {number(context.with_image.value)} with the image"
    apart = "not defined, for no owner of test is in train" if judged.test.num_owners else "not known"
    history = "" if "owner history" in context.label else f"; owner history is {apart}"
    smallest = f"Smallest gain that could be seen in 4 cases of 5: {number(detectable)}."
    return f"{said}: {names.symbol} {becomes}, {estimate(gain, sign=True)}{history}. {smallest}"


def _against_baselines(found: TargetVerdict, judged: Judgement, popularity: str) -> str:
    """Whether the judged score is better than all baselines; the worst of those that are not beaten for sure."""
    left = [other for other in found.differences if other.kind in ("learned", "context", "trivial") and not other.more]
    if not left:
        return f"it ranks {popularity} better than every baseline"
    better = [named(other) for other in left if other.difference.high < 0]
    if better:
        return f"{listed(better)} {'ranks' if len(better) == 1 else 'rank'} {popularity} better"
    little = [named(other) for other in left if _little_more(other, judged.small_effect)]
    if little:
        return f"it ranks {popularity} better than {listed(little, 'or')} by less than {judged.small_effect:g}, if at all"
    return f"it is not decided whether it ranks {popularity} better than {listed([named(other) for other in left], 'or')}"


def _too_small(target: Target, judged: Judgement) -> str:
    found = judged.targets.of(target)
    beyond = "" if found.given_context is None else " beyond context"
    if found.neighbours is not None:
        beyond = " of a picture beyond its neighbours in time"
    return f"what the score tells{beyond} is smaller than ρ {_small(target, judged):.2g}"


def _behind(target: Target, judged: Judgement) -> str:
    """What stands behind a correlation that is not shown to be in the picture."""
    found, above = judged.targets.of(target), judged.targets.of(target).above_chance
    if found.explained_by is not None:
        return CAUSES[found.explained_by]
    if _image_answer(target, judged) == "smaller":
        return _too_small(target, judged)
    undated = not judged.test.num_dated
    of_context = (None, "age") if undated else (above.given_context, "context")
    known = (of_context, (above.within_owner, "owner fame"), (above.neighbours, "change within owners"))
    missing = [what for holds, what in known if holds is None]
    alike = any(not check.holds for check in found.wider)
    hidden = (
        "pictures that are alike across owners" if alike else "what comes and goes within an owner" if found.confounded else "why dates are known"
    )
    left = [what for holds, what in known if not holds] or [hidden]
    if missing:
        unheld = "which these data do not hold fixed" if left == missing else f"and these data do not hold {listed(missing)} fixed"
        return f"{listed(left)} may stand behind it, {unheld}"
    return f"it is not decided whether that is in the picture, for {listed(left, 'or')} may stand behind it"


def tail_laws(better: str | None, z: float, p: float) -> str:
    """Which law fits the tail of views better, of the numbers of `stats.tails.Tail`."""
    numbers = f"(z = {z:.1f}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})"
    return f"a {better} fits better {numbers}" if better else f"a lognormal and a power law cannot be told apart {numbers}"
