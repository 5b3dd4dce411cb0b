"""Reading a cluster file: whatever it holds, one line, in little time and memory, and no code runs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peoria.cluster.check import check_cluster_file, problems_of
from peoria.cluster.cluster_file import read_cluster_file
from shards.errors import UserError
from tests.helpers.cluster_copy import edited_copy, loaded

BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(f"a{at}: &a{at} [{','.join([f'*a{at - 1}'] * 10)}]\n" for at in range(1, 12))
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{at}: &a{at} {{<<: [{','.join([f'*a{at - 1}'] * 10)}]}}\n" for at in range(1, 12))
CASES = {
    "empty": (b"", "nothing"),
    "comments": (b"# nothing\n", "nothing"),
    "list": (b"- a\n- b\n", "a list"),
    "text": (b"cluster", "a str"),
    "number": (b"12", "a int"),
    "no_yaml": (b"a: [1, 2\nb: 3", "no YAML at line"),
    "tabs": (b"a:\n\t- b", "no YAML at line"),
    "two_documents": (b"a: 1\n---\nb: 2\n", "no YAML"),
    "python": (b"a: !!python/object/apply:os.system ['touch ran']", "no YAML"),
    "unknown_tag": (b"a: !vault x", "no YAML"),
    "no_such_anchor": (b"a: *b", "no YAML"),
    "binary": (b"\x00\x01\x02", "no YAML"),
    "not_utf8": (b"a: \xff\xfe", "no UTF-8 at byte 3"),
    "no_date": (b"a: 2020-13-45", "a value that is none"),
    "long_number": (b"a: " + b"9" * 6000, "a value that is none"),
    "unhashable_key": (b"? [a]\n: 1", "no YAML"),
    "aliases": (BOMB.encode(), "with its aliases written out"),
    "merges": (MERGES.encode(), "with its aliases written out"),
    "holds_itself": (b"a: &a [*a]", "holds itself"),
    "deep": (b"[" * 20_000, "nested too deep"),
    "kubernetes": (b"apiVersion: ray.io/v1\nkind: RayJob\n", "an object of Kubernetes (kind: RayJob)"),
    "huge": (b"a: 1\n" * 400_000, "more than 1,000,000 bytes"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_cluster_file_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    data, expected = CASES[name]
    path = tmp_path / "cluster.yaml"
    path.write_bytes(data)
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        check_cluster_file(path)
    line = str(caught.value).splitlines()[0]
    assert line.startswith(f"{path}: ")
    assert expected in line
    assert "; a Ray cluster file" in line
    assert time.monotonic() - started < 30
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "loop", "not_mine"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cluster.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "not_mine":
        path.write_text("a: 1")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root reads every file")
    with pytest.raises(UserError, match=r"cluster.yaml: .*; a Ray cluster file"):
        check_cluster_file(path)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("cluster_name: a\n")
    (tmp_path / "cluster.yaml").symlink_to("real.yaml")
    assert read_cluster_file(tmp_path / "cluster.yaml") == ({"cluster_name": "a"}, [])


def test_what_yaml_lets_pass_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("max_workers: 1\nprovider: {type: local, on: 1, 2: 3}\nmax_workers: 2\n")
    cluster, problems = read_cluster_file(path)
    assert cluster["max_workers"] == 2
    assert [problem.where for problem in problems] == ["max_workers", "provider.True", "provider.2"]


VALUES = (None, True, -1, float("nan"), "text", [None], {"a": None})


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_any_value_anywhere_ends_in_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    """At each place of the file, a value of another kind: never an exception."""
    monkeypatch.chdir(tmp_path)
    whole = loaded(edited_copy(tmp_path))
    for here, key in list(places(whole)):
        before, here[key] = here[key], value
        assert all(problem.text(tmp_path) for problem in problems_of(whole))
        here[key] = before


def places(here: Any) -> Iterator[tuple[Any, Any]]:
    for key, part in list(here.items()) if isinstance(here, dict) else list(enumerate(here)):
        yield here, key
        if isinstance(part, dict | list):
            yield from places(part)
