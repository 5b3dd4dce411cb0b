import numpy as np
import pytest

from peoria.errors import PeoriaError
from peoria.stats.clusters import Clusters
from peoria.stats.combine import OnTopOfContext, combine, on_top_of_context
from peoria.stats.estimates import Interval, Resampling
from peoria.stats.metrics import spearman

FEW = Resampling(num_resamples=200)


def world(seed: int, appeal: float, n_val: int = 600, n_test: int = 1200) -> tuple[list[np.ndarray], list[np.ndarray], Clusters]:
    """(image, context, views) of val and of test, and the owners of test; owners are alike in looks and in fame."""
    rng = np.random.default_rng(seed)
    n = n_val + n_test
    owner = np.arange(n) // 4
    looks, fame = rng.normal(size=n // 4)[owner], rng.normal(size=n // 4)[owner]
    context, image = rng.normal(size=n), 0.7 * rng.normal(size=n) + 0.7 * looks
    views = np.floor(np.exp(3 + 0.6 * context + appeal * image + 0.6 * fame + 0.6 * rng.normal(size=n)))
    columns = [image, context, views]
    return [c[:n_val] for c in columns], [c[n_val:] for c in columns], Clusters.of(owner[n_val:])


def added(seed: int, appeal: float) -> OnTopOfContext:
    val, test, owners = world(seed, appeal)
    return on_top_of_context(*val, *test, owners, Resampling(200, seed))


def test_a_useless_image_adds_nothing_a_useful_one_does() -> None:
    useless = [added(seed, 0.0) for seed in range(60)]
    assert sum(found.adds for found in useless) <= 2
    assert sum(found.difference.low <= 0 <= found.difference.high for found in useless) >= 52
    assert sum(found.image_given_context.low <= 0 <= found.image_given_context.high for found in useless) >= 52
    useful = [added(seed, 0.3) for seed in range(10)]
    assert sum(found.adds for found in useful) >= 9
    assert all(found.image_given_context.low > 0 for found in useful)


def test_an_image_that_only_tells_the_context_adds_nothing() -> None:
    """It correlates with views as well as the context does, and there is nothing left of it."""
    val, test, owners = world(0, 0.0)
    rng = np.random.default_rng(9)
    image_val, image_test = (part[1] + 0.5 * rng.normal(size=len(part[1])) for part in (val, test))
    found = on_top_of_context(image_val, val[1], val[2], image_test, test[1], test[2], owners, FEW)
    assert found.rho_image.low > 0.3
    assert not found.adds
    assert found.image_given_context.low < 0 < found.image_given_context.high


def test_both_are_weighed_as_val_tells() -> None:
    """The image carries a third of what the context does; weights of equal size would lose against the context alone."""
    val, test, owners = world(0, 0.2)
    found = on_top_of_context(*val, *test, owners, FEW)
    assert 0.15 < found.weights.image / found.weights.context < 0.6
    assert found.rho_both.value > found.rho_context.value
    equal = sum(np.argsort(np.argsort(column)) for column in test[:2])
    assert spearman(equal, test[2]) < found.rho_context.value


def test_weights_are_never_negative_and_without_any_the_context_stays() -> None:
    val, test, owners = world(0, 0.5)
    found = on_top_of_context(-val[0], *val[1:], -test[0], *test[1:], owners, FEW)
    assert found.weights.image == 0
    assert found.difference == Interval(0, 0, 0)
    blind = combine(val[0], np.ones(600), val[2])
    assert blind.context == 0 < blind.image
    assert spearman(blind.score(np.ones(1200), test[0]), test[0]) == pytest.approx(1, abs=1e-3)


def test_the_scale_of_a_score_does_not_matter_nor_who_else_is_asked() -> None:
    val, test, _ = world(0, 0.3)
    plain, bent = combine(*val), combine(np.exp(3 * val[0]), 1e6 * val[1], val[2])
    scores = plain.score(test[1], test[0])
    np.testing.assert_allclose(bent.score(1e6 * test[1], np.exp(3 * test[0])), scores)
    np.testing.assert_allclose(plain.score(test[1][:5], test[0][:5]), scores[:5])
    with pytest.raises(PeoriaError, match="val: 600 context scores, 599 image scores"):
        combine(val[0][1:], *val[1:])


def test_few_pictures_or_owners_claim_nothing() -> None:
    val, test, _ = world(0, 0.5)
    few = on_top_of_context(*val, *test, Clusters.of(np.arange(1200) % 19), FEW)
    assert not few.adds
    small = on_top_of_context(*val, *[column[:99] for column in test], Clusters.of(np.arange(99)), FEW)
    assert small.image_given_context is None
