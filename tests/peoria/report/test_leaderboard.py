"""What the verdict's charts show, against the numbers they are of."""

import functools

import pytest

from peoria.report.leaderboard import COLUMNS, cards, differences, leader_board, loss_table, selection
from peoria.verdict.schema import Kind, Predictor, Verdict
from peoria.verdict.values import Interval
from peoria.verdict.words import estimate
from tests.helpers.changed import changed
from tests.helpers.report_parts import parts
from tests.helpers.worlds import judged, world


@functools.cache
def made() -> Verdict:
    found: Verdict = parts(num_trials=12)["verdict"]
    return found


@pytest.fixture
def verdict() -> Verdict:
    return made()


def test_a_mark_and_a_word_for_each_answer(verdict: Verdict) -> None:
    for number, answer in enumerate(("shown", "smaller", "undecided")):
        verdict = changed(verdict, **{f"targets__views__lines__{number}__answer": answer})
    found = cards(verdict)[0].lines
    assert [(line.sign, line.word) for line in found] == [("✓", "yes"), ("✗", "small"), ("?", "not decided")]
    texts = [line.text for line in verdict.targets.views.lines]
    assert [line.lead + line.rest + line.smallest for line in found] == texts  # nothing is lost
    assert all(line.smallest.startswith("Smallest ") for line in found)


def test_intervals_beside_the_lines_are_those_of_the_verdict(verdict: Verdict) -> None:
    card, views = cards(verdict)[0], verdict.targets.views
    assert views.given_context is not None
    assert views.neighbours is not None
    assert views.within_owner is not None
    assert views.deep is not None
    assert views.context is not None
    assert views.detectable.within_owner is not None
    image, deep, context = (line.rows for line in card.lines)
    assert [row.text for row in image[:2]] == [estimate(found) for found in (views.pooled, views.given_context)]
    assert image[3].text == estimate(views.neighbours)
    assert deep[0].text == estimate(views.deep.difference, sign=True)
    assert views.deep.within_owner is not None
    assert views.deep.given_context is not None
    assert deep[1].text == estimate(views.deep.given_context, sign=True)
    assert deep[2].found is not None
    assert deep[2].text == estimate(views.deep.within_owner, sign=True)
    assert deep[2].found.value == pytest.approx(2 * views.deep.within_owner.value)
    assert context[0].text == estimate(views.context.difference, sign=True)
    pairs = image[2]
    assert pairs.found is not None
    assert pairs.at is not None
    assert pairs.band is not None
    assert image[0].at is not None
    assert pairs.found.value == pytest.approx(2 * views.within_owner.value - 1)
    unit = (pairs.at.value - card.chance) / pairs.found.value
    assert image[0].at.value == pytest.approx(card.chance + unit * views.pooled.value, abs=0.1)  # one axis for all
    assert pairs.band.high - pairs.band.low == pytest.approx(4 * unit * views.detectable.within_owner, abs=0.1)


def test_a_skill_is_right_of_chance_exactly_where_its_interval_is(verdict: Verdict) -> None:
    card = cards(changed(verdict, targets__views__deep__difference=Interval(value=0.01, low=-0.02, high=0.04)))[0]
    deep, pooled = card.lines[1].rows[0].at, card.lines[0].rows[0].at
    assert deep is not None
    assert pooled is not None
    assert deep.low < card.chance < deep.value
    assert pooled.low > card.chance


def test_what_is_not_known_has_no_bar() -> None:
    rows = cards(judged(*world(0, shape=0.5, owners_known=False, dates_known=False), num_resamples=60))[0].lines[0].rows
    assert [(row.text == "not known here", row.at is None) for row in rows] == [(False, False), *[(True, True)] * 3]


def test_the_board_has_every_number_and_the_corrected_p(verdict: Verdict) -> None:
    found = leader_board(verdict, COLUMNS, {})
    assert [column.key for column in found.columns] == list(COLUMNS)
    assert [row.kind for row in found.rows][:2] == ["recipe", "shipped"]
    by_label = {row.label: dict(zip(COLUMNS, row.cells, strict=True)) for row in found.rows}
    assert by_label["trial 7"]["rho_views"].holm == verdict.targets.views.single_trials[0].p_holm
    assert by_label["colour ridge"]["rho_views"].holm is None  # no single trained network
    assert by_label["constants (regression)"]["rho_views"].text == "ranks nothing"
    ranked = [predictor for predictor in verdict.predictors if predictor.gini_fav is not None]
    assert len(ranked) == len(verdict.predictors) - 1
    for predictor in ranked:
        assert predictor.gini_fav is not None
        assert by_label[predictor.label]["gini_fav"].text == estimate(predictor.gini_fav)


def test_a_ceiling_is_drawn_only_where_it_leaves_room(verdict: Verdict) -> None:
    def drawn(ceiling: float) -> float | None:
        return leader_board(verdict, COLUMNS, {"rho_views": ceiling}).columns[0].ceiling

    assert 0 < (drawn(0.9) or 0) < 100
    assert drawn(30.0) is None


def test_differences_of_the_winner(verdict: Verdict) -> None:
    views, favorites = differences(verdict)
    assert verdict.targets.favorites is not None
    assert [row.label for row in views.strip.rows] == [other.label for other in verdict.targets.views.differences]
    assert favorites.strip.rows[0].text == estimate(verdict.targets.favorites.differences[0].difference, sign=True)
    assert (views.symbol, favorites.symbol) == ("ρ", "Gini")


def test_the_winners_curse(verdict: Verdict) -> None:
    verdict = changed(verdict, questions__selection__val=0.7, questions__selection__test=0.65, questions__selection__luck=0.04)
    found = selection(verdict)
    assert found is not None
    val, shipped, recipe = found.strip.rows
    rho = verdict.predictors[1].rho_views
    assert rho is not None
    assert (val.text, shipped.text) == ("0.700", estimate(rho))
    assert len(recipe.dots) == len(found.seeds) == 3
    assert found.fell == "−0.050"
    assert found.best_of.references[0].value == 0.04
    alone = selection(changed(verdict, targets__views__predictor="trial-0007"))  # no fresh seeds
    assert alone is not None
    assert (len(alone.strip.rows), alone.seeds) == (2, ())
    assert selection(changed(verdict, questions__selection=None)) is None


def test_losses_stand_beside_the_constants_once() -> None:
    def predictor(label: str, kind: Kind, **losses: float) -> Predictor:
        return Predictor(name=label, label=label, kind=kind, num_seeds=1, losses=losses)

    constants = predictor("constants", "trivial", **{"half_mse_views": 4.0, "half_mse_views (train mean)": 4.0, "half_mse_views (train median)": 5.0})
    table = loss_table([predictor("net", "shipped", half_mse_views=3.0, half_mse_views_train_mean=4.0, d2=0.25), constants])
    assert table.columns == ("d2", "half_mse_views")
    assert [(row.label, row.losses) for row in table.rows] == [
        ("net", {"half_mse_views": 3.0, "d2": 0.25}),
        ("constant: train mean", {"half_mse_views": 4.0}),
        ("constant: train median", {"half_mse_views": 5.0}),
    ]
    other = predictor("net", "shipped", half_mse_views=3.0, half_mse_views_train_mean=4.5)  # says something else: stays
    assert "half_mse_views_train_mean" in loss_table([other, constants]).columns
