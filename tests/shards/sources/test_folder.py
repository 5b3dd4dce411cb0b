"""A folder of pictures alone: its files in the order of their names, and what is said beside them."""

import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import TableError
from shards.sources.folder import PictureFolder
from shards.sources.rows import read_source
from tests.helpers.origins import bad, good, picture, write_photos
from tests.helpers.read_rows import rejections_of, rows_of


def test_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.PNG", "a/z.webp", "top.jpeg", "b/.hidden.jpg", ".git/x.jpg", "notes.txt", "b/c.d/e.v2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b/loop").symlink_to(tmp_path)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "top.jpeg")
    source = PictureFolder(tmp_path)
    assert source.header() == ("path", "folder")
    paths = ["a/z.webp", "b/10.PNG", "b/2.jpg", "b/c.d/e.v2.jpg", "link.jpg", "top.jpeg"]
    assert good(source) == [{"path": path, "folder": path.split("/")[0] if "/" in path else ""} for path in paths]
    assert source.remarks == ("4 of other files and links were passed over, the first '.git'",)
    assert source.without_counts


def test_what_lies_beside_a_picture(tmp_path: Path) -> None:
    write_photos(tmp_path, 4)
    (tmp_path / "ann00/000.json").write_text('{"stats": {"views": 7}, "path": "/etc/passwd"}')
    (tmp_path / "ann00/001.json").write_text("[]")
    (tmp_path / "ann01/other.json").write_text('{"views": 1}')
    source = PictureFolder(tmp_path)
    assert source.header() == ("path", "folder", "stats.views", "json.path")
    assert good(source)[0] == {"path": "ann00/000.jpg", "folder": "ann00", "stats.views": 7, "json.path": "/etc/passwd"}
    assert bad(source) == [("bad_row", "ann00/001.jpg")]
    assert not source.without_counts
    assert source.remarks == ("1 of other files and links were passed over, the first 'ann01/other.json'",)


def test_what_img2dataset_wrote_as_files(tmp_path: Path) -> None:
    write_photos(tmp_path, 2)
    lines = [{"key": "000", "status": "success"}, {"key": "001", "status": "success"}, {"key": "002", "status": "failed_to_resize"}]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "ann00.parquet")
    assert bad(PictureFolder(tmp_path)) == [("not_downloaded", "002")]


def test_a_name_that_is_not_utf8_costs_its_picture_alone(tmp_path: Path) -> None:
    write_photos(tmp_path, 2)
    for name in (b"caf\xe9.jpg", "caf\u00e9.jpg".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(picture(0))
    table = read_source(PictureFolder(tmp_path), drop=["views"])
    assert [(one.id, one.reason, one.detail) for one in rejections_of(table)] == [
        ("caf?.jpg", "bad_text", r"'caf\udce9.jpg': a name that is not UTF-8; rename it")
    ]
    assert [row.id for row in rows_of(table)] == ["ann00/000.jpg", "ann00/001.jpg", "caf\u00e9.jpg"]


def test_the_digest_is_of_names_and_sizes(tmp_path: Path) -> None:
    write_photos(tmp_path, 4)
    first = PictureFolder(tmp_path).sha256()
    path = tmp_path / "ann00/000.jpg"
    path.write_bytes(bytes(len(picture(0))))
    assert PictureFolder(tmp_path).sha256() == first  # the picture's own digest is in the manifest
    path.write_bytes(b"longer" * 1000)
    second = PictureFolder(tmp_path).sha256()
    path.rename(tmp_path / "ann00/other.jpg")
    assert len({first, second, PictureFolder(tmp_path).sha256()}) == 3


def test_deeper_than_python_calls(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert good(PictureFolder(tmp_path))[0]["path"] == "d/" * 1100 + "x.jpg"
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # Python's own would go deeper than its calls


def test_names_that_are_no_text_are_rows_of_the_ledger(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b.jpg")
    (tmp_path / name).write_bytes(picture(0))
    (tmp_path / "sound.jpg").write_bytes(picture(1))
    table = read_source(PictureFolder(tmp_path), drop=["views"])
    assert [row.path for row in rows_of(table)] == ["sound.jpg"]
    assert [row.reason for row in rejections_of(table)] == ["bad_text"]
    (tmp_path / name).with_suffix(".json").write_text("[]")
    assert bad(PictureFolder(tmp_path)) == [("bad_text", "caf??.jpg")]


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none; pictures, as jpg"):
        PictureFolder(tmp_path).header()
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(TableError, match=r"none among 1 files, the first 'a.mp4'; pictures"):
        PictureFolder(tmp_path).header()
    with pytest.raises(TableError, match=r"No such file or directory; a folder of pictures"):
        PictureFolder(tmp_path / "gone").header()
