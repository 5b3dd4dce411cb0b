import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peoria.errors import ReportError
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import holm
from peoria.stats.metrics import gini, spearman
from peoria.verdict.judge import judge
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import AboveChance, Judgement, Openings, Target
from peoria.verdict.values import Interval
from peoria.verdict.vaults import Shown
from tests.helpers.worlds import judged, said, world

WINNER = "recipe-0007"


def verdict_of(seed: int = 0, num_resamples: int = 200, **how: Any) -> Judgement:
    return judged(*world(seed, **how), num_resamples=num_resamples)


def views_of(predictor: PredictorScores) -> np.ndarray:
    assert predictor.views is not None
    return predictor.views


def answers(verdict: Judgement, target: Target = "views") -> list[str]:
    return [line.answer for line in verdict.targets.of(target).lines]


def test_a_world_of_signal() -> None:
    verdict = verdict_of(num_owners=600, shape=0.9, colour=0.3)
    text = said(verdict)
    views = verdict.targets.views
    assert answers(verdict) == answers(verdict, "favorites") == ["shown"] * 3
    assert views.in_the_picture
    assert views.beats_all_baselines
    assert views.num_seeds == 3
    assert re.search(
        r"Part of a picture's popularity is in the picture \(ρ = 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]; .*; it ranks views better than every baseline",
        text,
    )
    assert re.search(r"Views, image against chance: part of the views is in the picture: over all pictures ρ = 0\.\d+ \[.*\], given age, seas", text)
    assert re.search(r"7\d\.\d % \[.*\] of [\d,]+ pairs of one owner, at most 30 days apart, in the right order \(7\d\.\d % \[.*\] beyond what", text)
    assert re.search(r"\), against neighbours in time ρ = 0\.\d+ \[0\.", text)
    assert re.search(
        r"would have to explain \d\d\.\d % of score and views alike to bring the lower bound of the last of these to 0; weekday explains \d\.\d %\.",
        text,
    )
    assert re.search(r"Favourites, image against chance: part of the favourites is in the picture: over all pictures Gini = 0\.", text)
    against = (
        r"against the colour ridge baseline, the closest of the cheap models, given context \+0\..*\], pairs \+0\..*\], against neighbours \+0\."
    )
    assert re.search(rf"Views, deep against cheap image: more: ρ \+0\.\d+ \[.*\] {against}", text)
    assert re.search(r"Views, image on top of context: the image adds: ρ .*\d of context \(age\) becomes 0\.\d+ with the image, \+0\.", text)
    assert re.search(
        r"Smallest effect that could be seen in 4 cases of 5: ρ 0\.0\d+, given context ρ 0\.0\d+, 5\d\.\d % of pairs, against neighbours ρ 0\.\d+\.",
        text,
    )
    assert "not decided" not in text
    assert "leakage" not in text


def test_a_world_of_nothing() -> None:
    verdict = verdict_of(seed=1)
    text = said(verdict)
    assert verdict.headline.startswith("If the score tells anything of how often a picture is viewed, it is less than a small effect (ρ < 0.1): ρ = ")
    assert answers(verdict) == ["smaller"] * 3
    assert "Views, image against chance: what the score tells of a picture beyond its neighbours in time is smaller than ρ 0.1: over all p" in text
    assert "more by less than 0.1, if at all: ρ " in text
    assert "the image adds less than 0.1, if anything: ρ " in text
    assert not verdict.targets.views.beats_all_baselines
    assert not re.search(r"explains? it|part of", text)
    few = verdict_of(seed=1, num_owners=60)  # control: with few owners the same is not decided
    assert answers(few)[0] == "undecided"


def test_a_world_of_colour_is_no_evidence_of_more_than_colour() -> None:
    scores, labels = world(colour=0.6)
    ridge = views_of(scores["colour-ridge"]) + np.random.default_rng(9).normal(0, 0.01, (3, len(labels)))
    scores[WINNER] = replace(scores[WINNER], views=ridge)
    verdict = judged(scores, labels)
    assert answers(verdict)[:2] == ["shown", "smaller"]
    assert not verdict.targets.views.beats_all_baselines
    assert "is in the picture" in verdict.headline
    assert verdict.headline.endswith("; it ranks views better than the colour ridge baseline by less than 0.1, if at all.")
    assert "cheap image: more by less than 0.1, if at all: ρ " in said(verdict)


def test_a_world_of_owners_is_said_to_be_fame() -> None:
    verdict = verdict_of(fame=0.8)
    views = verdict.targets.views
    assert views.above_chance == AboveChance(pooled=True, given_context=True, within_owner=False, neighbours=False)
    assert not views.in_the_picture
    assert views.explained_by == "owner"
    assert answers(verdict) == ["smaller", "undecided", "undecided"]
    assert "but what pictures of one owner and month have in common explains it" in verdict.headline
    assert "art of" not in said(verdict)


def test_a_world_of_age_is_said_to_be_age() -> None:
    verdict = verdict_of(seed=2, age=1.5)
    views = verdict.targets.views
    assert views.above_chance.pooled
    assert not views.above_chance.given_context
    assert not views.in_the_picture
    assert views.explained_by == "context"
    assert "but what the table knows beside the picture explains it" in verdict.headline
    assert answers(verdict) == ["smaller", "undecided", "smaller"]
    assert "context and image together rank worse than context alone" in said(verdict)
    assert "art of" not in said(verdict)


def test_what_is_unknown_is_said_and_not_claimed() -> None:
    neither = verdict_of(shape=0.6, owners_known=False, dates_known=False)
    assert "Owners unknown: intervals are per picture, leakage by owner not controlled, and nothing is shown." in neither.notes
    assert neither.headline == "Too little to judge: owners are unknown, and pictures of one owner are alike in looks and in fame."
    assert neither.targets.views.given_context is neither.targets.views.within_owner is neither.targets.views.neighbours is None
    dates_only = verdict_of(shape=0.6, owners_known=False)
    assert dates_only.predictors[0].rho_given_context.low > 0  # control: the interval alone, which is per picture, would claim
    assert dates_only.headline == neither.headline
    owners_only = verdict_of(shape=0.6, dates_known=False, favorites_known=False)
    assert owners_only.targets.views.above_chance.within_owner
    assert "but age and change within owners may stand behind it" in owners_only.headline
    assert owners_only.targets.favorites is None
    assert "avourites" not in said(owners_only)
    for verdict in (neither, dates_only, owners_only):
        assert answers(verdict) == ["undecided"] * 3
        assert not verdict.targets.views.in_the_picture
        assert "art of" not in said(verdict)


def test_some_unknown_owners_are_said() -> None:
    scores, labels = world(shape=0.6)
    owners = np.where(np.arange(len(labels)) % 4 == 0, "", labels.owners)
    verdict = judged(scores, replace(labels, owners=owners), num_resamples=50)
    assert "Owners unknown for 25.0 % of the pictures: there, intervals are per picture, leakage by owner not controlled." in verdict.notes


def test_few_owners_claim_nothing_however_clear_the_numbers() -> None:
    verdict = verdict_of(num_owners=10, of_owner=20, shape=2.0)
    views = verdict.targets.views
    assert views.pooled.low > 0.5  # control: the interval alone would claim skill
    assert verdict.headline == "Too little to judge: 10 owners in test, where at least 20 are needed."
    assert answers(verdict) == ["undecided"] * 3
    assert all("too little to judge: 10 owners in test" in line.text for line in views.lines)
    assert not any(
        [views.in_the_picture, views.beats_all_baselines, views.above_chance.pooled, views.above_chance.given_context, views.above_chance.neighbours]
    )


def test_owners_of_whom_one_has_nearly_all_are_few() -> None:
    scores, labels = world(num_owners=40, of_owner=20, shape=2.0)
    owners = np.where(labels.owners.astype(int) < 12, "one", labels.owners)
    verdict = judged(scores, replace(labels, owners=owners), num_resamples=50)
    assert verdict.test.num_units == 29  # control: their number alone would do
    assert verdict.headline.startswith("Too little to judge: the 29 owners in test are worth 1.")
    assert answers(verdict) == ["undecided"] * 3


def test_few_owners_with_pairs_hold_no_fame_fixed() -> None:
    scores, labels = world(shape=0.6)
    owners = np.where(labels.owners.astype(int) < 10, labels.owners, np.arange(len(labels)).astype(str))
    verdict = judged(scores, replace(labels, owners=owners), num_resamples=50)
    assert verdict.targets.views.within_owner is None
    assert not verdict.targets.views.in_the_picture
    assert verdict.targets.views.neighbours is None
    assert "but owner fame and change within owners may stand behind it, which these data do not hold fixed" in verdict.headline
    assert verdict.test.pairs_views.num_owners < 20


@pytest.mark.parametrize("how", [{}, {"fame": 0.8}, {"age": 1.5}])
def test_worlds_without_appeal_are_seldom_said_to_be_in_the_picture(how: dict[str, float]) -> None:
    said_so = [verdict_of(seed, 60, num_owners=150, **how).targets.views.in_the_picture for seed in range(20)]
    assert sum(said_so) <= 2


def test_every_cheap_model_has_to_be_beaten_and_the_closest_is_told() -> None:
    scores, labels = world(shape=0.6, colour=0.3)
    weak = np.random.default_rng(5).normal(size=len(labels))
    scores["frozen-trunk-ridge"] = PredictorScores("frozen-trunk-ridge", "frozen-trunk ridge", "learned", weak, weak)
    views = judged(scores, labels).targets.views
    assert views.deep is not None
    assert (views.deep.name, views.deep_shown) == ("colour-ridge", True)
    as_good = views_of(scores["trial-0007"])
    scores["frozen-trunk-ridge"] = PredictorScores("frozen-trunk-ridge", "frozen-trunk ridge", "learned", as_good, as_good)
    views = judged(scores, labels).targets.views
    assert views.deep is not None
    assert next(of for of in views.differences if of.name == "colour-ridge").more  # one that is beaten does not do
    assert (views.deep.name, views.deep_shown) == ("frozen-trunk-ridge", False)


def test_two_seeds_of_a_recipe_claim_nothing() -> None:
    scores, labels = world(shape=0.9)
    two = {**scores, WINNER: replace(scores[WINNER], views=views_of(scores[WINNER])[:2])}
    verdict = judged(two, labels, num_resamples=50)
    assert verdict.headline == "Too little to judge: the recipe was trained with 2 fresh seeds, where at least 3 are needed."
    assert answers(verdict) == ["undecided"] * 3
    assert answers(judged(scores, labels, num_resamples=50))[0] == "shown"  # control


def test_rare_favourites_that_a_score_tells_well_are_not_called_small_nor_explained() -> None:
    """A yes of one picture in 200 correlates with no score by much: less than a small effect of ρ is not less than a small effect."""
    scores, labels = world(shape=0.6)
    rng = np.random.default_rng(0)
    rank = views_of(scores["trial-0007"]) + rng.normal(size=len(labels))
    liked = (rank >= np.sort(rank)[-len(labels) // 40]).astype(np.int64)
    of = judged(scores, replace(labels, favorites=liked)).targets.favorites
    assert of is not None
    assert of.pooled.value > 0.3
    assert of.lines[0].answer != "smaller"
    assert of.explained_by is None


def test_each_target_has_its_own_winner() -> None:
    scores, labels = world(shape=0.6)
    chance = np.random.default_rng(3).normal(size=len(labels))
    scores["recipe-0008"] = PredictorScores("recipe-0008", "trial 8, 1 fresh seed", "recipe", chance[None], views_of(scores[WINNER]))
    verdict = judge(scores, labels, Clusters.of(labels.owners), winners={"views": WINNER, "favorites": "recipe-0008"}, num_resamples=50)
    assert verdict.targets.views.above_chance.pooled
    assert verdict.targets.favorites.above_chance.pooled  # by its score for favourites, not that for views
    swapped = judge(scores, labels, Clusters.of(labels.owners), winners={"views": "recipe-0008", "favorites": WINNER}, num_resamples=50)
    assert not swapped.targets.views.above_chance.pooled


def test_numbers_are_those_of_the_metrics_and_differences_are_paired() -> None:
    scores, labels = world(shape=0.6, colour=0.3)
    verdict = judged(scores, labels, num_resamples=100)
    found = {p.name: p for p in verdict.predictors}
    assert list(found)[:3] == [WINNER, "trial-0007", "paper-regression"]
    assert labels.favorites is not None
    for name in ("trial-0007", "colour-ridge"):
        assert found[name].rho_views.value == pytest.approx(spearman(views_of(scores[name]), labels.views), abs=1e-6)
        assert found[name].gini_fav.value == pytest.approx(gini(views_of(scores[name]), labels.favorites >= 1), abs=1e-6)
    of_seeds = [spearman(row, labels.views) for row in views_of(scores[WINNER])]
    assert found[WINNER].rho_views.value == pytest.approx(np.mean(of_seeds), abs=1e-6)
    assert found["trivial-regression"].rho_views is None
    assert found["trivial-regression"].losses == {"half_mse_views (train mean)": 6543.75}
    one = {"trial-0007": scores["trial-0007"]}
    twin = {**one, "twin": replace(scores["trial-0007"], name="twin", kind="learned", views=views_of(scores["trial-0007"]) * 2)}
    difference = next(d for d in judged(twin, labels, num_resamples=100).targets.views.differences if d.name == "twin")
    assert difference.difference == Interval(value=0.0, low=0.0, high=0.0)  # of one resample each: unpaired ones would differ


def test_seeds_that_differ_widen_the_interval() -> None:
    scores, labels = world(shape=0.6)
    same = np.stack([views_of(scores["trial-0007"])] * 5)
    mixed = same + np.random.default_rng(4).normal(0, [[0.0], [0.5], [1.0], [2.0], [4.0]], same.shape)

    def width(views: np.ndarray) -> float:
        found = judged({**scores, WINNER: replace(scores[WINNER], views=views)}, labels).targets.views.pooled
        return found.high - found.low

    assert width(mixed) > 1.5 * width(same)


def test_the_verdict_is_the_same_to_the_byte_and_json() -> None:
    texts = {verdict_of(num_resamples=50, shape=0.5).model_dump_json() for _ in range(2)}
    assert len(texts) == 1
    assert verdict_of(num_resamples=50, shape=0.5, seed=1).model_dump_json() not in texts


def test_losses_that_are_not_finite_and_constant_scores_do_no_harm() -> None:
    scores, labels = world(shape=0.6)
    scores["flat"] = PredictorScores("flat", "flat", "learned", np.ones(len(labels)), np.ones(len(labels)), {"mse_views": float("inf")})
    flat = next(p for p in judged(scores, labels, num_resamples=50).predictors if p.name == "flat")
    assert flat.losses == {}
    assert flat.rho_views == flat.rho_given_context == flat.rho_neighbours == Interval(value=0.0, low=0.0, high=0.0)
    assert flat.pair_accuracy.value == 0.5


def test_an_oracle_of_planted_pictures_is_told_and_is_no_baseline() -> None:
    scores, labels = world(shape=0.6)
    seen = np.log1p(labels.views.astype(float))
    scores["oracle"] = PredictorScores("oracle", "oracle", "oracle", seen, seen)
    verdict = judged(scores, labels, num_resamples=50)
    assert verdict.targets.views.beats_all_baselines  # though the oracle is better
    assert re.search(r"A perfect reader of these planted pictures would reach ρ = 1\.000 \[1\.000, 1\.000\]; \d\d % of it was found\.", said(verdict))
    assert verdict.predictors[-1].name == "oracle"


def test_no_baselines_no_claim_to_beat_them() -> None:
    scores, labels = world(shape=0.6)
    verdict = judged({"trial-0007": scores["trial-0007"]}, labels, num_resamples=50)
    assert verdict.targets.views.beats_all_baselines is None
    assert answers(verdict)[1:] == ["undecided", "undecided"]
    assert "no score of context was fitted" in said(verdict)
    assert "baseline" not in said(verdict)


def test_many_openings_cost_certainty() -> None:
    scores, labels = world(seed=4, num_owners=60, shape=0.22)
    first, late = (judged(scores, labels, num_resamples=2000, opening=opening) for opening in (1, 40))
    assert first.openings == Openings(number=1, false_claims_at_most=0.025)
    assert late.openings == Openings(number=40, false_claims_at_most=1.0)
    assert first.targets.views.above_chance_after_openings
    assert late.targets.views.above_chance.pooled  # the claim itself is that of one look
    assert not late.targets.views.above_chance_after_openings
    assert any("Opening 40 of this test set: among 40 looks" in note and "no skill can be claimed" in note for note in late.notes)


def test_an_opening_of_a_vault_is_a_first_look_whatever_its_number() -> None:
    scores, labels = world(seed=4, num_owners=60, shape=0.22)
    seen = Shown(first=2, last=2, num_vaults=5, num_owners=250, num_sealed=251, num_all=1000)
    late = judged(scores, labels, num_resamples=2000, opening=40, shown=seen)
    assert late.openings == Openings(
        number=40, false_claims_at_most=0.025, first_vault=2, last_vault=2, num_vaults=5, owner_share=0.25, owners_sealed=251
    )  # fmt: skip
    assert late.targets.views.above_chance_after_openings
    assert late.notes[-1] == (
        "Opening 40 of this test set showed vault 2 of 5, 25 % of its owners: whatever was seen before, a number without skill is claimed with a "
        "chance of at most 2.5 %; 251 owners stay sealed."
    )
    whole = judged(scores, labels, num_resamples=50, shown=Shown(1, 1, 1, 61, 0, 61))
    assert "Opening 1 of this test set showed all of it: whatever" in whole.notes[-1]
    assert "; no owner stays sealed." in whole.notes[-1]


def test_holm_corrects_for_how_many_are_listed() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # by hand: 3 × 0.01, then 2 × 0.03, then at least that
    assert holm([]) == []
    rng = np.random.default_rng(0)
    p_values = rng.uniform(size=(2000, 8))
    assert np.mean([min(holm(list(row))) < 0.05 for row in p_values]) < 0.065
    assert np.mean(p_values.min(axis=1) < 0.05) > 0.25  # control: uncorrected
    listed = verdict_of(num_resamples=200, shape=0.6).targets.views.single_trials
    assert [trial.name for trial in listed] == ["trial-0007", "paper-regression"]
    assert listed[0].p_holm < 0.05 < listed[1].p_holm


def test_all_problems_are_told_at_once() -> None:
    scores, labels = world(num_owners=30)
    owners = Clusters.of(labels.owners)
    wrong = {
        "a": replace(scores["trial-0007"], name="a", favorites=None),
        "b": replace(scores["trial-0007"], name="b", views=np.ones(3)),
    }
    pattern = r"(?s)a: no favorites score; what is judged.*nobody: no views score.*b: views score of shape \(1, 3\); one value"
    with pytest.raises(ReportError, match=pattern):
        judge(wrong, labels, owners, winners={"favorites": "a", "views": "nobody"})
    with pytest.raises(ReportError, match="winners: none for views"):
        judge({}, labels, owners, winners={})
    with pytest.raises(ReportError, match="views: 180 test pictures with one number of views; at least 3 pictures with different views"):
        judge(scores, replace(labels, views=np.ones(180, np.int64)), owners, winners={"views": WINNER})
