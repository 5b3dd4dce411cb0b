import numpy as np
import pytest

from peoria.stats.sensitivity import robustness


@pytest.mark.parametrize("correlation", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_hidden_factor_of_that_strength_undoes_the_correlation(correlation: float) -> None:
    """A factor that explains share R of both (R² of each given the other's) takes exactly this correlation: r = R / √(1 − R)·√(1 − r²)."""
    share = robustness(correlation)
    bias = np.sqrt(share * share / (1 - share)) * np.sqrt(1 - correlation**2)  # Cinelli & Hazlett 2020, of a correlation
    assert bias == pytest.approx(correlation, rel=1e-9)
    weaker = 0.9 * share
    assert np.sqrt(weaker * weaker / (1 - weaker)) * np.sqrt(1 - correlation**2) < 0.95 * correlation  # control


def test_a_planted_factor_of_that_strength_makes_up_the_correlation() -> None:
    """Two columns with nothing in common but a factor: taking it out leaves nothing, and its shares are at least what is printed."""
    rng = np.random.default_rng(0)
    factor, own = rng.normal(size=200_000), rng.normal(size=(2, 200_000))
    columns = 0.6 * factor + 0.8 * own
    found = np.corrcoef(columns)[0, 1]
    share = 0.36  # of each; of the views given the score it is less
    assert 0.6 * share < robustness(found) < share
    assert robustness(found / 2) < 0.6 * share  # control


def test_what_is_not_above_0_needs_nothing_to_undo_it() -> None:
    assert robustness(0.0) == robustness(-0.3) == robustness(-1.0) == 0.0
    assert robustness(1.0) == robustness(1.5) == 1.0
    assert robustness(1e-200) == pytest.approx(1e-200)
    values = [robustness(r) for r in [*np.linspace(0.001, 0.999, 50), 1 - 1e-6, 1 - 1e-12, 1 - 1e-15]]
    assert (np.diff(values) > 0).all()
    assert values[-1] < 1
    assert robustness(1 - 1e-12) == pytest.approx(1 - np.sqrt(2e-12) ** 2, abs=1e-11)
