"""Steps of a folder: replayed in order they make it, whatever was done to it; what does not fit is refused."""

import io
import json
import os
import random
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peoria.errors import RecordError
from peoria.records.deltas import Delta, Seen
from shards.files import write_atomic

FILES = ("sweep.json", "study.journal", "trials/0000/points.jsonl", "trials/0000/outcome.json", "trials/0001/points.jsonl", "report/page.html")
ACTS = st.lists(
    st.tuples(st.sampled_from(("write", "append", "remove", "step", "some")), st.sampled_from(FILES), st.binary(max_size=20)), max_size=30
)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(ACTS)
@settings(deadline=None, max_examples=200)
def test_steps_in_order_make_the_folder(acts: list[tuple[str, str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as again:
        folder, seen, steps, touched = Path(made), Seen(Path(made)), list[bytes](), set[str]()
        for act, name, data in [*acts, ("step", "", b"")]:
            path = folder / name
            if name.startswith("trials/"):
                touched.add(name.split("/")[1])
            if act == "write":
                write_atomic(path, data)
            elif act == "append":
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(data)
            elif act == "remove":
                path.unlink(missing_ok=True)
            else:
                delta, seen.known = seen.changes(None if act == "step" else touched, str(len(steps)))
                steps.append(delta.pack())
                touched = set()
        for number, step in enumerate(steps):
            Delta.unpack(step, "step").apply(Path(again), f"step {number}")
        assert _content(Path(again)) == _content(folder)


def test_a_file_that_only_grows_is_not_sent_twice(tmp_path: Path) -> None:
    """Control: of any other file all is."""
    seen = Seen(tmp_path)
    for name in ("study.journal", "other.json"):
        (tmp_path / name).write_bytes(b"a" * 1000)
    _, seen.known = seen.changes(None, "")
    for name in ("study.journal", "other.json"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"b")
    delta, _ = seen.changes(None, "")
    assert (len(delta.files["study.journal"]), delta.starts) == (1, {"study.journal": 1000})
    assert len(delta.files["other.json"]) == 1001


def test_another_file_in_the_inodes_place_is_sent_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is longer, and has the number of the one before: written in its place, as a disk gives numbers again."""
    seen, journal = Seen(tmp_path), tmp_path / "study.journal"
    journal.write_bytes(b"1")
    _, seen.known = seen.changes(None, "")
    journal.write_bytes(b"23")
    delta, _ = seen.changes(None, "")
    assert (delta.files, delta.starts) == ({"study.journal": b"23"}, {})
    monkeypatch.setattr("peoria.records.deltas._tail", lambda file, end: seen.known["study.journal"].tail)
    assert seen.changes(None, "")[0].files == {"study.journal": b"3"}  # control: by number and size alone it has grown


def test_what_belongs_to_the_process_or_the_workers_is_left_out(tmp_path: Path) -> None:
    kept = {"sweep.json", "trials/0000/config.json", "trials/0000/model.json", "baselines/a/val_scores.npz"}
    other = {".lock", "holder.json", "tune/x/y.json", "ray.log", "stopping", "trials/0000/checkpoint.pt", "trials/0000/.lock", ".a.json.abc.tmp"}
    for name in (*kept, *other):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert set(Seen(tmp_path).changes(None, "")[0].files) == kept


def test_other_trials_are_not_looked_at(tmp_path: Path) -> None:
    for key in ("0000", "0001"):
        write_atomic(tmp_path / "trials" / key / "config.json", b"1")
    seen = Seen(tmp_path)
    _, seen.known = seen.changes(None, "")
    for key in ("0000", "0001"):
        write_atomic(tmp_path / "trials" / key / "config.json", b"22")
    delta, known = seen.changes({"0001"}, "")
    assert set(delta.files) == {"trials/0001/config.json"}
    assert (set(known), delta.removed) == (set(seen.known), ())
    assert set(seen.changes(None, "")[0].files) == {"trials/0000/config.json", "trials/0001/config.json"}


def _tar(name: str, kind: bytes = tarfile.REGTYPE, index: bytes = b'{"nonce": "", "starts": {}, "removed": []}') -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as made:
        for member, data, what in (("index.json", index, tarfile.REGTYPE), (name, b"", kind)):
            info = tarfile.TarInfo(member)
            info.size, info.type, info.linkname = len(data), what, "/etc/passwd"
            made.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"foreign bytes",
        _tar("../x"),
        _tar("/x"),
        _tar("a/../../x"),
        _tar("a", tarfile.SYMTYPE),
        _tar("a", tarfile.LNKTYPE),
        _tar("a", index=b"[]"),
        _tar("a", index=b"{"),
        _tar("a", index=json.dumps({"nonce": "", "starts": {}, "removed": ["../x"]}).encode()),
        _tar("a", index=json.dumps({"nonce": "", "starts": {"a": None}, "removed": []}).encode()),
        _tar("a", index=b"[" * 100_000),
        Delta("n", {"a": random.Random(0).randbytes(5000)}).pack()[:3000],
    ],
)
def test_what_no_process_of_ours_put_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match=r"s3://b/record/1: .*; a step of a sweep's record"):
        Delta.unpack(data, "s3://b/record/1")


def test_steps_that_do_not_follow_one_another_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    seen, steps = Seen(folder), []
    for _ in range(3):
        with (folder / "study.journal").open("ab") as file:
            file.write(b"line\n")
        delta, seen.known = seen.changes(None, "")
        steps.append(delta)
    again = tmp_path / "b"
    steps[0].apply(again, "0")
    with pytest.raises(RecordError, match=r"2: study.journal goes on at byte 10, and ends at 5"):
        steps[2].apply(again, "2")
    shutil.rmtree(again)
    os.mkdir(again)
    with pytest.raises(RecordError, match="ends at -1"):
        steps[1].apply(again, "1")
