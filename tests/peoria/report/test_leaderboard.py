"""What the verdict's charts show, against the numbers they are of."""

import copy
import functools
from typing import Any

import pytest

from peoria.report.leaderboard import COLUMNS, cards, differences, leader_board, loss_table, selection
from peoria.verdict.sentences import estimate
from tests.helpers.worlds import judged, world


@functools.cache
def made() -> dict[str, Any]:
    verdict = judged(*world(0, shape=0.5, colour=0.3, fame=0.4, age=0.3), num_resamples=60)
    found = {"val": 0.7, "test": 0.65, "seeds": [0.6, 0.64, 0.66], "num_trials": 3, "luck": 0.04, "curve": [0.3, 0.5, 0.7]}
    return verdict | {"best": {"key": "0007"}, "questions": {"selection": found}}


@pytest.fixture
def verdict() -> dict[str, Any]:
    return copy.deepcopy(made())


def test_a_mark_and_a_word_for_each_claim(verdict: dict[str, Any]) -> None:
    lines = verdict["targets"]["views"]["lines"]
    for line, claim in zip(lines, (True, False, None), strict=True):
        line["claim"] = claim
    found = cards(verdict)[0]["lines"]
    assert [(line["sign"], line["word"]) for line in found] == [("✓", "yes"), ("✗", "not shown"), ("?", "cannot tell")]
    assert all(line["lead"] + line["rest"] + line["smallest"] == line["text"] for line in found)  # nothing is lost
    assert all(line["smallest"].startswith("Smallest ") for line in found)


def test_intervals_beside_the_lines_are_those_of_the_verdict(verdict: dict[str, Any]) -> None:
    card = cards(verdict)[0]
    judged_views = verdict["targets"]["views"]
    image, deep, context = (line["rows"] for line in card["lines"])
    assert [row["text"] for row in image[:2]] == [estimate(judged_views[key]) for key in ("pooled", "given_age")]
    assert deep[0]["text"] == estimate(judged_views["deep"]["difference"], sign=True)
    assert context[0]["text"] == estimate(judged_views["context"]["difference"], sign=True)
    pairs = image[2]
    assert pairs["found"]["value"] == pytest.approx(2 * judged_views["within_owner"]["value"] - 1)
    unit = (pairs["at"]["value"] - card["chance"]) / pairs["found"]["value"]
    assert image[0]["at"]["value"] == pytest.approx(card["chance"] + unit * judged_views["pooled"]["value"], abs=0.1)  # one axis for all
    assert pairs["band"]["width"] == pytest.approx(4 * unit * judged_views["detectable"]["within_owner"], abs=0.1)


def test_a_skill_is_right_of_chance_exactly_where_its_interval_is(verdict: dict[str, Any]) -> None:
    judged_views = verdict["targets"]["views"]
    judged_views["deep"]["difference"] = {"value": 0.01, "low": -0.02, "high": 0.04}
    card = cards(verdict)[0]
    at = card["lines"][1]["rows"][0]["at"]
    assert at["low"] < card["chance"] < at["value"]
    assert card["lines"][0]["rows"][0]["at"]["low"] > card["chance"]


def test_what_is_not_known_has_no_bar() -> None:
    verdict = judged(*world(0, shape=0.5, owners_known=False, dates_known=False), num_resamples=60)
    rows = cards(verdict)[0]["lines"][0]["rows"]
    assert [(row["text"] == "not known here", row["at"] is None) for row in rows] == [(False, False), (True, True), (True, True)]


def test_the_board_has_every_number_and_the_corrected_p(verdict: dict[str, Any]) -> None:
    found = leader_board(verdict, COLUMNS, {})
    assert [column["key"] for column in found["columns"]] == list(COLUMNS)
    assert [row["kind"] for row in found["rows"]][:2] == ["recipe", "shipped"]
    by_label = {row["label"]: dict(zip(COLUMNS, row["cells"], strict=True)) for row in found["rows"]}
    assert by_label["trial 7"]["rho_views"]["holm"] == verdict["targets"]["views"]["single_trials"][0]["p_holm"]
    assert by_label["colour ridge"]["rho_views"]["holm"] is None  # no single trained network
    assert by_label["constants (regression)"]["rho_views"]["text"] == "ranks nothing"
    for predictor in verdict["predictors"]:
        if "gini_fav" in predictor:
            assert by_label[predictor["label"]]["gini_fav"]["text"] == estimate(predictor["gini_fav"])


def test_a_ceiling_is_drawn_only_where_it_leaves_room(verdict: dict[str, Any]) -> None:
    def drawn(ceiling: float) -> Any:
        return leader_board(verdict, COLUMNS, {"rho_views": ceiling})["columns"][0]["ceiling"]

    assert 0 < drawn(0.9) < 100
    assert drawn(30.0) is None


def test_differences_of_the_winner(verdict: dict[str, Any]) -> None:
    views, favorites = differences(verdict)
    assert [row["label"] for row in views["rows"]] == [other["label"] for other in verdict["targets"]["views"]["differences"]]
    assert favorites["rows"][0]["text"] == estimate(verdict["targets"]["favorites"]["differences"][0]["difference"], sign=True)
    assert (views["symbol"], favorites["symbol"]) == ("ρ", "Gini")


def test_the_winners_curse(verdict: dict[str, Any]) -> None:
    found = selection(verdict)
    assert found is not None
    val, shipped, recipe = found["strip"]["rows"]
    assert val["text"] == "0.700"
    assert shipped["text"] == estimate(verdict["predictors"][1]["rho_views"])
    assert len(recipe["dots"]) == 3
    assert found["fell"] == "−0.050"
    assert found["best_of"]["references"][0]["value"] == 0.04
    verdict["targets"]["views"]["winner"] = "trial-0007"  # no fresh seeds
    alone = selection(verdict)
    assert alone is not None
    assert (len(alone["strip"]["rows"]), alone["seeds"]) == (2, [])
    verdict["questions"]["selection"] = None
    assert selection(verdict) is None


def test_losses_stand_beside_the_constants_once() -> None:
    predictors: list[dict[str, Any]] = [
        {"label": "net", "kind": "shipped", "losses": {"half_mse_views": 3.0, "half_mse_views_train_mean": 4.0, "d2": 0.25}},
        {
            "label": "constants",
            "kind": "trivial",
            "losses": {"half_mse_views": 4.0, "half_mse_views (train mean)": 4.0, "half_mse_views (train median)": 5.0},
        },
    ]
    table = loss_table(predictors)
    assert table["columns"] == ["d2", "half_mse_views"]
    assert [(row["label"], row["losses"]) for row in table["rows"]] == [
        ("net", {"half_mse_views": 3.0, "d2": 0.25}),
        ("constant: train mean", {"half_mse_views": 4.0}),
        ("constant: train median", {"half_mse_views": 5.0}),
    ]
    predictors[0]["losses"]["half_mse_views_train_mean"] = 4.5  # says something else: stays
    assert "half_mse_views_train_mean" in loss_table(predictors)["columns"]
