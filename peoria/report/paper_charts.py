"""The paper's figures from our own data."""

from collections.abc import Mapping
from typing import Any

from peoria.report.svg import Axis, Mark, plot


def tail(figure: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's Figure 2: the histogram of views, and the share of pictures with at least so many views with both laws of each fit."""
    ccdf = [(p["views"], p["share"]) for p in figure["ccdf"]]
    fits = []
    for fit in figure["fits"]:
        laws = {law: [(p["views"], p[law]) for p in fit["curve"]] for law in ("power_law", "lognormal")}
        x, y = Axis.around([v for v, _ in ccdf], "log"), Axis.around([1.0, *(s for _, s in ccdf)], "log")
        marks = [Mark("dots", ccdf, "ours dot small")]  # a law below all that was counted would leave the counts no room: it ends at the edge
        marks += [Mark("line", [p for p in points if p[1] > 0 and y.at(p[1]) >= 0], law.replace("_", "-")) for law, points in laws.items()]
        fits.append({**fit, **plot(x, y, marks)})
    edges, heights = figure["edges"], figure["heights"]
    steps = [(x, 0.0, float(h)) for left, right, h in zip(edges, edges[1:], heights, strict=False) for x in (left, right)]
    histogram = plot(Axis(0.0, float(edges[-1])), Axis.around([0.0, *heights], "log1p"), [Mark("area", steps, "fan bars")])
    return {"fits": fits, "histogram": histogram}


def loss_window(figure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The paper's Figures 3 and 4: the training loss over iterations, the loss on val, and that of the constant."""
    if figure is None or not figure["points"]:
        return None
    train, val = ([(p["iterations"], p["loss"]) for p in figure[name]] for name in ("points", "val"))
    references = [] if figure["constant"] is None else [{"value": figure["constant"], "role": "mean"}]
    marks = [Mark("line", train, "ours thin"), Mark("line", val, "val"), Mark("dots", val, "val dot")]
    x = Axis(0.0, float(max(at for at, _ in (*train, *val))))
    return plot(x, Axis.around([loss for _, loss in (*train, *val)] + [reference["value"] for reference in references]), marks, references)
