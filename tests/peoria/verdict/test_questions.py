"""Each further question against a direct computation, or in a world where its answer is known."""

import functools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from scipy.stats import rankdata

from peoria.records.trials import TrialRecord, read_trials
from peoria.report.build import report
from peoria.report.page import render_report
from peoria.report.question_charts import charts
from peoria.stats.ceiling import content_ceiling, count_noise, upper_end
from peoria.stats.estimates import Resampling
from peoria.stats.metrics import expected_best_of, spearman
from peoria.stats.noise import noise_places
from peoria.stats.strata import calibration, within_months
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.verdict import questions, scores
from peoria.verdict.answers import Content
from peoria.verdict.judged import Judged, signature
from peoria.verdict.values import Model
from shards.inspection.describe import describe
from tests.helpers.changed import changed
from tests.helpers.pages import text_of
from tests.helpers.report_parts import CUTOFF, SWEEP, WINNER, of_paper, on_parts, opened, parts, probe, searched
from tests.helpers.small import small_sweep
from tests.helpers.worlds import world

SHIPPED, RECIPE = f"trial-{WINNER:04d}", f"recipe-{WINNER:04d}"
FEW = Resampling(num_resamples=100)
Sweep = tuple[scores.TestScores, list[TrialRecord]]


@functools.cache
def simulated(asked: bool = True, **how: Any) -> Sweep:
    """A finished sweep, as `report_parts` makes them; every seed of the recipe and the shipped network score otherwise."""
    rng = np.random.default_rng(0)
    predictors, labels = world(0, **({"shape": 0.5, "colour": 0.3, "fame": 0.4, "age": 0.3} | how))
    trials: list[TrialRecord] = [searched(rng, number) for number in range(24)]
    trials += [of_paper(rng, "regression")]
    trials += [probe(rng, f"seed-{k}", f"again, seed {k}", seed=k) for k in (1, 2, 3)]
    trials += on_parts(rng) if asked else []
    return opened(rng, predictors, labels, 3, trials), trials


def asked(sweep: Sweep, **changed: Any) -> Any:
    """The answers, after some of what was stored is exchanged."""
    scored, trials = sweep
    scored = replace(scored, **changed)
    with mock.patch.object(questions, "Resampling", return_value=FEW):
        return questions.answer(scored, Judged.of(SWEEP, trials), trials)


def numbers(found: Model, of: Any) -> bool:
    """Whether an answer has the numbers of this result, whatever its sentence says."""
    said = {"statement": found.statement} if hasattr(found, "statement") else {}
    return found == type(found).model_validate(asdict(of) | said)


def near(value: float) -> Any:
    """To the 6 decimals that are kept."""
    return pytest.approx(value, abs=1e-6)


def column(scored: scores.TestScores, name: str) -> np.ndarray:
    """Scores of views, [N] of a network and [seeds, N] of the recipe."""
    found = scored.predictors[name].views
    assert found is not None
    return found


def test_noise_lies_where_it_was_put() -> None:
    found = noise_places(np.array([24.5] * 90 + [89.5] * 10), np.arange(100.0)[::-1])
    assert found.num == 100
    assert asdict(found.places) == pytest.approx({"q05": 0.25, "q50": 0.25, "q95": 0.90})
    shipped = column(simulated()[0], SHIPPED)
    for share, said in ((0.1, "it ranks in the lower half"), (0.8, "it ranks in the upper half")):
        found = asked(simulated(), noise=np.full(50, np.quantile(shipped, share))).noise
        assert found.places.q50 == pytest.approx(share, abs=1e-3)
        assert said in found.statement


def test_the_winners_curse_is_told_of_the_winner_itself() -> None:
    scored, trials = simulated()
    found = asked(simulated()).selection
    tried = [trial.metrics.get("val/rho_views", 0.0) for trial in trials[:24]]
    assert found.num_trials == 24  # neither the paper's nor the follow-ups
    assert found.val == near(max(tried))
    assert found.test == near(spearman(column(scored, SHIPPED), scored.labels.views))
    assert list(found.seeds) == [near(spearman(row, scored.labels.views)) for row in column(scored, RECIPE)]
    assert len({found.test, *found.seeds}) == 4  # control: none stands for another
    assert found.luck == near(expected_best_of(24, 0.021))
    rng = np.random.default_rng(1)
    assert len(found.curve) == 24
    for n in (1, 5, 24):  # every trial at most once
        simulation = np.mean([rng.permutation(tried)[:n].max() for _ in range(20_000)])
        assert found.curve[n - 1] == pytest.approx(simulation, abs=0.003)


def trained_on(sweep: Sweep, start: str) -> dict[str, np.ndarray]:
    """By key, the scores of trainings on the parts of train whose names start so."""
    scored, trials = sweep
    return {trial.key: scored.subsets[trial.key].score for trial in trials if (trial.config.subset or "").startswith(start)}


def exchanged(sweep: Sweep, scores_of: dict[str, np.ndarray]) -> Any:
    """The answers, after these trainings scored so."""
    kept = sweep[0].subsets
    return asked(sweep, subsets=kept | {key: replace(kept[key], score=score) for key, score in scores_of.items()})


def test_the_learning_curve_goes_through_what_was_measured() -> None:
    scored, _ = simulated()
    found = asked(simulated()).learning_curve
    views = scored.labels.views
    shares = [0.125, 0.25, 0.5]
    assert [point.fraction for point in found.points] == [*shares, 1.0]
    assert [point.num_pictures for point in found.points] == [1050, 2100, 4200, 8400]
    assert [point.num_owners for point in found.points] == [350, 700, 1400, 2800]
    assert [point.num_trainings for point in found.points] == [1, 1, 3, 3]
    expected = [np.mean([spearman(row, views) for row in trained_on(simulated(), f"owners:{share:g}").values()]) for share in shares]
    expected.append(np.mean([spearman(row, views) for row in column(scored, RECIPE)]))
    assert [point.rho.value for point in found.points] == [near(float(value)) for value in expected]
    assert found.last_doubling.value == near(float(expected[-1] - expected[-2]))
    assert found.answer == "rising"
    assert asked(simulated(asked=False)).learning_curve is None


def test_half_of_the_owners_is_worse_for_sure_where_every_training_on_it_is() -> None:
    """With trainings that differ as much as half and whole do nothing is claimed; one lucky training a side would have been."""
    scored, _ = simulated()
    recipe, half = column(scored, RECIPE), list(trained_on(simulated(), "owners:0.5"))
    level = exchanged(simulated(), dict(zip(half, recipe, strict=True))).learning_curve
    assert level.answer in ("negligible", "undecided")  # half of the owners are as good as all
    worst = recipe[0] + 3 * np.random.default_rng(0).normal(size=len(recipe[0]))
    found = exchanged(simulated(), dict(zip(half, [worst, recipe[1], recipe[2]], strict=True))).learning_curve
    assert found.answer == "undecided"
    unlucky = exchanged(simulated(), dict.fromkeys(half, worst)).learning_curve
    assert unlucky.answer == "rising"  # control: were that training all that is known of half


def test_a_training_that_diverged_ranks_nothing() -> None:
    """Left out, a side would be judged by the seeds that went well; and one that was trained once has no point."""
    scored, trials = simulated()
    half, quarter = list(trained_on(simulated(), "owners:0.5")), list(trained_on(simulated(), "owners:0.25"))
    ended = [replace(one, status="diverged") if one.key in (half[1], quarter[0]) else one for one in trials]
    assert half[1] in Judged.of(SWEEP, ended).keys
    kept = scored.subsets[half[1]]
    changed = replace(scored, subsets=scored.subsets | {half[1]: replace(kept, score=np.zeros_like(kept.score))})
    found = asked((changed, ended)).learning_curve
    assert [(point.fraction, point.num_trainings) for point in found.points] == [(0.125, 1), (0.5, 3), (1.0, 3)]
    before = asked(simulated()).learning_curve
    assert found.points[1].rho.value < 0.8 * before.points[2].rho.value


def test_a_leak_is_found_where_there_is_one() -> None:
    scored, _ = simulated()
    found = asked(simulated()).leak
    assert scored.leak is not None
    for name, side in (("random", scored.leak.random), ("owner", scored.leak.owner)):
        assert getattr(found, name).rho.value == near(spearman(side.score, side.views))
    assert found.difference.value == pytest.approx(found.random.rho.value - found.owner.rho.value, abs=2e-6)
    assert found.difference.value > 0
    assert found.leaks
    random = scored.leak.random
    same = asked(simulated(), leak=replace(scored.leak, random=replace(random, score=scored.leak.owner.score))).leak
    assert not same.leaks
    assert asked(simulated(), leak=replace(scored.leak, random=replace(random, owners=np.full(1200, "")))).leak is None
    assert asked(simulated(asked=False)).leak is None


def test_a_model_of_the_past_that_is_worse_is_told_so() -> None:
    scored, _ = simulated()
    dates, views, recipe = scored.labels.uploaded_at, scored.labels.views, column(scored, RECIPE)
    assert dates is not None
    rows = dates >= np.datetime64(CUTOFF)
    found = asked(simulated()).time
    assert (found.cutoff, found.num_pictures, found.num_trainings) == (CUTOFF, rows.sum(), 3)
    assert 0 < rows.sum() < len(rows)
    assert found.num_owners == len(set(scored.labels.owners[rows]))
    past, control = (trained_on(simulated(), kind) for kind in ("before", "matched"))
    sides = (past.values(), control.values(), recipe)
    expected = [float(np.mean([spearman(row[rows], views[rows]) for row in side])) for side in sides]
    assert [found.past.value, found.control.value, found.all.value] == [near(value) for value in expected]
    assert found.difference.value == near(expected[0] - expected[1])
    assert found.answer == "worse"
    assert "does worse on later pictures: " in found.statement
    assert asked(simulated(dates_known=False)).time is None
    assert asked(simulated(asked=False)).time is None


def test_the_past_is_held_against_its_control_alone() -> None:
    scored, trials = simulated()
    dates, recipe = scored.labels.uploaded_at, column(scored, RECIPE)
    assert dates is not None
    rows = dates >= np.datetime64(CUTOFF)
    past, control = (trained_on(simulated(), kind) for kind in ("before", "matched"))
    as_bad = exchanged(simulated(), dict(zip(control, past.values(), strict=True))).time
    assert as_bad.past.value < as_bad.all.value - 0.05  # worse than all of train, and so is as much of any time
    assert as_bad.answer in ("negligible", "undecided")
    before_only = {key: np.where(rows, score, -recipe[0]) for key, score in zip(past, control.values(), strict=True)}
    assert exchanged(simulated(), before_only).time.answer in ("negligible", "undecided")  # what it makes of earlier pictures does not count
    without = [one for one in trials if one.key not in control]
    assert asked((scored, without)).time is None  # a sweep of before the control


def test_what_is_asked_of_the_network_as_shipped_is_asked_of_no_other() -> None:
    scored, _ = simulated()
    labels, shipped, seed = scored.labels, column(scored, SHIPPED), column(scored, RECIPE)[0]
    found = asked(simulated())

    def expected(score: np.ndarray) -> dict[str, Any]:
        assert labels.uploaded_at is not None
        return {
            "upper_end": upper_end(score, labels.views, scored.clusters, FEW),
            "within_months": within_months(score, labels.views, labels.uploaded_at, scored.clusters, FEW),
            "calibration": calibration(score, rankdata(labels.views) / len(labels), scored.clusters, FEW),
        }

    for name, value in expected(shipped).items():
        assert numbers(getattr(found, name), value)
        assert not numbers(getattr(found, name), expected(seed)[name])  # control
    assert labels.favorites is not None
    assert numbers(found.count_noise.views, count_noise(labels.views, scored.clusters, FEW))
    assert numbers(found.count_noise.favorites, count_noise(labels.favorites, scored.clusters, FEW))


def test_what_the_labels_lack_is_not_answered() -> None:
    found = asked(simulated(dates_known=False, favorites_known=False))
    assert found.within_months is None
    assert found.count_noise.views is not None
    assert found.count_noise.favorites is None


def copies(num: int = 300, *, content: float, owner: float = 0.0) -> scores.CopyPairs:
    """The first half of different owners, the second of one owner; log views of content, owner, and chance."""
    rng = np.random.default_rng(3)
    half = num // 2
    owners = {"a": np.array([f"a{k % 75}" for k in range(num)])}
    owners["b"] = np.array([f"b{k % 75}" for k in range(half)] + owners["a"][half:].tolist())
    fame = dict(zip(sorted({*owners["a"], *owners["b"]}), rng.normal(size=225), strict=False))
    what = rng.normal(size=num)
    views = []
    for side in "ab":
        logs = content * what + owner * np.array([fame[name] for name in owners[side]]) + (1 - content - owner) * rng.normal(size=num)
        views.append(np.floor(np.exp(4 + logs)).astype(np.int64))
    return scores.CopyPairs(*views, owners["a"], owners["b"])


def test_copies_tell_what_content_can_reach() -> None:
    assert asked(simulated()).content is None  # nothing was kept
    equal = asked(simulated(), copies=copies(content=1.0)).content
    for _, group in equal:
        assert group.num_pairs == 150
        assert group.rho.value > 0.999
        assert group.ceiling.value > 0.999
    chance = asked(simulated(), copies=copies(content=0.0)).content
    for _, group in chance:
        assert abs(group.rho.value) < 0.2
        assert group.rho.low < 0 < group.rho.high
    famous = asked(simulated(), copies=copies(content=0.1, owner=0.8)).content
    assert famous.same_owner.rho.low > 0.8
    assert famous.other_owner.rho.high < 0.5
    stored = copies(content=0.5)
    half = asked(simulated(), copies=stored).content
    ceiling = content_ceiling(stored.views_a, stored.views_b, stored.owner_a, stored.owner_b, FEW)
    assert numbers(half.other_owner, ceiling.other_owner)
    assert numbers(half.same_owner, ceiling.same_owner)


def test_the_page_shows_what_content_can_reach() -> None:
    arguments = parts(num_trials=24)
    verdict = arguments["verdict"]
    assert verdict.questions.content is None
    assert "Copies of one picture were not kept by this packed set" in text_of(render_report(**arguments), "questions")
    enough = asked(simulated(), copies=copies(content=0.5)).content

    def shown(of_content: Content) -> tuple[str, list[str]]:
        """The section's text, and the labels of its rows."""
        drawn = charts(changed(verdict.questions, content=of_content)).content
        assert drawn is not None
        text = text_of(render_report(**changed(arguments, verdict__questions__content=of_content)), "questions")
        return text, [row.label for row in drawn.rows]

    text, rows = shown(enough)
    some = scores.CopyPairs(*(of[100:160] for of in vars(copies(content=0.5)).values()))
    few = asked(simulated(), copies=some).content
    for _, group in enough:
        assert group.statement in text
    assert "were not kept" not in text
    assert rows == ["copies by different owners: content", "copies by one owner: content and owner"]
    assert few.other_owner.num_pairs == 50
    assert few.same_owner.ceiling is None
    text, rows = shown(few)
    assert few.same_owner.statement in text
    assert rows == ["copies by different owners: content"]
    text, rows = shown(Content(other_owner=few.same_owner, same_owner=few.same_owner))
    assert few.same_owner.statement in text
    assert rows == []


@pytest.mark.slow
def test_a_report_asks_copies_unless_counts_were_handed_out_anew(planted_shards: Path, tmp_path: Path) -> None:
    kept = describe(planted_shards)["near_duplicates"]
    for control in (None, "shuffle"):
        sweep = run_sweep(
            small_sweep(planted_shards, trials=1), RunOptions(home=tmp_path, local=True, tracking="off", control=control), lambda line: None
        )
        verdict = report(tmp_path, sweep.folder.name, tracking="off", say=lambda line: None)
        found = verdict.questions.content
        if control is None:
            assert found is not None
            assert {name: group.num_pairs for name, group in found} == kept
        else:
            assert found is None


@pytest.mark.slow
def test_a_sweep_trains_both_sides_of_a_claim_as_often_and_on_as_much(planted_shards: Path, tmp_path: Path) -> None:
    shared = small_sweep(planted_shards).shared | {"pictures": 48, "batch_size": 16, "evaluations": 1, "curve_points": 1}
    sweep = small_sweep(planted_shards, trials=1, seeds=3, questions=("learning-curve", "time"), shared=shared)
    folder = run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None).folder
    verdict = report(tmp_path, folder.name, tracking="off", say=lambda line: None)
    found = verdict.questions.learning_curve
    assert found is not None
    assert [point.num_trainings for point in found.points] == [1, 1, 3, 3]
    trials = read_trials(folder)
    scored = scores.TestScores.read(folder, signature(folder.read_definition(), Judged.of(folder.read_definition(), trials)))
    assert scored is not None
    sizes = {kind: [of.size.num_pictures for key, of in scored.subsets.items() if kind in key] for kind in ("before", "matched")}
    assert len(sizes["before"]) == len(sizes["matched"]) == 3
    assert len({*sizes["before"], *sizes["matched"]}) == 1  # as many pictures on both sides
    assert sizes["before"][0] < scored.train.num_pictures
    drawn = [scored.subsets[key].score for key in scored.subsets if "matched" in key]
    assert not np.array_equal(drawn[0], drawn[1])
