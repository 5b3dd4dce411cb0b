"""The report as people read it: one page that needs nothing else, and one table for the terminal.

Everything that the page shows is in its arguments; the same arguments give the same bytes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peoria.report import leaderboard, paper_charts, question_charts, search_charts
from peoria.verdict.sentences import TARGETS, estimate, number, percent

if TYPE_CHECKING:
    from rich.table import Table

IMAGE = "data:image/jpeg;base64,"
NAME_WIDTH, CELL_WIDTH = 36, 26  # characters of the terminal's table
TERMINAL_COLUMNS = {**leaderboard.COLUMNS, **leaderboard.MORE_COLUMNS}


def render_report(
    verdict: Mapping[str, Any],
    sweep: Mapping[str, Any],
    curves: Mapping[str, Mapping[str, Any]],
    baselines: Sequence[Mapping[str, Any]],
    run: Mapping[str, Any],
    contact: Sequence[Mapping[str, Any]],
) -> str:
    """One HTML document without any reference to the outside.

    Args:
        verdict: of ``verdict.judge``, and what `peoria.report.build` adds: ``best`` (``key``, ``config``, ``val``), ``num_trials``, ``control``,
            ``where``, ``questions``, ``paper`` (None of a control) and, where the set was described, ``data`` (of `shards.inspection.describe`).
        sweep: ``sweep.json``.
        curves: by trial key: ``label``, ``status``, ``fixed``, ``of``, ``task``, ``config``, ``points`` (``step``, ``metrics``).
        baselines: each ``baseline.json``.
        run: when and where the report was made; the only part that differs between two renderings of one verdict.
        contact: of `sheets.sheets`.
    """
    assert all(picture["image"].startswith(IMAGE) for sheet in contact for picture in sheet["pictures"])
    questions, best = verdict["questions"], verdict["best"]["key"]
    ceilings = {"rho_views": noise["ceiling"]["value"]} if (noise := (questions.get("count_noise") or {}).get("views")) and noise["ceiling"] else {}
    paper = verdict["paper"]
    page = _environment().get_template("report.html.j2").render(
        verdict=verdict,
        test=verdict["test"],
        questions=questions,
        sweep=sweep,
        run=run,
        contact=contact,
        best={"label": curves.get(best, {}).get("label", ""), **verdict["best"]},
        cards=leaderboard.cards(verdict),
        board=leaderboard.leader_board(verdict, leaderboard.COLUMNS, ceilings),
        more_board=leaderboard.leader_board(verdict, leaderboard.MORE_COLUMNS, {}),
        differences=leaderboard.differences(verdict),
        selection=leaderboard.selection(verdict),
        losses=leaderboard.loss_table(verdict["predictors"]),
        objective=search_charts.objective_chart(sweep, curves, baselines, best),
        train_losses=search_charts.train_charts(curves, best),
        trials=search_charts.trial_rows(sweep, curves, best),
        importance=search_charts.importance(sweep, curves),
        min_finished=search_charts.MIN_FINISHED,
        slices=search_charts.slices(sweep, curves, best),
        coordinates=search_charts.coordinates(sweep, curves, best),
        settings=settings(verdict, curves),
        charts=question_charts.charts(questions),
        calibration_said=question_charts.said_of_calibration(questions["calibration"]) if questions.get("calibration") else None,
        paper=paper,
        tail=paper_charts.tail(paper["figure_2"]) if paper else None,
        windows={name: paper_charts.loss_window(paper[name]) for name in ("figure_3", "figure_4")} if paper else {},
    )  # fmt: skip
    return page + "\n"


def settings(verdict: Mapping[str, Any], curves: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of each target's winner beside each other: ``columns``, and ``rows`` of (name, values); one column where one trial won all."""
    configs = {verdict["best"]["key"]: verdict["best"]["config"]}
    won: dict[str, list[str]] = {}
    for target, judged in leaderboard.targets(verdict):
        key = judged["winner"].partition("-")[2]
        won.setdefault(key, []).append(TARGETS[target].name.lower())
        configs.setdefault(key, curves.get(key, {}).get("config", {}))
    shown = list(won)
    names = sorted({name for key in shown for name in configs[key]})
    return {
        "columns": [f"trial {key} ({' and '.join(won[key])})" for key in shown],
        "rows": [(name, ["none" if (value := configs[key].get(name)) is None else value for key in shown]) for name in names],
    }


def render_table(verdict: Mapping[str, Any], width: int) -> "Table":
    """The leader board for a terminal of ``width`` characters: as many columns as fit; labels are printed as they are, markup and all."""
    from rich.table import Table
    from rich.text import Text

    found = [(key, name) for key, (name, _) in TERMINAL_COLUMNS.items() if any(key in p for p in verdict["predictors"])]
    columns = dict(found[: max(1, (width - NAME_WIDTH) // CELL_WIDTH)])
    table = Table(title=f"Test split, {verdict['test']['num_pictures']:,} pictures, 95 % intervals over owners", title_justify="left")
    table.add_column("predictor", min_width=NAME_WIDTH // 2)
    for name in columns.values():
        table.add_column(name, justify="right", no_wrap=True)
    winners = {judged["winner"] for judged in verdict["targets"].values()}
    for predictor in sorted(verdict["predictors"], key=lambda predictor: predictor["kind"] != "recipe"):
        if predictor.keys() & columns.keys():
            cells = [(percent if key in leaderboard.PAIRS else estimate)(predictor[key]) if key in predictor else "" for key in columns]
            table.add_row(Text(predictor["label"]), *(Text(cell) for cell in cells), style="bold" if predictor["name"] in winners else "")
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


def pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)


def whole(value: int) -> str:
    return f"{value:,}"


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("peoria.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "estimate": estimate,
        "share": percent,
        "number": number,
        "p": leaderboard.p_text,
        "plain": plain,
        "compact": compact,
        "json": pretty,
        "tied": tied,
        "whole": whole,
    }
    return environment
