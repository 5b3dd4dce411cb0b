"""Is the verdict to be trusted, with real networks: sweeps on shuffled counts, as many where the answer is known, and half as many where views follow
the hour alone.

Seeds are 0, 1, 2, … and were not chosen: 2 of each kind, 10 with PEORIA_TEST_FULL=1. What is let pass is what chance shows in 99 of 100 runs.
``pytest -s`` prints the figures.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.stats import binom

from peoria.stats.metrics import spearman
from peoria.verdict.schema import TargetVerdict, Verdict
from peoria.verdict.values import Interval
from tests.helpers import many_sweeps
from tests.helpers.studies import sampled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # five whole sweeps, or 25: half an hour on two cores

NUM = sampled(10, 2)
NUM_HOUR = NUM // 2
SEEDS = range(NUM)
NUM_PARTS = 4


@dataclass(frozen=True)
class Swept:
    planted: list[Verdict]
    shuffled: list[Verdict]
    by_hour: list[Verdict]
    fresh_rho: list[float]  # of each planted sweep's recipe, on pictures that no sweep saw


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    home = tmp_path_factory.mktemp("many")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(many_sweeps.shards, home, seed) for seed in SEEDS]:
            future.result()
        fresh = [pool.submit(many_sweeps.fresh_pictures, home, part, NUM_PARTS) for part in range(NUM_PARTS)]
        nums = {None: NUM, "shuffle": NUM, "plant-hour-0.45": NUM_HOUR}
        runs = {control: [pool.submit(many_sweeps.judged, home, seed, control) for seed in range(num)] for control, num in nums.items()}
        parts, views = zip(*(future.result() for future in fresh), strict=True)
        planted, shuffled, by_hour = ([future.result() for future in of_control] for of_control in runs.values())
        scored = [pool.submit(many_sweeps.fresh_scores, home, seed, list(parts)) for seed in SEEDS]
        of_all = np.concatenate(views)
        fresh_rho = [float(np.mean([spearman(row, of_all) for row in future.result()])) for future in scored]
    yield Swept(planted, shuffled, by_hour, fresh_rho)
    shutil.rmtree(home)


def views(verdict: Verdict) -> TargetVerdict:
    return verdict.targets.views


def written(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def test_shuffled_counts_claim_nothing(swept: Swept) -> None:
    claims = [views(verdict).above_chance.pooled for verdict in swept.shuffled]
    print(f"\n{NUM} shuffled sweeps: {sum(claims)} claim skill; ρ " + ", ".join(written(views(verdict).pooled) for verdict in swept.shuffled))
    assert sum(claims) <= binom.ppf(0.996, NUM, 0.025)  # 2 of 10, 1 of 2
    assert sum(views(verdict).in_the_picture for verdict in swept.shuffled) <= binom.ppf(0.96, NUM, 0.01)  # 1 of 10, none of 2
    best_on_val = [selection.curve[-1] for verdict in swept.shuffled if (selection := verdict.questions.selection)]
    assert np.mean(best_on_val) > 0.01  # control: the best of the trials on val, where they were chosen, would look like skill


def test_what_follows_the_hour_alone_is_not_in_the_picture(swept: Swept) -> None:
    false = [views(verdict).in_the_picture for verdict in swept.by_hour]
    told = [views(verdict).pooled for verdict in swept.by_hour]
    print(f"\n{NUM_HOUR} sweeps where views follow the hour: {sum(false)} in the picture; ρ " + ", ".join(map(written, told)))
    context = [verdict.predictor("context") for verdict in swept.by_hour]
    print("context ρ " + ", ".join(written(of.rho_views) for of in context if of is not None and of.rho_views is not None))
    assert sum(false) + sum(views(verdict).in_the_picture for verdict in swept.shuffled) <= binom.ppf(
        0.96, NUM + NUM_HOUR, 0.01
    )  # 1 of 15, none of 3
    # control: the hour was planted, and what knows it tells the views
    assert all(of is not None and of.rho_views is not None and of.rho_views.low > 0 for of in context)


def test_planted_popularity_is_claimed(swept: Swept) -> None:
    claims = [views(verdict).above_chance.pooled for verdict in swept.planted]
    oracles = [rho.value for verdict in swept.planted if (oracle := verdict.predictor("oracle")) and (rho := oracle.rho_views)]
    found = [views(verdict).pooled.value / oracle for verdict, oracle in zip(swept.planted, oracles, strict=True)]
    print(f"\n{NUM} planted sweeps: {sum(claims)} claim skill, {sum(views(v).in_the_picture for v in swept.planted)} of them in the picture")
    print(f"oracle ρ {np.mean(oracles):.3f}; found ÷ oracle " + ", ".join(f"{share:.2f}" for share in found))
    assert np.mean(oracles) == pytest.approx(0.45, abs=0.05)
    assert NUM - sum(claims) <= NUM // 10


def test_the_interval_covers_what_the_networks_do_on_fresh_pictures(swept: Swept) -> None:
    intervals = [views(verdict).pooled for verdict in swept.planted]
    covered = [found.low <= rho <= found.high for found, rho in zip(intervals, swept.fresh_rho, strict=True)]
    for found, rho, inside in zip(intervals, swept.fresh_rho, covered, strict=True):
        print(f"\ntest {written(found)}, on {many_sweeps.NUM_FRESH:,} fresh pictures {rho:.3f}: {'covered' if inside else 'missed'}", end="")
    print()
    assert NUM - sum(covered) <= binom.ppf(0.985, NUM, 0.05)  # 2 of 10, 1 of 2
    widths = [found.high - found.low for found in intervals]
    assert max(widths) < 0.35  # control: an interval that covers everything would be worth nothing
