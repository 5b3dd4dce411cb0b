"""What a report may open, and what it is refused before anything is spent."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.errors import ReportError
from peoria.records.schema import SweepRecord
from peoria.sweep.plan import sealed_text
from peoria.verdict.vaults import NextVaults, Shown
from shards.errors import NothingSealedError
from shards.manifest import SplitRule
from shards.read.openings import entries, open_test
from shards.read.shard_set import ShardSet
from shards.read.vaults import Vaults
from tests.helpers.worlds import judged, world


@pytest.fixture
def shard_set(vaulted_shards: Path, tmp_path: Path) -> ShardSet:
    """Of three vaults; owners of two pictures have ids below 200, all others one."""
    return ShardSet(Path(shutil.copytree(vaulted_shards, tmp_path / "set", ignore=shutil.ignore_patterns("*openings*"))))


@pytest.fixture
def choice(shard_set: ShardSet) -> Callable[..., NextVaults]:
    def make(rest: bool = False, where: str | None = None, control: str | None = None) -> NextVaults:
        return NextVaults(shard_set, SweepRecord.model_construct(name="asks", where=where, control=control), rest)

    return make


def owners_in(shard_set: ShardSet, vaults: tuple[int, int]) -> list[str]:
    found = shard_set.test_columns(["owner"])["owner"][shard_set.vaults.within(vaults)]
    return list(dict.fromkeys(found.tolist()))


def named(owners: list[str]) -> str:
    return f"owner={','.join(owners)}"


def test_what_is_too_small_to_claim_anything_is_not_opened(shard_set: ShardSet, choice: Callable[..., NextVaults]) -> None:
    first, second = owners_in(shard_set, (1, 1)), owners_in(shard_set, (2, 2))
    few = named([*first[:19], *second[:19]])
    found = r"test: vault 1 of 3: 19 owners of this sweep; at least 20, worth 5; test was not opened"
    with pytest.raises(ReportError, match=rf"{found}\nhint: --all opens the 38 owners that are still sealed"):
        choice(where=few)([])
    assert choice(rest=True, where=few)([]) == (1, 3)
    with pytest.raises(ReportError, match=r"vaults 1 to 3 of 3: 19 owners.*\nhint: 19 owners are still sealed: pack new pictures"):
        choice(rest=True, where=named(first[:19]))([])
    assert choice(where=named(first[:20]))([]) == (1, 1)  # control: one more
    assert choice()([]) == (1, 1)
    with pytest.raises(ReportError, match="test: vault 1 has no picture of where"):
        choice(where=named(second), control="shuffle")([])


def test_a_small_test_split_is_judged_as_it_is_but_not_for_a_part_of_it(
    shard_set: ShardSet, choice: Callable[..., NextVaults], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shards.read.vaults.MIN_OWNERS", 1000)
    assert shard_set.vaults.num == 1
    assert choice()([]) == choice(rest=True)([]) == (1, 1)
    with pytest.raises(ReportError, match=r"vault 1 of 1: 3 owners of this sweep; at least 20"):
        choice(where=named(owners_in(shard_set, (1, 1))[:3]))([])  # or the one opening would be spent on nothing


def test_a_control_takes_no_vault(shard_set: ShardSet, choice: Callable[..., NextVaults]) -> None:
    for name in ("shuffle", "plant-age-0.45", "shuffle"):
        control = choice(control=name)
        opening = open_test(shard_set.at, sweep="asks", purpose="report", control=name, choose=control)
        assert (opening.vault, opening.control) == (1, name)
        assert control.shown(opening, entries(shard_set.at)).text.endswith("; a control takes none")
    assert choice()(entries(shard_set.at)) == (1, 1)  # what its counts were is still to be seen
    own = open_test(shard_set.at, sweep="asks", purpose="report", choose=choice(rest=True))
    assert (own.number, own.vault, own.last_vault) == (4, 1, 3)
    assert choice(control="shuffle")(entries(shard_set.at)) == (1, 1)  # nor does it need one that is sealed
    with pytest.raises(ReportError, match="--all: sweep asks is a control, which is judged on vault 1 and takes none; without it"):
        choice(rest=True, control="shuffle")([])


def test_where_no_owner_is_known_vaults_are_of_pictures() -> None:
    ids = np.array([str(number) for number in range(1000)])
    assert Vaults.cut(np.full(1000, ""), ids, SplitRule()).unit == "picture"
    assert Vaults.cut(np.array(["someone", *[""] * 999]), ids, SplitRule()).unit == "owner"
    assert Shown(1, 1, 3, 150, 75, 225, "picture").text == "vault 1 of 3, 150 of 225 pictures; 75 stay sealed"
    scores, labels = world(seed=4, num_owners=60, shape=0.22)
    seen = Shown(first=2, last=2, num_vaults=5, num_owners=250, num_sealed=251, num_all=1000)
    strangers = judged(scores, replace(labels, owners=np.full(len(labels), "")), num_resamples=50, opening=2, shown=seen)
    assert "25 % of its pictures: " in strangers.notes[-1]
    assert "; 251 pictures stay sealed." in strangers.notes[-1]


def test_a_plan_says_what_a_report_would_open(shard_set: ShardSet, choice: Callable[..., NextVaults]) -> None:
    sizes = [shard_set.vaults.num_units((k, k)) for k in (1, 2, 3)]
    wide = (sum(sizes) / sizes[0]) ** 0.5
    said = f"a report opens vault 1 of 3, of {sizes[0]} of {sum(sizes)} owners; intervals {wide:.2f} times as wide as of the {sum(sizes)} that"
    assert sealed_text(shard_set, None).startswith(said)
    few = [*owners_in(shard_set, (1, 1))[:4], *owners_in(shard_set, (3, 3))[:2]]
    assert sealed_text(shard_set, None, where=named(few)).startswith("a report opens vault 1 of 3, of 4 of 6 owners;")
    opening = open_test(shard_set.at, sweep="asks", purpose="report", choose=choice())
    assert choice().shown(opening, entries(shard_set.at)) == Shown(1, 1, 3, sizes[0], sizes[1] + sizes[2], sum(sizes))
    assert choice().shown(opening, entries(shard_set.at)).wider == pytest.approx(wide)
    assert sealed_text(shard_set, None).startswith(f"a report opens vault 2 of 3, of {sizes[1]} of")
    open_test(shard_set.at, sweep="asks", purpose="report", choose=choice(rest=True))
    refused = "a report would be refused: all 3 vaults of test were opened, last by sweep asks (opening 2)"
    assert sealed_text(shard_set, None) == f"{refused}; pack pictures of owners that are not in it: this set has shown all it has"
    assert sealed_text(shard_set, None, "asks").startswith("this sweep opened it before (opening 2); its report shows that again")
    assert sealed_text(shard_set, "shuffle") == f"vault 1 of 3, of {sizes[0]} of {sum(sizes)} owners; a control takes none"
    with pytest.raises(NothingSealedError):
        choice()(entries(shard_set.at))
