"""How much of the machine is this process's."""

import os
from pathlib import Path, PurePosixPath


def usable_cpus() -> int:
    """CPUs that this process may use, at least 1: those of its affinity mask, or all where the system keeps none; fewer where a control group, its
    own or one above, has a quota of CPU time. Of 2.5 CPUs 2 are used, as Ray does."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The smallest quota, in CPUs, of this process's control groups and of those above them; None where there is none. ``root`` holds proc and the
    mount points."""
    found = []
    for folder, mount, version in _groups(root):
        while folder.is_relative_to(mount):
            quota = _quota(folder, version)
            if quota is not None:
                found.append(quota)
            folder = folder.parent
    return min(found, default=None)


def _groups(root: Path) -> list[tuple[Path, Path, int]]:
    """Folder of this process's group, mount point of its hierarchy, version of it, of all hierarchies that share out CPU time."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = [line.split(" ") for line in (root / "proc/self/mountinfo").read_text().splitlines()]
    except (OSError, UnicodeDecodeError):  # no Linux, or one without /proc
        return []
    paths: dict[int, str] = {}  # by version
    for line in groups:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            paths[2] = path
        elif "cpu" in controllers.split(","):
            paths[1] = path
    found = []
    for words in mounts:
        if "-" not in words or len(words) < words.index("-") + 4:
            continue
        kind, options = words[words.index("-") + 1], words[words.index("-") + 3]
        version = {"cgroup2": 2, "cgroup": 1}.get(kind)
        if version not in paths or (version == 1 and "cpu" not in options.split(",")):
            continue
        inside, mount = PurePosixPath(paths[version]), root / words[4].lstrip("/").replace("\\040", " ")
        shown = PurePosixPath(words[3])  # the part of the hierarchy that is mounted: in a container often its own alone
        below = inside.relative_to(shown) if inside.is_relative_to(shown) else PurePosixPath()
        parts = [part for part in below.parts if part not in ("/", "..")]
        found.append((mount.joinpath(*parts), mount, version))
    return found


def _quota(folder: Path, version: int) -> float | None:
    """In CPUs; None where none is set, or it cannot be read."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        cpus = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number; the topmost group has no such file
        return None
    return cpus if cpus > 0 else None
