"""Charts of the further questions and of the paper's figures made again, from the numbers of a verdict; ``None`` where there is none to draw."""

from collections.abc import Mapping
from typing import Any

from peoria.report.svg import Axis, Mark, plot, strip
from peoria.verdict.sentences import TARGETS, estimate, number

DECILES = [(float(k), str(k)) for k in range(1, 11)]
MOST_MONTHS = 5  # named along an axis


def charts(questions: Mapping[str, Any]) -> dict[str, Any]:
    """By question."""
    return {
        "calibration": calibration(questions.get("calibration")),
        "upper_end": fan(questions.get("upper_end")),
        "within_months": months(questions.get("within_months")),
        "learning_curve": growth(questions.get("learning_curve"), (questions.get("count_noise") or {}).get("views")),
        "leak": leak(questions.get("leak")),
        "time": later(questions.get("time")),
        "on_top_of_context": context(questions.get("on_top_of_context")),
        "noise": noise(questions.get("noise")),
        "count_noise": count_noise(questions.get("count_noise") or {}),
        "content": content(questions.get("content")),
    }


def calibration(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Mean place by views of each tenth of the score, and where a score without mistakes would have it."""
    if found is None:
        return None
    deciles = found["deciles"]
    truth = [(d["decile"], d["truth"]["value"]) for d in deciles]
    whiskers = [(d["decile"], d["truth"]["low"], d["truth"]["high"]) for d in deciles]
    perfect = [(k, (k - 0.5) / 10) for k in range(1, 11)]
    marks = [Mark("line", perfect, "ideal"), Mark("whiskers", whiskers, "ours"), Mark("line", truth, "ours thin"), Mark("dots", truth, "ours dot")]
    return plot(Axis(0.5, 10.5), Axis(0.0, 1.0), marks, [{"value": found["mean"], "role": "mean"}], DECILES)


def fan(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Quantiles of the counts by tenth of the score: all but the outer twentieths, the middle half, the median, and intervals of the outer two."""
    if found is None:
        return None
    deciles = found["deciles"]

    def of(low: str, high: str) -> list[tuple[float, float, float]]:
        return [(d["decile"], d["quantiles"][low]["value"], d["quantiles"][high]["value"]) for d in deciles]

    def sure(q: str) -> list[tuple[float, float, float]]:
        return [(d["decile"], d["quantiles"][q]["low"], d["quantiles"][q]["high"]) for d in deciles]

    median = [(k, value) for k, value, _ in of("0.5", "0.5")]
    marks = [Mark("area", of("0.05", "0.95"), "fan outer"), Mark("area", of("0.25", "0.75"), "fan inner")]
    marks += [Mark("whiskers", sure("0.05"), "ours"), Mark("whiskers", sure("0.95"), "ours")]
    marks += [Mark("line", median, "ours"), Mark("dots", median, "ours dot")]
    values = [end for q in ("0.05", "0.95") for _, low, high in sure(q) for end in (low, high)]
    return plot(Axis(0.5, 10.5), Axis.around([0.0, *values], "log1p"), marks, names=DECILES)


def months(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rows = list(enumerate(found["months"]))
    whiskers = [(k, row["rho"]["low"], row["rho"]["high"]) for k, row in rows]
    values = [(k, row["rho"]["value"]) for k, row in rows]
    every = -(-len(rows) // MOST_MONTHS)
    names = [(float(k), row["month"]) for k, row in rows if k % every == 0]
    references = [{"value": found["rho"]["value"], "role": "mean"}, {"value": 0.0, "role": "zero"}]
    y = Axis.around([0.0, *(end for _, low, high in whiskers for end in (low, high))])
    return plot(Axis(-0.6, len(rows) - 0.4), y, [Mark("whiskers", whiskers, "ours"), Mark("dots", values, "ours dot")], references, names)


def growth(found: Mapping[str, Any] | None, noise_of_counts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """ρ against pictures of train: what was measured, the law through it, and its extrapolation with a band."""
    if found is None:
        return None
    points = [(p["num_pictures"], p["rho"]["value"]) for p in found["points"]]
    whiskers = [(p["num_pictures"], p["rho"]["low"], p["rho"]["high"]) for p in found["points"]]
    end = points[-1][0]
    further = [whiskers[-1], *((p["num_pictures"], p["rho"]["low"], p["rho"]["high"]) for p in found["further"])]
    marks = [Mark("area", further, "fan outer")] if found["further"] else []
    if found["fit"] is not None:
        curve = found["fit"]["curve"]
        inside, beyond = [p for p in curve if p[0] <= end], [p for p in curve if p[0] >= end]
        marks += [Mark("line", inside, "ours thin"), Mark("line", [*inside[-1:], *beyond], "ours thin beyond")]
    marks += [Mark("whiskers", whiskers, "ours"), Mark("dots", points, "ours dot")]
    highest = max(high for _, _, high in (*whiskers, *further))
    ceiling = noise_of_counts["ceiling"]["value"] if noise_of_counts and noise_of_counts["ceiling"] else None
    references = [] if ceiling is None or ceiling > 2 * highest else [{"value": ceiling, "role": "ceiling"}]
    values = [v for _, low, high in (*whiskers, *further) for v in (low, high)] + [reference["value"] for reference in references]
    x = Axis.around([p[0] for p in points] + [p["num_pictures"] for p in found["further"]], "log")
    return plot(x, Axis.around([0.0, *values]), marks, references) | {"has_ceiling": bool(references)}


def leak(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rows = [
        _row("held-out pictures of train's owners", found["random"]["rho"], "trivial"),
        _row("pictures of owners never seen", found["owner"]["rho"], "recipe"),
        _row("difference", found["difference"], "ink", sign=True),
    ]
    return strip(rows)


def later(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rows = [
        _row(f"trained before {found['cutoff']} only", found["past"], "trivial"),
        _row("trained on all of train", found["all"], "recipe"),
        _row("difference", found["difference"], "ink", sign=True),
    ]
    return strip(rows)


def context(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rows = [
        _row("context alone", found["rho_context"], "context"),
        _row("image alone", found["rho_image"], "shipped"),
        _row("both", found["rho_both"], "combined"),
        _row("both less context", found["difference"], "ink", sign=True),
    ]
    if found["image_given_context"] is not None:
        rows.append(_row("image, given the context", found["image_given_context"], "ink"))
    return strip(rows)


def noise(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Places in percent, the axis from 0 to 100."""
    if found is None:
        return None
    places = {end: 100 * found["places"][q] for end, q in (("low", "0.05"), ("value", "0.5"), ("high", "0.95"))}
    text = f"{places['value']:.0f} % ({places['low']:.0f} to {places['high']:.0f} %)"
    return strip([{"label": f"{found['num']} pictures of white noise", "kind": "trivial", "found": places, "text": text}], 50.0, others=(0.0, 100.0))


def count_noise(found: Mapping[str, Any]) -> dict[str, Any] | None:
    known = [(names.name.lower(), of["ceiling"]) for target, names in TARGETS.items() if (of := found.get(target)) and of["ceiling"]]
    rows = [_row(f"most that any score can reach, {name}", ceiling, "oracle") for name, ceiling in known]
    return strip(rows, others=(1.0,)) if rows else None


def content(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rows of what is known; none where there are too few copies."""
    if found is None:
        return None
    groups = (("other_owner", "copies by different owners: content"), ("same_owner", "copies by one owner: content and owner"))
    rows = [_row(label, found[name]["ceiling"], "oracle") for name, label in groups if found[name]["ceiling"] is not None]
    return strip(rows, others=(1.0,))


def said_of_calibration(found: Mapping[str, Any]) -> str:
    """One sentence, for it brings none."""
    first, last = (found["deciles"][k]["truth"] for k in (0, -1))
    lowest, highest = f"{estimate(first)} in the lowest tenth of the score", f"{estimate(last)} in the highest"
    return f"Mean place by views: {lowest}, {highest}; {number(found['mean'])} of all."


def _row(label: str, found: Mapping[str, float], kind: str, sign: bool = False) -> dict[str, Any]:
    return {"label": label, "kind": kind, "found": found, "text": estimate(dict(found), sign=sign)}
