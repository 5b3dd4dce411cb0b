"""Seconds and money against what is worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from peoria.cluster.estimate import Estimate, alternatives, makespan, most_useful
from peoria.cluster.plan import over
from peoria.cluster.prices import Prices, read_prices
from peoria.cluster.probe import Probe
from peoria.errors import ConfigError
from peoria.sweep.workload import Workload

PROBE = Probe("a device", 1, cold_s=10, fixed_s=5, picture_s=0.01, val_s=0.001, evaluation_s=1, crop_s=0, decode_s=0.004, baseline_s=0.002)
EVALUATIONS = (0.05, *(k / 8 for k in range(1, 9)))
WORK = Workload(trials=4, shares=(1.0, 0.25, 0.25, 0.5), length=36_000, paper=(18_000,), reseeds=2, subsets=0, evaluations=EVALUATIONS)
FOUND = Estimate(WORK, PROBE, num_train=9_000, num_val=1_000, frozen_crops=0, trunk_baseline=True, gpus_per_trial=1, cpus_per_trial=2)
# a whole training: 5 + 360 + 9 × (1 + 1) = 383 s; a half 195, a quarter 101; the paper's, of half the length, 5 + 180 + 18 = 203
FIRST = [203, 383, 101, 101, 195]
PRICES = """
as_of = 2026-01-02
currency = "EUR"
head = 0.5
boot_minutes = 6
idle_minutes = 12
[[node]]
name = "one"
gpus = 1
cpus = 4
price = 2.0
spot = 1.0
[[node]]
name = "fast"
gpus = 2
cpus = 4
price = 8.0
speed = 2.0
[[node]]
name = "few cpus"
gpus = 1
cpus = 1
price = 0.1
[[node]]
name = "no gpu"
gpus = 0
cpus = 64
price = 0.1
"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    (tmp_path / "prices.toml").write_text(PRICES)
    return read_prices(tmp_path / "prices.toml")


def test_seconds_by_hand() -> None:
    assert FOUND.first_s == pytest.approx(FIRST)
    assert FOUND.after_s == pytest.approx([383, 383])
    assert FOUND.device_s(workers=2) == pytest.approx(sum(FIRST) + 2 * 383 + 20)
    assert replace(FOUND, gpus_per_trial=0.5).device_s(2) == pytest.approx((sum(FIRST) + 786) / 2)
    assert FOUND.baselines_s == pytest.approx(10_000 * 0.003)
    assert FOUND.node_s(cpus=4) == pytest.approx(10)  # 10,000 pictures of 4 ms by 4 threads
    frozen = replace(FOUND, frozen_crops=2, probe=replace(PROBE, crop_s=0.01))
    assert frozen.node_s(cpus=4) == pytest.approx(10 + (2 * 9_000 + 1_000) * 0.01)


def test_slots_are_what_fits_on_a_node() -> None:
    assert [FOUND.slots(gpus, cpus) for gpus, cpus in ((1, 4), (2, 4), (1, 1), (0, 64))] == [1, 2, 0, 0]
    half = replace(FOUND, gpus_per_trial=0.5)
    assert [half.slots(gpus, cpus) for gpus, cpus in ((1, 4), (4, 8), (1, 3))] == [2, 4, 1]
    assert replace(FOUND, gpus_per_trial=0.0).slots(0, 5) == 2


def test_makespan_by_hand() -> None:
    # on two: 203 and 383; 101 and 101 after the first end at 405; 195 after the second begins at 383
    assert makespan(FIRST, 2) == pytest.approx(578)
    assert makespan(FIRST, 1) == pytest.approx(sum(FIRST))
    assert makespan(FIRST, 9) == 383
    assert makespan([], 3) == 0
    assert [most_useful(WORK, slots) for slots in (1, 2, 4)] == [5, 3, 2]


def test_the_table_of_money_by_hand(prices: Prices) -> None:
    table = alternatives(FOUND, prices, [1, 2, 8])
    found = {(row.offer.label, row.nodes): row for row in table}
    assert set(found) == {(name, num) for name in ("one", "one spot") for num in (1, 2, 5)} | {("fast", num) for num in (1, 2, 3)}
    # 1 × one: 30 of baselines, 10 of decoding, 10 of start, 983 and 766 of training, 360 of boot
    one = 30 + 10 + 10 + sum(FIRST) + 766 + 360
    assert found["one", 1].wall_s == pytest.approx(one)
    assert found["one", 1].money == pytest.approx((one + 720) / 3600 * (2.0 + 0.5))
    assert found["one spot", 1].money == pytest.approx((one + 720) / 3600 * (1.0 + 0.5))
    two = 30 + 10 + 10 + 578 + 383 + 360
    assert found["one", 2].money == pytest.approx((two + 720) / 3600 * (2 * 2.0 + 0.5))
    fast = 30 + 10 + (10 + 578 + 383) / 2 + 360  # two GPUs, each twice as fast
    assert found["fast", 1].money == pytest.approx((fast + 720) / 3600 * (8.0 + 0.5))


def test_what_nobody_can_price_is_refused(prices: Prices) -> None:
    with pytest.raises(ConfigError, match="no price of a node that such trials fit on is known"):
        over([], prices, 1e6)


def test_too_dear_is_refused_by_the_cheapest(prices: Prices) -> None:
    table = alternatives(FOUND, prices, [1, 2])
    least = min(row.money for row in table)
    over(table, prices, least + 0.01)  # control
    with pytest.raises(ConfigError, match=r"--max-money: 0.5 EUR; \d\.\d\d for the cheapest of these, 1 × one spot"):
        over(table, prices, 0.5)
