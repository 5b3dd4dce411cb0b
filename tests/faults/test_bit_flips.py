"""One flipped bit anywhere in a packed set, a decoded copy or a file of features is found before a number of it is used.

A sample; ``PEORIA_TEST_FULL=1`` flips 10,000.
"""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from peoria.data.control_signals import measured_once
from peoria.data.dataset import SplitData
from peoria.data.images import ArrayPictures
from peoria.training.frozen_features import FrozenTrunk
from shards.cache.decoded import decoded
from shards.errors import NoRoomError, ShardsError
from shards.inspection.describe import describe
from shards.inspection.verify import verify
from shards.manifest import Manifest
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from tests.helpers.frozen import frozen_config, frozen_net

NUM_FLIPS = 10_000 if os.environ.get("PEORIA_TEST_FULL") else 320

ROOM = 10**9  # bytes: whatever others do to this disk


@dataclass(frozen=True)
class Place:
    """A file, and what uses it: an error of ours, or an array."""

    path: Path
    use: Callable[[], bytes]


@pytest.fixture
def places(whole: Path, tmp_path: Path, weights: Path) -> dict[str, Place]:
    root, cache = Path(shutil.copytree(whole, tmp_path / "set")), tmp_path / "cache"
    opening = open_test(root, sweep="s", purpose="p")
    splits = {shard.file: shard.split for shard in Manifest.load(root).shards}
    shards = list(splits)
    config = frozen_config(weights)
    trunk = FrozenTrunk(frozen_net(config), config, "of the flips")
    # a copy in memory: who has mapped the file sees what is flipped in it
    labels, pictures = ShardSet(root).labels("train"), ArrayPictures(np.array(decoded(ShardSet(root), "train", cache, budget_bytes=ROOM)))
    split = SplitData(pictures, labels)

    def decode(file: str) -> bytes:
        shard_set = ShardSet(root)
        out = np.zeros((shard_set.num_pictures(splits[file]), 256, 256, 3), np.uint8)
        shard_set.decode(splits[file], out, opening)
        return out.tobytes()

    def described() -> bytes:
        return repr(describe(root)).encode()

    def rows() -> bytes:
        found = repr(ShardSet(root).table.to_pydict()).encode()
        if found == packed_rows and (problems := verify(root)):  # a flip that changes no row is told by verify alone
            raise ShardsError(*problems)
        return found

    packed_rows = b""
    packed_rows = rows()
    uses: dict[str, tuple[Path, Callable[[], bytes]]] = {
        "shard": (root / shards[0], lambda: decode(shards[0])),
        "shard of test": (root / shards[-1], lambda: decode(shards[-1])),
        "manifest": (root / "manifest.json", lambda: Manifest.load(root).model_dump_json().encode()),
        "labels": (root / "labels.parquet", rows),
        "ledger": (root / "ledger.parquet", described),
        "near-duplicates": (root / "near_duplicates.parquet", described),
        "decoded copy": (Path(), lambda: decoded(ShardSet(root), "train", cache, budget_bytes=ROOM).tobytes()),
        "features": (Path(), lambda: trunk.features(split, 2, cache, ROOM).tobytes()),
        "measures": (Path(), lambda: measured_once(pictures, cache, "of the flips", ROOM).tobytes()),
    }
    found = {}
    for name, (path, use) in uses.items():
        use()
        kind = {"decoded copy": "*-train.u8", "features": "*.f16", "measures": "*.f32"}.get(name)
        found[name] = Place(path if kind is None else next(cache.glob(kind)), use)
    return found


def _flip(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0] ^ (1 << bit)
        file.seek(place)
        file.write(bytes([byte]))


def _unnoticed(place: Place, num: int, seed: int, caplog: pytest.LogCaptureFixture) -> tuple[int, int]:
    """Of ``num`` flips of one bit each: how many were neither told nor mended, and of how many of these something else came."""
    whole, cached = place.use(), place.path.suffix in (".u8", ".f16", ".f32")
    random = np.random.default_rng(seed)
    unnoticed = other = 0
    for at, bit in zip(random.integers(0, place.path.stat().st_size, num).tolist(), random.integers(0, 8, num).tolist(), strict=True):
        caplog.clear()
        _flip(place.path, at, bit)
        try:
            found = place.use()
            told = "removed, and built again" in caplog.text
            other += found != whole
        except NoRoomError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError, OSError, AssertionError) as error:
            told = isinstance(error, ShardsError)
            other += not told  # something fell over what came through
        unnoticed += not told
        if not (cached and told):
            _flip(place.path, at, bit)
    return unnoticed, other


@pytest.mark.slow
def test_every_flip_is_found_before_use(places: dict[str, Place], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    num = -(-NUM_FLIPS // len(places))
    found = {name: _unnoticed(place, num, seed, caplog) for seed, (name, place) in enumerate(places.items())}
    print(f"\n{num * len(places)} flips, {num} each; unnoticed, of these harmful: {found}")
    assert found == dict.fromkeys(places, (0, 0))


@pytest.mark.slow
def test_without_the_digests_flips_are_used(places: dict[str, Place], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the same flips, with the comparing of digests off."""
    caplog.set_level(logging.WARNING)
    root = places["manifest"].path.parent
    said = Manifest.load(root).manifest_sha256
    monkeypatch.setattr("shards.read.tar_index.MappedShard.check", lambda _: None)
    monkeypatch.setattr("shards.manifest.own_sha256", lambda _: said)
    monkeypatch.setattr("shards.cache.mapped.damage", lambda *_, **__: "")
    num = -(-NUM_FLIPS // len(places) // 4)
    kinds = ("shard", "manifest", "decoded copy", "features", "measures")
    found = {name: _unnoticed(places[name], num, seed, caplog) for seed, name in enumerate(places) if name in kinds}
    print(f"\nwithout digests, {num} flips each; unnoticed, of these harmful: {found}")
    assert all(found[name] == (num, num) for name in ("decoded copy", "measures"))
    assert found["features"] == (num, num)
    assert found["shard"][1] > num // 2
