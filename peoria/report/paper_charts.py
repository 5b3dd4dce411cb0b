"""The paper's figures from our own data."""

from dataclasses import dataclass

from peoria.report.svg import Axis, Mark, Plot, Reference, plot
from peoria.verdict.tables import Figure2, LossWindow, TailFit


@dataclass(frozen=True)
class FitChart:
    """Both laws of a fit over what was counted."""

    fit: TailFit
    plot: Plot


@dataclass(frozen=True)
class TailCharts:
    """The paper's Figure 2."""

    fits: tuple[FitChart, ...]
    histogram: Plot


def tail(figure: Figure2) -> TailCharts:
    """The histogram of views, and the share of pictures with at least so many views with both laws of each fit."""
    ccdf = [(point.views, point.share) for point in figure.ccdf]
    x, y = Axis.around([views for views, _ in ccdf], "log"), Axis.around([1.0, *(share for _, share in ccdf)], "log")
    fits = []
    for fit in figure.fits:
        laws = {"power-law": [(p.views, p.power_law) for p in fit.curve], "lognormal": [(p.views, p.lognormal) for p in fit.curve]}
        marks = [Mark("dots", ccdf, "ours dot small")]  # a law below all that was counted would leave the counts no room: it ends at the edge
        marks += [Mark("line", [p for p in points if p[1] > 0 and y.at(p[1]) >= 0], law) for law, points in laws.items()]
        fits.append(FitChart(fit, plot(x, y, marks)))
    edges, heights = figure.edges, figure.heights
    steps = [(x, 0.0, float(h)) for left, right, h in zip(edges, edges[1:], heights, strict=False) for x in (left, right)]
    histogram = plot(Axis(0.0, float(edges[-1])), Axis.around([0.0, *heights], "log1p"), [Mark("area", steps, "fan bars")])
    return TailCharts(tuple(fits), histogram)


def loss_window(figure: LossWindow | None) -> Plot | None:
    """The paper's Figures 3 and 4: the training loss over iterations, the loss on val, and that of the constant."""
    if figure is None or not figure.points:
        return None
    train, val = ([(p.iterations, p.loss) for p in points] for points in (figure.points, figure.val))
    references = [] if figure.constant is None else [Reference(figure.constant, "mean")]
    marks = [Mark("line", train, "ours thin"), Mark("line", val, "val"), Mark("dots", val, "val dot")]
    x = Axis(0.0, float(max(at for at, _ in (*train, *val))))
    return plot(x, Axis.around([loss for _, loss in (*train, *val)] + [reference.value for reference in references]), marks, references)
