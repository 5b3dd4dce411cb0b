import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from worlds import said, world

from peoria.errors import ReportError
from peoria.metrics import gini, spearman
from peoria.verdict import PredictorScores, judge


def verdict_of(seed: int = 0, num_resamples: int = 200, **how: Any) -> dict[str, Any]:
    return judge(*world(seed, **how), num_resamples=num_resamples)


def views_of(predictor: PredictorScores) -> np.ndarray:
    assert predictor.views is not None
    return predictor.views


def test_a_world_of_signal() -> None:
    verdict = verdict_of(shape=0.6, colour=0.3)
    text = said(verdict)
    assert verdict["in_the_picture"]
    assert verdict["beats_all_baselines"]
    assert verdict["beats"] == {"rho_views": True, "gini_fav": True}
    assert re.search(
        r"Part of a picture's popularity is in the picture \(ρ = 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]; .*; the best network ranks views better",
        text,
    )
    assert re.search(r"Views: the score and the views correlate: ρ = 0\.\d+ \[0\.\d+, 0\.\d+\], 95 % interval over owners\.", text)
    assert re.search(r"Favourites: the score and the favourites correlate: Gini = 0\.", text)
    assert "Given upload age, score and views still correlate: ρ = 0." in text
    assert "Within one owner, at most 30 days apart, the score still tells the more viewed picture: 7" in text
    assert "Views: more than the colour ridge baseline: ρ +0." in text
    assert "Favourites: more than the paper's regression: Gini +0." in text
    assert re.search(r"smallest effect that this test split of 2,400 pictures could have shown in 4 cases of 5 is ρ = 0\.06", text)
    assert "no evidence" not in text
    assert "leakage" not in text


def test_a_world_of_nothing() -> None:
    verdict = verdict_of(seed=1)
    text = said(verdict)
    assert verdict["headline"].startswith("No evidence that the score tells how often a picture is viewed: ρ = ")
    assert re.search(r"Views: no evidence of skill: ρ = .*, the interval covers 0\.", text)
    assert re.search(r"Given upload age, no evidence of skill: .*, the interval covers 0\.", text)
    assert re.search(r"Within one owner.*, no evidence of skill: .*, the interval covers 50 %\.", text)
    assert not verdict["in_the_picture"]
    assert not verdict["beats_all_baselines"]
    assert "explains" not in text
    assert "in the picture" not in text


def test_a_world_of_colour_is_no_evidence_of_more_than_colour() -> None:
    scores, labels = world(colour=0.6)
    scores["best"] = replace(scores["best"], views=views_of(scores["colour-ridge"]) + np.random.default_rng(9).normal(0, 0.01, len(labels)))
    verdict = judge(scores, labels, num_resamples=200)
    assert verdict["in_the_picture"]
    assert not verdict["beats"]["rho_views"]
    assert not verdict["beats_all_baselines"]
    assert "is in the picture" in verdict["headline"]
    assert verdict["headline"].endswith("there is no evidence that the best network ranks views better than the colour ridge baseline.")
    assert "Views: no evidence of more than the colour ridge baseline: ρ " in said(verdict)
    assert "Views: more than the paper's regression: ρ +" in said(verdict)


def test_a_world_of_owners_is_said_to_be_fame() -> None:
    verdict = verdict_of(fame=0.8)
    text = said(verdict)
    assert verdict["above_chance"] == {"rho_views": True, "gini_fav": True, "rho_given_age": True, "pair_accuracy": False}
    assert "but owner fame explains it as far as these data can tell" in verdict["headline"]
    assert re.search(r"Within one owner.*no evidence of skill: .*: owner fame or age explains the correlation as far as these data can tell\.", text)
    assert "in the picture" not in text
    assert not verdict["in_the_picture"]


def test_a_world_of_age_is_said_to_be_age() -> None:
    verdict = verdict_of(seed=2, age=1.5)
    text = said(verdict)
    assert verdict["above_chance"]["rho_views"]
    assert not verdict["above_chance"]["rho_given_age"]
    assert "but age explains it as far as these data can tell" in verdict["headline"]
    assert re.search(r"Given upload age, no evidence of skill: .*: age explains the correlation as far as these data can tell\.", text)
    assert "in the picture" not in text
    assert not verdict["in_the_picture"]


def test_what_is_unknown_is_said_and_not_claimed() -> None:
    neither = verdict_of(shape=0.6, owners_known=False, dates_known=False)
    assert "Owners unknown: intervals are per picture, leakage by owner not controlled." in neither["statements"]
    assert "Upload dates unknown: age, which raises views, is not held fixed." in neither["statements"]
    assert "but age and owner fame may stand behind it" in neither["headline"]
    assert {"rho_given_age", "pair_accuracy"}.isdisjoint(neither["predictors"][0])
    dates_only = verdict_of(shape=0.6, owners_known=False)
    assert dates_only["above_chance"]["rho_given_age"]
    assert "but owner fame may stand behind it" in dates_only["headline"]
    owners_only = verdict_of(shape=0.6, dates_known=False, favorites_known=False)
    assert owners_only["above_chance"]["pair_accuracy"]
    assert "but age may stand behind it" in owners_only["headline"]
    assert "gini_fav" not in owners_only["predictors"][0]
    assert "Favourites" not in said(owners_only)
    for verdict in (neither, dates_only, owners_only):
        assert not verdict["in_the_picture"]
        assert "in the picture" not in said(verdict)


def test_some_unknown_owners_are_said() -> None:
    scores, labels = world(shape=0.6)
    owners = np.where(np.arange(len(labels)) % 4 == 0, "", labels.owners)
    verdict = judge(scores, replace(labels, owners=owners), num_resamples=50)
    assert "Owners unknown for 25.0 % of the pictures: there, intervals are per picture, leakage by owner not controlled." in verdict["statements"]


def test_few_owners_claim_nothing_however_clear_the_numbers() -> None:
    verdict = verdict_of(num_owners=10, of_owner=20, shape=2.0)
    assert verdict["predictors"][0]["rho_views"]["low"] > 0.5  # control: the interval alone would claim skill
    assert verdict["headline"] == "Too little to judge: 10 owners in test, where at least 20 are needed."
    assert verdict["statements"][0].startswith("Only 10 owners in test: the intervals are too narrow to be believed")
    assert not any([verdict["in_the_picture"], verdict["beats_all_baselines"], *verdict["above_chance"].values()])


def test_few_owners_with_pairs_hold_no_fame_fixed() -> None:
    scores, labels = world(shape=0.6)
    owners = np.where(labels.owners.astype(int) < 10, labels.owners, np.arange(len(labels)).astype(str))
    verdict = judge(scores, replace(labels, owners=owners), num_resamples=50)
    assert "pair_accuracy" not in verdict["predictors"][0]
    assert not verdict["in_the_picture"]
    assert re.search(r"Owner fame is not held fixed: \d+ pairs of 1?\d owners, at most 30 days apart; pairs of at least 20 owners", said(verdict))


@pytest.mark.parametrize("how", [{}, {"fame": 0.8}, {"age": 1.5}])
def test_worlds_without_appeal_are_seldom_said_to_be_in_the_picture(how: dict[str, float]) -> None:
    claims = [verdict_of(seed, 60, num_owners=150, **how)["in_the_picture"] for seed in range(20)]
    assert sum(claims) <= 2


def test_numbers_are_those_of_the_metrics_and_differences_are_paired() -> None:
    scores, labels = world(shape=0.6, colour=0.3)
    verdict = judge(scores, labels, num_resamples=100)
    found = {p["name"]: p for p in verdict["predictors"]}
    assert list(found) == ["best", "paper-regression", "colour-ridge", "trivial-regression", "random-score"]
    assert labels.favorites is not None
    for name in ("best", "colour-ridge"):
        assert found[name]["rho_views"]["value"] == pytest.approx(spearman(views_of(scores[name]), labels.views), abs=1e-6)
        assert found[name]["gini_fav"]["value"] == pytest.approx(gini(views_of(scores[name]), labels.favorites >= 1), abs=1e-6)
    assert "rho_views" not in found["trivial-regression"]
    assert found["trivial-regression"]["losses"] == {"half_mse_views (train mean)": 6543.75}
    twin = {**scores, "twin": replace(scores["best"], name="twin", kind="learned", views=views_of(scores["best"]) * 2)}
    difference = next(d for d in judge(twin, labels, num_resamples=100)["differences"] if d["name"] == "twin")
    assert difference["rho_views"] == {"value": 0.0, "low": 0.0, "high": 0.0}  # of one resample each: unpaired ones would differ


def test_the_verdict_is_the_same_to_the_byte_and_json() -> None:
    texts = {json.dumps(verdict_of(num_resamples=50, shape=0.5), sort_keys=True, allow_nan=False) for _ in range(2)}
    assert len(texts) == 1
    assert json.dumps(verdict_of(num_resamples=50, shape=0.5, seed=1), sort_keys=True) not in texts


def test_losses_that_are_not_finite_and_constant_scores_do_no_harm() -> None:
    scores, labels = world(shape=0.6)
    scores["flat"] = PredictorScores("flat", "flat", "learned", np.ones(len(labels)), np.ones(len(labels)), {"mse_views": float("inf")})
    flat = next(p for p in judge(scores, labels, num_resamples=50)["predictors"] if p["name"] == "flat")
    assert flat["losses"] == {}
    assert flat["rho_views"] == flat["rho_given_age"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert flat["pair_accuracy"]["value"] == 0.5


def test_an_oracle_of_planted_pictures_is_told_and_is_no_baseline() -> None:
    scores, labels = world(shape=0.6)
    scores["oracle"] = replace(scores["best"], name="oracle", label="oracle", kind="oracle", views=np.log1p(labels.views), favorites=labels.views)
    verdict = judge(scores, labels, num_resamples=50)
    assert verdict["beats_all_baselines"]  # though the oracle is better
    assert "A perfect reader of these planted pictures would reach ρ = 1.000 [1.000, 1.000]." in verdict["statements"]
    assert verdict["predictors"][-1]["name"] == "oracle"


def test_no_baselines_no_claim_to_beat_them() -> None:
    scores, labels = world(shape=0.6)
    verdict = judge({"best": scores["best"]}, labels, num_resamples=50)
    assert verdict["beats"] == {}
    assert not verdict["beats_all_baselines"]
    assert "baseline" not in said(verdict)


def test_all_problems_are_told_at_once() -> None:
    scores, labels = world(num_owners=30)
    wrong = {
        "a": replace(scores["best"], name="a", favorites=None),
        "b": replace(scores["best"], name="b", views=np.ones(3)),
    }
    pattern = r"(?s)scores: 2 predictors of kind 'best' \(a, b\); exactly one.*a: no favorites score.*b: views score of shape \(3,\); one value"
    with pytest.raises(ReportError, match=pattern):
        judge(wrong, labels)
    with pytest.raises(ReportError, match=r"scores: 0 predictors of kind 'best' \(none\)"):
        judge({}, labels)
    with pytest.raises(ReportError, match="views: 180 test pictures with one number of views; at least 3 pictures with different views"):
        judge({"best": scores["best"]}, replace(labels, views=np.ones(180, np.int64)))
