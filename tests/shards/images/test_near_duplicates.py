"""Near-duplicates are found exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.images import near_duplicates as copies


def hash_of(*bits: int) -> np.ndarray:
    bitmap = np.zeros(256, np.uint8)
    bitmap[list(bits)] = 1
    return np.packbits(bitmap)


def test_train_gives_way_to_val_and_val_to_test() -> None:
    hashes = np.stack([hash_of(), hash_of(1), hash_of(1, 2), hash_of(*range(100)), hash_of(*range(100))])
    split = np.array(["train", "val", "test", "train", "train"])
    keeper, bits = copies.near_duplicates(hashes, np.full(5, 100), split, 15)
    # the copies in train are both named the test picture, for val's gave way; the twins within train stay
    assert keeper.tolist() == [2, 2, -1, -1, -1]
    assert bits.tolist() == [2, 1, 0, 0, 0]


def test_a_picture_that_gave_way_makes_no_other_give_way() -> None:
    """No chains: train is 10 bits from val and val 10 bits from test, but train is 20 bits from test."""
    hashes = np.stack([hash_of(*range(20)), hash_of(*range(10)), hash_of()])
    keeper, _ = copies.near_duplicates(hashes, np.full(3, 100), np.array(["train", "val", "test"]), 15)
    assert keeper.tolist() == [-1, 2, -1]
    alone, _ = copies.near_duplicates(hashes[:2], np.full(2, 100), np.array(["train", "val"]), 15)
    assert alone.tolist() == [1, -1]  # control: it would, had val stayed


def test_the_distance_that_counts_is_inclusive() -> None:
    for apart, match in ((15, True), (16, False)):
        hashes = np.stack([hash_of(*range(0, 16 * apart, 16)), hash_of()])  # one bit in each band: as hard to find as can be
        keeper, _ = copies.near_duplicates(hashes, np.full(2, 100), np.array(["train", "test"]), 15)
        assert (keeper[0] == 1) == match


@pytest.mark.parametrize(("quality", "match"), [(49, False), (50, True)])
def test_flat_pictures_match_nothing(quality: int, match: bool) -> None:
    for pair in ([quality, 100], [100, quality]):
        keeper, _ = copies.near_duplicates(np.zeros((2, 32), np.uint8), np.array(pair), np.array(["train", "test"]), 15)
        assert (keeper[0] == 1) == match


def brute_force(query: np.ndarray, base: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    distance = np.bitwise_count(query[:, None] ^ base[None]).sum(axis=2, dtype=np.int64)
    nearest = distance.argmin(axis=1)
    least = distance[np.arange(len(query)), nearest]
    return np.where(least <= max_bits, nearest, -1), np.where(least <= max_bits, least, 0)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num=st.integers(1, 40),
    flips=st.integers(0, 20),
    max_bits=st.integers(0, 15),
    at_once=st.sampled_from([1, 7, 10**6]),
)
def test_the_search_equals_brute_force(seed: int, num: int, flips: int, max_bits: int, at_once: int) -> None:
    random = np.random.default_rng(seed)
    centres = random.integers(0, 256, (4, 32), dtype=np.uint8)

    def near_centres(count: int) -> np.ndarray:
        bits = np.unpackbits(centres[random.integers(0, 4, count)], axis=1)
        for row in bits:
            row[random.choice(256, random.integers(0, flips + 1), replace=False)] ^= 1
        return np.packbits(bits, axis=1)

    query, base = near_centres(num), near_centres(num + 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "_PAIRS_AT_ONCE", at_once)
        found = copies.nearest_within(query, base, max_bits)
    for got, wanted in zip(found, brute_force(query, base, max_bits), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_search_copes_with_many_pictures() -> None:
    random = np.random.default_rng(0)
    query, base = (random.integers(0, 256, (n, 32), dtype=np.uint8) for n in (280_000, 120_000))
    base[:20_000] = base[0]  # one placeholder many times over
    query[5] = base[70_000] ^ hash_of(3, 99, 200)
    nearest, bits = copies.nearest_within(query, base, 15)
    assert np.flatnonzero(nearest >= 0).tolist() == [5]
    assert (nearest[5], bits[5]) == (70_000, 3)


def pairs_of(hashes: np.ndarray, owners: list[str], quality: int = 100, max_bits: int = 15) -> list[tuple[int, int, int]]:
    found = copies.near_identical_pairs(hashes, np.full(len(hashes), quality), np.array(owners, object), max_bits)
    return list(zip(*(column.tolist() for column in found), strict=True))


def test_every_planted_copy_is_paired_and_nothing_else_is() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (5000, 32), dtype=np.uint8)
    owners = [f"o{i}" for i in range(5000)]
    assert pairs_of(hashes, owners) == []
    first, second = random.permutation(5000)[:2000].reshape(2, 1000)
    for i, j in zip(first, second, strict=True):
        hashes[j] = hashes[i] ^ hash_of(*random.choice(256, random.integers(0, 16), replace=False))
    found = pairs_of(hashes, owners)
    assert {(i, j) for i, j, _ in found} == {(min(pair), max(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert all(bits == np.bitwise_count(hashes[i] ^ hashes[j]).sum() for i, j, bits in found)
    assert [bits for *_, bits in found] == sorted(bits for *_, bits in found)


def test_a_picture_is_once_in_a_pair_of_two_owners_and_once_in_a_pair_of_one() -> None:
    hashes = np.stack([hash_of(), hash_of(1), hash_of(1, 2), hash_of(1, 2, 3, 4)])
    assert pairs_of(hashes, ["a", "b", "c", "d"]) == [(0, 1, 1), (2, 3, 2)]  # not 1 and 2, though 1 bit apart: 1 is taken
    assert pairs_of(hashes[:3], ["a", "b", "c"]) == [(0, 1, 1)]
    assert pairs_of(hashes[:3], ["a", "a", "b"]) == [(0, 1, 1), (1, 2, 1)]  # 1 in one of each kind
    assert pairs_of(hashes, ["a"] * 4) == [(0, 1, 1), (2, 3, 2)]
    assert pairs_of(hashes[[0, 3, 1]], ["a", "b", "c"]) == [(0, 2, 1)]  # the nearer one, wherever it stands


def test_pairs_need_known_owners_a_hash_worth_the_name_and_few_bits() -> None:
    far = np.stack([hash_of(*range(0, 240, 16)), hash_of()])  # 15 bits apart, one in each band but the last
    assert pairs_of(far, ["a", "b"]) == [(0, 1, 15)]
    assert pairs_of(np.stack([hash_of(*range(0, 256, 16)), hash_of()]), ["a", "b"]) == []
    assert pairs_of(far, ["a", "b"], max_bits=14) == []
    assert pairs_of(far, ["a", ""]) == pairs_of(far, ["", ""]) == []
    assert pairs_of(far, ["a", "b"], quality=49) == []
    assert pairs_of(far[:0], []) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), num=st.integers(0, 40), flips=st.integers(0, 16), max_bits=st.integers(0, 15))
def test_pairs_equal_those_of_brute_force(seed: int, num: int, flips: int, max_bits: int) -> None:
    random = np.random.default_rng(seed)
    bitmaps = np.unpackbits(random.integers(0, 256, (4, 32), dtype=np.uint8)[random.integers(0, 4, num)], axis=1)
    for row in bitmaps:
        row[random.choice(256, random.integers(0, flips + 1), replace=False)] ^= 1
    hashes, owners = np.packbits(bitmaps, axis=1), [f"{k}" if k else "" for k in random.integers(0, 6, num)]
    near = sorted(
        (int(np.bitwise_count(hashes[i] ^ hashes[j]).sum()), i, j) for i in range(num) for j in range(i + 1, num) if owners[i] and owners[j]
    )
    wanted: list[tuple[int, int, int]] = []
    taken: set[tuple[int, bool]] = set()
    for bits, i, j in near:
        same = owners[i] == owners[j]
        if bits <= max_bits and not {(i, same), (j, same)} & taken:
            taken |= {(i, same), (j, same)}
            wanted.append((i, j, bits))
    assert pairs_of(hashes, owners, max_bits=max_bits) == wanted


def test_a_placeholder_uploaded_many_times_ends_and_its_copies_are_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_MAX_LAG", 3)
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (3000, 32), dtype=np.uint8)
    hashes[::3] = hashes[0]
    found = pairs_of(hashes, [f"o{i}" for i in range(3000)])
    assert len(found) == 500
    assert {place for i, j, _ in found for place in (i, j)} == set(range(0, 3000, 3))


def test_what_the_limit_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies share one band only, with twenty other pictures that lie between them."""
    crowd = np.random.default_rng(0).integers(0, 256, (22, 32), dtype=np.uint8)
    crowd[:, :2] = 0
    crowd[:20, 31] = np.arange(1, 21)  # the byte that decides the order
    crowd[20:] = [hash_of(), hash_of(*range(16, 240, 16), 248)]
    owners = [f"o{i}" for i in range(22)]
    assert pairs_of(crowd, owners) == [(20, 21, 15)]
    monkeypatch.setattr(copies, "_MAX_LAG", 20)
    assert pairs_of(crowd, owners) == []
