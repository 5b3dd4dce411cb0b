"""Changes that are killed: before and after each file that comes or goes there is the old set or the new one, whole; the same command ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest

from shards.errors import ShardsError
from shards.inspection.verify import unproven, verify
from shards.living.add import add
from shards.living.change import ADDING
from shards.living.recount import recount
from shards.living.remove import compact, remove
from shards.manifest import Manifest
from shards.pack import staging
from shards.pack.pack import pack
from shards.sources.tables import TableFile
from tests.helpers.dying import Dying, Killed
from tests.helpers.living import counts, new_counts, new_pictures, state
from tests.helpers.studies import sampled

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 12 pictures, one of them removed, with new counts and new pictures beside it."""
    folder = tmp_path_factory.mktemp("small")
    owners = {n: f"o{n}" for n in range(60, 72)}
    pack(new_pictures(folder, owners, name="packed.csv").path, folder / "set", processes=1, keep=["mood"], shard_size=3)
    remove(folder / "set", ["n61"])
    counts(folder, new_counts(folder / "set"))
    new_pictures(folder, {72: "o1", 73: "o2", 74: "o3"})
    return folder


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "recount": lambda root, folder: recount(root, TableFile(folder / "counts.csv")),
    "remove": lambda root, folder: remove(root, ["n60", "n65"]),
    "compact": lambda root, folder: compact(root),
    "add": lambda root, folder: add(root, TableFile(folder / "new.csv"), processes=1),
}


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dying]:
    """Between any two names that a process gives or takes."""
    found = Dying()
    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, found(getattr(os, name)))
    yield found
    found.left = None


@pytest.mark.parametrize("change", CHANGES)
def test_killed_between_any_two_files(change: str, small: Path, tmp_path: Path, dying: Dying) -> None:
    done = Path(copytree(small / "set", tmp_path / "done"))
    old = state(done)
    CHANGES[change](done, small)
    new = state(done)
    assert (new == old) == (change == "compact")
    seen = set()
    for moment in range(1, 200, sampled(1, 4)):
        root = Path(copytree(small / "set", tmp_path / f"{moment}"))
        dying.left = moment
        try:
            CHANGES[change](root, small)
        except Killed:
            dying.left = None
        else:
            break
        seen.add(found := state(root))
        assert found in (old, new)
        CHANGES[change](root, small)
        assert state(root) == new
        assert verify(root) == []
        assert unproven(root) == []
        assert not (root / ADDING).exists()
    assert moment > 10
    assert seen == {old, new}


def test_tables_written_in_place_are_torn_by_a_kill(small: Path, tmp_path: Path, dying: Dying, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the moments that are tried do find it."""
    monkeypatch.setattr(Manifest, "file_of", lambda self, table: f"{table.removesuffix('.parquet')}-00001.parquet")
    torn = 0
    for moment in range(1, 9):
        root = Path(copytree(small / "set", tmp_path / f"{moment}"))
        dying.left = moment
        with pytest.raises(Killed):
            CHANGES["recount"](root, small)
        dying.left = None
        try:
            state(root)
        except ShardsError:
            torn += 1
    assert torn


def test_damage_in_new_files_is_found(small: Path, tmp_path: Path) -> None:
    root = Path(copytree(small / "set", tmp_path / "set"))
    for change in ("recount", "compact", "add"):
        CHANGES[change](root, small)
    remove(root, ["n62"])
    assert verify(root) == []
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".change.lock"]
    assert len(paths) >= 10
    for path in paths:
        data = path.read_bytes()
        for place in (len(data) // 3, len(data) - 1):
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            assert any(path.name in problem for problem in verify(root)), (path, place)
        path.write_bytes(data)
    assert verify(root) == []


def test_what_belongs_to_no_state_is_named_and_goes(small: Path, tmp_path: Path) -> None:
    root = Path(copytree(small / "set", tmp_path / "set"))
    (root / "labels-00009.parquet").write_bytes(b"x")
    (root / "train/00000-9.tar").write_bytes(b"x")
    (root / "notes.parquet").write_bytes(b"mine")
    assert [line.split(": ")[0] for line in unproven(root)] == [f"{root}/labels-00009.parquet"]
    assert [problem.split(": ")[0] for problem in verify(root)] == [f"{root}/train/00000-9.tar"]
    compact(root)
    assert (unproven(root), verify(root)) == ([], [])
    assert (root / "notes.parquet").read_bytes() == b"mine"


def test_a_set_that_lacks_a_file_is_left_alone(small: Path, tmp_path: Path) -> None:
    """What looks like a leftover may be all that is left."""
    root = Path(copytree(small / "set", tmp_path / "set"))
    shard = Manifest.load(root).shards[0]
    (root / shard.file).rename(root / "train/00077.tar")
    with pytest.raises(ShardsError, match=r"train/00000.*\.tar: no such file; the one that manifest\.json names\nhint: nothing was changed"):
        compact(root)
    assert (root / "train/00077.tar").exists()


def test_a_set_of_links_is_left_alone(small: Path, tmp_path: Path) -> None:
    root = Path(copytree(small / "set", tmp_path / "set"))
    (tmp_path / "elsewhere").mkdir()
    (root / ADDING).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ShardsError, match=r"\.adding: a link; a folder"):
        CHANGES["add"](root, small)
    assert not any((tmp_path / "elsewhere").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
real, left = os.replace, int(sys.argv[1])
def replace(*names):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*names)
os.replace = replace
from peoria.cli import main
main(argv=sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["recount SET counts.csv", "remove SET n60", "compact SET", "add SET new.csv --processes 1"])
def test_a_command_killed_by_sigkill_goes_on(words: str, small: Path, tmp_path: Path) -> None:
    names = {"SET": str(tmp_path / "set"), "counts.csv": str(small / "counts.csv"), "new.csv": str(small / "new.csv")}
    given = [names.get(word, word) for word in words.split()]
    run = lambda moment: subprocess.run([sys.executable, "-c", KILLED, str(moment), *given], cwd=ROOT, capture_output=True, timeout=300)  # noqa: E731
    copytree(small / "set", tmp_path / "set")
    old = state(tmp_path / "set")
    last = 3 + (words.startswith("add"))
    assert run(last).returncode == -signal.SIGKILL
    assert state(tmp_path / "set") == old
    assert run(99).returncode == 0
    assert verify(tmp_path / "set") == []
    assert (state(tmp_path / "set") == old) == words.startswith("compact")
    assert not list((tmp_path / "set").rglob(".*.tmp"))
    assert staging.STAGING not in os.listdir(tmp_path / "set")
