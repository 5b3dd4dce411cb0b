"""The Unsplash data set as it is downloaded."""

from pathlib import Path

import pytest

from shards.errors import TableError
from shards.sources.opened import open_source, read_origin
from shards.sources.unsplash import Unsplash, sized
from tests.helpers.origins import bad, good
from tests.helpers.read_rows import rows_of

COLUMNS = ("photo_id", "photo_url", "photo_image_url", "photo_submitted_at", "photo_width", "photo_height", "photo_description")
HEADER = "\t".join([*COLUMNS, "photographer_username", "stats_views", "stats_downloads"])
ADDRESS = "https://images.unsplash.com/photo-15"


def line(number: int, views: str = "12", description: str = "a hill") -> str:
    cells = [f"p{number}", f"https://unsplash.com/photos/p{number}", f"{ADDRESS}{number}", "2017-10-30 18:40:28.310146", "6000", "4000"]
    return "\t".join([*cells, description, f"by{number}", views, "3"])


def release(folder: Path, parts: int = 2) -> Path:
    for part in range(parts):
        lines = [HEADER, line(2 * part, "1000000"), line(2 * part + 1, "", '"said ""so""\nand more"')]
        (folder / f"photos.tsv{part:03d}").write_text("\n".join(lines) + "\n")
    (folder / "keywords.tsv000").write_text("photo_id\tkeyword\np0\thill\n")
    (folder / "TERMS.md").write_text("terms")
    return folder


def test_the_folder_as_it_comes(tmp_path: Path) -> None:
    source = open_source(str(release(tmp_path)))
    assert isinstance(source, Unsplash)
    rows = good(source)
    assert [row["photo_id"] for row in rows] == ["p0", "p1", "p2", "p3"]
    assert rows[1]["photo_description"] == 'said "so"\nand more'
    assert rows[2]["photo_image_url"] == f"{ADDRESS}2?fit=max&fm=jpg&q=90&w=768"
    assert isinstance(open_source(str(tmp_path / "photos.tsv001")), Unsplash)
    assert [row["photo_id"] for row in good(open_source(str(tmp_path / "photos.tsv001")))] == ["p2", "p3"]


def test_its_names_are_known_and_can_be_overruled(tmp_path: Path) -> None:
    release(tmp_path, 1)
    path = tmp_path / "photos.tsv"
    lines = [f"{text}\t{cell}" for text, cell in zip((HEADER, line(0), line(1)), ("path", "0.jpg", "1.jpg"), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    table = read_origin(str(path), columns={"views": "stats_downloads"})
    rows = rows_of(table)
    assert [(row.id, row.path, row.views, row.owner, row.page) for row in rows] == [
        (f"p{i}", f"{i}.jpg", 3, f"by{i}", f"https://unsplash.com/photos/p{i}") for i in range(2)
    ]
    assert rows[0].uploaded_at is not None
    assert table.columns["views"] == "stats_downloads"
    assert "photo_image_url" in table.unmapped_columns  # a column of one's own named path counts


def test_sizes_are_asked_for_by_the_short_side() -> None:
    assert sized(ADDRESS, "4000", "6000").endswith("w=512")
    assert sized(ADDRESS, "6001", "4000").endswith("w=769")
    assert sized(ADDRESS, "", None).endswith("w=1024")
    assert sized(ADDRESS, "0", "-5").endswith("w=1024")
    assert sized(f"{ADDRESS}?w=100", "6000", "4000") == f"{ADDRESS}?w=100"
    assert sized("https://elsewhere.org/a", "6000", "4000") == "https://elsewhere.org/a"


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    release(tmp_path)
    (tmp_path / "photos.tsv001").write_text(HEADER + "\n" + line(5) + "\textra\n" + line(6) + "\n")
    assert bad(open_source(str(tmp_path))) == [("bad_row", "")]
    (tmp_path / "photos.tsv001").write_text(HEADER.replace("stats_views", "seen") + "\n")
    with pytest.raises(TableError, match=r"photos.tsv001: no columns stats_views; (.|\n)*photos.tsv001: other columns than photos.tsv000"):
        open_source(str(tmp_path)).header()
    (tmp_path / "photos.tsv001").write_bytes(HEADER.encode() + b"\n\xff\t")
    with pytest.raises(TableError, match=r"photos.tsv001: 'utf-8' codec"):
        good(open_source(str(tmp_path)))
