"""What stands in the way of a study is said when it is packed, and nothing else is."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from peoria.stats import estimates
from peoria.stats.clusters import Clusters
from shards.counts import counts_of
from shards.labels import read_labels
from shards.manifest import SPLITS, SplitRule
from shards.pack import judged
from shards.pack.judged import effective, warnings_of
from shards.pack.kept import Kept
from shards.pack.pack import pack
from tests.helpers.packed_set import jpeg, photo

RULE = SplitRule()
OF_OWNERS = (420, 60, 120)  # in train, val and test: two vaults, and nothing to say


def made(owners: tuple[int, int, int] = OF_OWNERS, each: int = 4, **changes: Any) -> Kept:
    """Pictures of so many owners in each split, with views, favourites and dates as they come."""
    random = np.random.default_rng(0)
    split = np.repeat(np.arange(3), np.array(owners) * each).astype(np.int8)
    num = len(split)
    uploaded = np.datetime64("2014-03-01", "s") + random.integers(0, 900 * 86_400, num)
    found = Kept(
        split=split,
        owner=np.repeat(np.arange(1, sum(owners) + 1), each).astype(np.uint64),
        views=np.exp(random.normal(5, 2, num)).astype(np.int64),
        counts={"favorites": random.integers(0, 3, num)},
        times={"uploaded_at": uploaded, "observed_at": uploaded + np.timedelta64(400, "D")},
    )
    return replace(found, **changes)


def test_nothing_is_said_of_a_set_that_can_be_judged() -> None:
    assert warnings_of(made(), RULE) == ()


def test_the_floors_are_those_of_a_verdict() -> None:
    assert (judged.MIN_OWNERS, judged.MIN_EFFECTIVE) == (estimates.MIN_OWNERS, estimates.MIN_EFFECTIVE)
    owners = np.random.default_rng(0).zipf(1.6, 400) % 50
    clusters = Clusters.of(owners.astype(str))
    assert effective(np.unique(owners, return_counts=True)[1]) == pytest.approx(clusters.effective)
    assert effective(np.zeros(0, np.int64)) == 0


def test_how_many_owners_a_verdict_needs() -> None:
    [said] = warnings_of(made((17, 3, 5)), RULE)
    assert said.startswith("test: 5 owners; a verdict needs 20 owners, worth 5 of equal size, which takes 100 owners in all")
    assert warnings_of(made((70, 10, 19)), RULE)[0].startswith("test: 19 owners;")
    assert not any("a verdict needs" in text for text in warnings_of(made((70, 10, 20)), RULE))  # control
    [said] = warnings_of(made((70, 10, 61)), RULE)
    assert said == "test: 61 owners are one vault, which one report opens; 120 owners, of 600 in all, make two, for a second look"
    assert "1,000 owners in all" in warnings_of(made((17, 3, 5)), SplitRule(train=0.88, test=0.02))[0]


def test_few_owners_with_most_of_test() -> None:
    kept = made((70, 10, 30), each=20)
    giant = kept.owner.copy()
    in_test = np.flatnonzero(kept.split == 2)
    giant[in_test[:400]] = giant[in_test[0]]
    found = warnings_of(replace(kept, owner=giant), RULE)
    assert found[0].startswith("test: 11 owners; a verdict needs 20")
    singles = replace(kept, owner=np.where(np.isin(np.arange(len(kept)), in_test[400:]), 10_000 + np.arange(len(kept)), giant).astype(np.uint64))
    found = warnings_of(singles, RULE)
    assert found[0].startswith("test: 201 owners, worth 1.0, for few have most of the pictures; a verdict needs 20 owners, worth 5")
    assert "test: one owner has 67% of the pictures; what is found may be of this owner: pack fewer of those" in found


def test_owners_of_one_picture_each_cannot_be_compared_within() -> None:
    found = warnings_of(made(each=1), RULE)
    assert found == (
        "test: 0 owners with two pictures or more; 20 are needed to compare pictures of one owner, without which nothing is said to be in the "
        "picture: pack more of each",
    )


def test_empty_splits_and_splits_of_one_owner() -> None:
    found = warnings_of(made((0, 0, 1), each=40), RULE)
    assert [text.split(":")[0] for text in found[:2]] == ["train", "val"]
    assert found[0] == (
        "train: no picture, and a sweep needs all three splits: an owner lies in one split, and there is 1; pack pictures of more owners; "
        "--drop owner splits by picture, as if all were strangers"
    )
    assert warnings_of(made((70, 1, 120)), RULE)[0].startswith("val: all 4 pictures are one owner's; what is learnt or chosen there may be of")
    assert not any(text.startswith("val:") for text in warnings_of(made((70, 2, 120)), RULE))  # control


def test_favourites_of_one_class() -> None:
    kept = made()
    favorites = np.maximum(1, kept.counts["favorites"])  # type: ignore[call-overload]
    [said] = warnings_of(replace(kept, counts={"favorites": favorites}), RULE)
    assert said == (
        "favorites: 1,680 of 1,680 of train, 240 of 240 of val, 480 of 480 of test pictures have one, so that there is nothing to tell apart; "
        "'classification' learns nothing, trials are ranked by views alone, favourites are not judged: --drop favorites leaves the column out"
    )
    favorites = np.where(kept.split == 1, 0, kept.counts["favorites"])
    [said] = warnings_of(replace(kept, counts={"favorites": favorites}), RULE)
    assert said.startswith("favorites: 0 of 240 of val pictures have one")
    assert "trials are ranked by views alone: --drop" in said
    partly = counts_of(np.ones(600, np.int64), np.arange(len(kept)) % 4 == 0)
    assert partly is not None
    assert "150 of 150" not in warnings_of(replace(kept, counts={"favorites": partly}), RULE)[0]
    assert "420 of 420 of train" in warnings_of(replace(kept, counts={"favorites": partly}), RULE)[0]
    assert warnings_of(replace(kept, counts={}), RULE) == ()


def test_favourites_that_few_owners_of_test_have() -> None:
    kept = made()
    rare = np.where(kept.split == 2, np.arange(len(kept)) % 40 == 0, kept.counts["favorites"])
    found = warnings_of(replace(kept, counts={"favorites": rare.astype(np.int64)}), RULE)
    assert found == (
        "favorites: pictures with a favourite of 12 owners in test; to judge favourites takes 20 owners, worth 5 of equal size: pack more pictures",
    )
    most = np.where(kept.split == 2, 1 - rare, rare)
    assert "pictures without a favourite of 12 owners" in warnings_of(replace(kept, counts={"favorites": most.astype(np.int64)}), RULE)[0]


def test_views_that_do_not_vary() -> None:
    kept = made()
    views = np.where(kept.split == 1, 7, kept.views)
    assert warnings_of(replace(kept, views=views), RULE) == (
        "views: 7 for every picture of val, so that nothing can be ranked there: is it the right column?",
    )


def test_a_split_of_one_picture() -> None:
    kept = made()
    split = np.where(kept.split == 1, 0, kept.split)
    split[0] = 1
    warnings = warnings_of(replace(kept, split=split), RULE)
    assert "val: 1 picture, and nothing can be ranked there: pack more pictures" in warnings
    assert not any("right column" in warning for warning in warnings)


def test_unknown_owners_and_dates() -> None:
    kept = made()
    none = replace(kept, owner=np.zeros(len(kept), np.uint64), times={})
    first, second = warnings_of(none, RULE)
    assert first == "owner: unknown for every picture; without owners a verdict claims nothing: --column owner=COLUMN names the column"
    assert second.startswith("uploaded_at: unknown for every picture; age cannot be told from appeal there")
    third = np.arange(len(kept)) % 3 == 0
    dates = np.where(third, np.datetime64("NaT", "s"), kept.times["uploaded_at"])
    some = replace(kept, owner=np.where(third, 0, kept.owner).astype(np.uint64), times=kept.times | {"uploaded_at": dates})
    assert [text.split(" which")[0].split(";")[0] for text in warnings_of(some, RULE)] == [
        "owner: unknown for 33% of the pictures,",
        "uploaded_at: unknown for 33% of the pictures",
    ]


def test_dates_that_cannot_be() -> None:
    kept = made()
    uploaded, read = kept.times["uploaded_at"].copy(), kept.times["observed_at"].copy()
    read[:5] = uploaded[:5] - np.timedelta64(20, "h")  # a date without an hour, or another zone
    assert warnings_of(replace(kept, times={"uploaded_at": uploaded, "observed_at": read}), RULE) == ()
    read[:5] = uploaded[:5] - np.timedelta64(2, "D")
    uploaded[7] = np.datetime64("0001-01-01", "s")
    read[9], uploaded[9] = np.datetime64("NaT", "s"), np.datetime64("2031-01-01", "s")  # after all others were read
    found = warnings_of(replace(kept, times={"uploaded_at": uploaded, "observed_at": read}), RULE)
    assert found[0] == "uploaded_at: before the web for 1 picture, first 0001-01-01: a mark for unknown? Leave such cells empty"
    assert found[1].startswith("observed_at: before uploaded_at for 6 pictures, and counts cannot be read before the upload")
    assert warnings_of(replace(kept, times={"uploaded_at": kept.times["uploaded_at"]}), RULE) == ()


def of_views(draw: str, random: np.random.Generator) -> np.ndarray:
    num = 2400
    match draw:
        case "log-normal":
            views = np.exp(random.normal(8, 1, num))
        case "wide":
            views = np.exp(random.normal(11, 2, num))
        case "of owners":
            views = np.exp(np.repeat(random.normal(8, 1.5, num // 4), 4) + random.normal(0, 1, num))
        case "log-gamma":
            views = np.exp(4 + random.gamma(2, 1, num))
        case "top twentieth":
            views = np.sort(np.exp(random.normal(7, 2, 20 * num)))[-num:]
        case "top hundredth":
            views = np.sort(np.exp(random.normal(5, 2, 100 * num)))[-num:]
        case _:
            views = 1000 * (1 + random.pareto(1.0, num))
    return random.permutation(views).astype(np.int64)


@pytest.mark.parametrize(("draw", "told"), [("log-normal", False), ("wide", False), ("of owners", False), ("log-gamma", False),
                                            ("top twentieth", True), ("top hundredth", True), ("power law", True)])  # fmt: skip
def test_a_list_of_the_most_viewed_is_told_and_others_are_not(draw: str, told: bool) -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        found = warnings_of(made(views=of_views(draw, random)), RULE)
        assert [text.startswith("views: none below") for text in found] == [True] * told


def test_what_is_kept_is_read_in_any_number_of_parts(tmp_path: Path) -> None:
    """From labels as they are packed, and said by `pack`, each time it is asked."""
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "owner", "views", "favorites", "comments", "uploaded_at"])
        for i in range(24):
            (tmp_path / f"{i}.jpg").write_bytes(jpeg(photo(40, 40, seed=i)))
            writer.writerow([f"{i}", f"{i}.jpg", f"o{i % 6}" if i else "", i * i, 1, "" if i % 2 else i, "2014-01-01" if i else ""])
    result = pack(tmp_path / "t.csv", tmp_path / "set", processes=1)
    table = read_labels(tmp_path / "set", result.manifest)
    whole, parts = Kept.of([table]), Kept.of([table.slice(start, 5) for start in range(0, 24, 5)])
    assert len(whole) == 24
    assert whole.split.tolist() == [SPLITS.index(split) for split in table["split"].to_pylist()]
    assert whole.views.tolist() == table["views"].to_pylist()
    assert len(np.unique(whole.owner)) == 7
    assert (whole.num_unknown_owners, sorted(whole.sizes.tolist()), whole.num_units) == (1, [3, 4, 4, 4, 4, 4], 7)
    assert repr(whole.counts["comments"]) == "PartlyKnown(12 of 24)"
    assert int(np.isnat(whole.times["uploaded_at"]).sum()) == 1
    for name in ("split", "owner", "views"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert isinstance(table, pa.Table)
    assert result.warnings == warnings_of(parts, result.manifest.split_rule)
    assert [text.split(":")[0] for text in result.warnings][:2] == ["val", "test"]
    assert f"  warning   {result.warnings[1]}" in result.text().splitlines()
    assert pack(tmp_path / "t.csv", tmp_path / "set", processes=1).warnings == result.warnings
