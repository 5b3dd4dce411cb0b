"""That the replay counts every picture by the product's own pruner and sampler, tells who knows from who does not, and has a table of trainings."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import planted_table, regret
from benchmarks.figures import Measured
from benchmarks.planted_table import CUTS, REPLICATES, SUBSETS, Nets, Table, a_trial, middles, rank_mean, sweep_on_table
from benchmarks.regret import BUDGET, EVENLY, FEWER, NULL, ORACLE, SEARCHER, oracle, product_search, random_search, ratio, regrets
from peoria.stats import metrics
from peoria.sweep.pruner import RungPruner
from peoria.tasks import get_task
from shards.labels import Labels

LENGTH = a_trial().pictures
POINTS = a_trial().evaluation_points()


def toy(noise: float = 0.02) -> Table:
    """A peak in the learning rate, a tilt with the multiplier; the fastest rates diverge at the third evaluation."""
    space, rng = sweep_on_table().space, np.random.default_rng(0)
    axes = (space.task, space.outlier_sd, tuple(middles(space.span("hybrid", "learning_rate"), 24)), (2.0, 20.0))
    places = list(product(*(range(len(axis)) for axis in axes)))
    worth = np.array([0.6 - 0.04 * abs(rate - 15) - 0.03 * (multiplier == 0) for _, _, rate, multiplier in places]).clip(0)
    curves = worth[:, None, None, None] * np.array([0.3 + 0.7 * step / LENGTH for step in POINTS])[:, None]
    val = curves + noise * rng.standard_normal((len(places), REPLICATES, 1, SUBSETS))
    diverged = np.array([rate >= 22 for _, _, rate, _ in places])
    val[diverged, :, 2:] = np.nan
    return Table("toy", axes, val.astype(np.float32), np.where(diverged, 0.0, worth)[:, None] * np.ones(REPLICATES))


TOY = toy()


@pytest.mark.parametrize("search", [product_search, random_search])
def test_a_seed_gives_one_sweep_within_its_budget(search: Any) -> None:
    moments = search(TOY, 3)
    assert moments == search(TOY, 3) != search(TOY, 4)
    assert moments[-2].pictures < regret.FURTHEST * BUDGET * LENGTH <= moments[-1].pictures
    shares = np.diff([0, *(moment.pictures for moment in moments)]) / LENGTH
    assert set(np.round(shares, 3)) <= {0.05, 0.125, 0.25, 0.5, 1.0}  # rungs, the end, and the third evaluation, where some diverge
    assert moments[0].regret == 1.0 or shares[0] == 1.0
    assert min(moment.regret for moment in moments) < 0.2


def test_the_pruner_and_the_searcher_are_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = product_search(TOY, 0)
    monkeypatch.setattr(RungPruner, "prune", lambda *_: False)
    assert len(product_search(TOY, 0)) < len(whole)  # nothing is pruned, so that fewer trials spend the budget
    monkeypatch.undo()
    asked: list[str] = []
    monkeypatch.setattr("peoria.sweep.sampler.TrialSampler.sample_relative", lambda self, study, trial, space: asked.append("") or {})
    product_search(TOY, 0)
    assert len(asked) > 20


def test_other_rungs_are_what_a_sweep_can_ask_for() -> None:
    found = random_search(TOY, 0, changes=FEWER)
    assert set(np.round(np.diff([0, *(moment.pictures for moment in found)]) / LENGTH, 3)) <= {0.125, 0.25, 0.375, 1.0}


def measured(figure: Any, search: Any, num: int = 12, table: Table = TOY) -> Measured:
    theirs = np.stack([regrets(random_search(table, seed)) for seed in range(100, 100 + num)])
    return ratio(figure, [np.stack([regrets(search(table, seed)) for seed in range(num)])] * 2, [theirs] * 2, {})


def test_who_knows_is_told_from_who_does_not() -> None:
    knows = measured(ORACLE, oracle)
    assert knows.verdict == "aim"
    assert knows.interval is not None
    assert knows.interval[1] <= 1 / BUDGET + 0.01  # by its first trial
    null = measured(NULL, random_search)
    assert null.verdict == "aim"
    assert null.interval is not None
    assert null.interval[0] < 1 <= null.interval[1]
    assert measured(SEARCHER, random_search).verdict == "below floor"  # control: who is no better is not taken to be


def test_where_val_tells_nothing_nobody_gets_better() -> None:
    table = replace(TOY, test=np.where(TOY.test > 0, TOY.test, 0.3))
    blind = [np.mean([moment.regret for moment in product_search(table, seed, shuffled=True)[10:]]) for seed in range(12)]
    assert np.mean(blind) == pytest.approx(table.regret.mean(), abs=0.15)
    assert np.mean([product_search(table, seed)[-1].regret for seed in range(12)]) < 0.1  # control


def test_regrets_are_those_of_what_had_ended() -> None:
    moments = [regret.Moment(LENGTH, 0.5), regret.Moment(4 * LENGTH, 0.2)]
    found = dict(zip((EVENLY * BUDGET).round(3).tolist(), regrets(moments), strict=True))
    assert (found[0.99], found[1.02], found[3.99], found[4.02], found[15.0]) == (1.0, 0.5, 0.5, 0.2, 0.2)


def test_a_ratio_by_hand_and_the_end_that_is_judged() -> None:
    theirs = [np.stack([regrets([regret.Moment(8 * LENGTH, 0.4)])] * 4)] * 2
    ours = [np.stack([regrets([regret.Moment(at * LENGTH, 0.4)]) for at in (3, 3, 3, 9)])] * 2
    found = ratio(SEARCHER, ours, theirs, {})
    assert found.value == pytest.approx(0.75)  # only then is the mean of all as low
    assert found.interval == pytest.approx((0.25, 0.75), abs=1e-9)  # of one in ten draws of both worlds the slow one is not there
    assert found.verdict == "floor"
    assert replace(found, interval=(0.25, 0.9)).verdict == "below floor"
    assert replace(found, interval=None).judged == found.value


def test_a_cell_stands_for_an_equal_share_of_the_space() -> None:
    space = sweep_on_table().space
    rates = np.geomspace(1e-5, 1.0, 2401)[1::2]
    found = [TOY.cell({"task": "hybrid", "outlier_sd": CUTS[1], "learning_rate": rate, "head_multiplier": 30.0}) for rate in rates]
    assert np.unique(found, return_counts=True)[1].tolist() == [50] * 24
    assert all(TOY.cell(TOY.point(cell)) == cell for cell in range(len(TOY.truth)))
    assert set(space.task) == set(TOY.axes[0])


def test_ranks_are_the_products() -> None:
    rng = np.random.default_rng(0)
    scores, views, positive = rng.integers(0, 9, (5, 60)).astype(float), rng.integers(0, 40, 60), rng.random(60) < 0.2
    scores[4] = 1.0
    wanted = [metrics.rank_mean(metrics.spearman(one, views), metrics.gini(one, positive)) for one in scores]
    assert rank_mean(scores, views, positive) == pytest.approx(wanted)
    assert wanted[4] == 0


def labels(num: int, rng: np.random.Generator) -> Labels:
    keys = np.array([str(n) for n in range(num)])
    return Labels(keys=keys, ids=keys, owners=keys, views=rng.integers(1, 900, num), favorites=rng.integers(0, 2, num))


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_nets_side_by_side_train_as_one_alone(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same settings beside others end alike, up to rounding, and as torch's own optimiser has them; a rate that is too high diverges alone."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(planted_table, "COMPONENTS", 6)
    monkeypatch.setattr(planted_table, "HIDDEN", 4)
    x, val = rng.standard_normal((60, 6)).astype(np.float32), (rng.standard_normal((40, 6)).astype(np.float32), labels(40, rng))
    fitted = get_task(task).fit(y := rng.integers(0, 3, 60).astype(float), y, "log1p", "views" if task == "regression" else "favorites")
    rates, multipliers = np.array([1e-3, 1e-2, 1e30]), np.array([1.0, 10.0])
    nets = Nets(fitted, rates, multipliers, seed=5)
    first = [parameter.clone() for parameter in nets.parameters]
    on_val, on_test = nets.train(x, fitted.encode(y), val, val)
    assert on_val.shape == (6, REPLICATES, len(POINTS), SUBSETS)
    assert np.isnan(on_val[4:, :, -1]).all()
    assert (on_test[4:] == 0).all()
    assert np.isfinite(on_val[:4]).all()

    setting, replicate = 3, 1  # rate 1e-2, multiplier 10
    trunk, bias, head, head_bias = (
        parameter[replicate].select(1, setting).clone() if at != 2 else parameter[replicate, setting].clone() for at, parameter in enumerate(first)
    )
    alone = [part.requires_grad_() for part in (trunk, bias, head, head_bias)]
    groups = [
        {"params": [part], "lr": 1e-2 * many, "weight_decay": decay}
        for part, many, decay in zip(alone, (1, 2, 10, 20), (5e-4, 0, 5e-4, 0), strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=1e-2, momentum=0.9)
    order = np.random.default_rng((5, replicate))
    rows = np.concatenate([order.permutation(60) for _ in range(-(-LENGTH // 60) + 1)])
    for seen in range(0, LENGTH, 50):
        for group, many in zip(optimizer.param_groups, (1, 2, 10, 20), strict=True):
            group["lr"] = 1e-2 * many * planted_table.Schedule("cosine", LENGTH).factor(seen)
        batch = rows[seen : seen + 50]
        outputs = torch.relu(torch.from_numpy(x[batch]) @ trunk + bias) @ head + head_bias
        optimizer.zero_grad()
        fitted.loss(outputs, torch.from_numpy(fitted.encode(y[batch]))).backward()
        optimizer.step()
    assert torch.allclose(nets.trunk[replicate, :, setting], trunk, atol=1e-3)
    assert not torch.allclose(nets.trunk[replicate, :, setting], first[0][replicate, :, setting], atol=1e-2)  # control: it has learnt


def test_a_table_is_of_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pictures and settings: what is made has the shape that is replayed, and its best setting has learnt what was planted."""
    for name, value in {"NUM_TRAIN": 300, "IN_SUBSET": 80, "NUM_TEST": 200, "COMPONENTS": 40, "HIDDEN": 8, "RATES": 2, "MULTIPLIERS": 1}.items():
        monkeypatch.setattr(planted_table, name, value)
    table = planted_table.made("both", tmp_path)
    assert table.val.shape == (3 * len(CUTS) * 2, REPLICATES, len(POINTS), SUBSETS)
    assert table.truth.max() > 0.2
    assert len(product_search(table, 0)) > BUDGET
