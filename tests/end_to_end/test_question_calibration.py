"""What the further questions claim in worlds where there is nothing to be claimed. ``pytest -s`` prints the figures.

As in `test_calibration`: the seeds are 0, 1, 2, …, a sample of the studies is run, all of them with PEORIA_TEST_FULL=1.
"""

from functools import partial

import numpy as np
import pytest
from scipy.stats import binom

from peoria.data.subsets import subset_mask
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.ceiling import count_noise
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate, Resampling
from peoria.stats.learning_curve import LearningCurvePoint, learning_curve, time_split
from peoria.stats.metrics import Floats, spearman
from peoria.stats.trainings import of_trainings
from shards.labels import Labels
from tests.helpers.studies import READ, World, latent_of, run, sampled, split, trial_weights

pytestmark = pytest.mark.slow

STUDIES = sampled(300, 40)
FALSE_CLAIMS = float(binom.ppf(0.999, STUDIES, 0.05)) / STUDIES  # of 300 it is 9 %, of 40 17.5 %
RESAMPLES = 299
SEEDS, PART_SEEDS = 5, 3  # of the recipe, and of a part of train
RHO = 0.3
NUM_FEATURES = 40
CUTOFF = "2015-05-01"


def of_one(scores: Floats, views: Floats, clusters: Clusters) -> Estimate:
    """The control: the mean of some trainings [S, N], with the luck of owners alone."""
    drawn = bootstrap_spearman({str(k): row for k, row in enumerate(scores)}, views, clusters, RESAMPLES)
    return Estimate(float(np.mean([spearman(row, views) for row in scores])), np.mean(list(drawn.values()), axis=0), clusters.effective)


def growth(seed: int, luck: float, gain: float = 0.0) -> dict[str, bool]:
    """Half of the owners and all of them reach the same ρ, but for ``gain``; a training's own differs from it by its ``luck``."""
    rng = np.random.default_rng(seed)
    test = split(rng, World(num_owners=200, pictures=6.0, size_spread=1.0, seen=1.0, noise_seen=1.0, appeal=1.0, luck=0.0))

    def training(rho: float) -> Floats:
        skill = latent_of(rho + luck * rng.normal())
        away = trial_weights(rng, 1)[0]
        errors = np.sqrt(0.9) * np.eye(len(away))[0] + np.sqrt(0.1) * away  # trainings of one recipe err alike
        return skill * test.base + np.sqrt(1 - skill**2) * (test.looks @ (errors / np.linalg.norm(errors)))

    sides = {name: np.stack([training(rho) for _ in range(num)]) for name, rho, num in (("half", RHO, PART_SEEDS), ("all", RHO + gain, SEEDS))}
    rho = of_trainings(sides, test.views, test.clusters, Resampling(RESAMPLES, seed))
    sizes = {"half": (0.5, 500), "all": (1.0, 1000)}
    found = learning_curve([LearningCurvePoint(share, num, 10 * num, rho[name]) for name, (share, num) in sizes.items()], test.clusters)
    old = (of_one(sides["all"], test.views, test.clusters) - of_one(sides["half"][:1], test.views, test.clusters)).interval()
    said = {answer: found.answer == answer for answer in ("rising", "falling", "negligible")}
    return said | {"rising, of one training on half": old.low > 0, "falling, of one training on half": old.high < 0}


class Population:
    """Pictures whose views follow a linear function of what is seen of them, fame of the owner, and luck; ``drift`` turns the function with time."""

    def __init__(self, rng: np.random.Generator, drift: float) -> None:
        self.rng, self.first, self.last = rng, rng.normal(size=NUM_FEATURES), drift * rng.normal(size=NUM_FEATURES)

    def split(self, num_owners: int, num: int | None = None) -> tuple[Labels, Floats]:
        """Labels and features [N, 40]."""
        made = split(self.rng, World(num_owners=num_owners, pictures=6.0, size_spread=1.0))
        n = len(made.views)
        seen, time = self.rng.normal(size=(n, NUM_FEATURES)), 1 - made.age_days / 1000
        appeal = seen @ self.first + time * (seen @ self.last) * 2
        fame = self.rng.normal(size=num_owners)[made.clusters.units]
        logs = appeal / appeal.std() + 0.5 * fame + 1.5 * self.rng.normal(size=n)
        ids = np.arange(n).astype(str)
        labels = Labels(
            keys=np.char.zfill(ids, 9), ids=ids, owners=made.clusters.units.astype(str), views=np.exp(4 + logs).astype(np.int64),
            favorites=None, uploaded_at=made.uploaded_at, observed_at=np.full(n, READ),
        )  # fmt: skip
        rows = np.arange(n)[:num]
        return labels.take(rows), seen[rows]


def later(seed: int, num_train: int, drift: float = 0.0) -> dict[str, bool]:
    """A ridge, which a seed gives another four fifths of its pictures, trained on the past, on its control, and on all."""
    population = Population(np.random.default_rng(seed), drift)
    train, seen = population.split(num_train // 4, num_train)
    test, seen_of_test = population.split(1500)
    assert train.uploaded_at is not None
    assert test.uploaded_at is not None
    cutoff = str(np.sort(train.uploaded_at.astype("datetime64[D]"))[int(0.8 * len(train))])
    rows = np.flatnonzero(test.uploaded_at >= np.datetime64(cutoff))
    clusters, views = Clusters.of(test.owners[rows]), test.views[rows].astype(np.float64)

    def training(subset: str | None) -> Floats:
        part = np.flatnonzero(subset_mask(train, subset, f"study {seed}"))
        part = population.rng.permutation(part)[: int(0.8 * len(part))]
        x, y = seen[part], np.log1p(train.views[part])
        weights = np.linalg.solve(x.T @ x + np.eye(NUM_FEATURES), x.T @ (y - y.mean()))
        return seen_of_test[rows] @ weights

    past = np.stack([training(f"before:{cutoff}") for _ in range(PART_SEEDS)])
    control = np.stack([training(f"matched:{cutoff}/{draw}") for draw in range(1, PART_SEEDS + 1)])
    whole = np.stack([training(None) for _ in range(SEEDS)])
    found = time_split(past, control, whole, views, clusters, cutoff, Resampling(RESAMPLES, seed))
    old = (of_one(past[:1], views, clusters) - of_one(whole, views, clusters)).interval()
    return {"worse": found.answer == "worse", "negligible": found.answer == "negligible", "worse, against all of train": old.high < 0}


def shares(title: str, found: list[dict[str, bool]]) -> dict[str, float]:
    figures = {name: float(np.mean([study[name] for study in found])) for name in found[0]}
    print(f"\n{title}, {len(found)} studies: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in figures.items()))
    return figures


@pytest.mark.parametrize("luck", [0.005, 0.01, 0.02] if STUDIES > 100 else [0.02])
def test_where_more_data_do_not_help_nothing_is_still_rising(luck: float) -> None:
    found = shares(f"no gain, seeds' sd {luck}", run(partial(growth, luck=luck), range(STUDIES)))
    assert found["rising"] <= FALSE_CLAIMS
    assert found["falling"] <= FALSE_CLAIMS
    if luck == 0.02:
        assert found["rising, of one training on half"] + found["falling, of one training on half"] > 2 * FALSE_CLAIMS  # control


@pytest.mark.parametrize("num_train", [300, 800, 3000] if STUDIES > 100 else [300])
def test_without_drift_the_past_is_not_called_worse(num_train: int) -> None:
    found = shares(f"no drift, {num_train} pictures of train", run(partial(later, num_train=num_train), range(STUDIES)))
    assert found["worse"] <= FALSE_CLAIMS
    assert found["worse, against all of train"] > 2 * FALSE_CLAIMS or num_train > 1000  # control: that it is less data counts as drift


def test_what_is_there_is_found() -> None:
    """A guard that claims nothing ever would pass the others."""
    gained = shares("a gain of 0.1", run(partial(growth, luck=0.01, gain=0.1), range(STUDIES)))
    assert gained["rising"] > 0.6
    drifted = shares("a strong drift", run(partial(later, num_train=3000, drift=1.0), range(STUDIES)))
    assert drifted["worse"] > 0.6


def test_no_reachable_score_lies_above_the_ceiling_of_counting() -> None:
    """Of Poisson counts with ties, of counts beyond Poisson, of rare ones: what is given as the most is not less than what is reached."""

    def reached(seed: int, level: float, shape: float) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        rate = np.exp(rng.normal(level, 1.2, 4000))
        counts = rng.poisson(rate * (rng.gamma(shape, 1 / shape, 4000) if np.isfinite(shape) else 1.0))
        found = count_noise(counts, Clusters.of(np.arange(4000) // 10), Resampling(99, seed))
        assert found is not None
        assert found.ceiling is not None
        return spearman(rate, counts), found.ceiling.high

    for level, shape in ((4.0, np.inf), (4.0, 2.0), (0.2, np.inf), (0.2, 2.0), (-0.5, np.inf)):
        found = np.array([reached(seed, level, shape) for seed in range(20)])
        print(f"\nlog rate {level}, shape {shape}: reached {found[:, 0].mean():.3f}, ceiling's upper bound {found[:, 1].mean():.3f}")
        assert (found[:, 0] <= found[:, 1] + 0.002).all()
