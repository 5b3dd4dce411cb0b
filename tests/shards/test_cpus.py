import os
import subprocess
import sys
from pathlib import Path

import pytest

from shards import cpus
from shards.cpus import cgroup_quota, usable_cpus

V2 = "29 22 0:26 {shown} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 31 0:29 {shown} /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"


def _cfs(group: str, quota: str) -> dict[str, str]:
    return {f"sys/fs/cgroup/cpu,cpuacct/{group}cpu.cfs_{name}_us": value for name, value in (("quota", quota), ("period", "100000"))}


def _tree(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_cpus_are_those_of_the_affinity_mask_or_all_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 6}, raising=False)
    assert usable_cpus() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS and Windows have none
    assert usable_cpus() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1


@pytest.mark.parametrize(("quota", "num"), [(None, 64), (2.0, 2), (2.5, 2), (0.25, 1), (100.0, 64)])
def test_a_quota_makes_them_fewer_and_never_none(monkeypatch: pytest.MonkeyPatch, quota: float | None, num: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: quota)
    assert usable_cpus() == num


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "quota"),
    [
        ("0::/user.slice/a\n", V2, {"sys/fs/cgroup/user.slice/a/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/user.slice/a\n", V2, {"sys/fs/cgroup/user.slice/a/cpu.max": "max 100000\n"}, None),
        # the parent's is smaller, its own has none
        ("0::/p/a\n", V2, {"sys/fs/cgroup/p/cpu.max": "150000 100000\n", "sys/fs/cgroup/p/a/cpu.max": "max 100000\n"}, 1.5),
        ("0::/p/a\n", V2, {"sys/fs/cgroup/p/cpu.max": "150000 100000\n", "sys/fs/cgroup/p/a/cpu.max": "50000 100000\n"}, 0.5),
        # a container with a namespace of its own, and one without, of which only its own group is mounted
        ("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/docker/abc\n", V2.replace("{shown}", "/docker/abc"), {"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/../other\n", V2, {"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        # version 1
        ("4:cpu,cpuacct:/a\n0::/\n", V1, _cfs("a/", "400000"), 4.0),
        ("4:cpu,cpuacct:/a\n0::/\n", V1, _cfs("a/", "-1"), None),
        ("4:cpu,cpuacct:/a\n0::/\n", V1, _cfs("", "50000"), 0.5),
        ("4:cpuset:/a\n", V1, _cfs("a/", "50000"), None),
        # nonsense is no quota
        ("0::/a\n", V2, {"sys/fs/cgroup/a/cpu.max": "many\n"}, None),
        ("0::/a\n", V2, {"sys/fs/cgroup/a/cpu.max": "100000 0\n"}, None),
        ("torn\n::\n", "torn\n1 2 3 - cgroup2\n", {}, None),
    ],
)  # fmt: skip
def test_the_quota_is_the_smallest_of_the_group_and_those_above(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], quota: float | None
) -> None:
    assert cgroup_quota(_tree(tmp_path, groups, mounts.replace("{shown}", "/"), files)) == quota
    assert cgroup_quota(tmp_path / "nothing") is None


def test_a_real_quota_counts() -> None:
    """A control group of this machine's own, where it may be made: half of a CPU, and one and a half."""
    made = next((folder for folder in _made_group()), None)
    if made is None:
        pytest.skip("no control group can be made here")
    try:
        for quota, expected in (("50000", "0.5"), ("150000", "1.5")):
            if (made / "cpu.max").exists():
                (made / "cpu.max").write_text(f"{quota} 100000")
            else:
                (made / "cpu.cfs_quota_us").write_text(quota)
            join = f"echo $$ > {made}/cgroup.procs && exec {sys.executable} -c 'from shards.cpus import *; print(cgroup_quota(), usable_cpus())'"
            said = subprocess.run(["sh", "-c", join], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout.split()
            assert said == [expected, "1"]
    finally:
        made.rmdir()


def _made_group() -> list[Path]:
    for above in ("/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"):
        folder = Path(above, f"peoria-test-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / "cpu.max").exists() or (folder / "cpu.cfs_quota_us").exists():
            return [folder]
        folder.rmdir()
    return []
