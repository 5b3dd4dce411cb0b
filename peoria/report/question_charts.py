"""Charts of the further questions, from the numbers of a verdict; ``None`` where there is none to draw."""

from dataclasses import dataclass

from peoria.report.svg import Axis, Mark, Plot, Reference, Row, Strip, plot, strip
from peoria.verdict.answers import (
    Calibration,
    Content,
    CountNoise,
    CountNoises,
    Leak,
    LearningCurve,
    Noise,
    Questions,
    TimeSplit,
    UpperEnd,
    WithinMonths,
)
from peoria.verdict.schema import Target
from peoria.verdict.values import Interval
from peoria.verdict.words import TARGETS, estimate

DECILES = [(float(k), str(k)) for k in range(1, 11)]
MOST_MONTHS = 5  # named along an axis


@dataclass(frozen=True)
class QuestionCharts:
    """One for each question."""

    calibration: Plot | None
    upper_end: Plot | None
    within_months: Plot | None
    learning_curve: Plot | None  # a reference: the most that counting noise leaves
    leak: Strip | None
    time: Strip | None
    noise: Strip | None
    count_noise: Strip | None
    content: Strip | None


def charts(questions: Questions) -> QuestionCharts:
    return QuestionCharts(
        calibration=calibration(questions.calibration),
        upper_end=fan(questions.upper_end),
        within_months=months(questions.within_months),
        learning_curve=growth(questions.learning_curve, questions.count_noise.views),
        leak=leak(questions.leak),
        time=later(questions.time),
        noise=noise(questions.noise),
        count_noise=count_noise(questions.count_noise),
        content=content(questions.content),
    )


def calibration(found: Calibration | None) -> Plot | None:
    """Mean place by views of each tenth of the score, and where a score without mistakes would have it."""
    if found is None:
        return None
    truth = [(d.decile, d.truth.value) for d in found.deciles]
    whiskers = [(d.decile, d.truth.low, d.truth.high) for d in found.deciles]
    perfect = [(k, (k - 0.5) / 10) for k in range(1, 11)]
    marks = [Mark("line", perfect, "ideal"), Mark("whiskers", whiskers, "ours"), Mark("line", truth, "ours thin"), Mark("dots", truth, "ours dot")]
    return plot(Axis(0.5, 10.5), Axis(0.0, 1.0), marks, [Reference(found.mean, "mean")], DECILES)


def fan(found: UpperEnd | None) -> Plot | None:
    """Quantiles of the counts by tenth of the score: all but the outer twentieths, the middle half, the median, and intervals of the outer two."""
    if found is None:
        return None
    tenths = [(d.decile, d.quantiles) for d in found.deciles]
    median = [(k, q.q50.value) for k, q in tenths]
    outer = [(k, q.q05.value, q.q95.value) for k, q in tenths]
    inner = [(k, q.q25.value, q.q75.value) for k, q in tenths]
    lowest, highest = [(k, q.q05.low, q.q05.high) for k, q in tenths], [(k, q.q95.low, q.q95.high) for k, q in tenths]
    marks = [Mark("area", outer, "fan outer"), Mark("area", inner, "fan inner"), Mark("whiskers", lowest, "ours"), Mark("whiskers", highest, "ours")]
    marks += [Mark("line", median, "ours"), Mark("dots", median, "ours dot")]
    values = [end for _, low, high in (*lowest, *highest) for end in (low, high)]
    return plot(Axis(0.5, 10.5), Axis.around([0.0, *values], "log1p"), marks, names=DECILES)


def months(found: WithinMonths | None) -> Plot | None:
    """ρ in each month of upload, with intervals, and their mean."""
    if found is None:
        return None
    whiskers = [(k, month.rho.low, month.rho.high) for k, month in enumerate(found.months)]
    values = [(k, month.rho.value) for k, month in enumerate(found.months)]
    every = -(-len(values) // MOST_MONTHS)
    names = [(float(k), month.month) for k, month in enumerate(found.months) if k % every == 0]
    references = [Reference(found.rho.value, "mean"), Reference(0.0, "zero")]
    y = Axis.around([0.0, *(end for _, low, high in whiskers for end in (low, high))])
    return plot(Axis(-0.6, len(values) - 0.4), y, [Mark("whiskers", whiskers, "ours"), Mark("dots", values, "ours dot")], references, names)


def growth(found: LearningCurve | None, noise_of_counts: CountNoise | None) -> Plot | None:
    """ρ against pictures of train: what was measured, the law through it, and its extrapolation with a band."""
    if found is None:
        return None
    points = [(p.num_pictures, p.rho.value) for p in found.points]
    whiskers = [(p.num_pictures, p.rho.low, p.rho.high) for p in found.points]
    end = points[-1][0]
    further = [whiskers[-1], *((p.num_pictures, p.rho.low, p.rho.high) for p in found.further)]
    marks = [Mark("area", further, "fan outer")] if found.further else []
    if found.fit is not None:
        inside, beyond = [p for p in found.fit.curve if p[0] <= end], [p for p in found.fit.curve if p[0] >= end]
        marks += [Mark("line", inside, "ours thin"), Mark("line", [*inside[-1:], *beyond], "ours thin beyond")]
    marks += [Mark("whiskers", whiskers, "ours"), Mark("dots", points, "ours dot")]
    highest = max(high for _, _, high in (*whiskers, *further))
    ceiling = noise_of_counts.ceiling.value if noise_of_counts and noise_of_counts.ceiling else None
    references = [] if ceiling is None or ceiling > 2 * highest else [Reference(ceiling, "ceiling")]
    values = [v for _, low, high in (*whiskers, *further) for v in (low, high)] + [reference.value for reference in references]
    x = Axis.around([p[0] for p in points] + [p.num_pictures for p in found.further], "log")
    return plot(x, Axis.around([0.0, *values]), marks, references)


def leak(found: Leak | None) -> Strip | None:
    if found is None:
        return None
    rows = [
        _row("held-out pictures of train's owners", found.random.rho, "trivial"),
        _row("pictures of owners never seen", found.owner.rho, "recipe"),
        _row("difference", found.difference, "ink", sign=True),
    ]
    return strip(rows)


def later(found: TimeSplit | None) -> Strip | None:
    if found is None:
        return None
    rows = [
        _row(f"trained before {found.cutoff} only", found.past, "trivial"),
        _row("as many pictures of any time", found.control, "combined"),
        _row("past less as many of any time", found.difference, "ink", sign=True),
        _row("trained on all of train", found.all, "recipe"),
    ]
    return strip(rows)


def noise(found: Noise | None) -> Strip | None:
    """Places in percent, the axis from 0 to 100."""
    if found is None:
        return None
    places = Interval(low=100 * found.places.q05, value=100 * found.places.q50, high=100 * found.places.q95)
    text = f"{places.value:.0f} % ({places.low:.0f} to {places.high:.0f} %)"
    return strip([Row(f"{found.num} pictures of white noise", "trivial", text, places)], 50.0, others=(0.0, 100.0))


def count_noise(found: CountNoises) -> Strip | None:
    """Rows of the targets whose ceiling is known."""
    known: tuple[tuple[Target, CountNoise | None], ...] = (("views", found.views), ("favorites", found.favorites))
    ceilings = [(TARGETS[target].name.lower(), of.ceiling) for target, of in known if of is not None and of.ceiling is not None]
    rows = [_row(f"most that Poisson counting leaves, {name}", ceiling, "oracle") for name, ceiling in ceilings]
    return strip(rows, others=(1.0,)) if rows else None


def content(found: Content | None) -> Strip | None:
    """Rows of what is known; none where there are too few copies."""
    if found is None:
        return None
    groups = ((found.other_owner, "copies by different owners: content"), (found.same_owner, "copies by one owner: content and owner"))
    return strip([_row(label, copies.ceiling, "oracle") for copies, label in groups if copies.ceiling is not None], others=(1.0,))


def _row(label: str, found: Interval, kind: str, sign: bool = False) -> Row:
    return Row(label, kind, estimate(found, sign=sign), found)
