"""Splits follow owners, not rows, and their shares are those that were asked for."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.errors import ShardsError
from shards.manifest import SPLITS, SplitRule
from shards.pack import splits
from shards.read.vaults import Vaults

RULE, BY_HASH = SplitRule(), SplitRule(version=1)
SHARES = np.array([0.7, 0.1, 0.2])
CAP = RULE.max_per_owner


def names(prefix: str, num: int) -> np.ndarray:
    return np.array([f"{prefix}{i}" for i in range(num)], dtype=object)


def of_owners(sizes: np.ndarray, rule: SplitRule = RULE, fixed: dict[str, str] | None = None) -> np.ndarray:
    """The split of each owner, who has so many pictures."""
    owners = np.repeat(names("o", len(sizes)), sizes)
    found: np.ndarray = splits.assign(owners, names("i", len(owners)), rule, fixed)
    return found[np.cumsum(sizes) - 1]  # type: ignore[no-any-return]


def shares(found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.array([weights[found == split].sum() for split in SPLITS]) / weights.sum()


def off(sizes: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """By how much owners, and pictures after the cap, differ from their shares at most."""
    capped = np.minimum(sizes, CAP)
    return tuple(float(np.abs(shares(found, of) - SHARES).max() * of.sum()) for of in (np.ones(len(sizes)), capped))  # type: ignore[return-value]


def heavy_tailed(num: int, seed: int = 0) -> np.ndarray:
    """Pareto: most have a few, and one has a large part of all."""
    return np.minimum(1 + (np.random.default_rng(seed).pareto(1.0, num) * 3).astype(int), 30_000)


def test_an_owner_lies_in_one_split_and_the_shares_come_out() -> None:
    owners, ids = np.repeat(names("o", 5000), 2), names("i", 10_000)
    found = splits.assign(owners, ids, RULE)
    assert (found[::2] == found[1::2]).all()
    assert [int(np.sum(found == split)) for split in SPLITS] == [7000, 1000, 2000]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 45), min_size=3, max_size=60), st.text(max_size=3))
def test_owners_and_pictures_have_their_shares_whatever_the_sizes(sizes: list[int], seed: str) -> None:
    """Within an owner or two, and their pictures; no split is empty."""
    rule = RULE.model_copy(update={"seed": seed})
    found = of_owners(np.array(sizes), rule)
    of_owner, of_picture = off(np.array(sizes), found)
    assert of_owner <= (1 if len(sizes) >= 10 else 1.5)
    assert of_picture <= 2 * CAP
    assert set(found) == set(SPLITS)


@pytest.mark.parametrize(("num", "seeds"), [(25, 30), (100, 8), (1000, 8), (8000, 3)])
def test_shares_of_few_owners_are_no_luck(num: int, seeds: int) -> None:
    """Control: by the hash alone they are, and some sets of 25 owners have no val at all."""
    sizes = heavy_tailed(num)
    found = {version: [of_owners(sizes, SplitRule(version=version, seed=f"{seed}")) for seed in range(seeds)] for version in (1, 2)}
    assert max(off(sizes, one)[0] for one in found[2]) <= 1
    assert max(off(sizes, one)[0] for one in found[1]) > min(2.5, np.sqrt(num) / 4)
    assert [any("val" not in one for one in found[version]) for version in (1, 2)] == [num == 25, False]


def test_25_owners_of_40_pictures() -> None:
    """17, 3 and 5 of them, where the hash gives 20, 0 and 5; what the cap takes is what it has to."""
    sizes = np.full(25, 40)
    counted = {rule.version: [int(np.sum(of_owners(sizes, rule) == split)) for split in SPLITS] for rule in (RULE, BY_HASH)}
    assert counted[2] == [17, 3, 5]
    assert counted[1] != counted[2]


def lost(sizes: np.ndarray, rule: SplitRule) -> int:
    owners = np.repeat(names("o", len(sizes)), sizes)
    ids = names("i", len(owners))
    found = splits.assign(owners, ids, rule)
    surplus = splits.cap_owners(owners, ids, found, rule)
    assert not surplus[found == "train"].any()
    return int(surplus.sum())


def test_who_has_most_trains_so_that_the_cap_takes_little() -> None:
    sizes = np.concatenate([[5000, 900], np.full(60, 21), np.full(40, 4)])
    of_seeds = {rule: [lost(sizes, SplitRule(version=rule, seed=f"{seed}")) for seed in range(12)] for rule in (1, 2)}
    assert max(of_seeds[2]) < 20
    assert max(of_seeds[1]) > 4900  # control: by the hash alone the largest is in val or test in 3 of 10 sets


def test_a_table_that_grew_moves_few_owners() -> None:
    sizes = heavy_tailed(2000)
    before, seed = of_owners(sizes), of_owners(sizes, SplitRule(seed="other"))
    after = of_owners(np.concatenate([sizes, heavy_tailed(40, seed=1)]))[:2000]
    smaller = of_owners(sizes - (np.arange(2000) % 100 == 0) * (sizes > 1))  # some pictures could not be read
    assert np.mean(before == after) > 0.95
    assert np.mean(before == smaller) > 0.95
    assert np.mean(before == seed) < 0.7  # control


def test_given_owners_keep_their_split_and_the_others_even_it_out() -> None:
    sizes = heavy_tailed(300)
    fixed = {f"o{i}": "test" if i < 45 else "train" for i in range(90)}
    found = of_owners(sizes, fixed=fixed)
    assert dict(zip(names("o", 90), found[:90], strict=True)) == fixed
    np.testing.assert_allclose(shares(found, np.ones(300)), SHARES, atol=1 / 300)
    alone = np.concatenate([found[:90], of_owners(sizes)[90:]])  # control: who does not know of them
    assert np.abs(shares(alone, np.ones(300)) - SHARES).max() > 0.05
    assert set(of_owners(sizes, fixed={f"o{i}": "val" for i in range(300)})) == {"val"}
    assert set(of_owners(sizes, BY_HASH, fixed={f"o{i}": "val" for i in range(300)})) == {"val"}
    assert (of_owners(sizes, fixed={"nobody": "val"}) == of_owners(sizes)).all()


def test_the_vaults_of_a_balanced_test_split_are_of_their_sizes() -> None:
    """What draws a vault has no part in who is in test."""
    found = of_owners(heavy_tailed(5000))
    owners = names("o", 5000)[found == "test"]
    vaults = Vaults.cut(owners, owners, RULE)
    assert (len(owners), vaults.num) == (1000, 5)
    expected = np.array([500, 250, 125, 62.5, 62.5])
    assert (np.abs([vaults.num_units((k, k)) for k in range(1, 6)] - expected) < 4 * np.sqrt(expected)).all()


def test_the_split_of_sets_packed_before_is_the_published_hash() -> None:
    for owner in ("ann", "bob", "eve"):
        fraction = int.from_bytes(hashlib.sha256(f"peoria\nowner\n{owner}".encode()).digest()[:8]) / 2**64
        expected = "train" if fraction < 0.7 else "val" if fraction < 0.8 else "test"
        assert splits.assign(np.array([owner], object), np.array(["1"], object), BY_HASH).tolist() == [expected]


@pytest.mark.parametrize("rule", [RULE, BY_HASH])
def test_the_order_of_rows_changes_nothing_and_the_seed_does(rule: SplitRule) -> None:
    owners, ids = np.repeat(names("o", 200), heavy_tailed(200))[:400], names("i", 400)
    owners[::7] = ""
    turned = np.random.default_rng(0).permutation(400)
    found = splits.assign(owners, ids, rule)
    assert (splits.assign(owners[turned], ids[turned], rule) == found[turned]).all()
    assert (ids[splits.shuffle_order(ids, rule)] == ids[turned][splits.shuffle_order(ids[turned], rule)]).all()
    assert (splits.assign(owners, ids, rule.model_copy(update={"seed": "other"})) != found).any()


def test_unknown_owners_split_by_picture() -> None:
    found = splits.assign(np.full(500, "", dtype=object), names("i", 500), RULE)
    assert set(found) == {"train", "val", "test"}
    assert (found == splits.assign(np.full(500, "", dtype=object), names("i", 500), BY_HASH)).all()
    known = splits.assign(np.full(500, "one", dtype=object), names("i", 500), RULE)
    assert len(set(known)) == 1  # control: an owner named "one" would be a single owner


def test_owners_are_capped_in_val_and_test_only() -> None:
    owners = np.array(["a"] * 30 + ["b"] * 30 + ["c"] * 30 + [""] * 30, object)
    split = np.array(["train"] * 30 + ["val"] * 30 + ["test"] * 60)
    ids = names("i", 120)
    surplus = splits.cap_owners(owners, ids, split, RULE)
    assert [int(surplus[i : i + 30].sum()) for i in (0, 30, 60, 90)] == [0, 10, 10, 0]
    turned = np.random.default_rng(0).permutation(120)
    assert (splits.cap_owners(owners[turned], ids[turned], split[turned], RULE) == surplus[turned]).all()


def test_where_hashes_are_one_the_ids_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, turned = names("i", 60), np.random.default_rng(0).permutation(60)
    monkeypatch.setattr(splits, "_hash64", lambda seed, purpose, identity: len(identity))
    order = splits.shuffle_order(ids, RULE)
    assert ids[order].tolist() == sorted(ids.tolist(), key=lambda one: (len(one), one))
    assert ids[turned][splits.shuffle_order(ids[turned], RULE)].tolist() == ids[order].tolist()


def test_a_rule_that_cannot_be_followed() -> None:
    with pytest.raises(ShardsError) as caught:
        splits.check_rule(SplitRule(train=0.9, max_per_owner=0, near_duplicate_bits=16))
    assert caught.value.problems == (
        "split rule: shares [0.9, 0.1, 0.2]; three that are not negative and sum to 1",
        "split rule: max_per_owner 0; at least 1",
        "split rule: near_duplicate_bits 16; 0 to 15",
    )
