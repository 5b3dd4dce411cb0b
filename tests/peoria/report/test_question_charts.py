"""The further questions and the paper made again, as the page shows them, against the numbers they are of."""

import functools
from typing import Any

import pytest

from peoria.report.page import plain, render_report
from peoria.report.paper_charts import tail
from peoria.report.question_charts import charts
from peoria.verdict.answers import Questions
from peoria.verdict.words import estimate, number
from tests.helpers.changed import changed
from tests.helpers.pages import text_of
from tests.helpers.report_parts import parts

made = functools.cache(parts)


@pytest.fixture
def arguments() -> dict[str, Any]:
    return dict(made())


def test_every_question_is_answered_in_its_own_words(arguments: dict[str, Any]) -> None:
    questions = arguments["verdict"].questions
    text = text_of(render_report(**arguments), "questions")
    for answer in (questions.upper_end, questions.learning_curve, questions.leak, questions.time, questions.noise):
        assert answer.statement in text
    for answer in (questions.count_noise.views, questions.count_noise.favorites):
        assert answer.statement in text
    assert estimate(questions.within_months.rho) in text
    assert estimate(questions.calibration.deciles[-1].truth) in text
    for side in (questions.leak.random, questions.leak.owner):
        assert estimate(side.rho) in text
    assert "Not asked" not in text
    assert "Not known" not in text


def test_what_was_not_asked_is_said(arguments: dict[str, Any]) -> None:
    names = list(Questions.model_fields)
    arguments = changed(arguments, verdict__questions=Questions())
    text = text_of(render_report(**arguments), "questions")
    said = ("Not asked of this sweep", "Not known here", "were not kept by this packed set")
    assert sum(text.count(one) for one in said) == len(names) - 1 == 9


def test_the_paper_stands_beside_ours(arguments: dict[str, Any]) -> None:
    paper = arguments["verdict"].paper
    source = render_report(**arguments)
    text = text_of(source, "paper")
    for row in paper.table_1.rows:
        for found in (row.paper, row.before, row.after):
            assert f"{found.mean:,.2f}" in text
            assert f"{found.max:,}" in text
    for row in paper.table_2.rows:
        assert f"{row.paper:.2f}" in text
        assert f"{row.spearman_after:.2f}".replace("-", "−").replace("−0.00", "0.00") in text
    for task in paper.headline:
        assert plain(task.paper.loss) in text
        assert f"{task.paper.d2:.3f}" in text
        for ours in task.ours:
            assert plain(ours.val.loss) in text
            assert number(ours.val.rank) in text
    assert len(paper.figure_2.fits) == 2
    for fit in paper.figure_2.fits:
        assert fit.sentence in text
        assert f"α = {fit.exponent:.2f}" in text
    for figure in (paper.figure_3, paper.figure_4):
        assert figure.note in text
    for picture in (paper.figure_1.average, paper.figure_1.most_viewed):
        assert f"picture {picture.id}" in text


def test_of_the_paper_what_is_missing_is_said(arguments: dict[str, Any]) -> None:
    arguments = changed(arguments, verdict__paper__figure_3=None, verdict__paper__figure_2__fits=(), verdict__paper__figure_2__why_no_fit="counts: 3")
    text = text_of(render_report(**arguments), "paper")
    assert "Not trained in this sweep." in text
    assert "No law was fitted: counts: 3" in text
    arguments = changed(arguments, verdict__paper=None)
    assert "Not made: not asked" in text_of(render_report(**arguments), "paper")
    arguments = changed(arguments, verdict__control="shuffle")
    assert "reassigned counts the paper's tables would say nothing" in text_of(render_report(**arguments), "paper")


def test_a_law_through_the_learning_curve_is_dashed_where_it_is_a_guess(arguments: dict[str, Any]) -> None:
    questions = arguments["verdict"].questions
    found = charts(questions).learning_curve
    assert found is not None
    roles = [mark.role for mark in found.marks]
    assert roles == ["fan outer", "ours thin", "ours thin beyond", "ours", "ours dot"]
    inside, beyond = (found.marks[k].path for k in (1, 2))
    assert inside.rpartition("L")[2].removesuffix("h.1") == beyond.partition("L")[0].removeprefix("M")  # one goes on where the other ends
    alone = charts(changed(questions, learning_curve__fit=None, learning_curve__further=())).learning_curve
    assert alone is not None
    assert [mark.role for mark in alone.marks] == ["ours", "ours dot"]


def test_a_law_ends_at_the_edge_of_what_was_counted(arguments: dict[str, Any]) -> None:
    figure = arguments["verdict"].paper.figure_2
    curve = figure.fits[0].curve
    curve = (*curve[:-20], *(changed(point, lognormal=0.0) for point in curve[-20:]))
    for fit in tail(changed(figure, fits__0__curve=curve)).fits:
        heights = [float(place.split()[1].removesuffix("h.1")) for mark in fit.plot.marks for place in mark.path[1:].replace("M", "L").split("L")]
        assert all(0 <= height <= 1000 for height in heights)
