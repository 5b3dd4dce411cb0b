"""The report as people read it: one page that needs nothing else, and one table for the terminal.

Everything that the page shows is in its arguments; the same arguments give the same bytes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peoria import charts, metrics
from peoria.statements import MEASURES, estimate, number, percent

if TYPE_CHECKING:
    from rich.table import Table

STATUSES = ("done", "pruned", "diverged", "failed", "running")
NUM_REFERENCES = 6  # colours of horizontal lines that the style sheet has
COLUMNS = {"rho_views": "ρ views", "gini_fav": "Gini favourites", "rho_given_age": "ρ given age", "pair_accuracy": "pairs of one owner"}
NAME_WIDTH, CELL_WIDTH = 36, 26  # characters of the terminal's table


def render_report(
    verdict: Mapping[str, Any],
    sweep: Mapping[str, Any],
    curves: Mapping[str, Mapping[str, Any]],
    baselines: Sequence[Mapping[str, Any]],
    run: Mapping[str, Any],
) -> str:
    """One HTML document without any reference to the outside.

    Args:
        verdict: of ``verdict.judge``; ``best`` (``key``, ``config``, ``val``), ``num_trials``, ``opening`` and ``control`` are shown where there.
        sweep: ``sweep.json``.
        curves: by trial key: ``label``, ``status``, ``points`` (``step``, ``metrics``), and where known ``task`` and ``fixed``.
        baselines: each ``baseline.json``.
        run: when and where the report was made; the only part that differs between two renderings of one verdict.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("peoria", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "estimate": estimate,
        "share": percent,
        "number": number,
        "plain": plain,
        "compact": compact,
        "json": pretty,
        "tied": tied,
    }
    best = dict(verdict.get("best", {}))
    if best:
        best = {"label": curves.get(best["key"], {}).get("label", ""), "val": {}, "config": {}, **best}
    page = environment.get_template("report.html.j2").render(
        verdict=verdict,
        sweep=sweep,
        run=run,
        best=best,
        control=verdict.get("control") or sweep.get("control"),
        columns={key: name for key, name in COLUMNS.items() if any(key in p for p in verdict["predictors"])},
        boards=[
            {"name": name, "symbol": symbol, **charts.interval_chart(verdict["predictors"], key)}
            for key, (name, symbol) in MEASURES.items()
            if any(key in p for p in verdict["predictors"])
        ],
        differences=[
            {"name": name, "symbol": symbol, **charts.interval_chart(verdict["differences"], key)}
            for key, (name, symbol) in MEASURES.items()
            if any(key in d for d in verdict["differences"])
        ],
        objective=objective_chart(sweep, curves, baselines, best.get("key")),
        train_losses=train_charts(curves, best.get("key")),
        trials=trial_rows(sweep, curves),
        losses=loss_table(verdict["predictors"]),
    )
    return page + "\n"


def objective_chart(
    sweep: Mapping[str, Any], curves: Mapping[str, Mapping[str, Any]], baselines: Sequence[Mapping[str, Any]], best: str | None
) -> dict[str, Any]:
    """Every trial's val objective, the baselines on the same pictures, and what luck alone would show."""
    key = f"val/{sweep['objective']}"
    heights: dict[float, list[str]] = {}
    for baseline in baselines:
        if key in baseline["metrics"]:
            heights.setdefault(round(baseline["metrics"][key], 4), []).append(baseline["label"])
    references = [{"value": value, "label": ", ".join(labels)} for value, labels in sorted(heights.items(), reverse=True)]
    searched = sum(not curve.get("fixed", False) for curve in curves.values())
    if searched and sweep.get("se_objective"):
        luck = round(metrics.expected_best_of(searched, sweep["se_objective"]), 4)
        references.append({"value": luck, "label": f"luck: the best of {searched} trials without skill, on average"})
    references = [{**reference, "colour": k % NUM_REFERENCES} for k, reference in enumerate(references)]
    return {"key": key, **charts.line_chart(_lines(curves, key, best), references, log=False)}


def train_charts(curves: Mapping[str, Mapping[str, Any]], best: str | None) -> list[dict[str, Any]]:
    """The training loss of each task's trials; losses of different tasks have different units."""
    tasks = sorted({str(curve.get("task", "")) for curve in curves.values()})
    found = []
    for task in tasks:
        of_task = {key: curve for key, curve in curves.items() if str(curve.get("task", "")) == task}
        found.append({"task": task or "all tasks", **charts.line_chart(_lines(of_task, "train/loss", best))})
    return [chart for chart in found if chart["lines"]]


def trial_rows(sweep: Mapping[str, Any], curves: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every trial with the last value of its objective: those that are done first, the highest at the top."""
    key = f"val/{sweep['objective']}"
    rows = []
    for name, curve in curves.items():
        values = [point["metrics"][key] for point in curve["points"] if key in point["metrics"]]
        seen = curve["points"][-1]["step"] if curve["points"] else 0
        rows.append({"key": name, "label": curve["label"], "status": curve["status"], "last": values[-1] if values else None, "seen": seen})
    return sorted(rows, key=lambda row: (row["status"] != "done", row["last"] is None, -(row["last"] or 0.0), row["key"]))


def loss_table(predictors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Native losses: a column for each loss, a row for each predictor, and beside them a row for each constant.

    A constant's loss is written ``LOSS (CONSTANT)``. A network's ``LOSS_CONSTANT`` says the same once more and is left out where it does.
    """
    constants: dict[str, dict[str, float]] = {}
    rows = []
    for predictor in predictors:
        own = {}
        for key, value in predictor["losses"].items():
            loss, _, constant = key.removesuffix(")").partition(" (")
            if constant:
                constants.setdefault(constant, {})[loss] = value
            elif predictor["kind"] != "trivial":
                own[loss] = value
        if own:
            rows.append({"label": predictor["label"], "kind": predictor["kind"], "losses": own})
    said = {(f"{loss}_{constant}".replace(" ", "_"), value) for constant, losses in constants.items() for loss, value in losses.items()}
    for row in rows:
        row["losses"] = {key: value for key, value in row["losses"].items() if (key, value) not in said}
    rows += [{"label": f"constant: {constant}", "kind": "trivial", "losses": losses} for constant, losses in sorted(constants.items())]
    return {"columns": sorted({key for row in rows for key in row["losses"]}), "rows": rows}


def render_table(verdict: Mapping[str, Any], width: int) -> "Table":
    """The leader board for a terminal of ``width`` characters: as many columns as fit; labels are printed as they are, markup and all."""
    from rich.table import Table
    from rich.text import Text

    found = [(key, name) for key, name in COLUMNS.items() if any(key in p for p in verdict["predictors"])]
    columns = dict(found[: max(1, (width - NAME_WIDTH) // CELL_WIDTH)])
    table = Table(title=f"Test split, {verdict['test']['num_pictures']:,} pictures, 95 % intervals over owners", title_justify="left")
    table.add_column("predictor", min_width=NAME_WIDTH // 2)
    for name in columns.values():
        table.add_column(name, justify="right", no_wrap=True)
    for predictor in verdict["predictors"]:
        if predictor.keys() & columns.keys():
            cells = [(percent if key == "pair_accuracy" else estimate)(predictor[key]) if key in predictor else "" for key in columns]
            table.add_row(Text(predictor["label"]), *(Text(cell) for cell in cells), style="bold" if predictor["kind"] == "best" else "")
    return table


def plain(value: float) -> str:
    """A loss as people write it: six significant digits, thousands set apart."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.6g}"


def compact(value: float) -> str:
    """A tick: 0.05, 20k, 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def tied(text: str) -> str:
    """No line break between a symbol or a number and what belongs to it."""
    return re.sub(r"(?<=[ρGi]) (?=[+−]?\d)|(?<=ρ) (?== )|(?<==) (?=[−\d])|(?<=[\d%]) (?=[%\[])|(?<=\d,) (?=[+−]?\d)", "\u00a0", text)


def pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _lines(curves: Mapping[str, Mapping[str, Any]], key: str, best: str | None) -> list[dict[str, Any]]:
    """Curves of one metric, the best last, so that it lies on top."""
    lines = []
    for name, curve in sorted(curves.items(), key=lambda item: (item[0] == best, bool(item[1].get("fixed")), item[0])):
        status = curve["status"] if curve["status"] in STATUSES else "running"
        role = "best" if name == best else "paper" if curve.get("fixed") else "other"
        points = [(point["step"], point["metrics"][key]) for point in curve["points"] if key in point["metrics"]]
        lines.append({"points": points, "label": curve["label"], "status": status, "role": role})
    return lines
