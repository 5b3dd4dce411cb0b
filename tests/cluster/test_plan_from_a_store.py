"""`peoria plan` of a packed set in a bucket: some shards come to this machine, and what was found goes where the sweep finds it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from peoria.cli import main
from peoria.cluster import probe
from peoria.records.folder import SweepFolder
from peoria.records.home import RECORDS, Home
from peoria.records.schema import PlannedWork
from peoria.sweep.planned import planned_work, write_planned
from peoria.sweep.workload import workload
from shards.cache.fetched import open_shards
from shards.manifest import Manifest
from shards.read.shard_set import ShardSet
from tests.helpers.s3_server import S3Server
from tests.helpers.small import small_sweep

SWEEP = """
from tests.helpers.small import small_sweep
SWEEP = small_sweep({shards!r}, trials=3, prune=False, seeds=0)
"""


def shards_got(s3: S3Server, shards: str) -> Counter[str]:
    prefix = shards.removeprefix("s3:/")
    return Counter(path.removeprefix(f"{prefix}/") for path in s3.requests("GET", rf"{prefix}/\w+/\d+\.tar"))


def test_the_probe_fetches_the_first_shards_alone(s3: S3Server, packed: Path, url: str, env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Control: a folder gives the same pictures; all that are asked for take all shards."""
    shards = s3.put_folder(packed, url.rpartition("/")[2])
    for most, num in ((10, 1), (11, 2), (512, len(Manifest.load(packed).of_split(["train"])))):
        env.setattr(probe, "SAMPLE", most)
        before = shards_got(s3, shards)
        found = probe.sample(open_shards(shards, tmp_path / str(most)), "train")
        assert len(shards_got(s3, shards) - before) == num
        there = probe.sample(ShardSet(packed), "train")
        assert np.array_equal(found.pixels.array, there.pixels.array)
        assert found.labels.keys.tolist() == there.labels.keys.tolist()
        assert len(found) == min(most, ShardSet(packed).num_pictures("train"))


@pytest.mark.slow
def test_a_plan_of_a_bucket_is_found_by_the_sweep_there(
    s3: S3Server, planted_shards: Path, url: str, env: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shards = s3.put_folder(planted_shards, f"{url.rpartition('/')[2]}-shards")
    (tmp_path / "s.py").write_text(SWEEP.format(shards=shards))
    env.setenv(RECORDS, str(tmp_path / "laptop"))
    with pytest.raises(SystemExit) as ended:
        main(argv=["plan", str(tmp_path / "s.py"), "--home", url, "--cache", str(tmp_path / "cache"), "--gpus-per-trial", "1"])
    said = capfd.readouterr()
    assert not ended.value.code, said.err
    assert "g6.2xlarge spot" in said.out
    got = shards_got(s3, shards)
    assert set(got) == {shard.file for shard in Manifest.load(planted_shards).of_split(["train", "val"])}
    assert set(got.values()) == {1}  # however many processes measured

    env.setenv(RECORDS, str(tmp_path / "head"))
    planted, sweep = ShardSet(planted_shards), small_sweep(planted_shards, trials=3, prune=False, seeds=0)
    work = workload(sweep, favorites=True, cutoff=None)
    for home, seconds in ((Home.of(url), True), (Home.of(f"{url}-other"), False)):  # control: another home has no plan
        folder = SweepFolder.of(home.path, "small")
        folder.path.mkdir(parents=True)
        write_planned(folder, home, work, planted.manifest.identity)
        planned = PlannedWork.read(folder.plan)
        assert (planned.trial_seconds is not None) == seconds
        assert planned.trainings == planned_work(work, planted.manifest.identity).trainings
