"""What a frozen trunk says of every picture: computed once a node, named by all that decides it, and exact enough to rank by."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from peoria.baselines.image import trunk_features
from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset, SplitData
from peoria.errors import SweepError, WeightsError
from peoria.records.folder import TrialFolder
from peoria.stats.metrics import spearman
from peoria.training import frozen_features as module
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all
from peoria.training.frozen_features import CENTRE, FrozenTrunk
from peoria.training.loop import train
from shards.errors import NoRoomError
from tests.helpers.frozen import frozen_config, frozen_net, part_of


def files(dataset: Dataset) -> list[str]:
    assert dataset.cache is not None
    return sorted(path.name for path in dataset.cache.glob("*.f16"))


def test_every_trial_of_a_node_uses_one_file_a_split(here: Dataset, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(train(frozen_config(weights), here, TrialFolder(tmp_path / "one")))
    assert len(files(here)) == 2  # train and val

    def refuse(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(module, "_compute", refuse)
    for number, changes in enumerate(({"task": "hybrid", "seed": 2}, {"outlier_sd": 1.0, "learning_rate": 1e-4, "batch_size": 8})):
        assert list(train(frozen_config(weights, **changes), here, TrialFolder(tmp_path / str(number))))[-1].status == "done"
    with pytest.raises(AssertionError, match="built again"):  # control: other crops are others
        list(train(frozen_config(weights, frozen_crops=3), here, TrialFolder(tmp_path / "three")))


def test_the_digest_names_all_that_decides_the_numbers(here: Dataset, weights: Path, tmp_path: Path) -> None:
    config = frozen_config(weights)

    def digest(config: TrialConfig = config, split: SplitData = here.val, crops: int = 2, identity: str = here.identity) -> str:
        return FrozenTrunk(frozen_net(config), config, identity).digest(split, crops)

    assert digest(config.model_copy(update={"seed": 5, "task": "hybrid", "learning_rate": 0.1})) == digest()
    moved = {name: tensor + 1e-6 for name, tensor in load_file(weights).items()}
    save_file(moved, tmp_path / "moved.safetensors")
    others = [
        digest(frozen_config(tmp_path / "moved.safetensors")),
        digest(split=part_of(here.val, np.arange(len(here.val) - 1))),
        digest(split=part_of(here.val, np.arange(len(here.val))[::-1])),
        digest(crops=3),
        digest(crops=CENTRE),
        digest(identity="other"),
    ]
    assert len({digest(), *others}) == 7


def test_float16_changes_no_rank(here: Dataset, weights: Path, tmp_path: Path) -> None:
    """Why features are kept in half precision: the scores of a trained head, ranked, against those on float32; and why not in bfloat16."""
    list(train(frozen_config(weights, pictures=6400), here, TrialFolder(tmp_path / "t")))
    net, _ = load_model(TrialFolder(tmp_path / "t"))
    cached = torch.from_numpy(FrozenTrunk(net, frozen_config(weights), here.identity).features(here.train, CENTRE, None)[:, 0])
    exact = forward_all(net, here.train.pixels, device=torch.device("cpu"), autocast=None)[:, 0]
    with torch.inference_mode():
        half = net.head(cached.float())[:, 0].double().numpy()
        coarse = net.head(cached.bfloat16().float())[:, 0].double().numpy()
    assert spearman(half, exact) > 1 - 1e-5
    assert 1 - spearman(coarse, exact) > 3 * (1 - spearman(half, exact))


def test_the_bits_do_not_depend_on_the_number_of_cores(here: Dataset, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = frozen_config(weights)
    trunk = FrozenTrunk(frozen_net(config), config, here.identity)
    found = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        found.append(trunk.features(here.train, 2, None).copy())
    assert np.array_equal(*found)
    assert found[0].shape == (len(here.train), 2, 64)
    assert not np.array_equal(found[0][:, 0], found[0][:, 1])  # control: two crops
    assert (found[0].std(axis=0) > 0).any()


def test_features_that_float16_cannot_hold_are_refused(here: Dataset, weights: Path, tmp_path: Path) -> None:
    large = load_file(weights)
    large["9.bias"] = large["9.bias"] + 1e5
    save_file(large, tmp_path / "large.safetensors")
    config = frozen_config(tmp_path / "large.safetensors")
    with pytest.raises(WeightsError, match=r"weights: features of tiny up to 1000\d\d; at most 65,504 for a frozen trunk"):
        list(train(config, here, TrialFolder(tmp_path / "t")))
    assert files(here) == []
    assert np.isfinite(FrozenTrunk(frozen_net(frozen_config(weights)), frozen_config(weights), "a").features(here.val, CENTRE, None)).all()


def test_the_ridge_on_the_trunk_uses_the_same_files(here: Dataset, weights: Path, tmp_path: Path) -> None:
    list(train(frozen_config(weights), here, TrialFolder(tmp_path / "t")))
    before = files(here)
    config = frozen_config(weights, trunk="trained")  # a sweep that fine-tunes has this baseline too
    seen = trunk_features(config, here)(here.val)
    assert files(here) == before
    net = frozen_net(config)
    assert np.array_equal(seen, FrozenTrunk(net, config, here.identity).features(here.val, CENTRE, None)[:, 0])
    trunk_features(config, here)(part_of(here.val, np.arange(10)))  # a split that is neither train nor val, as test
    assert files(here) == before
    trunk_features(config, here)(here.train)
    assert len(files(here)) == 3


def test_without_room_the_baseline_goes_on_and_a_frozen_trial_says_what_is_missing(here: Dataset, weights: Path, tmp_path: Path) -> None:
    tight = replace(here, cache_bytes=1000)
    seen = trunk_features(frozen_config(weights), tight)(tight.val)
    assert files(here) == []
    assert np.array_equal(seen, trunk_features(frozen_config(weights), here)(here.val))
    size = 2 * 2 * 64 * len(here.train)
    with pytest.raises(NoRoomError, match=rf"\.f16: {size:,} bytes are needed for features; \d+ bytes are free"):
        list(train(frozen_config(weights), tight, TrialFolder(tmp_path / "t")))


def test_a_gpu_runs_the_trunk_and_a_cpu_trains_the_head(here: Dataset, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is pretended. Features are brought there for, once; the trial says of which they are, and goes on with those alone."""
    ran: list[str] = []

    def compute(trunk: FrozenTrunk, split: SplitData, crops: int, out: np.ndarray) -> None:
        ran.append(trunk.device.type)
        out[:] = np.random.default_rng(0).standard_normal(out.shape)

    def pretended(wanted: str) -> torch.device:
        return torch.device("cuda" if wanted == "auto" else wanted)

    config, folder = frozen_config(weights), TrialFolder(tmp_path / "t")
    monkeypatch.setattr(module, "_compute", compute)
    with monkeypatch.context() as patched:
        patched.setattr("peoria.models.pick_device", pretended)
        patched.setattr(module, "move", lambda *_: None)
        running = train(config, here, folder)
        next(running)
        running.close()  # type: ignore[attr-defined]
        assert ran == ["cuda", "cuda"]  # train's and val's
        assert list(train(config, here, folder))[-1].status == "done"
        assert ran == ["cuda", "cuda"]
        assert {name: load_model(folder)[1].precision[name] for name in ("device", "features")} == {"device": "cpu", "features": "cuda"}
        on_gpu = train(config, here, other := TrialFolder(tmp_path / "other"))
        next(on_gpu)
        on_gpu.close()  # type: ignore[attr-defined]
    with pytest.raises(SweepError, match="features: 'cuda' before, None now"):
        next(train(config, here, other))
    next(train(config, here, TrialFolder(tmp_path / "cpu")))  # the control: of the CPU they are others
    assert ran == ["cuda", "cuda", "cpu", "cpu"]
