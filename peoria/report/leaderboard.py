"""What the verdict shows: the three lines of each target with their intervals, the leader board, the winner's differences and its curse."""

from collections.abc import Mapping, Sequence
from typing import Any

from peoria.report.svg import Axis, Mark, place, plot, strip
from peoria.verdict.sentences import TARGETS, estimate, number, percent

MARKS = {True: ("yes", "✓"), False: ("not shown", "✗"), None: ("cannot tell", "?")}
KINDS = {
    "recipe": "recipe",
    "shipped": "as shipped",
    "paper": "paper's settings",
    "learned": "cheap image",
    "context": "context",
    "combined": "context + image",
    "trivial": "trivial",
    "oracle": "oracle",
}
# measure → (name of the column, chance)
COLUMNS = {
    "rho_views": ("ρ views", 0.0),
    "gini_fav": ("Gini favourites", 0.0),
    "rho_given_age": ("ρ views given age", 0.0),
    "pair_accuracy": ("pairs of one owner, views", 0.5),
}
MORE_COLUMNS = {"fav_given_age": ("ρ favourites given age", 0.0), "fav_pair_accuracy": ("pairs of one owner, favourites", 0.5)}
PAIRS = ("pair_accuracy", "fav_pair_accuracy")
FAR_CEILING = 2.0  # times the highest interval: a ceiling above would leave the intervals no room


def targets(verdict: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Views first."""
    return [(target, verdict["targets"][target]) for target in TARGETS if target in verdict["targets"]]


def cards(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One for each target: ``name``, ``winner`` (its label), ``lines``. A line has ``word`` and ``sign`` of its claim, its text in three pieces
    (``lead``, ``rest``, ``smallest``), and ``strip``, whose rows have ``band``, the effects too small to be seen."""
    labels = {predictor["name"]: predictor["label"] for predictor in verdict["predictors"]}
    found = []
    for target, judged in targets(verdict):
        names = TARGETS[target]
        rows = {line["key"]: _rows(line["key"], judged, names.symbol) for line in judged["lines"]}
        drawn = [row for of_line in rows.values() for row in of_line if row["found"]]
        others = [sign * row["smallest"] for row in drawn for sign in (-1, 1)]
        values = [row["found"][end] for row in drawn for end in ("low", "high")]
        axis = Axis.around([0.0, *values, *others])
        lines = []
        for line in judged["lines"]:
            word, sign = MARKS[line["claim"]]
            said, smallest, after = line["text"].partition("Smallest ")
            lead, colon, rest = said.partition(": ")
            own = [{**row, "at": place(axis, row["found"]), "band": _band(axis, row["smallest"])} for row in rows[line["key"]]]
            lines.append({**line, "word": word, "sign": sign, "lead": lead, "rest": colon + rest, "smallest": smallest + after, "rows": own})
        found.append({"name": names.name, "symbol": names.symbol, "winner": labels[judged["winner"]], "lines": lines, "chance": axis.at(0.0)})
    return found


def _rows(line: str, judged: Mapping[str, Any], symbol: str) -> list[dict[str, Any]]:
    """What a line rests on. Pairs are drawn as 2·share − 1, so that half of them in the right order lies at 0 and all of them at 1."""
    smallest = judged["detectable"]
    if line == "image":
        parts = [("pooled", f"{symbol}, all pictures", 1), ("given_age", "ρ given upload age", 1), ("within_owner", "pairs of one owner", 2)]
        return [
            {"label": label, "found": None, "text": "not known here", "smallest": 0.0}
            if (found := judged.get(key)) is None
            else {
                "label": label,
                "found": found if times == 1 else {end: 2 * value - 1 for end, value in found.items()},
                "text": estimate(found) if times == 1 else percent(found),
                "smallest": times * smallest[key],
            }
            for key, label, times in parts
        ]
    found = judged[line]
    label = f"{symbol} gained with the image" if line == "context" else f"{symbol} more than {found['label'] if found else 'a cheap one'}"
    if found is None:
        return [{"label": label, "found": None, "text": "not known here", "smallest": 0.0}]
    return [{"label": label, "found": found["difference"], "text": estimate(found["difference"], sign=True), "smallest": smallest[line]}]


def _band(axis: Axis, smallest: float) -> dict[str, float]:
    low, high = axis.at(-smallest), axis.at(smallest)
    return {"low": low, "width": round(high - low, 3)}


def leader_board(verdict: Mapping[str, Any], columns: Mapping[str, tuple[str, float]], ceilings: Mapping[str, float]) -> dict[str, Any]:
    """A row for each predictor, a cell for each measure: ``text``, ``at`` and, of a single trial, ``holm``. ``columns``: ``name``, ``ticks``,
    ``chance`` and ``ceiling`` as places; a ceiling far above all intervals is left out."""
    predictors = verdict["predictors"]
    axes, heads = {}, []
    for key, (name, chance) in columns.items():
        values = [predictor[key][end] for predictor in predictors if key in predictor for end in ("low", "high")]
        if values:
            ceiling = ceilings.get(key)
            if ceiling is not None and ceiling > FAR_CEILING * max(values):
                ceiling = None
            axes[key] = axis = Axis.around([chance, *values, *([] if ceiling is None else [ceiling])])
            place_of_ceiling = None if ceiling is None else axis.at(ceiling)
            heads.append({"key": key, "name": name, "ticks": axis.ticks(3), "chance": axis.at(chance), "ceiling": place_of_ceiling})
    holm = {(TARGETS[target].pooled, single["name"]): single["p_holm"] for target, judged in targets(verdict) for single in judged["single_trials"]}
    rows = []
    for predictor in predictors:
        cells = []
        for key, axis in axes.items():
            found = predictor.get(key)
            cells.append(
                {"key": key, "name": columns[key][0], "at": place(axis, found), "holm": holm.get((key, predictor["name"]))}
                | {"text": "ranks nothing" if found is None else percent(found) if key in PAIRS else estimate(found)}
            )
        rows.append({"label": predictor["label"], "kind": predictor["kind"], "what": KINDS[predictor["kind"]], "cells": cells})
    return {"columns": heads, "rows": rows}


def differences(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each target what the winner has more than each other predictor, as a strip."""
    labels = {predictor["name"]: predictor["label"] for predictor in verdict["predictors"]}
    found = []
    for target, judged in targets(verdict):
        names = TARGETS[target]
        rows = [
            {"label": other["label"], "kind": other["kind"], "found": other["difference"], "text": estimate(other["difference"], sign=True)}
            | {"note": f"p {p_text(other['p'])}"}
            for other in judged["differences"]
        ]
        if rows:
            found.append({"name": names.name, "symbol": names.symbol, "winner": labels[judged["winner"]], **strip(rows)})
    return found


def selection(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """The winner's curse: val beside test as a strip, and the best of n trials as a plot."""
    found = verdict.get("questions", {}).get("selection")
    if found is None:
        return None
    by_name = {predictor["name"]: predictor for predictor in verdict["predictors"]}
    judged = verdict["targets"]["views"]
    winner, shipped = by_name[judged["winner"]], by_name.get(f"trial-{verdict['best']['key']}")
    rows: list[dict[str, Any]] = [
        {"label": f"val: the best of {found['num_trials']} trials", "kind": "shipped", "dots": [found["val"]], "text": number(found["val"])}
    ]
    if shipped is not None:
        measured = shipped["rho_views"]
        rows.append({"label": "test: the same weights", "kind": "shipped", "found": measured, "text": estimate(measured)})
    if winner["kind"] == "recipe":
        label, measured = f"test: the same settings, {len(found['seeds'])} fresh seeds", winner["rho_views"]
        rows.append({"label": label, "kind": "recipe", "found": measured, "dots": found["seeds"], "text": estimate(measured)})
    luck = {"value": found["luck"], "label": f"luck: the best of {found['num_trials']} without skill, on average", "role": "luck"}
    curve = found["curve"]
    x, y = Axis(1.0, float(max(2, len(curve)))), Axis.around([0.0, *curve, found["luck"]])
    best_of = plot(x, y, [Mark("line", list(enumerate(curve, start=1)), "ours")], [luck])
    fell = found["test"] - found["val"]
    return {
        "strip": strip(rows, lines=[luck]),
        "best_of": best_of,
        "fell": number(fell, sign=True),
        "seeds": found["seeds"] if winner["kind"] == "recipe" else [],
        **{key: found[key] for key in ("val", "test", "luck", "num_trials", "curve")},
    }


def loss_table(predictors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Native losses: a column for each loss, a row for each predictor, and beside them a row for each constant.

    A constant's loss is written ``LOSS (CONSTANT)``. A network's ``LOSS_CONSTANT`` says the same once more and is left out where it does.
    """
    constants: dict[str, dict[str, float]] = {}
    rows = []
    for predictor in predictors:
        own = {}
        for key, value in predictor["losses"].items():
            loss, _, constant = key.removesuffix(")").partition(" (")
            if constant:
                constants.setdefault(constant, {})[loss] = value
            elif predictor["kind"] != "trivial":
                own[loss] = value
        if own:
            rows.append({"label": predictor["label"], "kind": predictor["kind"], "losses": own})
    said = {(f"{loss}_{constant}".replace(" ", "_"), value) for constant, losses in constants.items() for loss, value in losses.items()}
    for row in rows:
        row["losses"] = {key: value for key, value in row["losses"].items() if (key, value) not in said}
    rows += [{"label": f"constant: {constant}", "kind": "trivial", "losses": losses} for constant, losses in sorted(constants.items())]
    return {"columns": sorted({key for row in rows for key in row["losses"]}), "rows": rows}


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
