"""Splits follow owners, not rows."""

import hashlib

import numpy as np
import pytest

from shards.errors import ShardsError
from shards.manifest import SplitRule
from shards.pack import splits

RULE = SplitRule()


def names(prefix: str, num: int) -> np.ndarray:
    return np.array([f"{prefix}{i}" for i in range(num)], dtype=object)


def test_an_owner_lies_in_one_split_and_the_shares_come_out() -> None:
    owners, ids = np.repeat(names("o", 5000), 2), names("i", 10_000)
    found = splits.assign(owners, ids, RULE)
    assert (found[::2] == found[1::2]).all()
    shares = [np.mean(found == split) for split in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.02)


def test_the_split_is_the_published_hash() -> None:
    fraction = int.from_bytes(hashlib.sha256(b"peoria\nowner\nann").digest()[:8]) / 2**64
    expected = "train" if fraction < 0.7 else "val" if fraction < 0.8 else "test"
    assert splits.assign(np.array(["ann"], object), np.array(["1"], object), RULE).tolist() == [expected]


def test_the_order_of_rows_changes_nothing_and_the_seed_does() -> None:
    owners, ids = names("o", 300), names("i", 300)
    turned = np.random.default_rng(0).permutation(300)
    found = splits.assign(owners, ids, RULE)
    assert (splits.assign(owners[turned], ids[turned], RULE) == found[turned]).all()
    assert (ids[splits.shuffle_order(ids, RULE)] == ids[turned][splits.shuffle_order(ids[turned], RULE)]).all()
    assert (splits.assign(owners, ids, SplitRule(seed="other")) != found).any()


def test_unknown_owners_split_by_picture() -> None:
    found = splits.assign(np.full(500, "", dtype=object), names("i", 500), RULE)
    assert set(found) == {"train", "val", "test"}
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


def test_a_rule_that_cannot_be_followed() -> None:
    with pytest.raises(ShardsError) as caught:
        splits.check_rule(SplitRule(train=0.9, max_per_owner=0, near_duplicate_bits=16))
    assert caught.value.problems == (
        "split rule: shares [0.9, 0.1, 0.2]; three that are not negative and sum to 1",
        "split rule: max_per_owner 0; at least 1",
        "split rule: near_duplicate_bits 16; 0 to 15",
    )
