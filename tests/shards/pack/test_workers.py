"""Processes are started from wherever Python runs: a script without a main guard, standard input, -c, an interactive session, a thread."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shards.errors import TableError
from shards.pack.workers import Workers

ROOT = Path(__file__).parents[3]
PREPARE = """
import os, sys
from pathlib import Path
from shards.manifest import PictureRule
from shards.pack import staging
from shards.pack.prepare import prepare_all
from shards.sources.rows import read_table
from tests.helpers.read_rows import rows_of
print("main runs", flush=True)
table, out = Path(os.environ["TABLE"]), Path(os.environ["OUT"])
out.mkdir(exist_ok=True)
staging.CHUNK_ROWS = 20
table = read_table(table)
rows = staging.stage_rows(out, table.read(), ())
fetched = prepare_all(out, rows, table.pictures, PictureRule(), lambda what, done, total: None, processes=2)
print(len(list(out.glob("*.parquet"))), "chunks", flush=True)
"""
THREAD = (
    "import threading\ndef work():\n"
    + "".join(f"    {line}\n" for line in PREPARE.splitlines())
    + "work_in = threading.Thread(target=work)\nwork_in.start()\nwork_in.join()\n"
)
SPAWN = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from shards.pack import prepare
class Workers:
    shares_disk = True
    def __init__(self, num): self.pool = ProcessPoolExecutor(num, multiprocessing.get_context("spawn"))
    def __enter__(self): return self
    def __exit__(self, *error): self.pool.shutdown(cancel_futures=True)
    def each(self, function, jobs):
        for job, future in [(job, self.pool.submit(function, job)) for job in jobs]:
            yield job, future.result()
prepare.Workers = Workers
"""


def ran(words: list[str], table: Path, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TABLE": str(table), "OUT": str(table.parent / "staged")}
    return subprocess.run([sys.executable, *words], input=given, capture_output=True, text=True, env=environment, cwd=table.parent, check=False)


def words_of(how: str, folder: Path) -> tuple[list[str], str | None]:
    if how in ("script", "thread"):
        script = folder / "script.py"
        script.write_text(PREPARE if how == "script" else THREAD)
        return [str(script)], None
    return {"stdin": (["-"], PREPARE), "-c": (["-c", PREPARE], None), "interactive": (["-i", "-q"], PREPARE)}[how]


@pytest.mark.parametrize("how", ["script", "thread", "stdin", "-c", "interactive"])
def test_pictures_are_made_ready_from_wherever_python_runs(how: str, mixed: Path) -> None:
    words, given = words_of(how, mixed.parent)
    done = ran(words, mixed, given)
    assert (done.returncode, done.stdout) == (0, "main runs\n2 chunks\n"), done.stderr


def test_control_spawned_by_multiprocessing_they_are_not(mixed: Path) -> None:
    """Each worker runs the script again, and would pack."""
    (mixed.parent / "script.py").write_text(SPAWN + PREPARE)
    done = ran([str(mixed.parent / "script.py")], mixed)
    assert done.returncode == 1
    assert done.stdout.count("main runs") > 1
    assert "BrokenProcessPool" in done.stderr


def refuse(number: int) -> None:
    raise TableError(f"table {number}: none; one", hint="give it")


def refuse_strangely(number: int) -> None:
    class OwnError(Exception):
        pass

    raise OwnError(f"job {number}")


def test_what_a_worker_raises_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), Path("/no/text"), *sys.path])  # what is no text is passed over
    sys.modules["test_workers"] = sys.modules[__name__]
    for function in (refuse, refuse_strangely):
        monkeypatch.setattr(function, "__module__", "test_workers")
    with Workers(1) as workers, pytest.raises(TableError, match="table 7: none; one") as raised:
        list(workers.each(refuse, [7]))
    assert raised.value.hint == "give it"
    assert any("in refuse" in note for note in raised.value.__notes__)  # where it was
    with Workers(1) as workers, pytest.raises(RuntimeError, match="job 3"):
        list(workers.each(refuse_strangely, [3]))
