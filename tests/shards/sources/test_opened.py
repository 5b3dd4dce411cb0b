"""Which origin is meant is found by what was given and what lies there; where it could be two, it is asked."""

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import ShardsError, StoreError, TableError
from shards.sources.folder import PictureFolder
from shards.sources.opened import open_source, read_origin, set_name
from shards.sources.parquets import Parquets
from shards.sources.stored import StoredTable
from shards.sources.tables import TableFile
from shards.sources.tars import Tars
from shards.sources.yfcc import Yfcc
from tests.helpers.origins import good, write_downloaded, write_hub, write_photos, write_tar


def test_found_by_what_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_downloaded(tmp_path / "down")
    write_hub(tmp_path / "hub")
    write_photos(tmp_path / "photos")
    (tmp_path / "t.csv").write_text("id,path,views\n1,a.jpg,3\n")
    pq.write_table(pa.table({"id": ["1"], "path": ["a.jpg"], "views": [3]}), tmp_path / "plain.parquet")
    monkeypatch.chdir(tmp_path)
    for given, kind, name, rows in (
        ("down", Tars, "down", 20), ("down/", Tars, "down", 20), ("down/00001.tar", Tars, "00001.tar", 10), ("do*/*.tar", Tars, tmp_path.name, 20),
        ("hub", Parquets, "hub", 24), ("hub/data/train-*.parquet", Parquets, "data", 24), ("photos", PictureFolder, "photos", 24),
        ("t.csv", TableFile, "t.csv", 1), ("plain.parquet", TableFile, "plain.parquet", 1),
        ("hub/data/train-00000-of-00002.parquet", Parquets, "train-00000-of-00002.parquet", 12),
    ):  # fmt: skip
        source = open_source(given)
        assert (type(source), source.name, len(good(source))) == (kind, name, rows), given
    monkeypatch.chdir(tmp_path / "down")
    assert open_source(".").name == "down"
    assert good(open_source("*.tar"))[0]["path"] == "00000.tar/000000000.jpg"


def test_named(tmp_path: Path) -> None:
    write_photos(tmp_path, 2)
    (tmp_path / "metadata.csv").write_text("path,views\nann00/000.jpg,1\n")
    with pytest.raises(TableError, match=r"holds metadata.csv; what is meant\nhint: name the table, .*/metadata.csv, or --as folder for pictures"):
        open_source(str(tmp_path))
    assert isinstance(open_source(str(tmp_path), "folder"), PictureFolder)
    with pytest.raises(TableError, match=r"^kind 'tar'; one of table, folder, tars, parquet, unsplash, yfcc\nhint: did you mean tars\?$"):
        open_source(str(tmp_path), "tar")
    with pytest.raises(TableError, match=r"no file ends in .tar; files that do"):
        open_source(str(tmp_path), "tars")
    with pytest.raises(TableError, match=r"metadata.csv: no folder; a folder of pictures"):
        open_source(str(tmp_path / "metadata.csv"), "folder")
    (tmp_path / "a.jpg").write_bytes(b"")
    write_tar(tmp_path / "a.tar", [("1.jpg", b"")])
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(TableError, match=r"holds a.tar and pictures; what is meant\nhint: --as tars or --as folder"):
        open_source(str(tmp_path))


def test_patterns_and_addresses_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,views\n")
    (tmp_path / "b.csv").write_text("path,views\n")
    with pytest.raises(TableError, match=r"2 files, the first a.csv; one table, or only tars"):
        open_source(str(tmp_path / "*.csv"))
    with pytest.raises(TableError, match=r"no file of this pattern"):
        open_source(str(tmp_path / "*.tar"))
    with pytest.raises(TableError, match=r"https://x.org/t.csv: a table on the web(.|\n)*download it first"):
        open_source("https://x.org/t.csv?key=secret")
    with pytest.raises(StoreError, match=r"a user or a password"):
        open_source("s3://key:secret@bucket/t.csv")
    with pytest.raises(TableError, match=r"of a store, a table; a file as s3://bucket/pictures/pictures.csv"):
        open_source("s3://bucket/pictures")
    assert isinstance(open_source("s3://bucket/in/t.csv"), StoredTable)
    with pytest.raises(ShardsError, match=r"pictures: .*/gone; a folder, or the address of a store"):
        open_source(str(tmp_path / "a.csv"), pictures=tmp_path / "gone")
    (tmp_path / "d.tar").mkdir()
    with pytest.raises(TableError, match=r"none; pictures"):
        open_source(str(tmp_path / "d.tar")).header()


def test_a_folder_of_pictures_needs_no_counts_and_anything_else_does(tmp_path: Path) -> None:
    write_photos(tmp_path, 3)
    table = read_origin(str(tmp_path), columns={"owner": "folder"})
    assert table.columns == {"id": "path", "path": "path", "owner": "folder"}
    with pytest.raises(TableError, match=r"views: no column 'seen'"):
        read_origin(str(tmp_path), columns={"views": "seen"})
    (tmp_path / "ann00/000.json").write_text('{"likes": 3}')
    with pytest.raises(TableError, match=r"views: no column 'views'"):
        read_origin(str(tmp_path))


def test_a_pipe_is_not_looked_into(tmp_path: Path) -> None:
    """What was read of it would be gone."""
    os.mkfifo(tmp_path / "p.tsv")
    writer = threading.Thread(target=lambda: (tmp_path / "p.tsv").write_text("path\tviews\na.jpg\t1\n"))
    writer.start()
    source = open_source(str(tmp_path / "p.tsv"))
    assert isinstance(source, TableFile)
    assert (tmp_path / "p.tsv").read_text().startswith("path\tviews")
    writer.join()
    os.mkfifo(tmp_path / "p.tar")
    with pytest.raises(TableError, match=r"p.tar: a folder, a pipe or a device; a file"):
        open_source(str(tmp_path / "p.tar"))


@pytest.mark.parametrize(
    ("given", "name"), [("in/t.csv", "in"), ("in", "in"), ("in/*.tar", "in"), ("s3://bucket/in/t.csv", "in"), ("s3://bucket/t.csv", "bucket")]
)
def test_a_set_is_called_as_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, name: str) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert set_name(given) == name


def test_metadata_of_yfcc100m_is_known_by_its_name(tmp_path: Path) -> None:
    for name in ("yfcc100m_dataset", "other"):
        (tmp_path / name).write_text(
            "\t".join(["1", "9@N00", "", "2010", "5", *[""] * 8, "http://p", "http://a/1.jpg", "by", "http://l", *[""] * 5, "0"]) + "\n"
        )
    source = open_source(str(tmp_path / "yfcc100m_dataset"))
    assert isinstance(source, Yfcc)
    assert [record["path"] for record in good(source)] == ["http://a/1.jpg"]
    assert not isinstance(open_source(str(tmp_path / "other")), Yfcc)  # control
    assert isinstance(open_source(str(tmp_path / "other"), "yfcc"), Yfcc)
