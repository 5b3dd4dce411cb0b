"""What a browser that was never here sees of a sweep in MLflow, without a click."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from peoria.tracking.views import PREFIX, comparison_view, deep_link, read_view, sweep_view, view_id, write_view
from tests.browser.conftest import SWEEPS, Shown
from tests.helpers.browser import OF_MLFLOW, charts, fresh_page, wait_for_charts
from tests.helpers.mlflow_held import client_of
from tests.helpers.written_study import BASELINES, CUTS, TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
EXPERIMENT = "1"


def test_the_link_opens_on_trials_and_baselines_as_lines(shown: Shown, browser: "Browser") -> None:
    errors: list[str] = []
    with fresh_page(browser, errors) as page:
        page.goto(shown.link)
        rho, gini = wait_for_charts(page, 2, 20)[:2]
        page.locator(".parcoords .dimension").first.wait_for()
        assert page.get_by_text("MLflow Assistant").count() == 0  # it would cover a quarter of the page
        assert tick_words(page, "axis.filter") == {"no cut", "6 sd", "3 sd", "1 sd"}
        assert len(tick_words(page, "task")) == len(TASKS)
    by_name = lines_of(rho)
    assert set(lines_of(gini)) == set(by_name)
    for name, value in BASELINES.items():
        level = next(line for run, line in by_name.items() if name.replace("-", " ") in run)
        assert level == [value, value]  # from one end of the axis to the other
    curves = [line for run, line in by_name.items() if len(line) > 2]
    assert len(curves) >= 4
    assert all(line[-1] > line[0] for line in curves)
    assert not [error for error in errors if not any(word in error for word in OF_MLFLOW)]


def test_without_the_view_no_trial_is_there(shown: Shown, browser: "Browser") -> None:
    """The control: what MLflow opens on by itself."""
    with fresh_page(browser) as page:
        page.goto(shown.link.replace(f"&viewStateShareKey={view_id('small')}", ""))
        page.get_by_role("link", name="small").first.wait_for()
        page.wait_for_timeout(3000)
        assert all(not set(lines_of(chart)) - set(SWEEPS) for chart in charts(page))


def test_the_table_has_the_columns_of_the_story(shown: Shown, browser: "Browser") -> None:
    with fresh_page(browser) as page:
        page.goto(shown.link.replace("CHART", "TABLE"))
        page.get_by_role("columnheader", name="val/rho_views").first.wait_for()
        heads = set(page.get_by_role("columnheader").all_inner_texts())
        first = page.locator(".ag-center-cols-container [role=row], .ag-pinned-left-cols-container [role=row]").first
        first.wait_for()
        assert "context" in page.locator("[role=row][row-index='0']").first.inner_text()  # what trials are held against stands above them
    assert {"val/rho_views", "val/gini_fav", "task", "learning_rate", "head_multiplier", "outlier_sd", "role", "status"} <= heads
    assert "Source" not in heads


def test_200_trials_leave_the_baselines_on_the_page(shown: Shown, browser: "Browser") -> None:
    """MLflow's page loads 100 runs: by their order the best, and all baselines."""
    with fresh_page(browser) as page:
        page.goto(deep_link(shown.uri, EXPERIMENT, "large"))
        by_name = lines_of(wait_for_charts(page, 2, 90)[0])
        page.locator(".parcoords .dimension").first.wait_for()
        assert tick_words(page, "axis.filter") == {"no cut", "6 sd", "3 sd", "1 sd"}
    for name in BASELINES:
        assert any(name.replace("-", " ") in run for run in by_name), name
    client = client_of(shown.database)
    runs = client.search_runs([EXPERIMENT], "tags.`peoria.sweep` = 'large' and tags.role = 'trial'", order_by=["metrics.`val/rho_views` DESC"])
    assert {run.info.run_name for run in runs[:80]} <= set(by_name)
    lowest = client.search_runs(
        [EXPERIMENT], "tags.`peoria.sweep` = 'large' and tags.`mlflow.parentRunId` LIKE '%'", order_by=["metrics.`val/rho_views` DESC"]
    )
    assert not {run.info.run_name for run in lowest[:100] if "peoria.baseline" in run.data.tags} >= {  # the control: by rho_views alone some are not
        run.info.run_name for run in lowest if "peoria.baseline" in run.data.tags
    }


def test_a_word_among_numbers_would_leave_runs_out(shown: Shown, browser: "Browser") -> None:
    """The control of axis.filter: with the setting itself, whose ``null`` is a word, parallel coordinates lose the trials without a cut."""
    client = client_of(shown.database)
    parent = client.search_runs([EXPERIMENT], "tags.`peoria.sweep` = 'small' and tags.role = 'sweep'")[0]
    raw = json.loads(json.dumps(sweep_view("small", parent.info.run_id, parent.data.params)).replace("axis.filter", "outlier_sd"))
    write_view(client, EXPERIMENT, "control", raw)
    with fresh_page(browser) as page:
        page.goto(deep_link(shown.uri, EXPERIMENT, "control"))
        page.locator(".parcoords .dimension").first.wait_for()
        assert "null" not in tick_words(page, "outlier_sd")
    client.delete_experiment_tag(EXPERIMENT, PREFIX + view_id("control"))


@pytest.mark.parametrize("number", [3, 120])
def test_runs_compared_are_all_drawn_where_they_belong(shown: Shown, browser: "Browser", number: int) -> None:
    client = client_of(shown.database)
    runs = client.search_runs([EXPERIMENT], "tags.`peoria.sweep` = 'large' and tags.role = 'trial'", max_results=number)
    with fresh_page(browser) as page:
        page.goto(f"{shown.uri}/#/compare-runs?runs={json.dumps([run.info.run_id for run in runs])}&experiments={json.dumps([EXPERIMENT])}")
        (chart, *_) = wait_for_charts(page, 1)
        assert page.get_by_text(f"Comparing {number} Runs").count() == 1
    axes = {axis["label"]: axis for axis in chart["dimensions"]}
    assert set(axes) >= {"axis.filter", "axis.log10_head_multiplier", "axis.log10_learning_rate"}  # chosen by MLflow itself, by their names
    for label in ("axis.log10_head_multiplier", "axis.log10_learning_rate"):
        assert sorted(axes[label]["values"]) == pytest.approx(sorted(float(run.data.params[label]) for run in runs))
    words = axes["axis.filter"]
    assert len(words["ticks"]) == len(set(words["ticks"]))  # MLflow cuts words at ten letters, and draws two that are cut alike as one
    drawn = [words["ticks"][int(value)].strip() for value in words["values"]]
    assert sorted(drawn) == sorted(run.data.params["axis.filter"].strip() for run in runs)
    assert set(drawn) <= {"no cut", *(f"{cut:g} sd" for cut in CUTS if cut)}


def test_sweeps_stand_side_by_side(shown: Shown, browser: "Browser") -> None:
    with fresh_page(browser) as page:
        page.goto(deep_link(shown.uri, EXPERIMENT))
        chart = wait_for_charts(page, 1, 2 * len(SWEEPS))[0]
        assert set(lines_of(chart)) == set(SWEEPS)
    client = client_of(shown.database)
    both = [run.info.run_id for run in client.search_runs([EXPERIMENT], "tags.role = 'sweep'") if run.info.run_name in ("small", "other")]
    with fresh_page(browser) as page:
        page.goto(f"{shown.uri}/#/compare-runs?runs={json.dumps(both)}&experiments={json.dumps([EXPERIMENT])}")
        page.get_by_text("Comparing 2 Runs").first.wait_for()


def test_the_views_are_those_that_this_version_writes(shown: Shown) -> None:
    tags = client_of(shown.database).get_experiment(EXPERIMENT).tags
    written = {name: read_view(tags[PREFIX + view_id(name)]) for name in (*SWEEPS, None)}
    assert all(view is not None for view in written.values())
    assert (written[None] or {})["state"] == comparison_view()


def lines_of(chart: dict[str, Any]) -> dict[str, list[float]]:
    """y by run; MLflow draws a line and its outline."""
    return {trace["name"]: trace["y"] for trace in chart["traces"] if trace["name"] and trace["y"]}


def tick_words(page: "Page", axis: str) -> set[str]:
    """Of an axis of parallel coordinates. A word that is too wide in the browser's font is shortened by MLflow, and whole beside it on hovering."""
    found: list[str] = page.evaluate(
        """name => [...document.querySelectorAll('.parcoords .dimension')].filter(axis => axis.querySelector('.label')?.textContent === name)
            .flatMap(axis => [...axis.querySelectorAll('.tick')].map(tick => tick.querySelector('text').textContent))""",
        axis,
    )
    return {word.strip() for word in found}
