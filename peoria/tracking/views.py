"""Saved views of MLflow's page: which columns, charts, rows and order a sweep opens on, as tags of the experiment.

MLflow's own page writes the same tags ("Views", "Save"); it does not document them, so `tests/browser` opens them in a real browser. Its page loads
the first 100 runs that match, and leaves out of a view of others what would add to them (pinned runs). So runs carry a metric by which they are
ordered: baselines first, then the paper's points, then trials by what they reach.
"""

import base64
import colorsys
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from peoria.tracking.curves import MAX_KEYS, MetricPoint
from peoria.tracking.runs import TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "mlflow.sharedViewState."
OURS = "peoria-"  # of the ids of views that are ours to replace and to remove
COMPARISON = f"{OURS}sweeps"
MOST_VIEWS = 40  # an experiment: each page fetches all of its tags
_VAL = ("val/rho_views", "val/gini_fav")
ORDER = "page_order"  # a metric of each run: at the top what trials are held against, then trials by their last rho_views on val
_ABOVE = {"baseline": 4.0, "paper": 2.0, "mean": 1.0, "subset": -2.0}  # added to a correlation; what learnt from less comes last
_SEARCHED = ("task", "learning_rate", "head_multiplier", "outlier_sd")
_TEST = ("test/rho_views", "test/gini_fav")

_ALWAYS = {"0": 73, "attributes.`Run Name`": 165, "runDateAndNestInfo": 130, "duration": 70}  # columns of MLflow's own, and their widths in px

State = dict[str, Any]


def view_id(sweep: str | None) -> str:
    """Of the view of the sweep of this name; None: of the view that compares sweeps."""
    return COMPARISON if sweep is None else OURS + hashlib.sha256(sweep.encode()).hexdigest()[:16]


def deep_link(uri: str, experiment_id: str, sweep: str | None = None) -> str:
    """Where the server at ``uri`` shows the saved view of a sweep, or with None that of all sweeps."""
    page = f"{uri.rstrip('/')}/#/experiments/{experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={view_id(sweep)}&compareRunsMode=CHART"


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    """Where the server at ``uri`` shows a run."""
    return f"{uri.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def for_the_page(run: TrackedRun) -> TrackedRun:
    """The run with what MLflow's page takes from it: the metric that orders its rows, and a colour."""
    if run.kind == "sweep":
        return run
    role = run.tags["role"]
    points = tuple(MetricPoint(point.step, _ordered(point.metrics, _ABOVE.get(role, 0.0))) for point in run.points)
    return replace(run, tags=run.tags | {"mlflow.runColor": colour(role, run.key, run.params.get("task", ""))}, points=points)


def _ordered(metrics: dict[str, float], above: float) -> dict[str, float]:
    if "val/rho_views" not in metrics or len(metrics) >= MAX_KEYS:
        return metrics
    return metrics | {ORDER: above + metrics["val/rho_views"]}


def colour(role: str, key: str, task: str) -> str:
    """Of a run in MLflow's charts, as ``#rrggbb``: cool ones for trials, one hue a task; warm ones for baselines; dark ones for the paper's."""
    turn = int.from_bytes(hashlib.sha256(f"{role} {key}".encode()).digest()[:2], "big") / 65535  # 0 to 1, the same for the same run
    if role == "baseline":
        hue, light = 0.02 + 0.12 * turn, 0.45
    elif role == "paper":
        hue, light = 0.83 + 0.1 * turn, 0.35
    else:
        hue = {"regression": 0.58, "classification": 0.45, "hybrid": 0.72}.get(task, 0.52)
        light = 0.35 + 0.3 * turn
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, light, 0.6))


def sweep_view(name: str, parent: str, params: Mapping[str, str]) -> State:
    """The view of one sweep: its baselines, and its trials by what they reach on val.

    Args:
        parent: the id of the sweep's own run.
        params: of that run.
    """
    varied = [axis for axis in (("task", "task"), ("outlier_sd", "axis.filter")) if _varies(params.get(f"space.{axis[0]}"))]
    drawn = ["axis.log10_learning_rate", "axis.log10_head_multiplier", *(axis for _, axis in varied)]
    curves = [_line(key) for key in _VAL]
    settings = [_card("PARALLEL", selectedParams=drawn, selectedMetrics=["val/rho_views"], showAllRuns=True)]
    seeds = [_line(f"{key}_lower", f"{key}_upper") for key in _VAL]  # which the means alone have
    each = [*(_scatter(axis, "val/rho_views") for axis in drawn[:2]), _bar("val/rho_views"), _line("train/loss")]
    hidden = _bar(ORDER) | {"deleted": True}  # else MLflow draws it by itself
    sections = {
        "On val: level lines are baselines": (2, curves),
        "What settings reach: a line is a trial": (1, settings),
        "Trained again: lowest and highest of the fresh seeds": (2, seeds),
        "Trial by trial": (2, [*each, hidden]),
    }
    columns = [_tag("role"), _tag("status"), *(_metric(key) for key in _VAL), *(_param(key) for key in _SEARCHED)]
    where = f"tags.`peoria.sweep` = '{name}' and tags.`mlflow.parentRunId` = '{parent}'"
    return _page(where, _metric(ORDER), columns, sections)


def comparison_view() -> State:
    """The view of all sweeps of an experiment side by side: what test said of each, once it is judged, with its bounds, and the search."""
    tested = [key for measure in _TEST for key in (measure, f"{measure}_lower", f"{measure}_upper")]
    differ = _card(
        "DIFFERENCE",
        compareGroups=["Model metrics", "Parameters"],
        chartName="What differs",
        showChangeFromBaseline=False,
        showDifferencesOnly=True,
        baselineColumnUuid="",
    )
    sections = {
        "On test once judged, on val by trials": (3, [*(_bar(key) for key in tested), *(_line(f"best_by_objective/{key}") for key in _VAL)]),
        "What differs": (1, [differ]),
    }
    columns = [
        *(_metric(key) for key in tested),
        *(_param(key) for key in ("control", "objective", "num_train", "num_val", "trials")),
        *(_tag(key) for key in ("winner_for_views", "winner_for_favorites")),
        "attributes.`Description`",
    ]
    return _page("tags.role = 'sweep'", "attributes.start_time", columns, sections)


def write_view(client: "MlflowClient", experiment_id: str, sweep: str | None, state: State, now: Callable[[], float] = time.time) -> bool:
    """Writes a view where it is not there just so; of views that are ours the oldest beyond ``MOST_VIEWS`` are removed. Returns whether it wrote.

    Raises:
        MlflowException, OSError: the server refuses, or is away.
    """
    tags = dict(client.get_experiment(experiment_id).tags)
    key, at = PREFIX + view_id(sweep), int(now() * 1000)
    had = read_view(tags.get(key))
    name = "peoria: sweeps compared" if sweep is None else f"peoria: {sweep}"
    if had is not None and had["state"] == state and had["name"] == name:
        return False
    client.set_experiment_tag(experiment_id, key, _envelope(name, had["createdAt"] if had else at, at, state))
    others = {tag: read_view(value) for tag, value in tags.items() if tag.startswith(PREFIX + OURS) and tag not in (key, PREFIX + COMPARISON)}
    by_age = sorted(others, key=lambda tag: (others[tag] or {}).get("updatedAt", 0), reverse=True)
    for old in by_age[MOST_VIEWS - 1 :]:
        client.delete_experiment_tag(experiment_id, old)
    return True


def read_view(value: str | None) -> State | None:
    """What a tag holds, its state unpacked; None where it is not there, or is none that this version can read."""
    try:
        found = json.loads(value or "")
        packed = found["state"].removeprefix("deflate;")
        return {**found, "state": json.loads(zlib.decompress(base64.b64decode(packed)))}
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return None


def _envelope(name: str, created: int, updated: int, state: State) -> str:
    packed = zlib.compress(json.dumps(state, sort_keys=True, separators=(",", ":")).encode(), 9)
    return json.dumps({"name": name, "createdAt": created, "updatedAt": updated, "state": f"deflate;{base64.b64encode(packed).decode()}"})


def _varies(drawn: str | None) -> bool:
    """Whether a param of a space, a list as JSON, has more than one value; one that cannot be read may have."""
    try:
        values = json.loads(drawn or "")
    except ValueError:
        return True
    return not isinstance(values, list) or len(values) > 1


def _page(where: str, order: str, columns: Sequence[str], sections: Mapping[str, tuple[int, Sequence[State]]]) -> State:
    """
    Args:
        sections: by title, how many charts a row has, and the charts.
    """
    ids = {title: f"peoria-{index}" for index, title in enumerate(sections)}
    return {
        "searchFilter": where,
        "orderByKey": order,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": [*_ALWAYS, *columns],
        "columnWidths": _ALWAYS | {column: 300 if column.startswith("attributes") else 88 for column in columns},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [
            chart | {"uuid": f"{ids[title]}-{index}", "metricSectionId": ids[title]}
            for title, (_, charts) in sections.items()
            for index, chart in enumerate(charts)
        ],
        "compareRunSections": [
            {"uuid": ids[title], "name": title, "display": True, "isReordered": False, "deleted": False, "isGenerated": False}
            | {"columns": columns_of, "cardHeight": 320}
            for title, (columns_of, _) in sections.items()
        ],
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "chartsSearchFilter": "",
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _card(kind: str, **about: Any) -> State:
    return {"type": kind, "runsCountToCompare": 100, "deleted": False, "isGenerated": False, **about}


def _line(metric: str, *more: str) -> State:
    return _card(
        "LINE",
        metricKey=metric,
        selectedMetricKeys=[metric, *more],
        lineSmoothness=0,
        xAxisScaleType="linear",
        scaleType="linear",
        range={},
        xAxisKey="step",
        selectedXAxisMetricKey="",
        yAxisKey="metric",
        yAxisExpressions=[],
        ignoreOutliers=False,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )


def _bar(metric: str) -> State:
    return _card("BAR", metricKey=metric)


def _scatter(param: str, metric: str) -> State:
    return _card("SCATTER", xaxis={"key": param, "type": "PARAM"}, yaxis={"key": metric, "type": "METRIC"})


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"
