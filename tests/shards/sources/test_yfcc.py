"""YFCC100M's metadata in both layouts: photos alone, tags counted exactly, samples that are the same everywhere, and files that are no such thing."""

import bz2
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from shards.errors import NoRoomError, TableError
from shards.sources.frequent import most_frequent
from shards.sources.source import BadRow
from shards.sources.yfcc import COLUMNS, Yfcc, folded_tags, readable_tags, write_sample
from tests.helpers.studies import sampled
from tests.helpers.yfcc_rows import Photo, line, long_table, others, plain_count, write

LIMIT_BYTES = 1.5 * 2**30


def ids(source: Yfcc) -> list[str]:
    return [row["id"] for row in source.records() if not isinstance(row, BadRow)]


@pytest.mark.parametrize("columns", [23, 25])
@pytest.mark.parametrize("packed", [bytes, bz2.compress, gzip.compress], ids=["plain", "bz2", "gz"])
def test_a_photo_is_read_as_it_was_on_flickr(tmp_path: Path, columns: int, packed: Callable[[bytes], bytes]) -> None:
    photo = Photo("4811", tags=("Boulgou, Tenkodogo", "Ünï+ 5%", "art  education"), longitude="-1.0")
    path = tmp_path / "yfcc100m_dataset"
    path.write_bytes(packed(line(photo, columns) + line(Photo("4812", media="video"), columns) + line(Photo("4813"), columns)))
    source = Yfcc(path)
    assert list(source.header()) == list(COLUMNS)
    first, second = source.records()
    assert first == {
        "id": "4811",
        "path": "http://farm8.staticflickr.com/7046/4811_old0a1b2c3d4e.jpg",
        "owner": "12345678@N00",
        "uploaded_at": "1331840483",
        "taken_at": "2012-03-15 10:21:03.0",
        "tags": ["Boulgou, Tenkodogo", "Ünï+ 5%", "art education"],
        "page": "https://www.flickr.com/photos/12345678@N00/4811/",
        "licence": "Attribution License",
        "device": "SONY DCR-PC110E",
    }
    assert not isinstance(second, BadRow)
    assert (second["id"], second["tags"]) == ("4813", [])
    assert source.remarks == (f"yfcc100m_dataset: YFCC100M metadata of {columns} columns", "1 video left out")
    assert len(source.sha256()) == 64


def test_tags_are_counted_as_they_are_read() -> None:
    for text in (b"plain,Other", b"a+b,%C3%89t%C3%A9", b"a b,,c", b"", b"x%2Cy,%00,\xff", "Straße,İstanbul".encode()):
        assert folded_tags(text) == {tag.casefold().encode() for tag in readable_tags(text)}
    assert folded_tags(b"%C3%89t%C3%A9,%c3%a9T%C3%A9") == {"été".encode()}


def test_part_files_and_layouts_may_be_mixed_and_a_line_that_is_none_is_told(tmp_path: Path) -> None:
    photos = others(40)
    write(tmp_path / "yfcc100m_dataset-0", photos[:20], 23)
    bad = [b"1\t2\n", line(Photo("x12")), line(photos[21])[:-2] + b"7\n", b"\n", line(photos[22]).replace(b"\n", b"\r\n")]
    (tmp_path / "yfcc100m_dataset-1").write_bytes(line(photos[20]) + line(photos[21]) + b"".join(bad) + line(photos[23])[:-1])
    (tmp_path / "yfcc100m_autotags").write_bytes(b"1\tsky:0.9\n")  # another file of the data set
    source = Yfcc(tmp_path)
    assert [file.name for file in source.files] == ["yfcc100m_dataset-0", "yfcc100m_dataset-1"]
    rows = list(source.records())
    assert [row["id"] for row in rows if not isinstance(row, BadRow)] == [p.id for p in photos[:24] if p.media == "photo"]
    assert [row.detail for row in rows if isinstance(row, BadRow)] == [
        "yfcc100m_dataset-1, line 3: 2 columns; 25, as in the first line",
        "yfcc100m_dataset-1, line 4: id b'x12', marker b'0'; a number, and 0 or 1",
        "yfcc100m_dataset-1, line 5: id b'5000000021', marker b'7'; a number, and 0 or 1",
    ]
    assert source.remarks[:2] == ("yfcc100m_dataset-0: YFCC100M metadata of 23 columns", "yfcc100m_dataset-1: YFCC100M metadata of 25 columns")
    assert "3 lines cannot be read, the first: yfcc100m_dataset-1, line 3: 2 columns" in source.remarks[-1]
    assert rows == list(source.records())
    assert ids(Yfcc([tmp_path / "yfcc100m_dataset-0", tmp_path / "yfcc100m_dataset-1"])) == ids(source)


def damaged(data: bytes) -> bytes:
    return data[:200] + b"\0" * 50 + data[250:]


BZ2 = bz2.compress(b"".join(line(photo) for photo in others(500)))
GZ = gzip.compress(b"".join(line(photo) for photo in others(500)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"1\tsky:0.9,sea:0.8\n", "2 columns in its first line; 23 or 25, parted by tabs"),
        (b"id,path,views\n1,a.jpg,3\n", "1 column in its first line"),
        (b"SQLite format 3\0" + b"\0" * 100_000, "1 column in its first line"),
        (b"\0" * (2**22 + 2**20 + 1), "line 1 is longer than 4,194,304 bytes"),
        (
            b"\t".join([b"photoid"] * 25) + b"\n" + line(Photo("1")),
            "id b'photoid' and marker b'photoid' in its first line; a number, and 0 or 1: there is",
        ),
        (b"", "no lines; 23 or 25"),
        (BZ2[: len(BZ2) // 2], "damaged or cut off after line"),
        (GZ[: len(GZ) // 2], "damaged or cut off after line"),
        (damaged(BZ2), "damaged or cut off after line"),
        (damaged(GZ), "damaged or cut off after line"),
    ],
    ids=["autotags", "csv", "sqlite", "zeros", "header", "empty", "cut-bz2", "cut-gz", "bad-bz2", "bad-gz"],
)
def test_another_file_is_refused_by_name(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "given").write_bytes(data)
    with pytest.raises(TableError, match=r"^given: ") as refused:
        list(Yfcc(tmp_path / "given").records())
    assert said in str(refused.value)


def test_a_folder_without_files_and_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no files; those of YFCC100M's metadata"):
        Yfcc(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TableError, match="a pipe or a device"):
        Yfcc(tmp_path / "pipe")
    with pytest.raises(TableError, match=r"sample: 3,000,000; at most 2,000,000"):
        Yfcc(write(tmp_path / "y", others(2)), sample=3_000_000)


def test_top_tags_are_those_of_a_plain_count_whatever_fits_memory(tmp_path: Path) -> None:
    photos = [*others(3000), Photo("1", tags=("tie b", "tie B")), Photo("2", tags=("tie a",))]
    plain = sorted(plain_count(photos).items(), key=lambda count: (-count[1], count[0].encode()))
    path = write(tmp_path / "yfcc100m_dataset", photos)
    for num in (1, 7, 100, 10**6):
        for in_memory in (10**6, 50):  # all at once, and in some forty runs on the disk
            source = Yfcc(path, top_tags=num, tags_in_memory=in_memory, scratch=tmp_path)
            found = ids(source)
            assert source.top is not None
            assert [(tag.decode(), count) for tag, count in source.top] == plain[:num]
            top = {tag for tag, _ in plain[:num]}
            assert found == [p.id for p in photos if p.media == "photo" and top & {" ".join(tag.casefold().split()) for tag in p.tags}]
    assert [path.name for path in tmp_path.iterdir()] == ["yfcc100m_dataset"]  # runs have no names
    assert most_frequent([[b"b"], [b"a"], [b"c", b"a"]], 2) == [(b"a", 2), (b"b", 1)]
    videos = Yfcc(write(tmp_path / "v", [Photo("3", tags=("film",), media="video"), Photo("4", tags=("still",))]), top_tags=5)
    assert ids(videos) == ["4"]
    assert videos.top == [(b"still", 1)]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "y", others(500))
    with patch.object(tempfile, "TemporaryFile", lambda dir: open("/dev/full", "r+b")), pytest.raises(NoRoomError, match="counts of tags"):
        list(Yfcc(path, top_tags=3, tags_in_memory=10, scratch=tmp_path).records())


def test_a_sample_is_uniform_nested_and_the_same_whatever_else_is_there(tmp_path: Path) -> None:
    photos = [Photo(str(number), tags=("beach",) if number % 2 else ("city",)) for number in range(4000)]
    path = write(tmp_path / "a", photos)
    thousand = ids(Yfcc(path, sample=1000))
    assert thousand == sorted(thousand, key=int)  # in the order of the files
    assert set(ids(Yfcc(path, sample=100))) < set(thousand)
    write(tmp_path / "yfcc100m_dataset-0", photos[::-1][:1500], 23)
    write(tmp_path / "yfcc100m_dataset-1", photos[::-1][1500:])
    assert set(ids(Yfcc(tmp_path, sample=1000))) == set(thousand)
    assert len(set(ids(Yfcc(path, sample=1000, seed=1))) & set(thousand)) < 400
    assert 440 < sum(int(identity) % 2 for identity in thousand) < 560  # 4 standard deviations around 500
    assert 150 < sum(int(identity) < 800 for identity in thousand) < 250  # and around 200
    assert len(ids(Yfcc(path, sample=10_000))) == 4000
    beach = Yfcc(path, top_tags=1, sample=10)  # a tie, so by name
    assert all(int(identity) % 2 for identity in ids(beach))
    assert beach.seen.eligible == 2000
    assert ids(beach) == ids(beach)


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out" / "photos.parquet"
    said = write_sample(Yfcc(write(tmp_path / "yfcc100m_dataset", others(300)), top_tags=4, sample=50), out)
    table = pq.read_table(out)
    assert table.column_names == list(COLUMNS)
    assert table.num_rows == 50
    assert all(isinstance(json.loads(tags), list) for tags in table["tags"].to_pylist())
    assert f"{out}: 50 photos of 270 photos" in said
    assert "one of the 4 most frequent tags: " in said
    before = out.read_bytes()
    cut = tmp_path / "cut.bz2"
    cut.write_bytes(BZ2[: len(BZ2) // 2])
    with pytest.raises(TableError, match="cut off"):
        write_sample(Yfcc(cut), out)
    with pytest.raises(TableError, match="no photo; at least one, with one of the most frequent tags"):
        write_sample(Yfcc(write(tmp_path / "untagged", [Photo("1")]), top_tags=3), out)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["photos.parquet"]
    with pytest.raises(TableError, match=r"a name that ends in \.parquet"):
        write_sample(Yfcc(write(tmp_path / "y", others(3))), tmp_path / "photos.csv")


def run_measured(*words: object) -> tuple[str, int, float]:
    """Of `write_sample` in a process of its own: what it says and, as JSON, the most frequent tags; its peak memory in bytes; and its seconds."""
    code = "import sys; from pathlib import Path; from shards.sources.yfcc import Yfcc, write_sample; path, out, top, num = sys.argv[1:]"
    code += "; source = Yfcc(Path(path), int(top), int(num) or None, scratch=Path(out).parent); print(write_sample(source, Path(out)))"
    code += "; import json; print(json.dumps([(tag.decode(), count) for tag, count in source.top]))"
    code += "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"  # ru_maxrss begins with the parent's
    began = time.monotonic()
    said = subprocess.run([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True).stdout
    said, _, peak_kib = said.rstrip().rpartition("\n")
    return said, int(peak_kib) * 1024, time.monotonic() - began


@pytest.mark.parametrize("columns", [23, 25])
def test_five_million_lines_fit_a_small_machine(tmp_path: Path, columns: int) -> None:
    num = sampled(5_000_000, 20_000)
    path, out = tmp_path / "yfcc100m_dataset", tmp_path / "photos.parquet"
    counts = long_table(path, num, columns)
    said, peak, seconds = run_measured(path, out, 100, 10_000 if columns == 25 else 0)
    plain = sorted(counts.items(), key=lambda count: (-count[1], count[0].encode()))[:100]
    assert json.loads(said.splitlines()[-1]) == [list(count) for count in plain]
    rows = pq.read_metadata(out).num_rows
    print(f"\n{columns} columns, {num:,} lines, {path.stat().st_size / 1e9:.2f} GB: {seconds:.0f} s, peak {peak / 2**20:,.0f} MiB, {rows:,} photos")
    assert peak < LIMIT_BYTES
    assert f"{num - num // 10:,} photos" in said
    assert rows == 10_000 if columns == 25 else rows > num // 2
