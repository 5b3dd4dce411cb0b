"""A packed set in a bucket: each shard comes to a node once and is compared, and nothing of a damaged one is used."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.cache.decoded import decoded
from shards.cache.fetched import open_shards
from shards.cache.files import cached_files, clear, render
from shards.errors import DamagedShardError, NoRoomError, ShardsError, StoreAwayError, TestSplitClosedError
from shards.inspection.describe import describe
from shards.manifest import MANIFEST, Manifest
from shards.read.on_demand import ShardReader
from shards.read.openings import open_test, openings
from shards.read.shard_set import ShardSet
from shards.store import open_store
from tests.helpers.faults import long_count
from tests.helpers.s3_server import Gate, S3Server
from tests.helpers.small import small_sweep

FULL = os.environ.get("PEORIA_TEST_FULL") == "1"
Put = Callable[[str], str]


@pytest.fixture
def url(s3: S3Server, packed: Path, env: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The set, at an address of this test's own."""
    return s3.put_folder(packed, request.node.name.replace("[", "-").strip("]"))


def gets(s3: S3Server, url: str) -> Counter[str]:
    """How often each shard was got."""
    prefix = url.removeprefix("s3:/")
    return Counter(path.removeprefix(f"{prefix}/") for path in s3.requests("GET", rf"{prefix}/(train|val|test)/\d+\.tar"))


def files_of(packed: Path, *splits: str) -> list[str]:
    return [shard.file for shard in Manifest.load(packed).of_split(splits)]


def flip(s3: S3Server, url: str, name: str) -> None:
    data = bytearray(open_store(url).get(name))
    data[len(data) // 2] ^= 1
    open_store(url).put(name, bytes(data))


def nothing_unfinished(cache: Path) -> bool:
    return not list(cache.rglob("*.tmp"))


DECODE = """
import sys
from pathlib import Path
from shards.cache.decoded import decoded
from shards.cache.fetched import open_shards
found = open_shards(sys.argv[1], Path(sys.argv[2]))
for split in ("train", "val"):
    print(decoded(found, split, Path(sys.argv[2])).sum())
"""


def test_two_processes_at_once_fetch_each_shard_once(s3: S3Server, url: str, packed: Path, tmp_path: Path) -> None:
    """And decode what a folder gives. Control: another node, a cache of its own, fetches each once more."""
    nodes = [tmp_path / "node", tmp_path / "node", tmp_path / "node", tmp_path / "another"]
    words = [[sys.executable, "-c", DECODE, url, str(node)] for node in nodes]
    running = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in words]
    sums = {process.communicate(timeout=120)[0] for process in running}
    assert sums == {"".join(f"{decoded(ShardSet(packed), split, tmp_path / 'local').sum()}\n" for split in ("train", "val"))}
    assert gets(s3, url) == dict.fromkeys(files_of(packed, "train", "val"), 2)  # two nodes
    assert nothing_unfinished(tmp_path)
    found = open_shards(url, tmp_path / "node")
    assert np.array_equal(decoded(found, "val", tmp_path / "node"), decoded(ShardSet(packed), "val", tmp_path / "local"))
    assert describe(found) == describe(ShardSet(packed))
    assert set(gets(s3, url).values()) == {2}


@pytest.mark.parametrize("how", ["flipped", "missing", "short", "long"])
def test_a_damaged_object_is_named_by_its_address_and_not_used(s3: S3Server, url: str, packed: Path, tmp_path: Path, how: str) -> None:
    """Control: the other splits of the same set are read, and with the object as it was this one."""
    name = files_of(packed, "train")[1]
    before = open_store(url).get(name)
    if how == "flipped":
        flip(s3, url, name)
    elif how == "missing":
        open_store(url).delete(name)
    else:
        open_store(url).put(name, before[:-1] if how == "short" else before + b"\0")
    found = open_shards(url, tmp_path)
    said = {"flipped": "sha256 ", "missing": "no such object", "short": f"{len(before) - 1} bytes", "long": f"more than {len(before)} bytes"}
    for use in (lambda: decoded(found, "train", tmp_path), lambda: found.verify_files(["train"]), lambda: ShardReader(found, "train", 1)):
        with pytest.raises(DamagedShardError, match=f"{url}/{name}: ") as caught:
            use()
        assert len(caught.value.problems) == 1
        problem = caught.value.problems[0].removeprefix(f"{url}/{name}: ")
        assert problem.startswith(said[how] if how != "long" else "more than ")
    assert not (found.root / name).exists()
    assert not list(tmp_path.glob("*.u8"))
    assert nothing_unfinished(tmp_path)
    if how != "flipped":
        with pytest.raises(DamagedShardError, match=f"{url}/{name}: .*; {len(before)} bytes were packed"):
            found.source.refuse_incomplete(["train"])  # type: ignore[union-attr]
    decoded(found, "val", tmp_path)
    open_store(url).put(name, before)
    assert np.array_equal(decoded(found, "train", tmp_path), decoded(ShardSet(packed), "train", tmp_path / "local"))


@pytest.mark.parametrize("name", ["manifest.json", "labels.parquet"])
def test_a_damaged_table_is_named_by_its_address(s3: S3Server, url: str, tmp_path: Path, name: str) -> None:
    open_shards(url, tmp_path / "control").labels("train")
    flip(s3, url, name)
    with pytest.raises(ShardsError, match=f"{url}/{name}: "):
        open_shards(url, tmp_path / "cache").labels("train")
    open_store(url).delete(name)
    with pytest.raises(ShardsError, match=f"{url}.*no (such object|manifest.json); "):
        open_shards(url, tmp_path / "other").labels("train")


def test_a_server_that_goes_in_mid_fetch_is_told_and_the_same_call_goes_on(
    s3: S3Server, url: str, packed: Path, tmp_path: Path, env: pytest.MonkeyPatch
) -> None:
    """Away for longer than it is waited for. What had come is not fetched again; control: it is, into another cache."""
    sizes = {shard.file: shard.bytes for shard in Manifest.load(packed).of_split(["train"])}
    gate = Gate(s3.port, break_after=int(sum(sizes.values()) * 0.8) + 100_000)
    env.setenv("AWS_ENDPOINT_URL", gate.url)
    env.setattr("shards.cache.fetched.AT_ONCE", 1)
    found = open_shards(url, tmp_path)
    begun = time.monotonic()
    with pytest.raises(StoreAwayError, match=f"{url}/train/.*: .*{gate.url}: .*; a store that answers"):
        decoded(found, "train", tmp_path)
    assert time.monotonic() - begun < 90
    assert gate.times_broken == 1
    there = {path.relative_to(found.root).as_posix() for path in found.root.rglob("*.tar")}
    assert 0 < len(there) < len(sizes)
    assert nothing_unfinished(tmp_path)
    gate.mend()
    decoded(found, "train", tmp_path)
    gate.close()
    counted = gets(s3, url)
    assert {counted[name] for name in there} == {1}
    env.setenv("AWS_ENDPOINT_URL", s3.url)
    decoded(open_shards(url, tmp_path / "control"), "train", tmp_path / "control")
    assert {gets(s3, url)[name] - counted[name] for name in sizes} == {1}


def test_a_process_that_is_killed_in_mid_fetch_leaves_nothing_wrong(s3: S3Server, url: str, packed: Path, tmp_path: Path) -> None:
    gate = Gate(s3.port)
    words = [sys.executable, "-c", DECODE, url, str(tmp_path)]
    process = subprocess.Popen(words, env=os.environ | s3.environment(gate.url) | {"OPENBLAS_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("*.tar")):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait()
    gate.close()
    assert subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=120).stdout
    assert nothing_unfinished(tmp_path)
    found = open_shards(url, tmp_path)
    assert np.array_equal(decoded(found, "train", tmp_path), decoded(ShardSet(packed), "train", tmp_path / "local"))


def test_a_damaged_copy_is_fetched_again(s3: S3Server, url: str, packed: Path, tmp_path: Path) -> None:
    """Of a set in a folder it is an error; so it is where the copy of a bucket is taken for such a set."""
    found = open_shards(url, tmp_path)
    found.verify_files(["val"])
    name = files_of(packed, "val")[0]
    data = bytearray((found.root / name).read_bytes())
    data[700] ^= 1
    (found.root / name).write_bytes(data)
    (found.root / MANIFEST).write_bytes((packed / MANIFEST).read_bytes())
    with pytest.raises(DamagedShardError):
        ShardSet(found.root).verify_files(["val"])
    for use in (lambda: found.verify_files(["val"]), lambda: ShardReader(found, "val", 2), lambda: decoded(found, "val", tmp_path / "copy")):
        (found.root / name).write_bytes(data)
        use()
        assert (found.root / name).read_bytes() == (packed / name).read_bytes()
    (found.root / "labels.parquet").write_bytes(b"no table")
    assert len(open_shards(url, tmp_path).labels("val")) == len(found.labels("val"))


def test_fetched_shards_count_in_the_budget_and_go_first(s3: S3Server, url: str, packed: Path, tmp_path: Path) -> None:
    """But not while somebody reads them."""
    found = open_shards(url, tmp_path)
    pixels = decoded(found, "val", tmp_path)
    listed = cached_files(tmp_path)
    size = sum(shard.bytes for shard in found.manifest.of_split(["val"]))
    first = listed[0]
    assert (first.path.name, first.num_bytes, first.in_use, first.fetched) == ("val", size, False, True)
    assert listed[-1].in_use
    assert not listed[-1].fetched
    assert "fetched val shards" in render(tmp_path, listed)
    del pixels
    reader = ShardReader(found, "val", 1)
    assert cached_files(tmp_path)[0].in_use
    assert (found.root / "val").exists()
    assert [cached.fetched for cached in clear(tmp_path)] == [False]  # the decoded copy, which nobody uses any more
    reader.visit(np.arange(3), lambda i, picture: None)
    del reader
    assert [cached.fetched for cached in clear(tmp_path)] == [True]
    assert not (found.root / "val").exists()
    # A budget for a copy and its shards, and not for what is there from before: of the two kinds the shards go, and the copy stays.
    budget = found.num_pictures("val") * 256 * 256 * 3 + found.num_pictures("train") * 256 * 256 * 3 + size // 2
    budget += sum(shard.bytes for shard in found.manifest.of_split(["train"]))
    decoded(found, "val", tmp_path, budget_bytes=budget)
    decoded(found, "train", tmp_path, budget_bytes=budget)
    kinds = [(cached.path.name, cached.fetched) for cached in cached_files(tmp_path) if cached.fetched]
    assert kinds == [("train", True)]
    assert len(list(tmp_path.glob("*.u8"))) == 2
    with pytest.raises(NoRoomError, match="bytes are needed for the shards of train"):
        decoded(open_shards(url, tmp_path / "small", 1000), "train", tmp_path / "small", budget_bytes=1000)


OPEN = """
import sys
from pathlib import Path
from shards.cache.fetched import open_shards
from shards.read.openings import open_test
found = open_shards(sys.argv[1], Path(sys.argv[2]))
print(*[open_test(found.at, sweep="s", purpose="p").number for _ in range(int(sys.argv[3]))])
"""


def test_openers_at_once_get_numbers_of_their_own(s3: S3Server, url: str, tmp_path: Path) -> None:
    num = 40 if FULL else 6
    words = [sys.executable, "-c", OPEN, url, str(tmp_path), str(num)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    numbers = [int(number) for process in running for number in process.communicate(timeout=300)[0].split()]
    assert sorted(numbers) == list(range(1, 4 * num + 1))
    found = open_shards(url, tmp_path)
    kept = openings(found.at)
    assert [opening.number for opening in kept] == sorted(numbers)
    assert open_store(url).names("openings").keys() == {f"openings/{number:05d}.json" for number in numbers}
    for opening in kept:
        found.check_open("test", opening)
    with pytest.raises(TestSplitClosedError, match=f"split 'test' of {url}: opening 1 is not on record"):
        found.check_open("test", replace(kept[0], sweep="another"))
    open_store(url).put("openings/00099.json", b"no JSON")
    assert openings(found.at) == kept
    assert open_test(found.at, sweep="s", purpose="p").number == 100  # a number that cannot be read is taken all the same


OPEN_VAULTS = """
import sys
from pathlib import Path
from shards.cache.fetched import open_shards
from shards.errors import NothingSealedError
from shards.read import vaults
from shards.read.openings import open_test
vaults.MIN_OWNERS = 2
found = open_shards(sys.argv[1], Path(sys.argv[2]))
try:
    while True:
        print(open_test(found.at, sweep="s", purpose="p", choose=lambda before: found.vaults.sealed(before, rest=False)).vault)
except NothingSealedError:
    pass
"""


def test_openers_at_once_get_vaults_of_their_own(url: str, tmp_path: Path, env: pytest.MonkeyPatch) -> None:
    env.setattr("shards.read.vaults.MIN_OWNERS", 2)
    found = open_shards(url, tmp_path)
    words = [sys.executable, "-c", OPEN_VAULTS, url, str(tmp_path)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    got = [int(vault) for process in running for vault in process.communicate(timeout=300)[0].split()]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(got) == list(range(1, found.vaults.num + 1))
    assert len(got) > 1
    opening = openings(found.at)[1]
    assert (opening.number, opening.vault) == (2, 2)
    assert set(found.labels("test", opening).ids.tolist()) <= set(found.test_columns(["id"])["id"][found.vaults.of == 2].tolist())


def test_an_opening_whose_answer_was_lost_is_the_openers_own(url: str, tmp_path: Path, env: pytest.MonkeyPatch) -> None:
    """Control: another's is not."""
    at = open_shards(url, tmp_path).at
    store = at.store  # type: ignore[union-attr]
    put = store.put_if_absent
    env.setattr(store, "put_if_absent", lambda name, data: None if name.startswith("openings") and put(name, data) else put(name, data))
    assert open_test(at, sweep="s", purpose="p").number == 1
    env.setattr(store, "put_if_absent", lambda name, data: put(name, data))
    env.setattr(store, "names", lambda prefix="": {})  # as if both had counted at the same moment
    assert open_test(at, sweep="s", purpose="p").number == 2


@long_count
@pytest.mark.slow
def test_a_sweep_on_a_bucket_ends_with_the_verdict_of_a_folder(s3: S3Server, planted_shards: Path, env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its trials on two workers of a Ray, drawn without a look at one another; the control's in this process. Each shard is got once."""
    import shutil

    local = Path(shutil.copytree(planted_shards, tmp_path / "local", ignore=shutil.ignore_patterns("*openings*")))
    address, found = s3.put_folder(local, "planted"), []
    for name, shards in (("bucket", address), ("folder", str(local))):
        home = tmp_path / name
        sweep = small_sweep(Path("unused"), trials=2, prune=False, startup_per_task=9).model_copy(update={"shards": shards})
        how = {"concurrent": 2, "gpus_per_trial": 0} if name == "bucket" else {"local": True}
        assert run_sweep(sweep, RunOptions(home=home, tracking="off", **how), say=lambda line: None).complete
        if name == "bucket":
            assert gets(s3, address) == dict.fromkeys(files_of(local, "train", "val"), 1)
        report(home, "small", tracking="off", say=lambda line: None)
        found.append(json.loads((home / "sweeps" / "small" / "report" / "verdict.json").read_bytes()))
    assert found[0] == found[1]
    assert gets(s3, address) == dict.fromkeys(files_of(local, "train", "val", "test"), 1)
    assert list(open_store(address).names("openings")) == ["openings/00001.json"]
