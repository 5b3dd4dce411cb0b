import json
import subprocess
import sys
from pathlib import Path

import pytest

from shards.errors import ShardsError
from shards.manifest import Manifest
from shards.read.openings import OPENINGS, open_test, openings


def test_each_opening_is_a_line_and_has_its_number(packed: Path) -> None:
    assert openings(packed) == []
    first = open_test(packed, sweep="paper", purpose="report")
    second = open_test(packed, sweep="other", purpose="report again")
    assert [first.number, second.number] == [1, 2]
    assert openings(packed) == [first, second]
    assert first.identity == Manifest.load(packed).identity
    lines = [json.loads(line) for line in (packed / OPENINGS).read_text().splitlines()]
    assert lines[1] == {
        "number": 2,
        "identity": first.identity,
        "sweep": "other",
        "purpose": "report again",
        "opened_at": second.opened_at,
    }  # fmt: skip


def test_a_torn_line_keeps_its_number_and_spoils_no_other(packed: Path) -> None:
    first = open_test(packed, sweep="paper", purpose="report")
    with (packed / OPENINGS).open("ab") as file:
        file.write(b'{"number": 2, "iden')
    third = open_test(packed, sweep="paper", purpose="report")
    assert third.number == 3
    assert openings(packed) == [first, third]


def test_many_at_once_have_different_numbers(packed: Path) -> None:
    code = "import sys, pathlib; from shards.read.openings import open_test; "
    code += "[open_test(pathlib.Path(sys.argv[1]), sweep='s', purpose='p') for _ in range(20)]"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(packed)]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert [opening.number for opening in openings(packed)] == list(range(1, 61))


def test_nothing_is_handed_out_that_is_not_on_record(packed: Path) -> None:
    (packed / OPENINGS).mkdir()  # a file system that takes no line, also for root
    with pytest.raises(ShardsError, match=rf"{OPENINGS}: Is a directory; a file that can be appended to\nhint: each opening"):
        open_test(packed, sweep="paper", purpose="report")


def test_what_an_opening_is_for_must_be_said(packed: Path) -> None:
    with pytest.raises(ShardsError, match="sweep: empty; what the opening is for\npurpose: empty"):
        open_test(packed, sweep="", purpose=" ")
    assert openings(packed) == []


def test_there_is_no_opening_without_a_set(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match=r"no manifest.json"):
        open_test(tmp_path, sweep="paper", purpose="report")


def test_a_token_is_kept_and_an_opening_without_one_is_read(packed: Path) -> None:
    open_test(packed, sweep="paper", purpose="report")
    second = open_test(packed, sweep="paper", purpose="report", token="drawn")
    assert [opening.token for opening in openings(packed)] == ["", "drawn"]
    assert openings(packed)[1] == second
    with (packed / OPENINGS).open("a") as file:
        file.write(json.dumps({**json.loads((packed / OPENINGS).read_text().splitlines()[1]), "number": 3, "token": 5}) + "\n")
    assert len(openings(packed)) == 2
