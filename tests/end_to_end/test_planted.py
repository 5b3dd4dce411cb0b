"""Worlds whose answer is known, through the whole path: planted, packed, swept, judged. What was planted is found; what was not is not claimed.

Each guard of the measurement has a control beside it: a number that would have claimed skill had the guard not been there, or a score that
it lets through. Seeds are 0 throughout and were not chosen. ``pytest -s`` prints the figures, one line a world.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Point, Sweep
from peoria.data.dataset import open_dataset
from peoria.data.targets import counts, kept_by_outlier_filter
from peoria.records.schema import BaselineRecord, ModelCard
from peoria.records.trials import read_trial
from peoria.records.val_scores import ValScores
from peoria.report.build import report
from peoria.stats import bootstrap, metrics
from peoria.stats.clusters import Clusters
from peoria.stats.context import bootstrap_given_context
from peoria.stats.estimates import expanded_percentiles
from peoria.stats.pairs import bootstrap_pairs, within_owner_pairs
from peoria.tasks import get_task
from peoria.verdict.measures import PAIR_DAYS, Known
from peoria.verdict.schema import AboveChance
from peoria.verdict.values import Interval
from shards.errors import NothingSealedError
from shards.labels import Labels
from shards.read.openings import OPENINGS, openings
from tests.helpers.faults import long_count
from tests.helpers.many_sweeps import SHARED, SPACE
from tests.helpers.planted_worlds import Worlds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    home = tmp_path_factory.mktemp("worlds")
    yield Worlds(home)
    shutil.rmtree(home)  # 3 GB of decoded pictures


def holds(found: Interval, chance: float) -> bool:
    """Whether an interval covers ``chance``."""
    return found.low <= chance <= found.high


def as_skilled(labels: Labels, rho: float) -> np.ndarray:
    """A score that correlates with views as the network does, but among pictures of one owner and of one age as well."""
    luck = np.random.default_rng(0).standard_normal(len(labels))
    score: np.ndarray = rho * norm.ppf((rankdata(labels.views) - 0.5) / len(labels)) + np.sqrt(1 - rho**2) * luck
    return score


def low_of(samples: np.ndarray) -> float:
    return expanded_percentiles(samples)[0]


# -- what is in the pictures


def test_both_are_found_and_more_than_any_baseline_sees(worlds: Worlds) -> None:
    both = worlds.judged("both")
    oracle, recipe = both.measure("oracle"), both.measure("recipe")
    assert recipe.value >= 0.7 * oracle.value > 0.4
    for baseline in ("colour-ridge", "age-only", "random-score"):
        assert both.difference(baseline).low > 0, baseline
    assert both.answers == {"image": "shown", "deep": "shown", "context": "shown"}
    assert both.views.beats_all_baselines
    assert both.verdict.headline.startswith("Part of a picture's popularity is in the picture (ρ = ")
    assert both.verdict.headline.endswith("; it ranks views better than every baseline.")


def test_colour_alone_is_not_told_as_more_than_the_ridge_sees(worlds: Worlds) -> None:
    colour = worlds.judged("colour")
    # it is in the picture all the same, and the network sees it: the ridge is good, not the network bad
    assert (colour.answers["image"], colour.answers["context"]) == ("shown", "shown")
    assert colour.answers["deep"] != "shown"
    assert not colour.views.beats_all_baselines
    assert "the colour ridge baseline" in colour.verdict.headline
    assert "every baseline" not in colour.verdict.headline
    for baseline in ("age-only", "random-score"):
        assert colour.difference(baseline).low > 0, baseline
    assert colour.measure("recipe").value >= 0.9 * colour.measure("oracle").value


# -- what is not


@long_count  # of each change two sweeps of shuffled counts are told apart by test_many_sweeps
def test_shuffled_counts_are_told_by_nobody(worlds: Worlds) -> None:
    shuffled = worlds.judged("both", "shuffle")
    assert holds(shuffled.measure("recipe"), 0)
    assert holds(shuffled.measure("recipe", "rho_given_context"), 0)
    assert holds(shuffled.measure("recipe", "pair_accuracy"), 0.5)
    assert shuffled.views.above_chance == AboveChance(pooled=False, given_context=False, within_owner=False, neighbours=False)
    assert not any(line.answer == "shown" for _, target in shuffled.verdict.targets.known for line in target.lines)
    assert not shuffled.views.beats_all_baselines
    assert not any(predictor.kind == "oracle" for predictor in shuffled.verdict.predictors)  # what was planted is nobody's count now
    assert shuffled.verdict.headline.startswith(("Not decided whether the score tells", "If the score tells anything of how often"))
    assert "popularity is in" not in shuffled.said
    # control: the same pictures, settings and counts, each count with its own picture
    assert worlds.judged("both").views.above_chance.pooled
    assert sorted(shuffled.scores_and_labels[1].views) == sorted(worlds.judged("both").scores_and_labels[1].views)


def test_looks_that_follow_fame_are_told_as_fame(worlds: Worlds) -> None:
    owner = worlds.judged("owner")
    assert holds(owner.measure("recipe", "pair_accuracy"), 0.5)
    assert owner.answers["image"] != "shown"
    assert not owner.views.beats_all_baselines
    assert owner.views.explained_by in (None, "owner")
    assert "views is in the picture" not in owner.said
    # control: the pooled number alone would have claimed skill, and given age as well
    assert owner.measure("recipe").low > 0
    assert owner.measure("recipe", "rho_given_context").low > 0
    # control: as much pooled correlation that also holds inside owners would have been seen there
    _, labels = owner.scores_and_labels
    score = as_skilled(labels, owner.measure("recipe").value)
    clusters = Clusters.of(labels.owners)
    pairs = within_owner_pairs(clusters, labels.uploaded_at, labels.views, PAIR_DAYS)
    samples = bootstrap_pairs({"skilled": score}, pairs, Known(labels, clusters).of_rows)["skilled"].adjusted[1]
    assert metrics.spearman(score, labels.views) < owner.measure("recipe").value + 0.1
    assert low_of(samples) > 0.5


def test_intervals_are_of_owners_not_of_pictures(worlds: Worlds) -> None:
    owner = worlds.judged("owner")
    score, labels = owner.scores_and_labels
    unknown = Clusters.of(np.full(len(labels), ""))
    low, high = expanded_percentiles(bootstrap.bootstrap_spearman({"best": score}, labels.views, unknown)["best"])
    best = owner.measure("shipped")
    assert best.high - best.low > 1.3 * (high - low)
    # control: where the counts have lost their owners, both are the same
    score, labels = worlds.judged("both", "shuffle").scores_and_labels
    of_owners, of_pictures = (
        np.ptp(expanded_percentiles(bootstrap.bootstrap_spearman({"best": score}, labels.views, clusters)["best"]))
        for clusters in (Clusters.of(labels.owners), unknown)
    )
    assert of_owners < 1.2 * of_pictures


def test_looks_that_follow_age_are_told_as_age(worlds: Worlds) -> None:
    age = worlds.judged("age")
    assert holds(age.measure("recipe", "rho_given_context"), 0)
    assert age.answers["image"] != "shown"
    assert age.views.explained_by in (None, "context")
    assert "views is in the picture" not in age.said
    # control: the pooled number alone would have claimed skill
    assert age.measure("recipe").low > 0
    # control: as much pooled correlation that also holds among pictures of one age would have been seen there
    _, labels = age.scores_and_labels
    clusters = Clusters.of(labels.owners)
    context = Known(labels, clusters).of_rows
    assert context is not None
    skilled = {"skilled": as_skilled(labels, age.measure("recipe").value)}
    assert low_of(bootstrap_given_context(skilled, labels.views, context, clusters)["skilled"][1]) > 0


# -- the cut


def test_a_cut_neither_moves_the_yardstick_nor_wins_by_it(worlds: Worlds) -> None:
    """Three trials that differ in the cut alone, and what a sweep would do that scored each on what its own cut leaves."""
    cuts = (None, 6.0, 1.0)
    shards = worlds.shards("both")
    sweep = Sweep(
        name="cuts",
        shards=str(shards),
        trials=len(cuts),
        queue=tuple(Point(task="regression", learning_rate=1e-2, head_multiplier=3.0, outlier_sd=cut) for cut in cuts),
        space=Space(task=("regression",), learning_rate=SPACE.learning_rate, head_multiplier=SPACE.head_multiplier, outlier_sd=cuts),
        shared=SHARED,
        startup_per_task=1,
        prune=False,
        seeds=0,
        questions=(),
    )
    folder = worlds.run(sweep).folder
    val = open_dataset(shards, worlds.home / "cache").val.labels
    views = counts(val, "views")
    cards, metrics_of, own, constant, fixed = [], [], [], [], []
    for number, cut in enumerate(cuts):
        trial = read_trial(folder.trial(f"{number:04d}"))
        assert trial.config.outlier_sd == cut
        card = ModelCard.read(trial.folder.model_card)
        fitted = get_task("regression").restore(card.task)
        stored = ValScores.read(trial.folder.val_scores)
        assert stored.keys.tolist() == val.keys.tolist()
        scores = stored.views
        predicted = fitted.predict(scores[:, None])
        kept = kept_by_outlier_filter(val, cut)
        cards.append(card)
        metrics_of.append(trial.metrics)
        assert metrics_of[-1]["val/rho_views"] == pytest.approx(metrics.spearman(scores, views))
        own.append(metrics.half_mse(predicted[kept], views[kept]))
        constant.append(metrics.half_mse(np.full(kept.sum(), views[kept].mean()), views[kept]))
        fixed.append(metrics.half_mse(predicted, views))
    rho = [found["val/rho_views"] for found in metrics_of]
    print(f"\ncuts {cuts}: rho_views {np.round(rho, 3)}, fixed split's half_mse {np.round(fixed)}, own split's {np.round(own)}", end="")
    print(f", own split's of a constant {np.round(constant)}")

    # the cut was applied, to train alone; edges, constants and what they score are of unfiltered train and the fixed val split
    assert cards[0].num_kept > cards[1].num_kept > cards[2].num_kept
    assert len({card.num_train for card in cards}) == 1
    assert len({found["val/half_mse_views_mean"] for found in metrics_of}) == 1
    assert len({(card.task["mean"], card.task["median"], card.task["geometric_mean"]) for card in cards}) == 1
    baseline = BaselineRecord.read(folder.baseline("trivial-regression").record)
    assert baseline.metrics["val/half_mse_views"] == pytest.approx(metrics_of[0]["val/half_mse_views_mean"])

    # control: each on its own split, the tightest cut wins by far, with no learning at all
    assert own[0] > 1.5 * own[1] > 3 * own[2]
    assert constant[0] > 1.5 * constant[1] > 3 * constant[2]
    # while on the fixed split the ranking is about as good with any cut, and the loss is worst for the tightest
    assert not rho[0] < rho[1] < rho[2]
    assert max(rho) - min(rho) < 0.05
    assert fixed[2] > fixed[0]


# -- the test split is opened once


def test_a_report_opens_the_test_split_once_and_for_no_other_winner(worlds: Worlds, tmp_path: Path) -> None:
    shards = tmp_path / "shards"  # a set of its own: its openings are counted here
    shutil.copytree(worlds.shards("both"), shards, ignore=shutil.ignore_patterns(f"*{OPENINGS}*"))
    sweep = Sweep(
        name="again",
        shards=str(shards),
        queue=tuple(Point(task="regression", learning_rate=rate, head_multiplier=3.0, outlier_sd=None) for rate in (5e-4, 1e-6, 1e-2)),
        space=Space(task=("regression",), learning_rate=LogUniform(1e-6, 1e-2)),
        shared=SHARED | {"pictures": 4000},
        startup_per_task=1,
        prune=False,
        seeds=0,
        questions=(),
    )
    path = worlds.home / "sweeps" / "again" / "report" / "verdict.json"
    worlds.run(sweep, trials=1)
    first = worlds.report("again", sealed=False)
    written_first = path.read_bytes()
    assert [(o.number, o.sweep, o.purpose) for o in openings(shards)] == [(1, "again", "report")]
    assert first.openings.number == 1
    record = (shards / OPENINGS).read_bytes()

    # asked again, in another process: from what was stored
    path.unlink()
    command = [sys.executable, "-m", "peoria", "report", "again", "--home", str(worlds.home), "--tracking", "off"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "opening" not in ran.stdout
    assert path.read_bytes() == written_first

    # a further trial that is not the winner changes nothing but the number of trials
    worlds.run(sweep, trials=2)
    second = worlds.report("again", sealed=False)
    assert second.targets == first.targets
    assert (first.num_trials, second.num_trials) == (1, 2)
    assert (shards / OPENINGS).read_bytes() == record

    # another winner is another question, and of this small test split nothing is left that nobody has looked at
    kept = path.read_bytes()
    worlds.run(sweep, trials=3)
    for rest in (False, True):
        with pytest.raises(NothingSealedError, match=r"test is one vault, which was opened, last by sweep again \(opening 1\); one that nobody"):
            report(worlds.home, "again", tracking="off", rest=rest, say=lambda line: None)
    assert (shards / OPENINGS).read_bytes() == record
    assert path.read_bytes() == kept
    (shards / OPENINGS).unlink()  # control: of a set that nobody opened the new winner is judged
    third = worlds.report("again", sealed=False)
    assert (first.winners.views.key, third.winners.views.key, third.openings.number) == ("0000", "0002", 1)
    before, after = (verdict.winners.views.value for verdict in (first, third))
    print(f"\nagain: val's ρ of the first winner {before:.3f}, of the second {after:.3f}")
