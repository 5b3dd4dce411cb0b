"""What near-duplicates cost grows with the pictures, not with their square: comparisons are counted, for time depends on who else is at work."""

from collections import Counter

import numpy as np
import pytest

from shards.images import near_duplicates as copies
from tests.helpers.studies import sampled


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pairs were looked at by two bytes, and how many by the whole hash."""
    found: Counter[str] = Counter()
    alike, differing = copies._other_half_alike, copies._differing

    def counted_alike(words: np.ndarray, i: np.ndarray, others: np.ndarray, j: np.ndarray, band: int) -> np.ndarray:
        found["looked at"] += len(i)
        return alike(words, i, others, j, band)

    def counted_differing(words: np.ndarray, others: np.ndarray) -> np.ndarray:
        found["compared"] += len(words)
        return differing(words, others)

    monkeypatch.setattr(copies, "_other_half_alike", counted_alike)
    monkeypatch.setattr(copies, "_differing", counted_differing)
    return found


def variants(num: int, most_bits: int = 8, seed: int = 0) -> np.ndarray:
    """Hashes of one picture saved in so many ways, uint8 [N, 32]: distinct, and each within a few bits of it."""
    random = np.random.default_rng(seed)
    bits = np.tile(random.integers(0, 2, 256, dtype=np.uint8), (num, 1))
    flipped = np.argsort(random.random((num, 256)), axis=1)[:, :most_bits]
    rows = np.arange(num)[:, None]
    bits[rows, flipped] ^= random.integers(0, 2, flipped.shape, dtype=np.uint8)
    return np.packbits(bits, axis=1)


def strangers(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 32), dtype=np.uint8)


def in_splits(num: int) -> np.ndarray:
    return np.array(["train", "val", "test"])[np.random.default_rng(1).choice(3, num, p=[0.7, 0.1, 0.2])]


def cost(hashes: np.ndarray, compared: Counter[str], what: str) -> float:
    """Pairs looked at, a row."""
    compared.clear()
    num = len(hashes)
    if what == "splits":
        copies.near_duplicates(hashes, np.full(num, 100), in_splits(num), 15)
    else:
        copies.near_identical_pairs(hashes, np.full(num, 100), np.array([f"o{i // 3}" for i in range(num)], object), 15)
    return compared["looked at"] / num


@pytest.mark.parametrize("what", ["splits", "pairs"])
def test_a_cluster_of_variants_costs_as_much_a_row_however_many_they_are(
    what: str, compared: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(copies, "_MOST_OF_A_BAND", 100)
    sizes = [times * sampled(4, 1) for times in (500, 1000, 2000)]
    of_sizes = [cost(variants(num), compared, what) for num in sizes]
    print(f"{what}: pairs looked at a row, of {sizes} variants: {[round(each) for each in of_sizes]}")
    assert of_sizes[-1] < 1.5 * of_sizes[0] + 100
    if what == "splits":
        monkeypatch.setattr(copies, "_MOST_OF_A_BAND", 10**9)  # control: all with all
        control = [cost(variants(num), compared, what) for num in (500, 1000, 2000)]
        assert control[2] > 3 * control[0]


def test_strangers_are_hardly_ever_compared(compared: Counter[str]) -> None:
    """Of those that share a band by chance two bytes are looked at; by the whole hash fewer are compared than there are rows."""
    for num in (sampled(125_000, 10_000), sampled(1_000_000, 40_000)):
        looked = cost(strangers(num), compared, "splits")
        print(f"{num:,} strangers: a row {looked:.2f} looked at, {compared['compared'] / num:.4f} compared")
        assert looked < 1.5 * num / 2**16 * 16 * 0.3
        assert compared["compared"] < 0.1 * num
    cost(strangers(20_000), compared, "pairs")
    assert compared["looked at"] > 0
    assert compared["compared"] < 0.01 * 20_000


def test_of_many_variants_each_that_is_near_one_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the search is not exact it still says who gives way: one that is near is named, if not the nearest."""
    query, base = variants(400), variants(600, seed=0)[100:]
    exact, least = copies.nearest_within(query, base, 15)
    monkeypatch.setattr(copies, "_MOST_OF_A_BAND", 40)
    found, bits = copies.nearest_within(query, base, 15)
    assert ((found >= 0) == (exact >= 0)).all()
    assert (exact >= 0).mean() > 0.99
    assert (bits >= least).all()
    assert (bits > least).any()  # what the bound costs
    differing = np.bitwise_count(query ^ base[found]).sum(axis=1)
    assert (differing[found >= 0] == bits[found >= 0]).all()


def test_pairs_of_many_variants_take_bounded_memory_and_pair_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    settle = copies._Pairs.settle

    def settled(pairs: copies._Pairs) -> None:
        settle(pairs)
        held.append(len(pairs.i))

    monkeypatch.setattr(copies._Pairs, "settle", settled)
    monkeypatch.setattr(copies, "_MAX_LAG", 10)
    hashes = variants(1500)
    i, j, bits = copies.near_identical_pairs(hashes, np.full(1500, 100), np.array([f"o{k}" for k in range(1500)], object), 15)
    assert max(held) <= 10 * 1500
    assert len(np.unique(np.concatenate([i, j]))) == 2 * len(i) > 1000
    assert (np.diff(bits) >= 0).all()
    assert (np.bitwise_count(hashes[i] ^ hashes[j]).sum(axis=1) == bits).all()
    monkeypatch.setattr(copies, "_MAX_LAG", 1500)  # control: all of them at once
    copies.near_identical_pairs(hashes, np.full(1500, 100), np.array([f"o{k}" for k in range(1500)], object), 15)
    assert held[-1] > 500 * 1500


def test_pairs_of_one_owner_crowd_out_none_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest count for each kind by themselves."""
    owners = np.zeros(30, np.int64)
    owners[29] = 1
    pairs = copies._Pairs(owners)
    monkeypatch.setattr(copies, "_MAX_LAG", 5)
    first, second = np.triu_indices(30, 1)
    pairs.add(first, second, np.where(second == 29, 9, 1))  # that of another owner is the farthest of all
    pairs.settle()
    assert sorted(pairs.i[~pairs.of_one].tolist()) == list(range(29))
    assert pairs.of_one.sum() < 30 * 5
