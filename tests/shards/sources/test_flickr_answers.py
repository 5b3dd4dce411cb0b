"""Answers on disk: whole lines or none, one writer, and nothing of ours taken for an answer that is none."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

from shards.errors import FileError, NoRoomError
from shards.sources.flickr_answers import Answers


def fill(folder: Path, num: int = 3) -> bytes:
    with Answers(folder) as answers:
        for number in range(num):
            answers.put(f"{number}", "info", "2026-11-27T00:00:00Z", {"views": number, "tags": ["Ü"]})
            answers.put(f"{number}", "favorites", "2026-11-27T00:00:01Z", {"total": 1})
        answers.put("77", "info", "2026-11-27T00:00:02Z", {"gone": "not_found", "said": "Photo not found"})
        answers.put("78", "info", "2026-11-27T00:00:02Z", {"views": 1, "media": "video"})
    return (folder / "answers.jsonl").read_bytes()


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    with Answers(tmp_path / "a") as answers:
        assert [answers.next_ask(identity) for identity in ("0", "2", "77", "78", "5")] == [None, None, None, None, "info"]
        found = answers.get("1", "info")
        assert found == {"id": "1", "ask": "info", "observed_at": "2026-11-27T00:00:00Z", "views": 1, "tags": ["Ü"]}
        assert answers.get("5", "info") is None
        answers.put("5", "info", "", {"views": 1})
        assert answers.next_ask("5") == "favorites"
        assert (answers.get("5", "info") or {})["views"] == 1


def test_a_line_cut_off_at_any_byte_is_asked_again_and_overwritten(tmp_path: Path) -> None:
    whole = fill(tmp_path)
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole)):
        (tmp_path / "answers.jsonl").write_bytes(whole[:cut])
        with Answers(tmp_path) as answers:
            assert answers.next_ask("78") == "info", cut
            answers.put("78", "info", "2026-11-27T00:00:02Z", {"views": 1, "media": "video"})
            assert (answers.get("78", "info") or {})["views"] == 1
        assert (tmp_path / "answers.jsonl").read_bytes() == whole
    (tmp_path / "answers.jsonl").write_bytes(whole + b"\0" * 30 + b"\n")  # room without bytes, after a power cut
    with Answers(tmp_path):
        assert (tmp_path / "answers.jsonl").read_bytes() == whole
    (tmp_path / "answers.jsonl").write_bytes(whole[:-5])
    with Answers(tmp_path, read_only=True) as answers:  # a dry run cuts nothing
        assert answers.next_ask("78") == "info"
    assert (tmp_path / "answers.jsonl").read_bytes() == whole[:-5]


@pytest.mark.parametrize("line", [b"{}\n", b'{"id": "1", "ask": "views"}\n', b"null\n", b"\0\0\n", b"[" * 5000 + b"\n"])
def test_a_line_in_the_midst_that_is_none_is_refused(tmp_path: Path, line: bytes) -> None:
    whole = fill(tmp_path)
    cut = whole.index(b"\n") + 1
    (tmp_path / "answers.jsonl").write_bytes(whole[:cut] + line + whole[cut:])
    with pytest.raises(FileError, match="line 2 is no answer"):
        Answers(tmp_path)


def test_one_at_a_time(tmp_path: Path) -> None:
    with Answers(tmp_path):
        with pytest.raises(FileError, match="another `peoria flickr counts` asks and writes there; one at a time"):
            Answers(tmp_path)
        with Answers(tmp_path, read_only=True):
            pass
    with Answers(tmp_path):  # control: once it is closed
        pass


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    whole = fill(tmp_path)
    with Answers(tmp_path) as answers:
        with patch.object(os, "pwrite", side_effect=OSError(28, "No space left on device")), pytest.raises(NoRoomError, match="an answer"):
            answers.put("9", "info", "", {"views": 1})
        assert answers.next_ask("9") == "info"
    assert (tmp_path / "answers.jsonl").read_bytes() == whole


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "answers.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError):
        Answers(tmp_path / "a")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
