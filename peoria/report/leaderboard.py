"""What the verdict shows: the three lines of each target with their intervals, the leader board, the winner's differences and its curse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from peoria.report.svg import Axis, Mark, Place, Plot, Reference, Row, Strip, Tick, plot, strip
from peoria.verdict.schema import Answer, Judgement, Kind, Measure, Predictor, Target, TargetVerdict, Verdict
from peoria.verdict.values import Interval
from peoria.verdict.words import TARGETS, estimate, number, percent
from shards.words import counted

MARKS: dict[Answer, tuple[str, str]] = {"shown": ("yes", "✓"), "smaller": ("small", "✗"), "undecided": ("not decided", "?")}
KINDS: dict[Kind, str] = {
    "recipe": "recipe",
    "shipped": "as shipped",
    "paper": "paper's settings",
    "learned": "cheap image",
    "context": "context",
    "combined": "context + image",
    "trivial": "trivial",
    "oracle": "oracle",
}
Columns = Mapping[Measure, tuple[str, float]]  # measure → (name of the column, chance)
COLUMNS: Columns = {
    "rho_views": ("ρ views", 0.0),
    "gini_fav": ("Gini favourites", 0.0),
    "rho_given_context": ("ρ views given context", 0.0),
    "pair_share": ("pairs of one owner, views", 0.5),
}
MORE_COLUMNS: Columns = {
    "pair_accuracy": ("pairs beyond context, views", 0.5),
    "rho_neighbours": ("ρ views against neighbours", 0.0),
    "fav_given_context": ("ρ favourites given context", 0.0),
    "fav_pair_share": ("pairs of one owner, favourites", 0.5),
    "fav_pair_accuracy": ("pairs beyond context, favourites", 0.5),
    "fav_neighbours": ("ρ favourites against neighbours", 0.0),
}
PAIRS = ("pair_accuracy", "fav_pair_accuracy", "pair_share", "fav_pair_share")
FAR_CEILING = 2.0  # times the highest interval: a ceiling above would leave the intervals no room


@dataclass(frozen=True)
class Evidence:
    """An estimate that a line rests on; drawn with the band of effects too small to be seen."""

    label: str
    text: str = "not known here"
    found: Interval | None = None
    smallest: float = 0.0  # effect that could be seen
    at: Place | None = None
    band: Place | None = None


@dataclass(frozen=True)
class CardLine:
    """A line of a target: its claim as a word and a sign, its text in three pieces."""

    title: str
    word: str
    sign: str
    lead: str
    rest: str
    smallest: str
    rows: tuple[Evidence, ...]


@dataclass(frozen=True)
class Card:
    """A target: its lines on one axis."""

    name: str
    symbol: str
    winner: str  # what was judged
    lines: tuple[CardLine, ...]
    chance: float  # its place


@dataclass(frozen=True)
class Column:
    """A measure on the leader board; a ceiling far above all intervals is left out."""

    key: Measure
    name: str
    axis: Axis
    ticks: Sequence[Tick]
    chance: float  # its place
    ceiling: float | None  # its place


@dataclass(frozen=True)
class Cell:
    """A measure of a predictor."""

    name: str  # of the column
    text: str
    at: Place | None
    holm: float | None  # p-value of a single trial
    holm_is_floor: bool  # whether it may be less, which the resamples cannot tell
    against: bool  # whether the whole interval lies below chance


@dataclass(frozen=True)
class BoardRow:
    """A predictor on the leader board."""

    label: str
    kind: Kind
    what: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Board:
    """A row for each predictor, a cell for each measure."""

    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]


@dataclass(frozen=True)
class Differences:
    """What the judged predictor of a target has more than each other one."""

    name: str
    symbol: str
    winner: str
    strip: Strip


@dataclass(frozen=True)
class Curse:
    """The winner's curse: val beside test, and the best of n trials."""

    strip: Strip
    best_of: Plot
    fell: str  # test less val
    seeds: tuple[float, ...]  # ρ on test of each fresh seed, where the recipe is judged


@dataclass(frozen=True)
class LossRow:
    """Native losses of a predictor or of a constant, each in its task's unit."""

    label: str
    kind: Kind
    losses: dict[str, float]


@dataclass(frozen=True)
class LossTable:
    """A column for each loss, a row for each predictor, and beside them a row for each constant."""

    columns: tuple[str, ...]
    rows: tuple[LossRow, ...]


def cards(judged: Judgement, stories: Mapping[Target, str] = MappingProxyType({})) -> list[Card]:
    """One for each target; under each name what was judged, by its story where there is one."""
    labels = {predictor.name: predictor.label for predictor in judged.predictors}
    return [_card(target, found, stories.get(target, labels[found.predictor])) for target, found in judged.targets.known]


def _card(target: Target, judged: TargetVerdict, winner: str) -> Card:
    names = TARGETS[target]
    rows = {line.key: _evidence(line.key, judged, names.symbol) for line in judged.lines}
    drawn = [(row.found, row.smallest) for of_line in rows.values() for row in of_line if row.found is not None]
    axis = Axis.around([0.0, *(value for found, smallest in drawn for value in (found.low, found.high, -smallest, smallest))])
    lines = []
    for line in judged.lines:
        word, sign = MARKS[line.answer]
        said, smallest, after = line.text.partition("Smallest ")
        lead, colon, rest = said.partition(": ")
        placed = tuple(_placed(axis, row) for row in rows[line.key])
        lines.append(CardLine(line.title, word, sign, lead, colon + rest, smallest + after, placed))
    return Card(names.name, names.symbol, winner, tuple(lines), axis.at(0.0))


def _evidence(line: str, judged: TargetVerdict, symbol: str) -> list[Evidence]:
    """What a line rests on. Pairs are drawn as 2·share − 1, so that half of them in the right order lies at 0 and all of them at 1."""
    smallest = judged.detectable
    if line == "deep":
        deep = judged.deep
        if deep is None:
            return [_gain(f"{symbol} more than a cheap one", None, None)]
        rows = [_gain("more, given context", deep.given_context, None)] if deep.given_context else []
        if deep.within_owner is not None:
            rows.append(replace(_gain("more pairs in order", _doubled(deep.within_owner), None), text=estimate(deep.within_owner, sign=True)))
        rows += [_gain("more, against neighbours", deep.neighbours, None)] if deep.neighbours else []
        return [_gain(f"{symbol} more than {deep.label}", deep.difference, smallest.deep), *rows]
    if line == "context":
        return [_gain(f"{symbol} gained with the image", judged.context.difference if judged.context else None, smallest.context)]
    rows = [Evidence(f"{symbol}, all pictures", estimate(judged.pooled), judged.pooled, smallest.pooled)]
    given, pairs, near = judged.given_context, judged.within_owner, judged.neighbours
    rows.append(Evidence("ρ given context", *(() if given is None else (estimate(given), given, smallest.given_context or 0.0))))
    doubled = pairs and Interval(value=2 * pairs.value - 1, low=2 * pairs.low - 1, high=2 * pairs.high - 1)
    rows.append(Evidence("pairs beyond context", *(() if pairs is None else (percent(pairs), doubled, 2 * (smallest.within_owner or 0.0)))))
    rows.append(Evidence("ρ against neighbours", *(() if near is None else (estimate(near), near, smallest.neighbours or 0.0))))
    return rows


def _doubled(gain: Interval) -> Interval:
    """A gain in the share of pairs, on the scale of 2·share − 1."""
    return Interval(value=2 * gain.value, low=2 * gain.low, high=2 * gain.high)


def _gain(label: str, found: Interval | None, smallest: float | None) -> Evidence:
    return Evidence(label) if found is None else Evidence(label, estimate(found, sign=True), found, smallest or 0.0)


def _placed(axis: Axis, row: Evidence) -> Evidence:
    if row.found is None:
        return row
    return replace(row, at=axis.place(row.found), band=Place(axis.at(-row.smallest), axis.at(0.0), axis.at(row.smallest)))


def leader_board(judged: Judgement, columns: Columns, ceilings: Mapping[Measure, float]) -> Board:
    """Those of ``columns`` that some predictor has."""
    heads = tuple(_column(key, name, chance, judged.predictors, ceilings.get(key)) for key, (name, chance) in columns.items())
    heads = tuple(head for head in heads if any(predictor.measure(head.key) for predictor in judged.predictors))
    holm = {(TARGETS[target].pooled, single.name): single for target, found in judged.targets.known for single in found.single_trials}

    def cell(head: Column, predictor: Predictor) -> Cell:
        found = predictor.measure(head.key)
        text = "ranks nothing" if found is None else said(head.key, found)
        against = found is not None and found.high < columns[head.key][1]
        single, at = holm.get((head.key, predictor.name)), head.axis.place(found) if found else None
        return Cell(head.name, text, at, single.p_holm if single else None, single is not None and single.p_is_floor, against)

    rows = (BoardRow(p.label, p.kind, KINDS[p.kind], tuple(cell(head, p) for head in heads)) for p in judged.predictors)
    return Board(heads, tuple(rows))


def _column(key: Measure, name: str, chance: float, predictors: Sequence[Predictor], ceiling: float | None) -> Column:
    values = [end for p in predictors if (found := p.measure(key)) for end in (found.low, found.high)]
    if ceiling is not None and values and ceiling > FAR_CEILING * max(values):
        ceiling = None
    axis = Axis.around([chance, *values, *([] if ceiling is None else [ceiling])])
    return Column(key, name, axis, axis.ticks(3), axis.at(chance), None if ceiling is None else axis.at(ceiling))


def said(key: Measure, found: Interval) -> str:
    """A measure as people read it."""
    return percent(found) if key in PAIRS else estimate(found)


def differences(judged: Judgement) -> list[Differences]:
    """For each target what the judged predictor has more than each other one."""
    labels = {predictor.name: predictor.label for predictor in judged.predictors}
    found = []
    for target, of in judged.targets.known:
        names = TARGETS[target]
        rows = [Row(d.label, d.kind, estimate(d.difference, sign=True), d.difference, note=f"p {p_text(d.p, d.p_is_floor)}") for d in of.differences]
        if rows:
            found.append(Differences(names.name, names.symbol, labels[of.predictor], strip(rows)))
    return found


def selection(verdict: Verdict) -> Curse | None:
    """The winner's curse of the winner for views: val beside test as a strip, and the best of n trials as a plot."""
    found = verdict.questions.selection
    if found is None:
        return None
    judged, shipped = verdict.predictor(verdict.targets.views.predictor), verdict.predictor(f"trial-{verdict.winners.views.key}")
    rows = [Row(f"val: the winner for views of {found.num_trials} trials", "shipped", number(found.val), dots=(found.val,))]
    if shipped is not None and shipped.rho_views is not None:
        rows.append(Row("test: the same weights", "shipped", estimate(shipped.rho_views), shipped.rho_views))
    again = judged is not None and judged.kind == "recipe"
    if judged is not None and again and judged.rho_views is not None:
        label = f"test: the same settings, {counted(len(found.seeds), 'fresh seed')}"
        rows.append(Row(label, "recipe", estimate(judged.rho_views), judged.rho_views, found.seeds))
    luck = Reference(found.luck, "luck", f"luck: the best of {found.num_trials} without skill, on average")
    x, y = Axis(1.0, float(max(2, len(found.curve)))), Axis.around([0.0, *found.curve, found.luck])
    best_of = plot(x, y, [Mark("line", list(enumerate(found.curve, start=1)), "ours")], [luck])
    return Curse(strip(rows, lines=[luck]), best_of, number(found.test - found.val, sign=True), found.seeds if again else ())


def loss_table(predictors: Sequence[Predictor]) -> LossTable:
    """A constant's loss is written ``LOSS (CONSTANT)``. A network's ``LOSS_CONSTANT`` says the same once more and is left out where it does."""
    constants: dict[str, dict[str, float]] = {}
    rows = []
    for predictor in predictors:
        own = {}
        for key, value in predictor.losses.items():
            loss, _, constant = key.removesuffix(")").partition(" (")
            if constant:
                constants.setdefault(constant, {})[loss] = value
            elif predictor.kind != "trivial":
                own[loss] = value
        if own:
            rows.append(LossRow(predictor.label, predictor.kind, own))
    twice = {(f"{loss}_{constant}".replace(" ", "_"), value) for constant, losses in constants.items() for loss, value in losses.items()}
    rows = [replace(row, losses={key: value for key, value in row.losses.items() if (key, value) not in twice}) for row in rows]
    rows += [LossRow(f"constant: {constant}", "trivial", losses) for constant, losses in sorted(constants.items())]
    return LossTable(tuple(sorted({key for row in rows for key in row.losses})), tuple(rows))


def p_text(p: float, is_floor: bool = False) -> str:
    """``≤`` where it is the least that the resamples can show: it may be less, which they cannot tell."""
    return f"≤ {max(p, 0.001):.3f}" if is_floor else "< 0.001" if p < 0.001 else f"{p:.3f}"
