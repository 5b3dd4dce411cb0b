"""Members of tars are found where `tarfile` finds them, and what it passes over in silence is told."""

import io
import random
import tarfile
from pathlib import Path

import pytest

from shards.sources.tar_walk import MOST_NAME_BYTES, Member, Odd, members
from tests.helpers.origins import write_tar
from tests.helpers.packed_set import tar

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def walk(data: bytes) -> list[Member | Odd]:
    return list(members(io.BytesIO(data), len(data)))


def by_tarfile(data: bytes) -> list[Member | Odd]:
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return [Member(info.name, info.offset_data, info.size) for info in found if info.isreg()]


@pytest.mark.parametrize("kind", FORMATS)
def test_members_are_where_tarfile_finds_them(tmp_path: Path, kind: int) -> None:
    draw = random.Random(kind)
    long = ("d" * 90 + "/" + "n" * 90 + ".jpg") if kind == tarfile.USTAR_FORMAT else ("a folder/" * 30 + "é" * 90 + ".jpg")
    names = [long, *(f"{number:04d}.{suffix}" for number in range(30) for suffix in ("jpg", "json"))]
    data = write_tar(tmp_path / "t.tar", [(name, draw.randbytes(draw.choice([0, 1, 511, 512, 513, 4000]))) for name in names], kind).read_bytes()
    found = walk(data)
    assert found == by_tarfile(data)
    assert [member.name for member in found] == names


def test_what_is_no_plain_file_is_told_and_the_rest_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as made:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)):
            info = tarfile.TarInfo(f"odd{number}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            made.addfile(info)
            plain = tarfile.TarInfo(f"{number}.jpg")
            plain.size = 3
            made.addfile(plain, io.BytesIO(b"abc"))
    found = walk(path.read_bytes())
    assert [one.detail.partition(";")[0] for one in found if isinstance(one, Odd)] == ["a link"] * 2 + ["a device or a pipe"] * 2
    assert [one for one in found if isinstance(one, Member)] == by_tarfile(path.read_bytes())


def test_files_with_holes_are_told() -> None:
    """GNU's own form, made by hand: tarfile cannot write one."""
    whole = tar([("a.jpg", b"x" * 600), ("b.jpg", b"y")])
    header = bytearray(whole[:512])
    header[156:157], header[257:265], header[482] = b"S", b"ustar  \0", 1  # one more block says where the holes are
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    found = walk(bytes(header) + bytes(512) + whole[512:])
    assert [(one.name, type(one)) for one in found] == [("a.jpg", Odd), ("b.jpg", Member)]


@pytest.mark.parametrize("cut", [1100, 1024, 1536, 2048, 1536 + 512])
def test_where_an_archive_is_cut_short_is_told(cut: int) -> None:
    data = tar([("a.jpg", b"x"), ("b.jpg", b"y")])[:cut]
    found = walk(data)
    assert isinstance(found[-1], Odd)
    assert found[-1].reason == "truncated"
    assert walk(tar([("a.jpg", b"x"), ("b.jpg", b"y")]))[-1] == Member("b.jpg", 1536, 1)


def test_a_damaged_header_is_told_where_tarfile_ends_in_silence() -> None:
    data = bytearray(tar([("a.jpg", b"x"), ("b.jpg", b"y"), ("c.jpg", b"z")]))
    data[1024 + 3] ^= 1
    assert [member.name for member in by_tarfile(bytes(data))] == ["a.jpg"]  # the control
    assert [(one.name, type(one)) for one in walk(bytes(data))] == [("a.jpg", Member), ("", Odd)]


def test_a_second_archive_is_told_where_tarfile_does_not_see_it() -> None:
    data = tar([("a.jpg", b"x")]) + tar([("b.jpg", b"y")])
    assert [member.name for member in by_tarfile(data)] == ["a.jpg"]  # the control
    assert [one.detail.partition(";")[0].partition(": ")[2] for one in walk(data) if isinstance(one, Odd)] == [
        "something follows the end of the archive"
    ]


def test_a_name_as_long_as_its_header_claims_is_not_read() -> None:
    data = tar([("a.jpg", b"n" * (MOST_NAME_BYTES + 1)), ("b.jpg", b"y")], b"L")
    [found] = walk(data)
    assert isinstance(found, Odd)
    assert "of name and attributes" in found.detail


def test_bytes_at_random_end_in_a_word_not_in_an_error() -> None:
    whole, draw = tar([(f"{i}.jpg", b"x" * 700) for i in range(4)]), random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        for one in walk(bytes(data)):
            assert isinstance(one, Odd) or 512 <= one.offset <= one.offset + one.size <= len(data)
