"""The report as people read it: one page that needs nothing else, and one table for the terminal.

Everything that the page shows is in its arguments; the same arguments give the same bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peoria.borders import shown
from peoria.records.schema import BaselineRecord, ReportRun, SweepRecord
from peoria.report import leaderboard, paper_charts, question_charts, search_charts
from peoria.report.contact_sheets import Sheet
from peoria.report.plan_outcome import PlanOutcome
from peoria.report.search_charts import TrialCurve
from peoria.report.winners import stories, winner_names
from peoria.verdict.question_sentences import said_of_calibration, said_of_months
from peoria.verdict.schema import ChosenTrial, Judgement, Verdict
from peoria.verdict.sentences import chosen
from peoria.verdict.words import TARGETS, estimate, number, percent

if TYPE_CHECKING:
    from jinja2 import Environment
    from rich.table import Table

IMAGE = "data:image/jpeg;base64,"
NAME_WIDTH, CELL_WIDTH = 36, 26  # characters of the terminal's table
TERMINAL_COLUMNS = {**leaderboard.COLUMNS, **leaderboard.MORE_COLUMNS}


@dataclass(frozen=True)
class Settings:
    """The settings of each target's winner beside each other; one column where one trial won all."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str | float, ...]], ...]


def render_report(
    verdict: Verdict,
    sweep: SweepRecord,
    curves: Sequence[TrialCurve],
    baselines: Sequence[BaselineRecord],
    run: ReportRun,
    contact: Sequence[Sheet],
    plan: PlanOutcome | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """One HTML document that loads nothing from outside.

    Args:
        links: to the runs in MLflow by the key of their trial, "" of the sweep's own; None where MLflow is no server.
    """
    told_of = stories(verdict)
    verdict = winner_names(verdict)
    assert all(image.startswith(IMAGE) for sheet in contact for picture in sheet.pictures for image in (picture.image, picture.moved or IMAGE))
    questions, winner, key, paper = verdict.questions, verdict.winners.views.key, f"val/{sweep.objective}", verdict.paper
    noise = questions.count_noise.views
    page = _environment().get_template("report.html.j2").render(
        verdict=verdict,
        test=verdict.test,
        questions=questions,
        sweep=sweep,
        run=flat(run.model_dump(mode="json", exclude={"environment"})),  # which is the sweep's, and told there
        contact=contact,
        plan=plan,
        links=links,
        winner=verdict.winners.views,
        chosen=chosen(verdict.winners),
        key=key,
        cards=leaderboard.cards(verdict, told_of),
        board=leaderboard.leader_board(verdict, leaderboard.COLUMNS, {"rho_views": noise.ceiling.value} if noise and noise.ceiling else {}),
        more_board=leaderboard.leader_board(verdict, leaderboard.MORE_COLUMNS, {}),
        differences=leaderboard.differences(verdict),
        curse=leaderboard.selection(verdict),
        losses=leaderboard.loss_table(verdict.predictors),
        definition=flat(sweep.definition),
        objective=search_charts.objective_chart(key, curves, baselines, sweep.se_objective, winner),
        train_losses=search_charts.train_charts(curves, winner),
        trials=search_charts.trial_rows(key, curves, winner),
        importance=search_charts.importance(key, curves),
        min_finished=search_charts.MIN_FINISHED,
        slices=search_charts.slices(key, curves, winner),
        coordinates=search_charts.coordinates(key, curves, winner),
        settings=settings(verdict),
        charts=question_charts.charts(questions),
        calibration_said=said_of_calibration(questions.calibration) if questions.calibration else None,
        months_said=said_of_months(questions.within_months) if questions.within_months else None,
        paper=paper,
        tail=paper_charts.tail(paper.figure_2) if paper else None,
        windows=[(figure, paper_charts.loss_window(figure)) for figure in (paper.figure_3, paper.figure_4)] if paper else [],
    )  # fmt: skip
    return page + "\n"


def settings(verdict: Verdict) -> Settings:
    shown: dict[str, ChosenTrial] = {}
    won: dict[str, list[str]] = {}
    for trial, target in ((verdict.winners.views, "views"), (verdict.winners.favorites, "favourites")):
        if trial is not None:
            shown[trial.key] = trial
            won.setdefault(trial.key, []).append(target)
    values = [trial.config.model_dump(mode="json") for trial in shown.values()]
    return Settings(
        tuple(f"trial {key}, winner for {' and '.join(targets)}" for key, targets in won.items()),
        tuple((name, tuple("none" if of[name] is None else of[name] for of in values)) for name in sorted(values[0])),
    )


def render_table(judged: Judgement, width: int) -> "Table":
    """The leader board for a terminal of ``width`` characters: as many columns as fit; labels are printed as they are, markup and all."""
    from rich.table import Table
    from rich.text import Text

    found = [(key, name) for key, (name, _) in TERMINAL_COLUMNS.items() if any(p.measure(key) for p in judged.predictors)]
    columns = dict(found[: max(1, (width - NAME_WIDTH) // CELL_WIDTH)])
    title = f"Test split, {judged.test.num_pictures:,} pictures, 95 % intervals over owners"
    judged_of = [f"winner for {TARGETS[target].popularity} (by val/{TARGETS[target].pooled})" for target, _ in judged.targets.known]
    table = Table(title=title, title_justify="left", caption=f"bold: what is judged of the {' and the '.join(judged_of)}", caption_justify="left")
    table.add_column("predictor", min_width=NAME_WIDTH // 2)
    for name in columns.values():
        table.add_column(name, justify="right", no_wrap=True)
    winners = {found.predictor for _, found in judged.targets.known}
    for predictor in sorted(judged.predictors, key=lambda predictor: predictor.kind != "recipe"):
        measured = {key: predictor.measure(key) for key in columns}
        if any(measured.values()):
            cells = [leaderboard.said(key, found) if found else "" for key, found in measured.items()]
            table.add_row(
                Text(shown(predictor.label, lines=False)), *(Text(cell) for cell in cells), style="bold" if predictor.name in winners else ""
            )
    return table


def plain(value: float) -> str:
    """A loss as people write it: six significant digits, thousands set apart."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.6g}"


def compact(value: float) -> str:
    """A tick: 0.05, 20k, 1.5M, 1e−5."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}".replace("-", "−")
    text = f"{value:.0e}".replace("e-0", "e-") if 0 < abs(value) < 1e-3 else f"{value:.3g}"
    return text.replace("-", "−")


def tied(text: str) -> str:
    """No line break between a symbol or a number and what belongs to it."""
    return re.sub(r"(?<=[ρGi]) (?=[+−]?\d)|(?<=ρ) (?== )|(?<==) (?=[−\d])|(?<=[\d%]) (?=[%\[])|(?<=\d,) (?=[+−]?\d)|(?<=×) (?=\d)", "\u00a0", text)


def flat(value: object, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows: ("space.learning_rate.low", "0.0001"); a list of plain values in one row."""
    if isinstance(value, dict):
        return [row for key in sorted(value) for row in flat(value[key], f"{name}.{key}".lstrip("."))]
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return [row for k, item in enumerate(value, start=1) for row in flat(item, f"{name} {k}")]
    if isinstance(value, list):
        return [(name, ", ".join(_plainly(item) for item in value) or "none")]
    return [(name, _plainly(value))]


def _plainly(value: object) -> str:
    return "none" if value is None else "yes" if value is True else "no" if value is False else str(value) or "none"


def whole(value: int) -> str:
    return f"{value:,}"


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("peoria.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "estimate": estimate,
        "share": percent,
        "number": number,
        "p": leaderboard.p_text,
        "plain": plain,
        "compact": compact,
        "tied": tied,
        "whole": whole,
    }
    return environment
