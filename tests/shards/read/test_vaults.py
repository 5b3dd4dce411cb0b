"""Test in vaults: who is in which, what an opening shows of it, and that no two ever show the same."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shards.cache.decoded import decoded
from shards.errors import NothingSealedError, TestSplitClosedError
from shards.inspection.describe import near_duplicates
from shards.manifest import SplitRule
from shards.pack.pack import pack
from shards.read import vaults as module
from shards.read.on_demand import ShardReader
from shards.read.openings import OPENINGS, TestOpening, entries, open_test, openings
from shards.read.shard_set import ShardSet
from shards.read.vaults import MIN_OWNERS, Vaults
from tests.helpers.studies import sampled

RULE = SplitRule()
COPIES = 6  # of one picture, by owners of their own


def cut(num_owners: int, of_owner: int = 2, unknown: int = 0, rule: SplitRule = RULE) -> Vaults:
    owners = np.array([f"o{k // of_owner}" for k in range(num_owners * of_owner)] + [""] * unknown)
    return Vaults.cut(owners, np.array([f"p{k}" for k in range(len(owners))]), rule)


def entry(number: int, first: int = 0, last: int = 0, control: str = "") -> TestOpening:
    return TestOpening(number, "id", "sweep", "report", 0.0, vault=first, last_vault=last, control=control)


def test_what_another_packing_opened_has_shown_all() -> None:
    """A set that grew is cut into more vaults: owners of the one it had are in several now."""
    grown = replace(cut(130), identity="grown")
    assert grown.num == 2
    assert grown.last_opened([entry(1, 1, 1)]) == 2  # its identity is another
    assert replace(grown, identity="id").last_opened([entry(1, 1, 1)]) == 1  # control


def test_what_was_opened_before_a_change_shows_the_vaults_that_its_owners_are_in_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners that come or go change the number of vaults, time and again: no owner that was shown is ever sealed."""
    monkeypatch.setattr(module, "MIN_OWNERS", 4)
    random = np.random.default_rng(0)
    leaks = useful = 0
    for _ in range(sampled(400, 40)):
        names, earlier, opened, shown, numbers = list(range(30)), dict[str, int](), list[TestOpening](), set[str](), set[int]()
        for step in range(6):
            owners = np.array([f"o{name}" for name in names])
            vaults = Vaults.cut(owners, owners, RULE, f"identity {step}", dict(earlier))
            numbers.add(vaults.num)
            try:
                held = vaults.sealed(opened, rest=bool(random.random() < 0.1))
            except NothingSealedError:
                held = None
            if held is not None:
                sees = set(owners[vaults.within(held)].tolist())
                assert not sees & shown
                useful += bool(sees) and bool(shown)
                if random.random() < 0.6:
                    opened.append(replace(entry(len(opened) + 1, *held), identity=f"identity {step}"))
                    shown |= sees
            with monkeypatch.context() as patch:  # control: by its number alone the last vault of before is but one of those of now
                patch.setattr(Vaults, "held_by", lambda self, opening: (opening.vault, opening.last_vault))
                with suppress(NothingSealedError):
                    leaks += bool(shown & set(owners[vaults.within(vaults.sealed(opened, rest=True))].tolist()))
            earlier[f"identity {step}"] = vaults.num
            names = [name for name in names if random.random() < 0.8] if random.random() < 0.5 else [*names, *range(max(names) + 1, max(names) + 30)]
        assert len(numbers) > 1
    assert leaks
    assert useful


def test_each_vault_is_half_of_what_is_left_and_the_last_all_of_it() -> None:
    found = cut(4000, unknown=1000)
    assert found.num == 7  # 5,000 units: the last two are expected to have 78 each
    sizes = [found.num_units((k, k)) for k in range(1, 8)]
    assert sum(sizes) == 5000
    expected = np.array([2500, 1250, 625, 312.5, 156.25, 78.125, 78.125])
    assert (np.abs(sizes - expected) < 4 * np.sqrt(expected)).all(), sizes
    assert min(sizes) >= 20


def test_an_owner_is_in_one_vault_whoever_else_is_packed() -> None:
    found, more = cut(500, of_owner=3), cut(900, of_owner=3)
    assert all(len(set(found.of[found.units == unit].tolist())) == 1 for unit in range(500))
    kept = np.minimum(more.of[:1500], found.num)
    assert (kept == found.of).all()
    assert (cut(500, of_owner=3, rule=SplitRule(seed="other")).of != found.of).any()  # control: drawn by the rule's seed


def test_a_small_test_split_is_one_vault() -> None:
    assert [cut(num).num for num in (1, 2 * MIN_OWNERS - 1, 2 * MIN_OWNERS, 4 * MIN_OWNERS)] == [1, 1, 2, 3]
    assert set(cut(61).of.tolist()) == {1}
    assert cut(0, unknown=2 * MIN_OWNERS).num == 2  # each picture of an unknown owner for itself


def test_what_was_opened_is_sealed_no_more() -> None:
    found = cut(1000)
    assert found.num == 5
    assert found.sealed([], rest=False) == (1, 1)
    assert found.sealed([], rest=True) == (1, 5)
    assert found.sealed([entry(1, 1, 1)], rest=False) == (2, 2)
    assert found.sealed([entry(1, 1, 1), entry(2, 2, 2)], rest=True) == (3, 5)
    assert found.sealed([entry(1, 1, 1, "shuffle"), entry(2, 1, 1, "shuffle")], rest=False) == (1, 1)  # a control takes none
    assert found.sealed([None], rest=False) == (2, 2)  # what cannot be read may have been an opening
    for spent in ([entry(1)], [entry(1, 1, 5)], [entry(1, 1, 1), None, None, None, None]):  # the first is of before there were vaults
        for rest in (False, True):
            with pytest.raises(
                NothingSealedError, match=r"test: all 5 vaults of test were opened, last by sweep sweep \(opening 1\); one that nobody"
            ):
                found.sealed(spent, rest)


@pytest.fixture
def small_vaults(packed: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    """30 owners of two pictures, a fifth of them test."""
    monkeypatch.setattr(module, "MIN_OWNERS", 2)
    return ShardSet(packed)


def opened(shard_set: ShardSet, rest: bool = False) -> TestOpening:
    return open_test(shard_set.at, sweep="s", purpose="p", choose=lambda before: shard_set.vaults.sealed(before, rest))


def test_an_opening_shows_its_vault_and_nothing_else(small_vaults: ShardSet, tmp_path: Path) -> None:
    first, rest = opened(small_vaults), opened(small_vaults, rest=True)
    whole = open_test(small_vaults.at, sweep="s", purpose="p")  # as all were before
    assert (first.vault, first.last_vault) == (1, 1)
    assert (rest.vault, rest.last_vault) == (2, small_vaults.vaults.num)
    labels = {opening.number: small_vaults.labels("test", opening) for opening in (first, rest, whole)}
    own = [set(labels[k].owners.tolist()) for k in (1, 2)]
    assert min(map(len, own)) > 0
    assert not own[0] & own[1]
    assert sorted([*labels[1].keys.tolist(), *labels[2].keys.tolist()]) == labels[3].keys.tolist()
    everything = decoded(small_vaults, "test", tmp_path, whole)
    for opening in (first, rest):
        shown = labels[opening.number]
        rows = np.searchsorted(labels[3].keys, shown.keys)
        assert (decoded(small_vaults, "test", tmp_path, opening) == everything[rows]).all()
        reader, found = ShardReader(small_vaults, "test", 1, opening), {}
        reader.visit(np.arange(len(reader)), lambda i, picture, found=found: found.__setitem__(i, picture.copy()))  # type: ignore[misc]
        assert (np.stack([found[i] for i in range(len(shown))]) == everything[rows]).all()
    for forged in (replace(first, last_vault=9), replace(first, vault=0, last_vault=0), replace(rest, vault=1)):
        with pytest.raises(TestSplitClosedError, match="is not on record"):
            small_vaults.labels("test", forged)
    with pytest.raises(NothingSealedError):
        opened(small_vaults)
    assert len(openings(small_vaults.root)) == 3


def test_an_entry_of_vaults_that_cannot_be_is_no_opening(small_vaults: ShardSet) -> None:
    opened(small_vaults)
    path = small_vaults.root / OPENINGS
    line = json.loads(path.read_text())
    assert (line["vault"], line["last_vault"]) == (1, 1)
    for change in ({"vault": 2}, {"vault": -1}, {"vault": "1"}, {"last_vault": None}, {"control": 3}, {"vault": True}):
        path.write_text(json.dumps(line | change) + "\n")
        assert entries(small_vaults.root) == [None]
    path.write_text(json.dumps({name: value for name, value in line.items() if "vault" not in name}) + "\n")  # control: one of before
    assert [small_vaults.vaults.held_by(one) for one in openings(small_vaults.root)] == [(1, small_vaults.vaults.num)]


def test_openers_at_once_get_vaults_of_their_own(small_vaults: ShardSet) -> None:
    code = (
        "import sys, pathlib\nfrom shards.errors import NothingSealedError\nfrom shards.read import vaults\nvaults.MIN_OWNERS = 2\n"
        "from shards.read.openings import open_test\nfrom shards.read.shard_set import ShardSet\nfound = ShardSet(pathlib.Path(sys.argv[1]))\n"
        "try:\n  while True:\n    print(open_test(found.at, sweep='s', purpose='p', choose=lambda b: found.vaults.sealed(b, False)).vault)\n"
        "except NothingSealedError:\n  pass\n"
    )
    words = [sys.executable, "-c", code, str(small_vaults.root)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    got = [int(vault) for process in running for vault in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(got) == list(range(1, small_vaults.vaults.num + 1))
    assert len(got) > 1


def test_a_copy_of_what_was_shown_is_shown_no_more(make_table: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one picture by several owners the copies in later vaults give way, as those in train give way to test's."""
    monkeypatch.setattr(module, "MIN_OWNERS", 8)
    table = make_table(tmp_path / "in", 40)
    for twin in range(1, COPIES):
        shutil.copy(tmp_path / "in/images/000.jpg", tmp_path / f"in/images/{twin:03d}.jpg")
    root = pack(table, tmp_path / "set", processes=1, split_rule=SplitRule(train=0.05, val=0.05, test=0.9)).root
    shard_set = ShardSet(root)
    columns, vaults = shard_set.test_columns(["id"]), shard_set.vaults
    copies = np.isin(columns["id"], [f"{twin:03d}" for twin in range(COPIES)])
    places = vaults.of[copies]
    assert len(set(places.tolist())) > 1  # else there is nothing to see
    first = min(places)
    for number in range(1, vaults.num + 1):
        opening = opened(shard_set)
        ids = set(shard_set.labels("test", opening).ids.tolist())
        in_vault = set(columns["id"][vaults.of == number].tolist())
        given_way = in_vault & set(columns["id"][copies].tolist()) if number > first else set()
        assert ids == in_vault - given_way
        pairs = near_duplicates(shard_set, opening)
        assert pairs is not None
        seen = {*pairs["owner_a"].tolist(), *pairs["owner_b"].tolist()}
        hidden = {f"owner{int(one)}" for one in columns["id"].tolist() if one not in ids}
        assert not seen & hidden


def test_counts_are_no_columns_that_are_read_of_sealed_pictures(small_vaults: ShardSet) -> None:
    assert list(small_vaults.test_columns(["owner", "views", "favorites", "comments", "mood", "none"])) == ["owner", "mood"]
