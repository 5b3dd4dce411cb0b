"""The page of plots opens without a network and holds what it should."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest

from peoria.config.space import Space
from peoria.report.search_page import sweep_plots


class Loads(HTMLParser):
    """What a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "link", "iframe"):
            self.addresses += [value for name, value in attrs if name in ("src", "href") and value]


def searched(num_trials: int, tasks: tuple[str, ...] = ("regression", "hybrid")) -> optuna.Study:
    """A study whose value depends on the learning rate alone."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", study_name="demo", sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(num_trials):
        trial = study.ask()
        point = Space(task=tasks).suggest(trial)
        study.tell(trial, -abs(math.log10(point["learning_rate"]) + 4) / 4)
    return study


def figures(page: str) -> list[tuple[str, list[dict[str, object]]]]:
    """(title, traces) of each plot of a page."""
    found = []
    for start in re.finditer(r'Plotly\.newPlot\(\s*"plot\d+",\s*', page):
        traces, end = json.JSONDecoder().raw_decode(page, start.end())
        layout, _ = json.JSONDecoder().raw_decode(page, re.compile(r",\s*").match(page, end).end())  # type: ignore[union-attr]
        found.append((layout["title"]["text"], traces))
    return found


def test_one_page_that_loads_nothing(tmp_path: Path) -> None:
    paths = sweep_plots(searched(40), tmp_path / "report" / "plots")
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["report/plots/search.html"]
    page = paths[0].read_text()
    loads = Loads()
    loads.feed(page)
    assert loads.addresses == []
    assert page.count("* plotly.js v") == 1  # plotly's own script is in it, once
    assert len(figures(page)) == 5  # the history, and two for each task


def test_control_a_page_from_a_network_is_noticed(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    loads = Loads()
    loads.feed(go.Figure().to_html(include_plotlyjs="cdn"))
    assert [address[:8] for address in loads.addresses] == ["https://"]


def test_what_mattered_is_told_within_a_task(tmp_path: Path) -> None:
    (path,) = sweep_plots(searched(60), tmp_path)
    by_title = dict(figures(path.read_text()))
    mattered = by_title["regression: what mattered"][0]
    assert set(mattered["y"]) == {"learning_rate", "head_multiplier", "outlier_sd"}  # type: ignore[call-overload]
    assert mattered["y"][-1] == "learning_rate"  # type: ignore[index]  # the longest bar is drawn last
    assert "hybrid: what mattered" in by_title
    assert "Search history" in by_title


def test_a_task_with_few_trials_is_said_to_have_few(tmp_path: Path) -> None:
    (path,) = sweep_plots(searched(5, tasks=("regression",)), tmp_path)
    assert "regression: 5 finished trials; 8 are needed to say what mattered." in path.read_text()


@pytest.mark.parametrize("value", [None, -1.0])
def test_nothing_to_draw(tmp_path: Path, value: float | None) -> None:
    study = searched(0)
    if value is not None:
        for _ in range(9):
            study.tell(study.ask(), value)
    assert sweep_plots(study, tmp_path) == [] == list(tmp_path.iterdir())
