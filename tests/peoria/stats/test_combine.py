import numpy as np
import pytest

from peoria.errors import PeoriaError
from peoria.stats.combine import Combination, combine
from peoria.stats.metrics import spearman


def world(seed: int, appeal: float, n_val: int = 600, n_test: int = 1200) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(image, context, views) of val and of test; owners are alike in looks and in fame."""
    rng = np.random.default_rng(seed)
    n = n_val + n_test
    owner = np.arange(n) // 4
    looks, fame = rng.normal(size=n // 4)[owner], rng.normal(size=n // 4)[owner]
    context, image = rng.normal(size=n), 0.7 * rng.normal(size=n) + 0.7 * looks
    views = np.floor(np.exp(3 + 0.6 * context + appeal * image + 0.6 * fame + 0.6 * rng.normal(size=n)))
    columns = [image, context, views]
    return [c[:n_val] for c in columns], [c[n_val:] for c in columns]


def gained(found: Combination, test: list[np.ndarray]) -> float:
    image, context, views = test
    return spearman(found.score(context, image), views) - spearman(context, views)


def test_a_useful_image_gains_and_a_useless_one_hardly_loses() -> None:
    worlds = {appeal: [world(seed, appeal) for seed in range(20)] for appeal in (0.0, 0.3)}
    gains = {appeal: [gained(combine(*val), test) for val, test in of] for appeal, of in worlds.items()}
    assert np.mean(gains[0.3]) > 0.05
    assert -0.01 < np.mean(gains[0.0]) < 0.005


def test_both_are_weighed_as_val_tells() -> None:
    """The image carries a third of what the context does; weights of equal size would lose against the context alone."""
    val, test = world(0, 0.2)
    found = combine(*val)
    assert 0.15 < found.image / found.context < 0.6
    assert gained(found, test) > 0
    equal = sum(np.argsort(np.argsort(column)) for column in test[:2])
    assert spearman(equal, test[2]) < spearman(test[1], test[2])


def test_weights_are_never_negative_and_without_any_the_context_stays() -> None:
    val, test = world(0, 0.5)
    found = combine(-val[0], *val[1:])
    assert found.image == 0
    assert gained(found, [-test[0], *test[1:]]) == 0
    blind = combine(val[0], np.ones(600), val[2])
    assert blind.context == 0 < blind.image
    assert spearman(blind.score(np.ones(1200), test[0]), test[0]) == pytest.approx(1, abs=1e-3)


def test_the_scale_of_a_score_does_not_matter_nor_who_else_is_asked() -> None:
    val, test = world(0, 0.3)
    plain, bent = combine(*val), combine(np.exp(3 * val[0]), 1e6 * val[1], val[2])
    scores = plain.score(test[1], test[0])
    np.testing.assert_allclose(bent.score(1e6 * test[1], np.exp(3 * test[0])), scores)
    np.testing.assert_allclose(plain.score(test[1][:5], test[0][:5]), scores[:5])
    with pytest.raises(PeoriaError, match="val: 600 context scores, 599 image scores"):
        combine(val[0][1:], *val[1:])
