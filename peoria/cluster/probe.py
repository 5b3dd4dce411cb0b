"""How long the parts of a trial take on this machine's device: a trial's own code, run for a few batches in a process of its own.

As many such processes run at once as trials would share the machine, for they share its device and its cores. The first trial of a process is not
measured but for what it costs more than the next: imports, the device's start. Each part is timed by the clock and by the CPU time of the process:
the second hardly depends on what else the machine does.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from peoria.config.trial import TrialConfig
from peoria.errors import SweepError
from peoria.plugins import know, texts_of
from shards.cache.fetched import open_shards
from shards.manifest import Shard
from shards.read.shard_set import ShardSet

SAMPLE = 512  # pictures of train and of val; fewer where there are no more
AIM_S = 4.0  # of measured batches
WARM_BATCHES, LEAST_BATCHES, MOST_BATCHES = 3, 6, 200
PROBE_S = 900.0


@dataclass(frozen=True)
class Probe:
    """Seconds, each of one trial beside the others that share the device."""

    device: str
    copies: int
    """Trials at a time on this machine."""
    cold_s: float
    """What the first trial of a process takes more than the next."""
    fixed_s: float
    """Of a trial, whatever its length."""
    picture_s: float
    """A picture seen in training."""
    val_s: float
    """A val picture evaluated."""
    evaluation_s: float
    """An evaluation, whatever the number of pictures: ranks, the checkpoint."""
    crop_s: float
    """A crop through a frozen trunk, once a node; 0 where the trunk is trained."""
    decode_s: float
    """A picture decoded from the shards by one thread."""
    baseline_s: float
    """A picture looked at for the baselines."""


def probe(config: TrialConfig, shards: str | Path, cache: Path, *, copies: int, gpu_share: float) -> tuple[Probe, Probe]:
    """Of trials like ``config`` on the packed set at a path or a URL, ``copies`` at a time; the mean of them. By the clock, and in CPU time.

    Args:
        cache: where `first_shards` of a set in a store are, fetched and held by the caller: what that takes is not measured.

    Raises:
        SweepError: a trial of so few batches fails here; with its last words.
    """
    asked: dict[str, Any] = {"plugin_texts": texts_of(config.plugins), "config": config.model_dump(mode="json")}
    asked |= {"shards": str(shards), "cache": str(cache), "gpu_share": gpu_share}
    words = [sys.executable, "-P", "-c", "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from peoria.cluster.probe import main; main()"]
    seen = os.environ | ({} if gpu_share else {"CUDA_VISIBLE_DEVICES": ""})
    with tempfile.TemporaryDirectory(prefix="peoria-probe-") as folder:
        running: list[subprocess.Popen[bytes]] = []
        try:
            for number in range(copies):
                with Path(folder, f"{number}.log").open("wb") as log:
                    given = json.dumps(asked | {"began": time.time(), "folder": f"{folder}/{number}"})
                    running.append(
                        subprocess.Popen([*words, json.dumps(sys.path), given], env=seen, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                    )
            deadline = time.monotonic() + PROBE_S
            for process in running:
                process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise SweepError(f"probe: a few batches of {config.net} took more than {PROBE_S:.0f} s; a device that trains it") from None
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for number, process in enumerate(running):
            if process.returncode != 0:
                lines = Path(folder, f"{number}.log").read_text(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
                raise SweepError(f"probe: a few batches of {config.net} fail here: {lines[-1][:300]}; a device that trains it")
        found = [json.loads(Path(folder, str(number), "probe.json").read_text()) for number in range(copies)]
    device = str(found[0].pop("device"))

    def mean(clock: int) -> Probe:
        return Probe(device, copies, **{name: sum(one[name][clock] for one in found) / copies for name in found[0]})

    return mean(0), mean(1)


def main() -> None:
    """The process of `probe`; what it finds goes to a file."""
    asked = json.loads(sys.argv[2])
    folder = Path(asked["folder"])
    folder.mkdir()
    know(tuple(asked["plugin_texts"]))
    config = TrialConfig.model_validate(asked["config"])
    found = measure(config, asked["shards"], Path(asked["cache"]), folder, asked["began"], asked["gpu_share"])
    (folder / "probe.json").write_text(json.dumps(found))


def measure(config: TrialConfig, shards: str, cache: Path, folder: Path, began: float, gpu_share: float) -> dict[str, Any]:
    """The fields of `Probe` but for the number of copies, each as (by the clock, in CPU time)."""
    import torch

    import peoria.sweep.ray_executor  # noqa: F401 - what a worker imports
    from peoria.baselines.image import colour_and_edges
    from peoria.data.dataset import Dataset
    from peoria.models.precision import pick_device
    from peoria.training.gpu import cap_memory

    cap_memory(gpu_share)
    imported = Times(time.time() - began, time.process_time())
    shard_set = open_shards(shards, cache)
    decoding = Times.now()
    train, val = (sample(shard_set, split) for split in ("train", "val"))
    decode = (Times.now() - decoding) / (len(train) + len(val))
    dataset = Dataset(train, val, shard_set.manifest.identity)
    first = Clock(config, dataset, folder / "first", WARM_BATCHES)
    again = Clock(config, dataset, folder / "again", min(MOST_BATCHES, max(LEAST_BATCHES, round(AIM_S / max(first.batch.wall, 1e-4)))))
    looking = Times.now()
    colour_and_edges(val)
    baseline = (Times.now() - looking) / len(val)
    device = pick_device(config.device)
    crops = len(train) * config.num_frozen_crops + len(val) if config.trunk == "frozen" else 0
    of_val = Times(0.0, 0.0) if crops else forward(config, val) / len(val)
    found = {
        "cold_s": imported + first.spent - again.expected(WARM_BATCHES),
        "fixed_s": again.end if crops else again.setup + again.end,
        "picture_s": again.batch / config.batch_size,
        "val_s": of_val,
        "evaluation_s": again.evaluation - of_val * len(val),
        "crop_s": again.setup / crops if crops else Times(0.0, 0.0),
        "decode_s": decode,
        "baseline_s": baseline,
    }
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {config.threads} thread{'s' if config.threads > 1 else ''}"
    return {"device": kind} | {name: (max(0.0, times.wall), max(0.0, times.cpu)) for name, times in found.items()}


def shortened(config: TrialConfig, batches: int) -> TrialConfig:
    """The same batches, but few of them, in two evaluations."""
    changes = {"pictures": 2 * batches * config.batch_size, "curve_points": 2, "evaluations": 2, "subset": None, "outlier_sd": None}
    return TrialConfig.model_validate(config.model_dump(mode="json") | changes)


@dataclass(frozen=True)
class Times:
    """Seconds by the clock, and of this process's CPU time."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Times":
        """Once the device has done what it was given."""
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return cls(time.monotonic(), time.process_time())

    def __add__(self, other: "Times") -> "Times":
        return Times(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Times") -> "Times":
        return Times(self.wall - other.wall, self.cpu - other.cpu)

    def __mul__(self, factor: float) -> "Times":
        return Times(self.wall * factor, self.cpu * factor)

    def __truediv__(self, factor: float) -> "Times":
        return self * (1 / factor)


class Clock:
    """A run of `peoria.training.loop.train`, timed where it asks whether to stop: before each batch."""

    def __init__(self, config: TrialConfig, dataset: Any, folder: Path, batches: int) -> None:
        """
        Args:
            batches: before each of two evaluations.
        """
        from peoria.records.folder import TrialFolder
        from peoria.training.loop import train

        folder.mkdir()
        asked: list[Times] = []

        def stop() -> bool:
            asked.append(Times.now())
            return False

        start = Times.now()
        reports = [Times.now() for _ in train(shortened(config, batches), dataset, TrialFolder(folder), stop)]
        half = len(asked) // 2
        gaps = [later - sooner for part in (asked[:half], asked[half:]) for sooner, later in pairwise(part)]
        self.batch = sum(gaps, Times(0.0, 0.0)) / len(gaps)
        self.setup = asked[0] - start
        self.evaluation = reports[0] - asked[half - 1] - self.batch
        self.end = reports[-1] - asked[-1] - self.batch - self.evaluation
        self.spent = reports[-1] - start

    def expected(self, batches: int) -> Times:
        """Of a run of so many batches before each evaluation."""
        return self.setup + (self.batch * batches + self.evaluation) * 2 + self.end


def forward(config: TrialConfig, val: Any) -> Times:
    """The val pictures in front of the whole net, at the second time."""
    from peoria.models import build, to_device
    from peoria.training.evaluate import forward_all

    weights: dict[str, Any] = {"weights": config.weights, "weights_prefix": config.weights_prefix}
    net, _ = build(config.net, head=config.head, num_outputs=2, **weights, seed=0, plugins=config.plugins)
    device, autocast = to_device(net, config.net, config.device)
    found = Times(0.0, 0.0)
    for _ in range(2):
        start = Times.now()
        forward_all(net, val.pixels, device=device, autocast=autocast)
        found = Times.now() - start
    return found


def first_shards(shard_set: ShardSet, split: str) -> list[Shard]:
    """As many of a split's as `SAMPLE` pictures take."""
    found = list[Shard]()
    for shard in shard_set.manifest.of_split([split]):
        if sum(one.num_pictures for one in found) >= SAMPLE:
            break
        found.append(shard)
    return found


def sample(shard_set: ShardSet, split: str) -> Any:
    """The pictures of its first shards, decoded, with counts that every task can learn from; no other shard is read."""
    import numpy as np

    from peoria.data.dataset import SplitData
    from peoria.data.images import ArrayPictures
    from shards.read.shard_set import decode_picture, raise_problems, take_rows
    from shards.read.tar_index import shard_path

    labels, shards, rows = shard_set.labels(split), first_shards(shard_set, split), list[int]()
    places = {key: row for row, key in enumerate(labels.keys.tolist())}
    pictures = np.empty((min(SAMPLE, len(labels)), shard_set.side_px, shard_set.side_px, 3), np.uint8)
    held = shard_set.held(split, shards)
    for shard in shards:
        with closing(shard_set.mapped(shard)) as mapped:
            path, names = shard_path(shard_set.root, shard), list(mapped.places)[: len(pictures) - len(rows)]
            raise_problems(path, [(name, decode_picture(mapped.member(name, "jpg"), pictures[len(rows) + at])) for at, name in enumerate(names)])
            rows += take_rows(path, names, places)[1]
    del held
    taken = labels.take(np.array(rows))
    favorites = None if labels.favorites is None else np.arange(len(rows)) % 2
    return SplitData(ArrayPictures(pictures), dataclasses.replace(taken, favorites=favorites))
