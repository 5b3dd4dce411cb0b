"""Whatever bytes come as a manifest, a shard, a table or a picture: they are read as what they are, or refused by the error that is documented."""

import base64
import datetime
import io
import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shards.digests import labels_sha256
from shards.errors import DamagedShardError, PictureError, ShardsError, TableError
from shards.images.square import prepare
from shards.labels import labels_of
from shards.manifest import Manifest, PictureRule, sealed
from shards.pack.staging import parquet_bytes
from shards.read.tar_index import index
from shards.sources.rows import read_table
from tests.helpers.packed_set import photo, tar
from tests.helpers.read_rows import all_in_train, rejections_of, rows_of

FEW = settings(max_examples=60, deadline=None, derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


def _outcome(kind: type[Exception], call: Callable[[], Any]) -> tuple[Any, Any]:
    """What came, or the error of the kind that is documented; any other is raised."""
    try:
        return call(), None
    except kind as error:
        return None, error


@st.composite
def damaged(draw: st.DrawFn, *wholes: bytes) -> bytes:
    """One of ``wholes`` with some bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 4)) == 0 else data)


def _load(data: bytes) -> Manifest | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(data)
        found, error = _outcome(ShardsError, lambda: Manifest.load(Path(folder)))
        assert error is None or all(problem.startswith(folder) and "\n" not in problem and len(problem) < 500 for problem in error.problems)
        return found  # type: ignore[no-any-return]


def test_a_damaged_manifest_is_the_same_or_refused(packed_once: Path) -> None:
    whole = (packed_once / "manifest.json").read_bytes()

    @FEW
    @given(damaged(whole))
    def holds(data: bytes) -> None:
        assert _load(data) == (Manifest.load(packed_once) if data == whole else None)

    holds()


def test_a_forged_field_is_in_range_or_refused(packed_once: Path) -> None:
    whole = json.loads((packed_once / "manifest.json").read_bytes())
    names = [name for name in whole if name != "manifest_sha256"]
    inner = [(name, key) for name in ("source", "picture_rule", "split_rule") for key in whole[name]] + [
        ("shards", key) for key in whole["shards"][0]
    ]

    @FEW
    @given(st.sampled_from([*((name, "") for name in names), *inner]), JSON)
    def holds(place: tuple[str, str], value: Any) -> None:
        name, key = place
        forged = json.loads(json.dumps(whole))
        at = forged if not key else forged[name][0] if name == "shards" else forged[name]
        at[key or name] = value
        found = _load(sealed(json.dumps(forged).encode()))
        if found is not None:
            assert 32 <= found.picture_rule.crop_px <= found.picture_rule.short_side_px <= 4096
            assert 1 <= found.shard_size <= 9999
            assert all(0 < shard.num_samples <= 9999 for shard in found.shards)

    holds()


_TAR = tar([("007.jpg", b"x" * 700), ("007.json", b"{}"), ("008.jpg", b""), ("008.json", b"{}")])


@FEW
@given(damaged(_TAR) | st.binary(max_size=2000))
def test_a_damaged_tar_is_pairs_within_the_file_or_refused(data: bytes) -> None:
    found, error = _outcome(DamagedShardError, lambda: index(memoryview(data), "t"))
    assert error is None or str(error).startswith("t: ")
    for key, places in (found or {}).items():
        assert key.isdecimal()
        assert set(places) == {"jpg", "json"}
        assert all(512 <= offset <= offset + size <= len(data) for offset, size in places.values())


def _whole_way(path: Path, keep: tuple[str, ...]) -> None:
    """Reads a table, and takes what is kept to labels and back."""
    table, error = _outcome(TableError, lambda: read_table(path, keep=keep))
    assert error is None or str(error).startswith((path.name, "keep: "))
    if table is None:
        return
    assert len(rows_of(table)) + len(rejections_of(table)) == table.num_rows
    outcome = all_in_train(table)
    [labels] = outcome.labels()
    again = pq.read_table(io.BytesIO(parquet_bytes(labels)))
    assert labels_sha256(again) == labels_sha256(labels)
    assert len(labels_of(again, table.kept_columns)) == len(rows_of(table))
    [ledger] = outcome.ledger()
    assert len(pq.read_table(io.BytesIO(parquet_bytes(ledger)))) == table.num_rows


_CSV = b'id,path,views,favorites,owner,uploaded_at,mood\na,a.jpg,5,1,me,2014-01-02,"x,y"\nb,b.jpg,7e2,,you,1388620800,\n'
_PARQUET = parquet_bytes(pa.table({"id": ["a", "b"], "path": ["a.jpg", "b.jpg"], "views": [1, 2], "mood": ["x", None]}))
_LINES = (
    b'{"id":"a","path":"a.jpg","views":5,"mood":{"a":[1]},"uploaded_at":"2014-01-01","tags":["a"]}\n{"id":1,"path":"b","views":"7e2","mood":1.5}\n'
)


@FEW
@given(
    st.sampled_from([(".csv", _CSV), (".tsv", _CSV.replace(b",", b"\t")), (".jsonl", _LINES), (".parquet", _PARQUET)]).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), damaged(kind[1]))
    )
)
def test_a_damaged_table_is_rows_or_refused(table: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{table[0]}"
        path.write_bytes(table[1])
        _whole_way(path, ("mood",))


_NUMBERS = st.integers(-(2**63), 2**63 - 1)
_COLUMNS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), st.text(max_size=9)),
    (pa.int64(), _NUMBERS),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.binary(), st.binary(max_size=4)),
    (pa.timestamp("ns"), _NUMBERS),
    (pa.timestamp("ms", tz="UTC"), _NUMBERS),
    (pa.timestamp("us", tz="Asia/Tokyo"), _NUMBERS),
    (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.duration("s"), _NUMBERS),
    (pa.list_(pa.float64()), st.lists(st.floats(), max_size=2)),
    (pa.decimal128(38, 5), st.decimals(-(10**20), 10**20, places=5)),
]


@FEW
@given(st.data())
def test_a_table_of_any_kinds_is_rows_or_refused(data: st.DataObject) -> None:
    num = data.draw(st.integers(1, 3))
    columns = {"path": pa.array(["a.jpg"] * num)}
    for name in ("id", "views", "owner", "uploaded_at", "tags", "mood"):
        kind, values = data.draw(st.sampled_from(_COLUMNS))
        columns[name] = pa.array(data.draw(st.lists(st.none() | values, min_size=num, max_size=num)), kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        pq.write_table(pa.table(columns), path)
        _whole_way(path, ("mood",))


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ms"), pa.duration("s")])
def test_a_date_that_no_calendar_has_is_unknown(tmp_path: Path, kind: pa.DataType) -> None:
    """Found by fuzzing: a date of the year 5,881,580 ended the packing."""
    dates = pa.array([2**31 - 1 if kind == pa.date32() else 2**62, 16_000 if kind == pa.date32() else 1_400_000_000_000], kind)
    pq.write_table(pa.table({"id": ["a", "b"], "path": ["a", "b"], "views": [1, 2], "uploaded_at": dates}), tmp_path / "t.parquet")
    if kind == pa.duration("s"):
        with pytest.raises(TableError, match="uploaded_at: none of 2 values can be read"):
            read_table(tmp_path / "t.parquet")
        return
    table = read_table(tmp_path / "t.parquet")
    first, second = rows_of(table)
    assert first.unread == (("uploaded_at", f"uploaded_at: a {kind} out of range; one that a calendar has"),)
    if kind == pa.date32():
        assert second.uploaded_at == datetime.datetime(2013, 10, 22, tzinfo=datetime.UTC)


# of 128-bit integers, as its damaged schema says
_WIDE = (
    "eNqlVM1q20AQnl1thQg+OCYrJNBBlywuNGnt4hBKoaxs1y11qWNITaAXyRG2D6lcObVNyaGHPlLpqY+Qh+gz9Am6s/qxqXNo6CDtSN/O9823I+OBHDY44wf8oK8S1AAIAI"
    "S4RBx4jdceKbzKTW56J1AnkUPC/X21S9XNCDHof7N97m+zId/G+FvDsYodxypqbajfge502eN7fU7LLusde7RO1g5Zl0SDEAqcuR9a4JiL8TS+CrkFvHJIHTq7PIS+hwbx"
    "lc3D62kBMAU8WM7i1SLfvEqSotpmruf2BXi84rbArLqoxBVs39g34lRY20Ny0RtwikOoqvRcsU1XAFNC2xK6eynynYhv5D4yLJfJPGudW6Iu8ZOKr/R+E9/p9fBOwzgR3S"
    "i1U/HbELfG9vR3DVM0TLGj/YPZTFgqges5FTkcvhs9y76N84s+xljJQEp5JrN4I6UCJvKllBPZnmgsUAVv8aEt5WsNbHJObSf4FOHS0WAXl3ig9VXJudbvlfVZaH6vsYya"
    "GRZh/UlHLaco0e7mTQu9LM6R2QxH75+OUVv57Gg/47w0D3WC5r/0fxVML3vZQb9g/VpTld6FDFbZubsbUhAMdb7YnF+WLsPRmdYPcr/g+PMw/fQ5vj4az+dHYZomK38Zp4"
    "tZ8tFvto6fHDdc/J2XF7wwAAbqH+YPdkmzHg=="
)


def test_a_table_of_kinds_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Found by fuzzing: two changed bytes of a Parquet file ended the packing with an error of pyarrow that is no value error."""
    (tmp_path / "t.parquet").write_bytes(zlib.decompress(base64.b64decode(_WIDE)))
    with pytest.raises(TableError, match=r"t.parquet: Integers with more than 64 bits not implemented; a whole .parquet file"):
        read_table(tmp_path / "t.parquet")


def _pictures() -> list[bytes]:
    made = []
    for kind, mode, options in (
        ("JPEG", "RGB", {}),
        ("JPEG", "CMYK", {}),
        ("PNG", "P", {}),
        ("WEBP", "RGBA", {}),
        ("GIF", "P", {}),
        ("TIFF", "F", {}),
        ("BMP", "RGB", {}),
    ):
        sink = io.BytesIO()
        Image.fromarray(photo(40, 36)).convert(mode).save(sink, kind, **options)
        made.append(sink.getvalue())
    return made


@FEW
@given(damaged(*_pictures()) | st.binary(max_size=200))
def test_a_damaged_picture_is_a_square_or_refused(data: bytes) -> None:
    made, error = _outcome(PictureError, lambda: prepare(data, PictureRule()))
    assert error is None or error.reason in {"undecodable", "truncated", "unsupported_format", "too_many_pixels", "too_small"}
    if made is None:
        return
    assert np.asarray(Image.open(io.BytesIO(made.jpeg))).shape == (256, 256, 3)
    assert len(made.pdq) == 32
