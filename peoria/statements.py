"""Sentences by rule from the numbers of a verdict: no sentence claims what a lower bound does not hold.

"In the picture" is said only where upload age and the owner are both held fixed and skill is left; where one of the two is unknown, the
sentence names what may stand behind the correlation instead.
"""

from typing import Any

FROZEN = "Frozen trunk: what was loaded stayed as it was, and a linear head was trained on its features; another experiment than fine-tuning."
MEASURES = {"rho_views": ("Views", "ρ"), "gini_fav": ("Favourites", "Gini")}


def headline(verdict: dict[str, Any]) -> str:
    """One sentence: skill, what it may be skill at, and whether the baselines have it too."""
    best, above = verdict["predictors"][0], verdict["above_chance"]
    rho = f"ρ = {estimate(best['rho_views'])}"
    if not verdict["enough_owners"]:
        return f"Too little to judge: {verdict['test']['num_units']} owners in test, where at least {verdict['min_owners']} are needed."
    if not above["rho_views"]:
        return f"No evidence that the score tells how often a picture is viewed: {rho}."
    if verdict["in_the_picture"]:
        found = f"Part of a picture's popularity is in the picture ({rho}; {percent(best['pair_accuracy'])} of pairs of one owner in the right order)"
    else:
        found = f"The score and the views correlate ({rho}), but {_explanations(verdict) or f'{_not_held(verdict)} may stand behind it'}"
    if "rho_views" not in verdict["beats"]:
        return f"{found}."
    if verdict["beats"]["rho_views"]:
        return f"{found}; the best network ranks views better than every baseline."
    unbeaten = [named(d) for d in verdict["differences"] if d["kind"] in ("learned", "trivial") and not d["rho_views"]["low"] > 0]
    return f"{found}; there is no evidence that the best network ranks views better than {' or '.join(unbeaten)}."


def statements(verdict: dict[str, Any]) -> list[str]:
    """All that may be said, in the order in which it should be read."""
    if not verdict["enough_owners"]:
        few = f"Only {verdict['test']['num_units']} owners in test: the intervals are too narrow to be believed, and nothing is claimed from them."
        return [few, *_limits(verdict)]
    return [*_against_chance(verdict), *_held_fixed(verdict), *_against_others(verdict), *_limits(verdict)]


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
    return label if predictor["kind"] in ("best", "paper") else f"the {label} baseline"


def _against_chance(verdict: dict[str, Any]) -> list[str]:
    best = verdict["predictors"][0]
    found = []
    for key, (name, symbol) in MEASURES.items():
        if key in best:
            text = f"{symbol} = {estimate(best[key])}"
            if verdict["above_chance"][key]:
                found.append(f"{name}: the score and the {name.lower()} correlate: {text}, 95 % interval over owners.")
            else:
                found.append(f"{name}: no evidence of skill: {text}, {_covers(best[key], 0)}.")
    return found


def _held_fixed(verdict: dict[str, Any]) -> list[str]:
    best, above, test = verdict["predictors"][0], verdict["above_chance"], verdict["test"]
    found = []
    if "rho_given_age" in best:
        text = f"ρ = {estimate(best['rho_given_age'])}"
        if above["rho_given_age"]:
            found.append(f"Given upload age, score and views still correlate: {text}.")
        else:
            age = ": age explains the correlation as far as these data can tell" if above["rho_views"] else ""
            found.append(f"Given upload age, no evidence of skill: {text}, {_covers(best['rho_given_age'], 0)}{age}.")
    else:
        dates = f"Upload dates of {test['num_dated']:,} pictures known" if test["num_dated"] else "Upload dates unknown"
        found.append(f"{dates}: age, which raises views, is not held fixed.")
    near = f", at most {verdict['pair_days']:.0f} days apart" if test["pairs_near_in_time"] else ""
    if "pair_accuracy" in best:
        text = f"{percent(best['pair_accuracy'])} of {test['num_pairs']:,} pairs in the right order (50 % is chance)"
        if above["pair_accuracy"]:
            found.append(f"Within one owner{near}, the score still tells the more viewed picture: {text}.")
        else:
            cause = "owner fame or age" if near else "owner fame"
            fame = f": {cause} explains the correlation as far as these data can tell" if above["rho_views"] else ""
            found.append(f"Within one owner{near}, no evidence of skill: {text}, {_covers(best['pair_accuracy'], 0.5)}{fame}.")
    elif test["num_owners"]:
        pairs = f"{test['num_pairs']:,} pairs of {test['num_pair_owners']:,} owners{near}"
        found.append(f"Owner fame is not held fixed: {pairs}; pairs of at least {verdict['min_owners']} owners are needed.")
    if verdict["in_the_picture"]:
        found.append("So part of the popularity is in the picture: neither upload age nor owner fame explains all of it.")
    elif above["rho_views"] and not _explanations(verdict):
        found.append(f"How much of it is the picture's own cannot be told here: {_not_held(verdict)} may stand behind it.")
    return found


def _against_others(verdict: dict[str, Any]) -> list[str]:
    """Deep against cheap, and searched against the paper's."""
    found = []
    for key, (name, symbol) in MEASURES.items():
        for other in verdict["differences"]:
            if key in other and other["kind"] in ("learned", "paper"):
                text = f"{named(other)}: {symbol} {estimate(other[key], sign=True)}"
                if other[key]["low"] > 0:
                    found.append(f"{name}: more than {text}.")
                elif other[key]["high"] < 0:
                    found.append(f"{name}: less than {text}.")
                else:
                    found.append(f"{name}: no evidence of more than {text}.")
        if key in verdict["beats"] and any(key in d and d["kind"] in ("learned", "trivial") for d in verdict["differences"]):
            found.append(f"{name}: the best network beats all baselines: {'yes' if verdict['beats'][key] else 'no'}.")
    return found


def _limits(verdict: dict[str, Any]) -> list[str]:
    test = verdict["test"]
    oracles = [predictor for predictor in verdict["predictors"] if predictor["kind"] == "oracle"]
    found = [f"A perfect reader of these planted pictures would reach ρ = {estimate(oracle['rho_views'])}." for oracle in oracles]
    if test["num_owners"] == 0:
        found.append("Owners unknown: intervals are per picture, leakage by owner not controlled.")
    elif test["unknown_owner_share"] > 0:
        share = f"{100 * test['unknown_owner_share']:.1f} % of the pictures"
        found.append(f"Owners unknown for {share}: there, intervals are per picture, leakage by owner not controlled.")
    smallest = f"The smallest effect that this test split of {test['num_pictures']:,} pictures could have shown in 4 cases of 5"
    return [*found, f"{smallest} is ρ = {number(test['detectable_rho'])}."]


def _explanations(verdict: dict[str, Any]) -> str:
    """What explains a pooled correlation: the first that was held fixed and left no skill; empty where none did."""
    best, above = verdict["predictors"][0], verdict["above_chance"]
    for key, what in (("rho_given_age", "age"), ("pair_accuracy", "owner fame")):
        if key in best and not above[key]:
            return f"{what} explains it as far as these data can tell"
    return ""


def _not_held(verdict: dict[str, Any]) -> str:
    """What these data do not hold fixed."""
    held = verdict["predictors"][0]
    return " and ".join(what for key, what in (("rho_given_age", "age"), ("pair_accuracy", "owner fame")) if key not in held)


def _covers(found: dict[str, float], chance: float) -> str:
    text = f"{chance:g}" if chance == 0 else f"{100 * chance:.0f} %"
    return f"the interval lies below {text}" if found["high"] < chance else f"the interval covers {text}"
