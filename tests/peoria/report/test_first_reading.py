"""What a reader who was not there needs: the winner by its story, trials that were stopped, floors of p, estimates that point the other way."""

import functools
import re
from typing import Any

import numpy as np
import pytest

from peoria.report.leaderboard import COLUMNS, leader_board, p_text
from peoria.report.page import flat, render_report
from peoria.report.search_charts import TrialCurve, lines_of
from peoria.report.winners import stories, winner_names
from peoria.stats.estimates import Estimate
from peoria.verdict.sentences import with_sentences
from peoria.verdict.values import Interval
from tests.helpers.changed import changed
from tests.helpers.pages import Page, section
from tests.helpers.report_parts import parts

KEY = "val/rank_mean"
made = functools.cache(parts)


@pytest.fixture
def arguments() -> dict[str, Any]:
    return dict(made())


def curve(key: str, status: str, *values: float) -> TrialCurve:
    points = tuple((100 * k, {KEY: value}) for k, value in enumerate(values, start=1))
    return TrialCurve(key, key, status, "search", "hybrid", {"learning_rate": 1e-3, "head_multiplier": 1.0, "outlier_sd": None}, points)


def test_what_is_read_first_names_no_trial_by_its_settings(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    label = f"{verdict.winners.views.label}, 3 fresh seeds"
    named = changed(verdict, predictors__0__label=label)
    source = render_report(**arguments | {"verdict": named})
    cards = Page("".join(re.findall(r"<article.*?</article>", source, re.DOTALL))).text
    story = stories(named)["views"]
    assert re.fullmatch(
        r"The winner: a \w+ network \(caffenet\), learning rate [\d.]+e−\d, last layer [\d.]+ times as fast, "
        r"(no outlier cut|outlier cut at \d+ sd); chosen of 24 trials \D+, judged by the mean of 3 fresh seeds\.",
        story,
    )
    assert all(told in cards for told in stories(named).values())
    assert len(stories(named)) == 2
    assert label not in cards
    assert label not in Page(f"<section {section(source, 'board')}</section>").text
    assert "the winner, 3 fresh seeds" in Page(f"<section {section(source, 'board')}</section>").text
    assert label in named.predictors[0].label  # control: the verdict itself keeps it


def test_two_winners_are_told_apart(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    other = changed(verdict.winners.views, key="0004")
    two = changed(verdict, winners__favorites=other, targets__favorites__predictor="trial-paper-hybrid")
    labels = [predictor.label for predictor in winner_names(two).predictors]
    assert "the winner for views, 3 fresh seeds" in labels
    assert "the winner for views as shipped (trial 0007)" in labels
    assert [label for label in labels if label.startswith("the paper")]


def test_a_trial_that_was_stopped_after_one_evaluation_is_seen() -> None:
    curves = [curve("0000", "done", 0.1, 0.2), curve("0001", "pruned", 0.3), curve("0002", "pruned", 0.3, 0.2), curve("0003", "diverged", 0.1)]
    marks = lines_of(curves, KEY, "0000", ends=True)
    assert [(mark.kind, mark.role, bool(mark.label)) for mark in marks] == [
        ("line", "other pruned", True),
        ("dots", "dot stopped", True),  # evaluated once: the ring alone bears its name
        ("dots", "dot stopped", False),
        ("dots", "dot broken", True),
        ("dots", "dot hole", False),
        ("line", "winner done", True),  # on top
    ]
    assert sum(bool(mark.label) for mark in marks) == len(curves)
    without = lines_of(curves, KEY, "0000")  # control: before, a line of one point was all there was of it
    assert [mark.kind for mark in without if len(mark.points) == 1] == ["line", "line"]


def test_the_legend_keeps_its_promise(arguments: dict[str, Any]) -> None:
    source = section(render_report(**arguments), "search")
    figure = source[: source.index("<summary>")]
    pruned = [c for c in arguments["curves"] if c.purpose == "search" and c.status == "pruned" and c.last(KEY) is not None]
    rings = re.findall(r'class="dot stopped" d="(M[^"]+)"', figure)
    assert len(pruned) > 2
    assert len(rings) == len(pruned) + 1  # and that of the legend
    assert "pruned: stopped there" in figure
    none = [c for c in arguments["curves"] if c.status != "pruned"]
    assert "pruned: stopped there" not in section(render_report(**arguments | {"curves": none}), "search")


def test_the_objective_is_defined_on_the_page(arguments: dict[str, Any]) -> None:
    assert "rank_mean is what the search maximises: the mean of ρ with views and of the Gini of favourites" in Page(render_report(**arguments)).text
    alone = changed(arguments, sweep__objective="rho_views")
    assert "rho_views is what the search maximises: ρ with views, on val" in Page(render_report(**alone)).text


def test_a_floor_of_p_is_told_from_a_value() -> None:
    rng = np.random.default_rng(0)
    far, near = (Estimate(value, value + 0.1 * rng.normal(size=2000), 60.0) for value in (0.9, 0.2))
    assert (far.p_is_floor(), near.p_is_floor()) == (True, False)
    assert far.p_value() == Estimate(3.0, 3.0 + 0.1 * rng.normal(size=2000), 60.0).p_value()  # however far: no smaller one can be shown
    assert near.p_value() > far.p_value()
    assert (p_text(0.003, True), p_text(0.003), p_text(0.0002)) == ("≤ 0.003", "0.003", "< 0.001")


def test_what_points_the_other_way_is_said(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    said = "ρ = −0.345 [−0.570, −0.097], which points the other way"
    below = Interval(value=-0.345, low=-0.57, high=-0.097)
    for field, what in (("given_context", "given "), ("neighbours", "against neighbours in time ")):
        text = with_sentences(changed(verdict, **{f"targets__views__{field}": below})).targets.views.lines[0].text
        assert said in text
        assert text.index(what) < text.index(said)
        across = below.model_copy(update={"high": 0.01})
        assert "points the other way" not in with_sentences(changed(verdict, **{f"targets__views__{field}": across})).targets.views.lines[0].text
    board = leader_board(changed(verdict, predictors__0__rho_views=below), COLUMNS, {})
    assert board.rows[0].cells[0].against
    assert not board.rows[0].cells[1].against
    assert "points the other way" in render_report(**changed(arguments, verdict__predictors__0__rho_views=below))


def test_settings_are_rows_and_no_raw_json(arguments: dict[str, Any]) -> None:
    definition = {
        "name": "a",
        "space": {"learning_rate": {"low": 1e-4, "high": 0.1}, "outlier_sd": [None, 6.0]},
        "queue": [{"task": "hybrid"}],
        "prune": True,
    }
    assert flat(definition) == [
        ("name", "a"),
        ("prune", "yes"),
        ("queue 1.task", "hybrid"),
        ("space.learning_rate.high", "0.1"),
        ("space.learning_rate.low", "0.0001"),
        ("space.outlier_sd", "none, 6.0"),
    ]
    source = render_report(**arguments)
    assert "<pre>" not in source
    assert '"name":' not in source
