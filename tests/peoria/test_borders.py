"""What others raise is one line; what is ours keeps its traceback; and a terminal takes every text and obeys none of it."""

import errno
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peoria.borders import Output, folded, shown, told
from peoria.errors import SweepError


def caught(do: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as found:  # noqa: PT011 - of every kind
        do()
    return found.value


@pytest.mark.parametrize("number", [number for number in errno.errorcode if number not in (errno.EINTR,)], ids=errno.errorcode.get)
def test_every_error_of_the_system_names_its_path(number: int) -> None:
    text = told(OSError(number, os.strerror(number), "/data/x.json"))
    assert text is not None
    assert text.startswith("/data/x.json: ")
    assert "; " in text
    assert "Errno" not in text


def test_real_errors_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for do, words in {
        lambda: (tmp_path / "file" / "x").mkdir(): "file/x: a part of this path is no folder; folders all the way",
        lambda: (tmp_path / "file").mkdir(): "file: there already; a folder, or nothing",
        lambda: tmp_path.read_bytes(): ": a folder; a file",
        lambda: (tmp_path / "gone").read_bytes(): "gone: no such file or folder; one that is there",
        lambda: (tmp_path / "loop").read_bytes(): "loop: links that lead to one another",
        lambda: (tmp_path / ("n" * 300)).read_bytes(): ": a longer name than the file system takes; a shorter path",
        lambda: os.listdir(tmp_path / "file"): "file: a part of this path is no folder",
    }.items():
        text = told(caught(do))
        assert text is not None
        assert words in text
        assert str(tmp_path) in text


def test_a_disk_that_is_full_is_named_with_what_is_free(tmp_path: Path) -> None:
    """A write names no path; it is found all the same."""
    path = tmp_path / "checkpoint.pt"

    def write() -> None:
        with path.open("wb") as file:
            file.write(b"x")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    text = told(caught(write))
    assert text is not None
    assert text.startswith(f"{path}: the disk is full, ")
    assert " bytes free; room for what is to be written\nhint: " in text


def test_a_strange_object_beside_it_is_not_asked() -> None:
    class Strange:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)  # as a client of Ray that is not connected

    def write() -> None:
        strange = Strange()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None, strange)

    assert "the disk is full" in str(told(caught(write)))


def test_a_file_that_may_not_grow_is_named_with_the_limit(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom peoria.borders import told\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "path = Path(sys.argv[1])\n"
        "try:\n  path.write_bytes(bytes(9000))\nexcept OSError as error:\n  print(told(error))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{tmp_path / 'x'}: larger than a file may be here (5,000 bytes)")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 5000


def of(module: str, name: str, *bases: type) -> type[BaseException]:
    """A class as another package has it, which need not be there."""
    return type(name, bases or (Exception,), {"__module__": module})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of("ray.exceptions", "OutOfMemoryError")("Task was killed"), "Ray: OutOfMemoryError: Task was killed; a Ray that runs"),
        (of("ray.tune.error", "TuneError")("x"), "Ray: TuneError: x"),
        (of("sqlalchemy.exc", "OperationalError")("(psycopg.OperationalError) refused\n(Background)"), "database: OperationalError: (psycopg"),
        (of("sqlalchemy.exc", "NoSuchModuleError")("Can't load plugin: sqlalchemy.dialects:nodb"), "as in postgresql+psycopg://"),
        (of("sqlalchemy.exc", "ArgumentError")("Could not parse"), "database: ArgumentError: Could not parse"),
        (of("optuna.exceptions", "StorageInternalError")("An exception is raised during the commit"), "database: StorageInternalError"),
        (of("psycopg", "OperationalError")("server closed the connection"), "database: OperationalError: server closed"),
        (of("sqlite3", "OperationalError")("database is locked"), "database: OperationalError: database is locked"),
        (of("mlflow.exceptions", "MlflowException")("503"), "MLflow: 503"),
        (MemoryError(), "memory: used up"),
        (OSError("AF_UNIX path too long"), "TMPDIR: AF_UNIX path too long; a socket's path has at most 107 bytes"),
        (SweepError("s: held", hint="wait"), "s: held\nhint: wait"),
        (caught(lambda: json.loads("{")), "not JSON (Expecting property name"),
        (caught(lambda: json.loads("[" * 100_000)), "nested deeper than can be read"),
        (caught(lambda: b"\xff".decode()), "text in UTF-8"),
        (caught(lambda: "\udcff".encode()), "text in UTF-8"),
        (caught(lambda: open("a\0b")), "a zero byte in a path"),  # noqa: SIM115
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_others_raise_is_a_line(error: BaseException, words: str) -> None:
    text = told(error)
    assert text is not None
    assert words in text
    assert len(text.splitlines()) <= 2


def test_real_errors_of_a_database(tmp_path: Path) -> None:
    import optuna
    from sqlalchemy import create_engine

    for url in ("nodb://host/x", "no address", "postgresql+nodriver://host/x", "postgresql+pg8000://host/x", f"sqlite:///{tmp_path}/gone/x.db"):
        text = told(caught(lambda url=url: create_engine(url).connect()))
        assert text is not None, url
        assert text.startswith("database: "), url
    assert "database: " in str(told(caught(lambda: optuna.storages.RDBStorage("mysql+aiomysql://ann:hunter2@127.0.0.1:1/x"))))


def test_of_a_worker_its_own_error_decides() -> None:
    failed = of("ray.exceptions", "RayTaskError")("traceback of the worker")
    failed.cause = OSError(errno.ENOSPC, "full", "/data/x")  # type: ignore[attr-defined]
    text = told(failed)
    assert text is not None
    assert text.startswith("/data/x: the disk is full")
    failed.cause = KeyError("a bug")  # type: ignore[attr-defined]
    assert told(failed) is None


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("x"),
        TypeError("x"),
        KeyError("x"),
        AttributeError("x"),
        IndexError("x"),
        ValueError("x"),
        RuntimeError("x"),
        ZeroDivisionError("x"),
        NotImplementedError(),
        ImportError("cannot import name"),
        caught(lambda: (lambda again: again(again))(lambda again: again(again))),  # RecursionError
        of("optuna.exceptions", "UpdateFinishedTrialError")("x"),
        of("sqlalchemy.exc", "ProgrammingError")("syntax error at or near SELCT"),
        of("sqlalchemy.exc", "InvalidRequestError")("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_control_an_error_of_ours_keeps_its_traceback(error: BaseException) -> None:
    assert told(error) is None


def test_control_an_error_of_ours_in_dealing_with_one_of_the_system_is_ours() -> None:
    def handle() -> None:
        try:
            raise OSError(errno.ENOSPC, "full", "/x")
        except OSError:
            {}["a bug"]

    assert told(caught(handle)) is None


def test_no_secret_is_told() -> None:
    error = of("sqlalchemy.exc", "OperationalError")("could not connect to postgresql://ann:hunter2@db/x password=hunter2")
    assert "hunter2" not in str(told(error))


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, peoria.borders\nassert not {'torch', 'ray', 'mlflow', 'optuna', 'numpy', 'sqlalchemy'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("tag \x1b[31mred\x1b[0m", "tag \\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("back\b\b\rover", "back\\x08\\x08\\rover"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("line\n\tnext ρ × 猫 😀 é", "line\n\tnext ρ × 猫 😀 é"),
        ("bytes\udcff", "bytes\udcff"),  # for the stream to write out, which knows its encoding
    ],
)
def test_what_would_move_the_cursor_is_written_out(text: str, seen: str) -> None:
    assert shown(text) == seen
    assert shown(seen) == seen


def test_of_a_name_line_ends_are_written_out_too() -> None:
    assert shown("a\nb\tc", lines=False) == "a\\nb\\tc"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("ascii", rb"rho 0.3 x 2 - \u732b \xff"), ("latin-1", b"rho 0.3 \xd7 2 - \\u732b \\xff"), ("utf-8", "ρ 0.3 × 2 − 猫 \\xff".encode())],
)
def test_every_encoding_has_something_legible(encoding: str, written: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="peoria.legible")
    stream.write("ρ 0.3 × 2 − 猫 \udcff")
    stream.flush()
    assert raw.getvalue() == written


def test_output_that_nobody_takes_ends_no_work() -> None:
    """tests/faults/test_borders.py has the real thing."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    output = Output(Full())
    for stream in (output, output, output.with_codes()):
        print("a", file=stream, flush=True)  # type: ignore[call-overload]
    assert [error.errno for error in output.lost] == [errno.ENOSPC]
    closed = io.StringIO()
    closed.close()
    output = Output(closed)
    output.write("a")
    assert [error.errno for error in output.lost] == [errno.EBADF]


def test_a_table_may_have_colours_and_nothing_else() -> None:
    raw = io.StringIO()
    output = Output(raw)
    output.write("\x1b[1m")
    output.with_codes().write("\x1b[1m")
    assert raw.getvalue() == "\\x1b[1m\x1b[1m"


def test_long_lines_go_on_farther_to_the_right_and_lose_nothing() -> None:
    path = "/a/" + "long-" * 20
    text = f"sweep a: 1 of 2 trials\n\n  last run: failed: {path}: {'a word and ' * 8}- the end\n  run by nobody"
    lines = folded(text).splitlines()
    assert lines[:2] == ["sweep a: 1 of 2 trials", ""]
    assert lines[-1] == "  run by nobody"
    assert [line for line in lines if len(line) > 80] == [f"      {path}:"]
    assert all(line.startswith("      ") for line in lines[3:-1])
    assert " ".join("\n".join(lines).split()) == " ".join(text.split())
