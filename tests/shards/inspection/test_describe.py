import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shards.errors import DamagedShardError, ShardsError, TestSplitClosedError
from shards.inspection.count_tables import CountSummary, CountTables
from shards.inspection.describe import describe, near_duplicates, render_text, write_description
from shards.inspection.histograms import ViewsHistogram, draw
from shards.manifest import Manifest, sealed
from shards.pack.judged import warnings_of
from shards.pack.kept import Kept
from shards.pack.pack import pack
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet


def test_the_papers_tables_are_those_of_the_counts(packed_once: Path) -> None:
    found = describe(packed_once)
    assert list(found["parts"]) == ["total", "train", "val", "test"]
    labels = ShardSet(packed_once).labels("train")
    columns = {"views": labels.views, "favorites": labels.favorites, "comments": labels.comments}
    part = found["parts"]["train"]
    for name, column in columns.items():
        assert column is not None
        expected = {"mean": np.mean(column), "sd": np.std(column, ddof=1), "max": column.max(), "share_zero": np.mean(column == 0)}
        assert part["counts"][name] == pytest.approx(expected)
    matrix = np.corrcoef([column for column in columns.values() if column is not None])
    pairs = {"views favorites": matrix[0, 1], "views comments": matrix[0, 2], "favorites comments": matrix[1, 2]}
    assert part["correlations"] == pytest.approx(pairs)
    assert part["num_pictures"] == len(labels)
    assert part["share"] == len(labels) / 60
    owners, num = np.unique(labels.owners, return_counts=True)
    assert part["num_owners"] == len(owners)
    assert part["largest_owner_share"] == num.max() / len(labels)
    assert part["num_unknown_owners"] == 0


def test_the_whole_set_and_what_was_left_out(packed_once: Path) -> None:
    found, manifest = describe(packed_once), Manifest.load(packed_once)
    total = found["parts"]["total"]
    assert total["num_pictures"] == 60 == sum(found["parts"][split]["num_pictures"] for split in ("train", "val", "test"))
    assert total["counts"]["views"]["max"] == 59**2
    assert total["counts"]["views"]["mean"] == pytest.approx(np.mean(np.arange(60) ** 2))
    assert found["rejected"] == {"missing_file": 1}
    assert found["num_rows"] == 61 == found["num_kept"] + found["num_rejected"]
    assert found["identity"] == manifest.identity
    assert found["num_shards"] == len(manifest.shards)
    assert found["uploaded_at"] == ["2013-01-02", "2013-01-28"]
    assert found["observed_at"] is None


def test_the_text_says_what_was_found(packed_once: Path) -> None:
    found = describe(packed_once)
    found["parts"] = {"total": found["parts"]["total"]}
    lines = render_text(found).splitlines()
    assert lines[0] == "table.csv: 61 rows = 60 kept + 1 left out"
    assert "uploaded_at: 2013-01-02 to 2013-01-28" in lines
    assert "  left out, missing_file: 1" in lines
    assert "near-duplicates: 0 pairs of different owners, 0 of one" in lines
    words = [line.split() for line in lines]
    assert ["total", "60", "100.00%", "30", "0", "3.33%"] in words
    assert ["total", "views", "1,170.17", "1,065.28", "3,481", "1.7%"] in words
    assert ["total", "favorites", "0.12", "0.32", "1", "88.3%"] in words
    assert ["views,", "favorites", "views,", "comments", "favorites,", "comments"] in words
    assert max(map(len, lines)) <= 100


def test_counts_of_billions_do_not_run_together(packed_once: Path) -> None:
    found = describe(packed_once)
    billions = {"mean": 29_639_666.5, "sd": 204_940_656.0, "max": 3_376_567_079, "share_zero": 0.012}
    found["parts"] = {"total": found["parts"]["total"] | {"counts": {"views": billions}, "num_pictures": 1_234_567_890}}
    lines = render_text(found).splitlines()
    assert ["total", "views", "29,639,666.50", "204,940,656.00", "3,376,567,079", "1.2%"] in [line.split() for line in lines]
    assert ["total", "1,234,567,890", "100.00%", "30", "0", "3.33%"] in [line.split() for line in lines]
    header, row = (next(line for line in lines if line.split()[:2] == words) for words in (["mean", "sd"], ["total", "views"]))
    assert header.index("max") + 3 == row.index("3,376,567,079") + 13  # under one another


def test_what_stands_in_the_way_of_a_study_is_said(packed_once: Path) -> None:
    found = describe(packed_once)
    assert found["warnings"] == list(warnings_of(Kept.of([ShardSet(packed_once).table]), Manifest.load(packed_once).split_rule))
    assert found["warnings"][0].startswith("test: 6 owners; a verdict needs 20 owners")
    text = render_text(found)
    assert "warning: test: 6 owners; a verdict needs 20 owners" in text
    assert "warning" not in render_text(found | {"warnings": []})


def test_a_table_without_favourites_comments_and_owners_is_described(
    tmp_path: Path, make_jpeg: Callable[..., bytes], make_photo: Callable[..., np.ndarray]
) -> None:
    with (tmp_path / "plain.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "views"])
        for i in range(2):
            (tmp_path / f"{i}.jpg").write_bytes(make_jpeg(make_photo(64, 64, seed=i)))
            writer.writerow([i, f"{i}.jpg", 0])
    pack(tmp_path / "plain.csv", tmp_path / "set", processes=1)
    found = describe(tmp_path / "set")
    total = found["parts"]["total"]
    assert list(total["counts"]) == ["views"]
    assert total["correlations"] == {}
    assert total["counts"]["views"] == {"mean": 0.0, "sd": 0.0, "max": 0, "share_zero": 1.0}
    assert total["num_owners"] == 0
    assert total["num_unknown_owners"] == 2
    assert total["largest_owner_share"] is None
    assert "Pearson" not in render_text(found)
    assert [path.name for path in write_description(tmp_path / "set", found, tmp_path / "out")] == ["describe.json", "describe.txt", "describe.png"]


def test_a_count_that_does_not_vary_has_no_correlation(packed_once: Path) -> None:
    found = describe(packed_once)
    found["parts"]["total"]["correlations"]["views comments"] = None
    assert "no variation" in render_text(found)


def test_the_files_hold_the_description(packed_once: Path, tmp_path: Path) -> None:
    found = describe(packed_once)
    paths = write_description(packed_once, found, tmp_path / "new")
    assert json.loads(paths[0].read_text()) == found
    assert paths[1].read_text() == render_text(found)
    with Image.open(paths[2]) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    first = paths[2].read_bytes()
    write_description(packed_once, describe(packed_once), tmp_path / "new")
    assert paths[2].read_bytes() == first


def test_a_single_picture_has_neither_sd_nor_correlation() -> None:
    found = CountTables.of({"views": np.array([7]), "favorites": np.array([0])})
    assert found == CountTables(
        1, {"views": CountSummary(7.0, None, 0.0, 7, 0.0), "favorites": CountSummary(0.0, None, 0.0, 0, 1.0)}, {"views favorites": None}
    )
    varied = CountTables.of({"views": np.array([7, 9]), "favorites": np.array([0, 1])})
    assert varied.table_2 == {"views favorites": pytest.approx(1.0)}


def test_each_picture_is_in_a_bin_beyond_or_unseen() -> None:
    found = ViewsHistogram.of(np.array([0, 0, 1, 2000, 2001, 9000]))
    assert (found.num, found.num_beyond, found.num_unseen, found.mean) == (6, 2, 2, 13_002 / 6)
    assert found.heights[0] == 3
    assert found.heights[-1] == 1  # the last edge is in
    assert found.heights.sum() + found.num_beyond == found.num
    assert (found.edges[0], found.edges[-1]) == (0, 2000)
    assert (found.densities > 0).sum() == 4 - 1  # 2,000 and 2,001 share a bin
    assert found.log_middles[0] == 1


@pytest.mark.parametrize("views", [[0], [1], [0, 0, 5], [320_000], [*range(3000)]])
def test_any_counts_can_be_drawn(views: list[int]) -> None:
    assert Image.open(io.BytesIO(draw(ViewsHistogram.of(np.array(views))))).format == "PNG"


def test_views_beyond_the_papers_axis_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    notes: list[str] = []
    annotate = Axes.annotate

    def noted(self: Axes, text: str, *args: Any, **options: Any) -> Any:
        notes.append(text)
        return annotate(self, text, *args, **options)

    monkeypatch.setattr(Axes, "annotate", noted)
    draw(ViewsHistogram.of(np.array([0, 0, 1, 2000, 2001, 9000])))
    assert "2 of 6 images with more than 2,000 views are not shown" in notes


def test_damage_and_a_bad_folder_are_named(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardsError, match=r"file: .*; a folder that can be written to"):
        write_description(packed, describe(packed), tmp_path / "file")
    (packed / "labels.parquet").unlink()
    with pytest.raises(DamagedShardError, match=r"labels.parquet: .*No such file"):
        describe(packed)


@pytest.fixture
def copied(tmp_path: Path, make_table: Callable[..., Path]) -> Path:
    """A set in which 1 is a copy of 0, 3 of 2 and 5 of 4; the last two are one owner's."""
    table = make_table(tmp_path / "in", 30, ["a", "b", "c", "d", "e", "e", *[f"o{i}" for i in range(24)]])
    for twin in (1, 3, 5):
        shutil.copy(tmp_path / f"in/images/{twin - 1:03d}.jpg", tmp_path / f"in/images/{twin:03d}.jpg")
    return pack(table, tmp_path / "set", processes=1).root


def test_copies_are_counted_without_an_opening_and_seen_with_one_only(copied: Path) -> None:
    found = describe(copied)
    assert found["near_duplicates"] == {"other_owner": 2, "same_owner": 1}
    assert "near-duplicates: 2 pairs of different owners, 1 of one" in render_text(found).splitlines()
    shard_set = ShardSet(copied)
    with pytest.raises(TestSplitClosedError, match="no opening"):
        near_duplicates(shard_set)
    opening = open_test(copied, sweep="paper", purpose="report")
    with pytest.raises(TestSplitClosedError, match="is not on record"):
        near_duplicates(shard_set, dataclasses.replace(opening, number=2))
    with pytest.raises(TestSplitClosedError, match="is of other data"):
        near_duplicates(shard_set, dataclasses.replace(opening, identity="0" * 64))
    pairs = near_duplicates(shard_set, opening)
    assert pairs is not None
    with (copied.parent / "in/metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {(rows[i]["owner"], rows[i + 1]["owner"], int(rows[i]["views"]), int(rows[i + 1]["views"])) for i in (0, 2, 4)}
    assert set(zip(*(pairs[name].tolist() for name in ("owner_a", "owner_b", "views_a", "views_b")), strict=True)) == expected


def test_a_set_that_did_not_keep_copies_says_so(copied: Path) -> None:
    opening = open_test(copied, sweep="paper", purpose="report")
    path = copied / "near_duplicates.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for damaged in ("sha256 .* was packed", "No such file"):
        with pytest.raises(DamagedShardError, match=f"near_duplicates.parquet: {damaged}"):
            near_duplicates(ShardSet(copied), opening)
        with pytest.raises(DamagedShardError, match=f"near_duplicates.parquet: {damaged}"):
            describe(copied)
        path.unlink(missing_ok=True)
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["files_sha256"]["near_duplicates.parquet"]
    (copied / "manifest.json").write_bytes(sealed(json.dumps(manifest).encode()))
    found = describe(copied)
    assert found["near_duplicates"] is None
    assert "near-duplicates: not kept by this packed set" in render_text(found).splitlines()
    assert near_duplicates(ShardSet(copied), opening) is None
    with pytest.raises(TestSplitClosedError):
        near_duplicates(ShardSet(copied))  # whether any were kept or not
