"""Saved views: written once, replaced when they change, and no more of them than a page can bear."""

import json
from pathlib import Path
from typing import Any

import pytest

from peoria.records.folder import SweepFolder
from peoria.tracking.curves import MAX_KEYS, MetricPoint
from peoria.tracking.projection import Tracker
from peoria.tracking.projector import Projector
from peoria.tracking.runs import TrackedRun
from peoria.tracking.views import (
    MOST_VIEWS,
    ORDER,
    OURS,
    PREFIX,
    comparison_view,
    deep_link,
    for_the_page,
    read_view,
    run_link,
    sweep_view,
    view_id,
    write_view,
)
from tests.helpers.mlflow_held import client_of
from tests.helpers.sweep_folder import whole_sweep

MOST_BYTES = 5000  # of an experiment's tag on the oldest server that pyproject.toml admits


class Writes:
    """A client that counts what changes an experiment."""

    def __init__(self, client: Any) -> None:
        self.client, self.written, self.removed = client, list[str](), list[str]()

    def get_experiment(self, experiment: str) -> Any:
        return self.client.get_experiment(experiment)

    def set_experiment_tag(self, experiment: str, key: str, value: str) -> None:
        self.written.append(key)
        self.client.set_experiment_tag(experiment, key, value)

    def delete_experiment_tag(self, experiment: str, key: str) -> None:
        self.removed.append(key)
        self.client.delete_experiment_tag(experiment, key)


def tags_of(uri: str, experiment: str) -> dict[str, str]:
    return dict(client_of(uri).get_experiment(experiment).tags)


def test_a_view_is_written_once_and_again_only_when_it_changed(mlflow_sqlite: str) -> None:
    client: Any = Writes(client_of(mlflow_sqlite))
    experiment = client.client.create_experiment("peoria")
    state = sweep_view("demo", "a" * 32, {})
    assert write_view(client, experiment, "demo", state, now=lambda: 1.0)
    assert not write_view(client, experiment, "demo", state, now=lambda: 2.0)
    assert len(client.written) == 1
    assert write_view(client, experiment, "demo", sweep_view("demo", "b" * 32, {}), now=lambda: 3.0)  # begun anew
    view = read_view(tags_of(mlflow_sqlite, experiment)[PREFIX + view_id("demo")])
    assert view is not None
    assert (view["name"], view["createdAt"], view["updatedAt"]) == ("peoria: demo", 1000, 3000)
    assert "b" * 32 in view["state"]["searchFilter"]


def test_old_views_go_and_those_of_others_stay(mlflow_sqlite: str) -> None:
    client: Any = Writes(client_of(mlflow_sqlite))
    experiment = client.client.create_experiment("peoria")
    client.client.set_experiment_tag(experiment, f"{PREFIX}somebody", "theirs")
    write_view(client, experiment, None, comparison_view(), now=lambda: 0.0)
    for number in range(MOST_VIEWS + 3):
        write_view(client, experiment, f"sweep-{number}", sweep_view(f"sweep-{number}", "a" * 32, {}), now=[1.0 + number].pop)
    kept = {key.removeprefix(PREFIX) for key in tags_of(mlflow_sqlite, experiment) if key.startswith(PREFIX)}
    assert kept == {"somebody", view_id(None), *(view_id(f"sweep-{number}") for number in range(3, MOST_VIEWS + 3))}
    assert client.removed == [PREFIX + view_id(f"sweep-{number}") for number in range(3)]  # the oldest first


@pytest.mark.parametrize("value", [None, "", "{}", "[]", '{"state": "deflate;!!"}', '{"state": "deflate;AAAA"}', '{"state": 3}', "null"])
def test_a_tag_that_is_no_view_is_written_anew(mlflow_sqlite: str, value: str | None) -> None:
    assert read_view(value) is None
    client = client_of(mlflow_sqlite)
    experiment = client.create_experiment("peoria")
    client.set_experiment_tag(experiment, PREFIX + view_id("demo"), value or "")
    assert write_view(client, experiment, "demo", sweep_view("demo", "a" * 32, {}))


def test_views_fit_into_a_tag(mlflow_sqlite: str) -> None:
    client = client_of(mlflow_sqlite)
    experiment = client.create_experiment("peoria")
    write_view(client, experiment, "x" * 64, sweep_view("x" * 64, "a" * 32, {}))
    write_view(client, experiment, None, comparison_view())
    values = [value for key, value in tags_of(mlflow_sqlite, experiment).items() if key.startswith(PREFIX + OURS)]
    assert len(values) == 2
    assert max(map(len, values)) < MOST_BYTES
    assert len(json.dumps(comparison_view())) > MOST_BYTES / 2  # the control: packed, they are far smaller


def test_links_name_the_view() -> None:
    link = deep_link("http://tracker:5000/", "7", "demo")
    assert link == f"http://tracker:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey={view_id('demo')}&compareRunsMode=CHART"
    assert len({deep_link("http://tracker", "7", name) for name in ("demo", "Demo", None)}) == 3
    assert run_link("http://tracker/", "7", "ab") == "http://tracker/#/experiments/7/runs/ab"


def test_an_axis_of_one_value_is_left_out() -> None:
    def axes(**params: str) -> list[str]:
        charts = sweep_view("demo", "a" * 32, {f"space.{name}": value for name, value in params.items()})["compareRunCharts"]
        return list(next(chart["selectedParams"] for chart in charts if chart["type"] == "PARALLEL"))

    both = ["axis.log10_learning_rate", "axis.log10_head_multiplier", "task", "axis.filter"]
    assert axes(task='["regression", "hybrid"]', outlier_sd="[null, 6.0]") == both
    assert axes(task='["regression"]', outlier_sd="[6.0]") == both[:2]
    assert axes(task='["cut off …') == both  # a long list is not whole in MLflow


def run(kind: str, role: str) -> TrackedRun:
    points = (MetricPoint(10, {"val/rho_views": 0.25}), MetricPoint(20, {"train/loss": 1.0}))
    return TrackedRun(kind, "0007", "0007", 0, {}, {"role": role}, points)


def test_baselines_stand_above_the_paper_and_the_paper_above_trials() -> None:
    runs = [run("baseline", "baseline"), *(run("trial", role) for role in ("paper", "trial", "reseed", "subset"))]
    shown = [for_the_page(one) for one in runs]
    assert [one.points[0].metrics[ORDER] for one in shown] == [4.25, 2.25, 0.25, 0.25, -1.75]
    assert all(ORDER not in one.points[1].metrics for one in shown)
    assert len({one.tags["mlflow.runColor"] for one in shown}) == len(runs)
    assert ORDER not in for_the_page(run("sweep", "sweep")).points[0].metrics


def test_a_full_point_gets_no_metric_more() -> None:
    full = MetricPoint(10, {"val/rho_views": 0.1} | {f"m{number}": 0.0 for number in range(MAX_KEYS - 1)})
    assert len(for_the_page(TrackedRun("trial", "0", "0", 0, tags={"role": "trial"}, points=(full,))).points[0].metrics) == MAX_KEYS


def test_a_view_that_cannot_be_written_fails_no_delivery(mlflow_sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = whole_sweep(tmp_path / "sweeps" / "demo").folder

    def refuse(*_: Any) -> None:
        raise OSError("no room for tags")

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("peoria.tracking.projection.write_view", refuse)
        projector = Projector(Tracker(mlflow_sqlite), SweepFolder(folder.path), say=said.append)
        assert projector.close(60.0) == ""  # all was delivered
    assert [line for line in said if "not the saved view" in line] == [
        "  MLflow has all runs, but not the saved view of them: OSError: no room for tags; `peoria ui demo` writes it"
    ]
    tracker = Tracker(mlflow_sqlite)
    tracker.project(folder)  # the control, and the next run mends it
    (experiment,) = [found for found in client_of(mlflow_sqlite).search_experiments() if found.name == "peoria"]
    assert {PREFIX + view_id("demo"), PREFIX + view_id(None)} <= set(experiment.tags)
    assert not tracker.no_view
