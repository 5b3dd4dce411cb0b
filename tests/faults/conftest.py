"""What the tests of faults share: a packed set to attack, a file that no attack may change, the sweep that nobody disturbed, and an end to every
process that a failed test leaves."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peoria.records.folder import SweepFolder
from shards.read.shard_set import ShardSet
from tests.helpers.faults import Command, digests
from tests.helpers.instead import PRECIOUS
from tests.helpers.packed_set import pack_pictures


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_pictures(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def pixels(whole: Path) -> np.ndarray:
    shard_set = ShardSet(whole)
    out = np.zeros((shard_set.num_pictures("train"), 256, 256, 3), np.uint8)
    shard_set.decode("train", out)
    return out


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "victim").write_bytes(PRECIOUS)
    return tmp_path / "home" / "victim"


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """A pipe that is waited for ends the test instead."""

    def waited(*_: object) -> None:
        raise AssertionError("waited for ever")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def undisturbed_home(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the sweep as it is without any fault; to be copied by who changes it."""
    command = Command(tmp_path_factory.mktemp("undisturbed"), planted_shards)
    command.finish()
    return command.home


@pytest.fixture(scope="session")
def undisturbed(undisturbed_home: Path) -> dict[str, tuple[object, ...]]:
    """Digests of its trials."""
    found = digests(SweepFolder.of(undisturbed_home, "faults"))
    assert len(found) >= 5  # four searched ones and at least one winner again
    return found


@pytest.fixture
def command(planted_shards: Path, tmp_path: Path) -> Iterator[Any]:
    """Makes commands: ``command(*flags, tracking=…, before=…, NAME=value)``."""
    made: list[Command] = []

    def make(*flags: str, **given: str) -> Command:
        made.append(Command(tmp_path / f"run{len(made)}", planted_shards, *flags, **given))
        return made[-1]

    yield make
    for one in made:
        one.clean()
