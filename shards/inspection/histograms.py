"""The paper's Figure 2, how views are distributed, and beside it the same on two logarithmic axes, where the tail can be seen."""

import io
from dataclasses import dataclass

import numpy as np

SHOWN_VIEWS = 2000  # as in the paper
_BLUE, _GREY = "#2a6f97", "#6c757d"


@dataclass(frozen=True)
class ViewsHistogram:
    """Bins of views: on a linear axis up to `SHOWN_VIEWS`, as in the paper, and over all views on a logarithmic one."""

    num: int  # pictures
    num_beyond: int  # of more than `SHOWN_VIEWS` views
    num_unseen: int  # of none
    mean: float  # views
    edges: np.ndarray  # views, float64 [B + 1], B at most 100: from 0 to at most `SHOWN_VIEWS`, the last one included
    heights: np.ndarray  # pictures, int64 [B]
    log_middles: np.ndarray  # views, float64 [L]: the geometric middle of the smallest and the largest whole number of each logarithmic bin
    densities: np.ndarray  # pictures per view, float64 [L]

    @classmethod
    def of(cls, views: np.ndarray) -> "ViewsHistogram":
        """
        Args:
            views: int [N], N at least 1.
        """
        shown = views[views <= SHOWN_VIEWS]
        top = max(10, min(SHOWN_VIEWS, int(views.max())))
        edges = np.linspace(0, top, min(101, top + 1))
        # a quarter of an octave wide where whole numbers allow; per view, for bins of different widths to compare
        log_edges = np.unique(np.round(np.geomspace(1, max(2, int(views.max()) + 1), 60)))
        return cls(
            num=len(views),
            num_beyond=len(views) - len(shown),
            num_unseen=int((views == 0).sum()),
            mean=float(views.mean()),
            edges=edges,
            heights=np.histogram(shown, edges)[0],
            log_middles=np.sqrt(log_edges[:-1] * (log_edges[1:] - 1)),
            densities=np.histogram(views[views >= 1], log_edges)[0] / np.diff(log_edges),
        )


def draw(histogram: ViewsHistogram) -> bytes:
    """PNG of two panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    figure = Figure(figsize=(11, 4.4), dpi=130, layout="constrained")  # no pyplot: it keeps global state
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    edges, heights, num, beyond, mean = histogram.edges, histogram.heights, histogram.num, histogram.num_beyond, histogram.mean
    top = int(edges[-1])
    left.hist(edges[:-1], bins=edges, weights=heights, log=beyond < num, color=_BLUE)  # counted before
    left.set(title=f"Views up to {top:,}", xlabel="views", ylabel="pictures", xlim=(0, top))
    left.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    note = f"{beyond:,} of {num:,} images with more than {SHOWN_VIEWS:,} views are not shown" if beyond else "all images are shown"
    left.annotate(note, (0.98, 0.96), xycoords="axes fraction", ha="right", va="top", color=_GREY, fontsize=9)

    there = histogram.densities > 0
    if there.any():  # an empty logarithmic axis is an error
        right.loglog(histogram.log_middles[there], histogram.densities[there], "o", color=_BLUE, markersize=4)
    right.axvline(max(1, mean), color=_GREY, linestyle="--", linewidth=1)
    right.annotate(
        f"mean {mean:,.1f}", (max(1, mean), 0.04), xycoords=("data", "axes fraction"),
        xytext=(5, 0), textcoords="offset points", color=_GREY, fontsize=9,
    )  # fmt: skip
    unseen = f"views ({histogram.num_unseen:,} images with none are not shown)"
    right.set(title="All views, both axes logarithmic", xlabel=unseen, ylabel="pictures per view")
    for axes in (left, right):
        axes.set_title(axes.get_title(), loc="left", fontsize=11)
        axes.set_title("")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e5e7eb")
        axes.set_axisbelow(True)
    plain = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()
