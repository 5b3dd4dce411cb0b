"""A rehearsal over time, as one SVG file: nodes and the GPUs that trials held, trials that ended, cost."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from peoria.report.svg import SIZE, Axis, Mark, plot

WIDTH, LEFT, RIGHT, TOP, HEIGHT, GAP = 760, 64, 16, 40, 130, 46
COLOURS = {"nodes": "#6f7686", "used": "#1f5fd6", "ended": "#0b766a", "cost": "#b3480f", "kill": "#b42331"}


def chart(
    times: Sequence[float],
    nodes: Sequence[float],
    used: Sequence[float],
    ended: Sequence[float],
    costs: Sequence[float],
    kills: Sequence[float],
    name: str,
) -> str:
    """
    Args:
        times: of the samples, unix seconds, ascending; the others beside them.
        kills: when a node was killed, unix seconds.
    """
    x = Axis(0.0, max(times[-1] - times[0], 1.0))
    seconds = [time - times[0] for time in times]
    panels = (
        ("nodes (grey), GPUs held by trials (blue), a node killed (red)", (("nodes", nodes), ("used", used))),
        ("trials ended", (("ended", ended),)),
        ("cost", (("cost", costs),)),
    )
    parts, top = [f'<text x="{LEFT}" y="22" class="title">{escape(f"Rehearsal of {name}: seconds")}</text>'], TOP
    for title, curves in panels:
        y = Axis(0.0, max(max(values) for _, values in curves) * 1.08 or 1.0)
        marks = [Mark("line", _steps(seconds, values), role) for role, values in curves]
        if len(curves) > 1:
            marks += [Mark("whiskers", [(kill - times[0], 0.0, y.high)], "kill") for kill in kills]
        drawn = plot(x, y, marks)
        parts.append(f'<text x="{LEFT}" y="{top + 14}">{escape(title)}</text>')
        box = f'x="{LEFT}" y="{top + 22}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT}"'
        paths = "".join(f'<path stroke="{COLOURS[mark.role]}" d="{mark.path}"/>' for mark in drawn.marks)
        parts.append(f'<rect {box} class="box"/><svg {box} viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none">{paths}</svg>')
        for tick in drawn.y_ticks:
            place = top + 22 + HEIGHT * (1 - tick.at / 100)
            parts.append(f'<text x="{LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{tick.value:g}</text>')
        for tick in drawn.x_ticks:
            place = LEFT + (WIDTH - LEFT - RIGHT) * tick.at / 100
            parts.append(f'<text x="{place:.1f}" y="{top + 22 + HEIGHT + 15}" text-anchor="middle">{tick.value:g}</text>')
        top += 22 + HEIGHT + GAP
    style = "text{font:12px system-ui,sans-serif;fill:#17191e}.title{font-size:15px}.box{fill:#f4f5f6;stroke:#dcdfe5}"
    style += "path{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}"
    size = f'width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{"".join(parts)}</svg>\n'


def _steps(seconds: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """A value holds until the next."""
    points = [(seconds[0], values[0])]
    for (_, before), (now, after) in pairwise(zip(seconds, values, strict=True)):
        points += [(now, before), (now, after)] if after != before else [(now, after)]
    return points
