"""The paper's Figure 2, how views are distributed, and beside it the same on two logarithmic axes, where the tail can be seen."""

import io

import numpy as np

SHOWN_VIEWS = 2000  # as in the paper
_BLUE, _GREY = "#2a6f97", "#6c757d"


def linear_edges(views: np.ndarray) -> np.ndarray:
    """Edges [≤ 101] of the bins of the paper's Figure 2 for ``views``, int [N], N at least 1: from 0 to at most 2,000, the last one included."""
    top = max(10, min(SHOWN_VIEWS, int(views.max())))
    return np.linspace(0, top, min(101, top + 1))


def draw(views: np.ndarray) -> bytes:
    """PNG of two panels for ``views``, int [N], N at least 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    figure = Figure(figsize=(11, 4.4), dpi=130, layout="constrained")  # no pyplot: it keeps global state
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    edges = linear_edges(views)
    top = int(edges[-1])
    beyond = int((views > SHOWN_VIEWS).sum())
    left.hist(views[views <= SHOWN_VIEWS], bins=edges, log=beyond < len(views), color=_BLUE)
    left.set(title=f"Views up to {top:,}", xlabel="views", ylabel="pictures", xlim=(0, top))
    left.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    note = f"{beyond:,} of {len(views):,} images with more than {SHOWN_VIEWS:,} views are not shown" if beyond else "all images are shown"
    left.annotate(note, (0.98, 0.96), xycoords="axes fraction", ha="right", va="top", color=_GREY, fontsize=9)

    # a quarter of an octave wide where whole numbers allow; per view, for bins of different widths to compare
    edges = np.unique(np.round(np.geomspace(1, max(2, int(views.max()) + 1), 60)))
    shown = views[views >= 1]
    density = np.histogram(shown, edges)[0] / np.diff(edges)
    middle = np.sqrt(edges[:-1] * (edges[1:] - 1))  # between the smallest and the largest whole number of the bin
    if len(shown):  # an empty logarithmic axis is an error
        right.loglog(middle[density > 0], density[density > 0], "o", color=_BLUE, markersize=4)
    right.axvline(max(1, float(views.mean())), color=_GREY, linestyle="--", linewidth=1)
    right.annotate(
        f"mean {views.mean():,.1f}", (max(1, float(views.mean())), 0.04), xycoords=("data", "axes fraction"),
        xytext=(5, 0), textcoords="offset points", color=_GREY, fontsize=9,
    )  # fmt: skip
    unseen = f"views ({int((views == 0).sum()):,} images with none are not shown)"
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
