"""What the search shows on val: curves of every trial, their table, and how much each setting mattered among trials of one task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peoria.report.svg import Axis, Mark, Scale, curve_chart, plot
from peoria.stats import metrics
from peoria.stats.metrics import Floats

STATUSES = ("done", "pruned", "diverged", "failed", "running")
ENDS = {"done": "done", "diverged": "broken", "failed": "broken"}  # how a dot shows that a trial ended; any other was stopped
NUM_REFERENCES = 6  # colours of horizontal lines that the style sheet has
SETTINGS = {"learning_rate": "learning rate", "head_multiplier": "head multiplier", "outlier_sd": "outlier cut (sd)"}
NO_CUT = "no cut"
MIN_FINISHED = 10  # trials of a task; a curve of three numbers through fewer fits whatever there is
NUM_PERMUTATIONS = 1000
Curves = Mapping[str, Mapping[str, Any]]


def objective_chart(sweep: Mapping[str, Any], curves: Curves, baselines: Sequence[Mapping[str, Any]], best: str | None) -> dict[str, Any]:
    """Val objective of every trial of the search and of the paper's, the baselines on the same pictures, and what luck alone would show."""
    key = f"val/{sweep['objective']}"
    heights: dict[float, list[str]] = {}
    for baseline in baselines:
        if key in baseline["metrics"]:
            heights.setdefault(round(baseline["metrics"][key], 4), []).append(baseline["label"])
    references = [{"value": value, "label": ", ".join(labels)} for value, labels in sorted(heights.items(), reverse=True)]
    references = [{**reference, "role": f"r{k % NUM_REFERENCES}"} for k, reference in enumerate(references)]
    num = sum(not curve["fixed"] for curve in curves.values())
    if num and sweep.get("se_objective"):
        luck = round(metrics.expected_best_of(num, sweep["se_objective"]), 4)
        references.append({"value": luck, "label": f"luck: the best of {num} trials without skill, on average", "role": "luck"})
    return {"key": key, **curve_chart(lines_of(curves, key, best), references, log=False)}


def train_charts(curves: Curves, best: str | None) -> list[dict[str, Any]]:
    """The training loss of each task's trials; losses of different tasks have different units."""
    found = []
    for task in sorted({str(curve["task"]) for curve in curves.values()}):
        of_task = {key: curve for key, curve in curves.items() if curve["task"] == task}
        found.append({"task": task, **curve_chart(lines_of(of_task, "train/loss", best))})
    return [chart for chart in found if chart["marks"]]


def lines_of(curves: Curves, metric: str, best: str | None) -> list[dict[str, Any]]:
    """Curves of one metric, the best last, so that it lies on top; what was trained after the search is left out."""
    lines = []
    for key, curve in sorted(curves.items(), key=lambda item: (item[0] == best, bool(item[1]["fixed"]), item[0])):
        if curve["of"] is None:
            points = [(point["step"], point["metrics"][metric]) for point in curve["points"] if metric in point["metrics"]]
            lines.append(
                {"points": points, "label": f"{curve['label']} ({curve['status']})", "role": f"{role_of(key, curve, best)} {status_of(curve)}"}
            )
    return lines


def role_of(key: str, curve: Mapping[str, Any], best: str | None) -> str:
    return "best" if key == best else "probe" if curve["of"] is not None else "paper" if curve["fixed"] else "other"


def status_of(curve: Mapping[str, Any]) -> str:
    """A class of the style sheet, whatever a folder says."""
    return curve["status"] if curve["status"] in STATUSES else "running"


def trial_rows(sweep: Mapping[str, Any], curves: Curves, best: str | None) -> list[dict[str, Any]]:
    """Every trial with the last value of its objective: of the search first, those that are done above the others, the highest at the top."""
    key = f"val/{sweep['objective']}"
    rows = [
        {"key": name, "label": curve["label"] or name, "status": curve["status"], "last": last_value(curve, key), "role": role_of(name, curve, best)}
        | {"seen": curve["points"][-1]["step"] if curve["points"] else 0}
        | {setting: _written(curve["config"].get(setting, "")) for setting in SETTINGS}
        for name, curve in curves.items()
    ]
    return sorted(rows, key=lambda row: (row["role"] == "probe", row["status"] != "done", row["last"] is None, -(row["last"] or 0.0), row["key"]))


def last_value(curve: Mapping[str, Any], key: str) -> float | None:
    values = [point["metrics"][key] for point in curve["points"] if key in point["metrics"]]
    return values[-1] if values else None


def importance(sweep: Mapping[str, Any], curves: Curves) -> list[dict[str, Any]]:
    """How much of what finished trials of one task differ by goes with each setting: R² of the ranks of the last objective on a parabola in the
    ranks of the setting, so that a best value in the middle counts too.

    Returns:
        By task: ``task``, ``num`` (finished trials), ``settings``: ``name``, ``share`` and ``chance``, the share that 1 of 20 random orders of the
        same trials reaches; empty where fewer than `MIN_FINISHED` finished.
    """
    found = []
    for task, of_task in by_task(curves).items():
        done = [(curve["config"], value) for curve in of_task if curve["status"] == "done" and (value := last_value(curve, _key(sweep))) is not None]
        settings = []
        if len(done) >= MIN_FINISHED:
            y = np.array([value for _, value in done])
            for setting, name in SETTINGS.items():
                x = np.array([_number(config.get(setting)) for config, _ in done])
                if len(np.unique(x)) > 1 and len(np.unique(y)) > 1:
                    settings.append({"name": name, **_share(x, y)})
        found.append({"task": task, "num": len(done), "settings": settings})
    return found


def _share(x: Floats, y: Floats) -> dict[str, float]:
    from scipy.stats import rankdata

    place, rank = rankdata(x), rankdata(y)
    parabola = np.linalg.qr(np.stack([np.ones(len(place)), place, place**2], axis=1))[0]  # of two different values it is a line
    rank = (rank - rank.mean()) / np.linalg.norm(rank - rank.mean())
    rng = np.random.default_rng(0)
    drawn = np.stack([rank, *(rng.permutation(rank) for _ in range(NUM_PERMUTATIONS))])
    shares = ((drawn @ parabola) ** 2).sum(axis=1)
    return {"share": round(float(shares[0]), 6), "chance": round(float(np.quantile(shares[1:], 0.95)), 6)}


def slices(sweep: Mapping[str, Any], curves: Curves, best: str | None) -> list[dict[str, Any]]:
    """For each task and setting the last val objective of each trial against the setting: ``task``, ``name`` and a plot on one common y axis."""
    key = _key(sweep)
    values = [value for curve in curves.values() if curve["of"] is None and not curve["fixed"] and (value := last_value(curve, key)) is not None]
    y = Axis.around([0.0, *values])
    found = []
    for task, of_task in by_task(curves).items():
        for setting, name in SETTINGS.items():
            x, where, names = setting_axis(setting, [curve["config"].get(setting) for curve in of_task])
            points: dict[str, list[tuple[float, float]]] = {}
            for curve in of_task:
                value, at = last_value(curve, key), where(curve["config"].get(setting))
                role = "best" if curve["key"] == best else ENDS.get(curve["status"], "stopped")
                height = y.low + 0.04 * (y.high - y.low) if role == "broken" else value
                if height is not None:
                    points.setdefault(role, []).append((at, height))
            order = ("broken", "stopped", "done", "best")
            marks = [Mark("dots", points[role], f"dot {role}", role) for role in order if role in points]
            marks += [Mark("dots", points["stopped"], "dot hole")] if "stopped" in points else []
            found.append({"task": task, "name": name, "log": x.scale == "log", **plot(x, y, marks, names=names)})
    return found


def coordinates(sweep: Mapping[str, Any], curves: Curves, best: str | None) -> dict[str, Any] | None:
    """Each trial of the search that was evaluated as a line through its settings to its last objective: ``axes`` (``name``, ``at``, ``ticks``) and
    ``lines``; ``None`` without one."""
    key = _key(sweep)
    shown = [{**curve, "key": name} for name, curve in curves.items() if not curve["fixed"] and last_value(curve, key) is not None]
    if not shown:
        return None
    tasks = sorted({str(curve["task"]) for curve in shown})
    task_axis = Axis(-0.5, len(tasks) - 0.5)
    value_axis = Axis.around([last_value(curve, key) or 0.0 for curve in shown])
    axes: list[dict[str, Any]] = [{"name": "task", "ticks": [{"at": task_axis.at(k), "text": task} for k, task in enumerate(tasks)]}]
    places = {curve["key"]: [task_axis.at(tasks.index(str(curve["task"])))] for curve in shown}
    for setting, name in SETTINGS.items():
        axis, where, names = setting_axis(setting, [curve["config"].get(setting) for curve in shown])
        axes.append({"name": name, "ticks": axis.ticks(4) if names is None else [{"at": axis.at(at), "text": text} for at, text in names]})
        for curve in shown:
            places[curve["key"]].append(axis.at(where(curve["config"].get(setting))))
    axes.append({"name": key, "ticks": value_axis.ticks(4)})
    for curve in shown:
        places[curve["key"]].append(value_axis.at(last_value(curve, key) or 0.0))
    x, y = Axis(0.0, len(axes) - 1.0), Axis(0.0, 100.0)
    ordered = sorted(shown, key=lambda curve: (curve["key"] == best, curve["status"] == "done", last_value(curve, key)))
    marks = [
        Mark("line", list(enumerate(places[curve["key"]])), f"{role_of(curve['key'], curve, best)} {status_of(curve)}", curve["label"])
        for curve in ordered
    ]
    return {"axes": [{**axis, "at": x.at(k)} for k, axis in enumerate(axes)], "lines": plot(x, y, marks)["marks"]}


def by_task(curves: Curves) -> dict[str, list[dict[str, Any]]]:
    """The trials of the search, each with its ``key``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key, curve in sorted(curves.items()):
        if not curve["fixed"]:
            found.setdefault(str(curve["task"]), []).append({**curve, "key": key})
    return dict(sorted(found.items()))


def setting_axis(setting: str, values: Sequence[float | None]) -> tuple[Axis, Any, list[tuple[float, str]] | None]:
    """An axis, where a value lies on it (a function), and names where values are choices: the cut, no cut last."""
    if setting != "outlier_sd":
        scale: Scale = "log"
        return Axis.around([value for value in values if value is not None], scale), lambda value: value, None
    choices = sorted({_number(value) for value in values})
    names = [(float(k), NO_CUT if choice == np.inf else f"{choice:g}") for k, choice in enumerate(choices)]
    return Axis(-0.5, max(0.5, len(choices) - 0.5)), lambda value: float(choices.index(_number(value))), names


def _key(sweep: Mapping[str, Any]) -> str:
    return f"val/{sweep['objective']}"


def _number(value: float | None) -> float:
    """No cut leaves more than any cut."""
    return np.inf if value is None else float(value)


def _written(value: Any) -> str:
    return NO_CUT if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
