"""A filter makes a set of its own: its rows, its pictures, its identity."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.data.dataset import Dataset, open_dataset, open_split
from peoria.data.filters import Filter, filter_rows, filter_slug, filtered_identity, filtered_labels, name_of_view, tags_of, with_bars
from peoria.data.images import CROP_PX, TakenPictures
from peoria.errors import ConfigError, SweepError
from peoria.records.selection import winners_of
from peoria.records.trials import read_trials
from peoria.records.val_scores import ValScores
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.labels import Labels
from shards.read.shard_set import ShardSet
from tests.helpers.small import small_sweep


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ("beach,new york;Sun Set", {"beach", "new york", "sun set"}),
        ("Adventure Animation  Children", {"adventure", "animation", "children"}),  # neither commas nor semicolons
        ("new york,", {"new york"}),
        ('["Beach", "new york"]', {"beach", "new york"}),
        ('[{"tag": "Beach"}, {"tag": "x"}]', {"beach", "x"}),
        ("[beach]", {"[beach]"}),
        ("['Beach', 'new york', \"it's\"]", {"beach", "new york", "it's"}),  # as pandas writes a list into a CSV
        ('Racing|"new york"|a, b', {"racing", "new york", "a, b"}),
        ("[None]", set()),
        ("nan", set()),
        ("new+york", {"new+york"}),  # nothing is unquoted
        ("", set()),
        (" , ,", set()),
    ],
)
def test_tags(given: str, tags: set[str]) -> None:
    assert tags_of(given) == tags


@pytest.mark.parametrize("text", ["beach", "=beach", "tag=", "tag=a|", "tag=a,", "tag=a,,b", "owner=,", " =a", ""])
def test_what_is_no_filter_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match=r"where: '.*'; COLUMN=VALUE or COLUMN=VALUE,VALUE, as in tag=beach,ocean"):
        Filter.parse(text)
    with pytest.raises(ValueError, match=r"where: '.*'; COLUMN=VALUE"):
        small_sweep(Path("x"), where=text)


def test_filters_that_mean_the_same_are_one_view() -> None:
    same = {filtered_identity("a", where) for where in ("tag=Beach|ocean", "tag = ocean | beach", "tag=ocean|beach|beach")}
    assert len(same) == 1
    assert all(len(identity) == 64 and int(identity, 16) for identity in same)
    assert len({filtered_identity("a", None), filtered_identity("a", "tag=beach"), filtered_identity("b", "tag=beach"), *same}) == 4
    assert filtered_identity("a", None) == "a"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("tag=beach,ocean", ("beach", "ocean")),
        ("tag=beach|ocean,lake", ("beach", "lake", "ocean")),
        ("owner=ann,bob", ("ann", "bob")),
        ("owner=Smith,, Ann", ("smith, ann",)),
        ("owner=Smith,, Ann,bob", ("bob", "smith, ann")),
        ("owner=Smith, Ann|Doe, Jo", ("doe, jo", "smith, ann")),
    ],
)
def test_a_comma_parts_values_and_twice_it_is_one(text: str, values: tuple[str, ...]) -> None:
    assert Filter.parse(text).values == values
    assert Filter.parse(with_bars(text)) == Filter.parse(text)
    assert filter_slug(with_bars(text)) == filter_slug(text)


def test_the_record_has_one_spelling() -> None:
    assert with_bars("tag=Beach,ocean") == with_bars("tag=Beach|ocean") == "tag=Beach|ocean"
    assert with_bars("owner=Smith,, Ann") == "owner=Smith,, Ann"  # bars would not say it


DISTINCT = ["tag=beach", "tag=猫", "tag=犬", "tag=собака", "tag=a|b", "tag=a-b", "tag=a b", "tag=a_b", "Tag=a|b", "tag=müller", "tag=muller", "tag=é"]
DISTINCT += [
    "owner=00000000@N00",
    "owner=a, b|c",
    "tag=new york|ocean",
    "tag=new|york|ocean",
    "tag=" + "|".join("abcdefghijklmnopqrstuvwxyz0123456789"),
]
DISTINCT += ["tag=" + "|".join("abcdefghijklmnopqrstuvwxyz012345678"), "猫=a", "tag=cat|shuffle", "tag=😀", "tag=😁", "tag=../x", "tag=\n\x1b[31m"]


def test_no_two_filters_share_a_name() -> None:
    names = [filter_slug(where) for where in DISTINCT]
    assert len(set(names)) == len(names), names
    for where, name in zip(DISTINCT, names, strict=True):
        for sweep in ("a", "small", "x" * 64):
            assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name_of_view(sweep, where)), where
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name), where
    assert len({name_of_view("x" * 64, where) for where in DISTINCT}) == len(DISTINCT)
    # control: what was a name of its own is read as it was typed
    assert filter_slug("tag=Ocean|beach") == filter_slug("tag = beach|OCEAN|ocean") == "tag-beach-ocean"
    assert name_of_view("paper", "tag=ocean,beach") == "paper-tag-beach-ocean"
    assert filter_slug("tag=Ocean|New York").startswith("tag-new-york-ocean_")
    assert filter_slug("tag=Müller").startswith("tag-muller_")


def test_a_filter_is_text() -> None:
    with pytest.raises(ConfigError, match=r"where: .*; text in UTF-8"):
        Filter.parse("tag=\udcff")


def test_columns(make_labels: Callable[..., Labels]) -> None:
    tags = np.array(["beach,sun", "beachball", "Ocean", ""] * 25)
    labels = make_labels(np.arange(100), owners=np.array(["Ann", "bob"] * 50), tags=tags)
    labels = replace(labels, extra={"camera": np.array(["X 100", None, 3.0, True] * 25, dtype=object)})
    four = np.arange(100) % 4
    for where, expected in {
        "tag=beach": four == 0,  # exact: a ball is none
        "tag=BEACH|ocean": (four == 0) | (four == 2),
        "owner=ann": four % 2 == 0,
        "camera=x 100": four == 0,
        "camera=none": four == 1,
        "camera=3|true": four >= 2,
    }.items():
        assert filter_rows(labels, where, "train").tolist() == np.flatnonzero(expected).tolist(), where
    with pytest.raises(ConfigError, match=r"where: 'views=0': no column 'views'; camera, owner, tag"):
        filter_rows(labels, "views=0", "train")
    with pytest.raises(ConfigError, match=r"no column 'tag'; camera, owner"):
        filter_rows(replace(labels, tags=None), "tag=beach", "train")
    with pytest.raises(ConfigError, match=r"where: 'tag=unicorn' is 0 of 100 pictures of train; at least 20"):
        filter_rows(labels, "tag=unicorn", "train")
    few = labels.take(np.arange(12))
    with pytest.raises(ConfigError, match=r"where: 'tag=beach' is 3 of 12 pictures of val; at least 20"):
        filter_rows(few, "tag=beach", "val")
    assert len(filter_rows(few, "tag=beach", "test")) == 3  # of test nobody may know beforehand
    with pytest.raises(ConfigError, match=r"is 0 of 12 pictures of test; at least 1"):
        filter_rows(few, "tag=unicorn", "test")


WHERE = "tag=beach|bird|city|family|flower|garden|lake"  # about four in five


@pytest.fixture(scope="module")
def view(planted_shards: Path, home: Path) -> Dataset:
    return open_dataset(planted_shards, home / "cache", where=WHERE)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("budget_bytes", [None, 0])
def test_a_view_has_the_rows_and_the_bytes_of_the_whole(
    view: Dataset, dataset: Dataset, planted_shards: Path, tmp_path: Path, split: str, budget_bytes: int | None
) -> None:
    whole, part = getattr(dataset, split), getattr(view, split)
    if budget_bytes == 0:  # decoded from the shards each time
        part = open_split(ShardSet(planted_shards), split, tmp_path, control=None, where=WHERE, budget_bytes=0)
    rows = filter_rows(whole.labels, WHERE, split)
    assert 20 <= len(rows) < len(whole)
    assert isinstance(part.pixels, TakenPictures)
    assert len(part) == len(part.pixels) == len(rows)
    assert (part.labels.keys == whole.labels.keys[rows]).all()
    assert all(not tags_of(tags).isdisjoint(Filter.parse(WHERE).values) for tags in part.labels.tags)
    assert (part.pixels.centre(0, len(rows) + 9) == whole.pixels.centre(0, len(whole))[rows]).all()
    augment = np.array([[0, 29, 1], [5, 6, 0], [29, 0, 1]])
    places = np.array([4, 0, len(rows) - 1])
    out, expected = (np.empty((3, CROP_PX, CROP_PX, 3), np.uint8) for _ in range(2))
    part.pixels.crops(places, augment, out)
    whole.pixels.crops(rows[places], augment, expected)
    assert (out == expected).all()


def test_a_view_never_mixes_with_the_whole(view: Dataset, dataset: Dataset, planted_shards: Path) -> None:
    assert view.identity == filtered_identity(dataset.identity, WHERE) != dataset.identity
    assert (filtered_labels(ShardSet(planted_shards), "val", WHERE).keys == view.val.labels.keys).all()


def test_the_test_split_stays_closed_to_a_view(planted_shards: Path, tmp_path: Path) -> None:
    from shards.errors import TestSplitClosedError

    with pytest.raises(TestSplitClosedError):
        open_split(ShardSet(planted_shards), "test", tmp_path, control=None, where=WHERE)


def test_a_sweep_of_a_view_is_its_own(planted_shards: Path, home: Path, tmp_path: Path, view: Dataset) -> None:
    said: list[str] = []
    options = RunOptions(home=tmp_path, cache_dir=home / "cache", local=True, tracking="off")
    result = run_sweep(small_sweep(planted_shards, trials=1, where=WHERE), options, said.append)
    sweep = json.loads(result.folder.definition.read_text())
    assert (sweep["where"], sweep["identity"]) == (WHERE, view.identity)
    assert (sweep["num_train"], sweep["num_val"]) == (len(view.train), len(view.val))
    assert f"filter      only pictures with {WHERE}" in said[0]
    best = winners_of(result.folder.read_definition(), read_trials(result.folder)).get("views")
    assert best is not None
    assert (ValScores.read(best.folder.val_scores).keys == view.val.labels.keys).all()
    assert json.loads(best.folder.model_card.read_text())["identity"] == view.identity
    with pytest.raises(SweepError, match=r"(?s)small: where: \"tag=beach.* before, null now.*small: data [0-9a-f]{12} before, [0-9a-f]{12} now"):
        run_sweep(small_sweep(planted_shards, trials=1), options, said.append)


def test_too_narrow_a_view_leaves_nothing_behind(planted_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"where: 'tag=lake' is \d+ of \d+ pictures of val; at least 20"):
        run_sweep(small_sweep(planted_shards, where="tag=lake"), RunOptions(home=tmp_path, local=True, tracking="off"))
    assert not (tmp_path / "sweeps" / "small" / "sweep.json").exists()
