"""Whether this machine, and what is installed on it, can run sweeps: one look at each thing that they stand on."""

import os
import platform
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from peoria.borders import told
from peoria.records.home import Home
from shards.words import counted

Result = Literal["ok", "warn", "fail"]
FEW_FILES = 1024
LITTLE_DISK, NO_DISK = 5e9, 5e8  # bytes
LITTLE_SHM = 150e6  # Ray's store of objects takes 100 MB
LITTLE_MEMORY, NO_MEMORY = 2e9, 5e8


@dataclass(frozen=True)
class Check:
    """What one look found."""

    name: str
    result: Result
    found: str
    hint: str = ""


def examine(home: Home, cache: Path | None, storage: str | None, tracking: str | None) -> Iterator[Check]:
    """One check after another, each at once when it is over. What a look itself meets, as a server that is away, is what it found."""
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("packages", _packages),
        ("extras", _extras),
        ("torch", _torch),
        ("cores", _cores),
        ("memory", _memory),
        ("files", _open_files),
        ("disk", lambda: _disk("disk", home.path)),
        *([("cache", lambda: _disk("cache", cache))] if cache is not None else []),
        ("/dev/shm", _shm),
        ("home", lambda: _home(home)),
        ("clock", lambda: _clock(home)),
        ("optuna", lambda: _optuna(storage)),
        ("mlflow", lambda: _mlflow(home, tracking)),
        ("fonts", _fonts),
        ("ray", _ray),
    ]
    for name, look in looks:
        try:
            yield replace(look(), name=name)
        except Exception as error:
            if (text := told(error)) is None:
                raise
            first, _, hint = text.partition("\nhint: ")
            yield Check(name, "fail", " ".join(first.split()), hint)


def _python() -> Check:
    wanted = (3, 11)
    right = sys.version_info >= wanted
    return Check("", "ok" if right else "fail", f"{platform.python_version()} at {sys.executable}", "" if right else "Python 3.11 or newer")


def _packages() -> Check:
    """Against what peoria asks for and, in a checkout, against the lock."""
    from packaging.requirements import Requirement  # comes with MLflow and Ray

    wrong, all_of = [], 0
    for line in requires("peoria") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        all_of += 1
        try:
            if not wanted.specifier.contains(found := version(wanted.name), prereleases=True):
                wrong.append(f"{wanted.name} {found}, not {wanted.specifier}")
        except PackageNotFoundError:
            wrong.append(f"{wanted.name} is not there")
    if wrong:
        return Check("", "fail", "; ".join(wrong), "install peoria anew, or from requirements.lock")
    other = _others_than_locked()
    if other:
        some = ", ".join(other[:4]) + (f" and {len(other) - 4} more" if len(other) > 4 else "")
        return Check("", "warn", f"{all_of} as asked for; other than in requirements.lock: {some}", "the same bits need the lock")
    return Check("", "ok", f"{all_of} as asked for")


def _others_than_locked() -> list[str]:
    lock = Path(__file__).parents[1] / "requirements.lock"
    if not lock.is_file():
        return []
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in lock.read_text().splitlines():
        try:
            wanted = Requirement(line.partition(" \\")[0])
            here = version(wanted.name)
        except (InvalidRequirement, PackageNotFoundError):
            continue  # a remark or a digest; or of an extra, or of the tests
        if (wanted.marker is None or wanted.marker.evaluate()) and not wanted.specifier.contains(here, prereleases=True):
            found.append(f"{wanted.name} {here}")
    return found


def _extras() -> Check:
    """Those that a user may want; what is not there is no fault."""
    names = {"aws": "boto3", "postgresql": "psycopg", "onnx": "onnx", "timm": "timm"}
    here, lacking = [], []
    for extra, package in names.items():
        try:
            version(package)
            here.append(extra)
        except PackageNotFoundError:
            lacking.append(extra)
    more = f"; not there: {', '.join(lacking)} (pip install 'peoria[NAME]')" if lacking else ""
    return Check("", "ok", f"{', '.join(here) or 'none'}{more}")


def _torch() -> Check:
    import torch

    from peoria.sweep.resources import gpus_here
    from peoria.training.gpu import gpu_trouble

    if gpus := gpus_here():
        names = ", ".join(sorted({torch.cuda.get_device_name(number) for number in range(gpus)}))
        return Check("", "ok", f"{torch.__version__}, {counted(gpus, 'GPU')}: {names}")
    why = gpu_trouble()
    device = Path("/dev/nvidiactl").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
    if device:
        return Check("", "warn", f"{torch.__version__}, and it sees no GPU: {why}", "a driver and a torch that fit each other")
    return Check("", "ok", f"{torch.__version__}, no GPU: trials run on CPUs")


def _cores() -> Check:
    from shards.cpus import usable_cpus

    usable, there = usable_cpus(), os.cpu_count() or 1
    limits = "" if usable == there else ", by affinity or by the limit of a container"
    return Check("", "ok", f"{usable} of {there} may be used{limits}: {counted(usable, 'trial')} at a time")


def _memory() -> Check:
    from peoria.training.memory import available_bytes

    free = available_bytes()
    result: Result = "fail" if free < NO_MEMORY else "warn" if free < LITTLE_MEMORY else "ok"
    return Check("", result, f"{free / 1e9:.1f} GB free", "" if result == "ok" else "about 1 GB a trial: --concurrent 1, or end other programs")


def _open_files() -> Check:
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= most < FEW_FILES:
        return Check("", "warn", f"at most {most:,} open", "ulimit -n 65536: Ray takes many")
    return Check("", "ok", f"at most {'any number' if most < 0 else f'{most:,}'} open")


def _disk(name: str, folder: Path) -> Check:
    from peoria.sweep.plan import disk_free

    free = disk_free(folder.absolute())
    result: Result = "fail" if free < NO_DISK else "warn" if free < LITTLE_DISK else "ok"
    return Check(name, result, f"{free / 1e9:.1f} GB free for {folder}", "" if result == "ok" else "0.2 MB a picture, and the models")


def _shm() -> Check:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Check("", "warn", "none", "Ray goes by way of the disk; in Docker: --shm-size=1g")
    if free < LITTLE_SHM:
        return Check("", "warn", f"{free / 1e6:.0f} MB free", "Ray goes by way of the disk below 150 MB; in Docker: --shm-size=1g")
    return Check("", "ok", f"{free / 1e9:.1f} GB free")


def _home(home: Home) -> Check:
    """A file there and back, by the same functions that a node is looked at with; of a bucket also what only some stores can."""
    from peoria.sweep.preflight import check_shared
    from shards.store import open_store, refuse_unfit

    if home.url is None:
        home.path.mkdir(parents=True, exist_ok=True)
    store, nonce = open_store(home.url or home.path), uuid.uuid4().hex
    if home.url is not None:
        refuse_unfit(store)
    name = f".doctor-{nonce}"
    store.put(name, nonce.encode())
    try:
        wrong = check_shared(nonce, lambda _: store.get(name).decode(), lambda other, text: store.put(other, text.encode()), f"{name}-answer")
    finally:
        for there in (name, f"{name}-answer"):
            store.delete(there)
    if wrong:
        return Check("", "fail", f"{home}: {wrong}", "a place that this user may read and write")
    if home.url is None and (held := _no_locks(home.path)):
        return Check("", "fail", f"{home}: {held}", "a --home on a file system with flock: a local disk, or NFS version 4")
    return Check("", "ok", f"{home}: can be written and read")


def _no_locks(folder: Path) -> str:
    import fcntl

    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"no locks ({error.strerror})"
    return ""


def _clock(home: Home) -> Check:
    """Against whoever stamps what is written to the home."""
    from peoria.sweep.preflight import CLOCK_S
    from shards.store import open_store

    store, name = open_store(home.url or home.path), f".doctor-{uuid.uuid4().hex}"
    before = time.time()
    store.put(name, b"clock")
    try:
        ahead = before - store.stamped_at(name)
    finally:
        store.delete(name)
    off = max(0.0, abs(ahead) - 1.0)  # stores stamp whole seconds
    if off > CLOCK_S:
        side = "ahead of" if ahead > 0 else "behind"
        return Check("", "fail", f"{off:,.0f} s {side} that of {home}", f"within {CLOCK_S:.0f} s of it: a service of network time")
    return Check("", "ok", f"as that of {home}")


def _optuna(storage: str | None) -> Check:
    from peoria.databases import address, engine, shown

    if storage is None:
        return Check("", "ok", "a journal in each sweep's folder")
    opened = engine(address(storage))
    try:
        with opened.connect() as connection:
            connection.exec_driver_sql("select 1")
    finally:
        opened.dispose()
    return Check("", "ok", f"{shown(storage)} answers")


def _mlflow(home: Home, tracking: str | None) -> Check:
    from peoria.databases import shown
    from peoria.tracking.database import default_tracking_uri, sqlite_file
    from peoria.tracking.health import store_trouble

    if tracking == "off":
        return Check("", "ok", "off")
    uri = tracking or default_tracking_uri(home.path)
    path = sqlite_file(uri)
    if wrong := store_trouble(uri):
        return Check("", "fail", f"{shown(uri)}: {wrong}", "`mlflow db upgrade` for an older one, that MLflow for a newer")
    if path is not None and not path.exists():
        return Check("", "ok", f"{path}: is made by the first sweep")
    return Check("", "ok", f"{shown(uri)} answers")


def _fonts() -> Check:
    from matplotlib.font_manager import findfont

    try:
        return Check("", "ok", Path(findfont("DejaVu Sans", fallback_to_default=False)).name)
    except ValueError:
        return Check("", "warn", "DejaVu Sans is not there", "plots of `peoria describe` may lack Greek letters: install matplotlib anew")


def _ray() -> Check:
    """Starts a Ray of our own as a sweep does, in a process of its own, and ends it."""
    from peoria.sweep.ray_process import RayLost, RayProcess
    from peoria.sweep.ray_setup import Setup
    from peoria.sweep.signals import Signals

    with tempfile.TemporaryDirectory(prefix="peoria-doctor-") as folder:
        log = Path(folder) / "ray.log"
        setup = Setup(address=None, num_cpus=1, num_gpus=None, concurrent=1, cpus=1, gpus=0.0, scratch=Path(folder) / "tune")
        began = time.monotonic()
        try:
            with RayProcess(setup, log, lambda text: None) as ray_aside:
                ray_aside.join(Signals())
        except RayLost as lost:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            last = f"; it said last: {lines[-1].strip()[:200]}" if lines else ""
            why = str(lost).partition("; what it says")[0]
            return Check("", "fail", f"{version('ray')}: {why}{last}", "more memory or a less busy machine; peoria sweep --local trains without Ray")
        return Check("", "ok", f"{version('ray')} starts, in {time.monotonic() - began:.0f} s")
