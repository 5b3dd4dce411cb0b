"""The tasks: the paper's losses and constants, and that a fourth is one new file."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import peoria.tasks
from peoria.errors import ConfigError
from peoria.stats import metrics
from peoria.tasks import get_task, task_names
from peoria.tasks.hybrid import bin_edges

VIEWS = np.random.default_rng(0).lognormal(4, 1.4, 4000).astype(np.int64).astype(float)


def test_euclidean_loss_is_caffes() -> None:
    fitted = get_task("regression").fit(VIEWS, VIEWS, "raw", "views")
    outputs, y = torch.tensor([[3.0], [5.0]]), torch.tensor([1.0, 9.0])
    assert fitted.loss(outputs, y).item() == pytest.approx(((3 - 1) ** 2 + (5 - 9) ** 2) / (2 * 2))
    losses = fitted.losses(np.array([3.0, 5.0]), np.array([1.0, 9.0]))
    assert losses == {"half_mse_views": 5.0, "mse_views": 10.0}


def test_ten_equal_bins_have_the_papers_loss_of_chance() -> None:
    """4.125 = var{0..9} / 2 where no counts are equal (section 5.3)."""
    y = np.random.default_rng(1).permutation(10_000).astype(float)
    fitted = get_task("hybrid").fit(y, y, "raw", "views")
    mean_bin = fitted.constants(len(y))[0]
    assert mean_bin.name == "mean bin"
    assert fitted.losses(mean_bin.prediction, y)["half_mse_bin"] == pytest.approx(4.125, abs=1e-3)


def test_ties_stay_together_and_chance_is_computed() -> None:
    y = np.array([0] * 600 + [1] * 200 + list(range(2, 202)), dtype=float)
    fitted = get_task("hybrid").fit(y, y, "raw", "views")
    bins = fitted.bins(y)  # type: ignore[attr-defined]
    assert fitted.num_bins == len(np.unique(bins)) < 10  # type: ignore[attr-defined]
    assert all(len(np.unique(bins[y == value])) == 1 for value in (0.0, 1.0))
    chance = fitted.losses(fitted.constants(len(y))[0].prediction, y)["half_mse_bin"]
    assert chance == pytest.approx(bins.var() / 2)
    assert abs(chance - 4.125) > 0.5  # what would be wrong to assume here


def test_edges_of_one_value_are_none() -> None:
    assert len(bin_edges(np.ones(50))) == 0
    with pytest.raises(ConfigError, match="hybrid: every training picture has the same views"):
        get_task("hybrid").fit(np.ones(50), np.ones(50), "raw", "views")


def test_edges_come_from_uncut_train_and_scaling_from_kept() -> None:
    kept = VIEWS[np.quantile(VIEWS, 0.8) > VIEWS]
    cut, uncut = (get_task("hybrid").fit(VIEWS, some, "standard", "views") for some in (kept, VIEWS))
    assert cut.edges == uncut.edges  # type: ignore[attr-defined]
    assert cut.scale != uncut.scale  # type: ignore[attr-defined]


def test_softmax_loss_and_its_constants() -> None:
    favorites = (np.arange(1000) < 109).astype(float)
    fitted = get_task("classification").fit(favorites, favorites, "standard", "favorites")
    prior, majority = fitted.constants(1000)
    losses = fitted.losses(prior.prediction, favorites)
    assert losses["log_loss_fav"] == pytest.approx(0.3444, abs=1e-3)  # entropy of 10.9 %, what guessing the prior costs
    assert fitted.losses(majority.prediction, favorites)["accuracy_fav"] == pytest.approx(0.891)  # section 5.2
    outputs = torch.tensor([[0.0, 2.0]])
    assert fitted.loss(outputs, torch.tensor([1])).item() == pytest.approx(np.log1p(np.exp(-2)))
    assert fitted.predict(outputs.numpy())[0] == pytest.approx(1 / (1 + np.exp(-2)))
    with pytest.raises(ConfigError, match="every training picture has favorites = 0; both classes are needed"):
        get_task("classification").fit(np.zeros(9), np.zeros(9), "raw", "favorites")


@pytest.mark.parametrize("name", ["regression", "classification", "hybrid"])
def test_a_fitted_task_comes_back_from_its_state(name: str) -> None:
    target = get_task(name).default_target
    y = VIEWS if target == "views" else (VIEWS > 200).astype(float)
    fitted = get_task(name).fit(y, y[::2], "log1p", target)
    import json

    assert get_task(name).restore(json.loads(json.dumps(fitted.state()))) == fitted


@pytest.mark.parametrize("name", ["regression", "classification", "hybrid"])
def test_a_higher_output_is_a_higher_score(name: str) -> None:
    target = get_task(name).default_target
    y = VIEWS if target == "views" else (VIEWS > 200).astype(float)
    fitted = get_task(name).fit(y, y, "standard", target)
    outputs = np.linspace(-3, 3, 50)[:, None] if fitted.num_outputs == 1 else np.stack([np.zeros(50), np.linspace(-3, 3, 50)], axis=1)
    assert metrics.spearman(fitted.score(outputs), np.arange(50)) == pytest.approx(1)


def test_unknown_task() -> None:
    with pytest.raises(ConfigError, match="task: 'ranking'; one of classification, hybrid, regression"):
        get_task("ranking")


def test_a_fourth_task_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute error in place of squared: a file in the folder, and the name is known to the space and to a trial."""
    (tmp_path / "absolute.py").write_text(
        "from dataclasses import dataclass\n"
        "from peoria.tasks.regression import FittedRegression, Regression\n"
        "@dataclass(frozen=True)\n"
        "class FittedAbsolute(FittedRegression):\n"
        "    task: str = 'absolute'\n"
        "    def loss(self, outputs, encoded):\n"
        "        return (outputs[:, 0] - encoded).abs().mean()\n"
        "class Absolute(Regression):\n"
        "    name = 'absolute'\n"
        "    def fit(self, uncut, kept, scale, target):\n"
        "        return FittedAbsolute(**super().fit(uncut, kept, scale, target).__dict__ | {'task': 'absolute'})\n"
        "TASK = Absolute()\n"
    )
    with pytest.raises(ConfigError, match="'absolute'; one of"):
        get_task("absolute")
    monkeypatch.setattr(peoria.tasks, "__path__", [*peoria.tasks.__path__, str(tmp_path)])
    try:
        from peoria.config.space import Space

        assert "absolute" in task_names()
        assert Space(task=("absolute",)).task == ("absolute",)
        fitted = get_task("absolute").fit(VIEWS, VIEWS, "raw", "views")
        assert fitted.loss(torch.tensor([[1.0], [4.0]]), torch.tensor([0.0, 0.0])).item() == pytest.approx(2.5)
    finally:
        sys.modules.pop("peoria.tasks.absolute", None)
