"""A head on cached features becomes what it would have become without the cache, and a frozen run says that it is one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from peoria.config.trial import TrialConfig, trial_label
from peoria.data.batches import Batches
from peoria.data.dataset import Dataset
from peoria.data.images import CROP_PX
from peoria.data.targets import counts
from peoria.errors import SweepError
from peoria.models import PopularityNet
from peoria.records.folder import TrialFolder
from peoria.report.build import report
from peoria.serving.export import export
from peoria.stats.metrics import spearman
from peoria.sweep.plan import make_plan, render_plan
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.tasks import get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all
from peoria.training.frozen_features import BATCH_SIZE, crops_seed
from peoria.training.loop import train
from peoria.training.optim import make_optimizer
from peoria.training.steps import FineTuning, LinearProbe, Steps, make_steps
from peoria.verdict.sentences import FROZEN
from shards.read.openings import OPENINGS
from tests.helpers.frozen import frozen_config, frozen_net, part_of
from tests.helpers.small import small_sweep, trial_config


def test_the_trunk_stays_and_the_saved_net_is_whole(here: Dataset, weights: Path, tmp_path: Path) -> None:
    last = list(train(frozen_config(weights), here, TrialFolder(tmp_path / "t")))[-1]
    assert last.metrics["val/rho_views"] > 0.2
    net, card = load_model(TrialFolder(tmp_path / "t"))
    before = load_file(weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.trunk.state_dict().items())
    assert net.head.weight.abs().max() > 0.06  # six standard deviations of how it began
    # The saved net, run whole, says what the trial reported.
    fitted = get_task("regression").restore(card.task)
    score = fitted.score(forward_all(net, here.val.pixels, device=torch.device("cpu"), autocast=None))
    with np.load(tmp_path / "t" / "val_scores.npz") as stored:
        np.testing.assert_allclose(stored["scores"], score, atol=0.01 * score.std())  # what half precision leaves
        assert spearman(stored["scores"], here.val.labels.views) == pytest.approx(last.metrics["val/rho_views"])
    # Control: a trunk that is trained does not stay.
    list(train(frozen_config(weights, trunk="trained"), here, TrialFolder(tmp_path / "trained")))
    moved, _ = load_model(TrialFolder(tmp_path / "trained"))
    assert not any(torch.equal(tensor, before[name]) for name, tensor in moved.trunk.state_dict().items())


class SameCrops(Batches):
    """A stream that hands the whole net the crops whose features the head is given."""

    crops: np.ndarray  # uint8 [N, views, 227, 227, 3]
    draws: Callable[[int], tuple[np.ndarray, np.ndarray]]

    def fill(self, start: int, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, views = self.draws(start)
        out[:] = self.crops[rows, views]
        return out, self.encoded[rows]


def trained_head(steps: Steps, config: TrialConfig, net: PopularityNet) -> tuple[torch.Tensor, np.ndarray]:
    optimizer = make_optimizer(net, learning_rate=config.learning_rate, head_multiplier=config.head_multiplier)
    assert [group["name"] for group in optimizer.param_groups] == ["head weight", "head bias"]
    net.train()
    for position in range(0, 30 * config.batch_size, config.batch_size):
        loss = steps.loss(position)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return net.head.weight.detach().clone(), steps.outputs()


def test_the_head_becomes_what_it_would_have_become_without_the_cache(here: Dataset, weights: Path) -> None:
    """On the same crops, once through the whole net and once on cached features."""
    config = frozen_config(weights, frozen_crops=3)
    small = replace(here, train=part_of(here.train, np.arange(130)))  # more than one batch of the builder, and not a whole number of them
    y = counts(small.train.labels, "views")
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    streams = [kind(small.train.pixels, fitted.encode(y), np.arange(130), config.batch_size, config.seed) for kind in (Batches, SameCrops)]
    nets = [frozen_net(config) for _ in range(3)]
    alone = make_steps(config, small, nets[0], fitted, streams[0], None)
    assert isinstance(alone, LinearProbe)

    # The views are the passes of the stream of the data's own seed.
    crops = np.zeros((130, 3, CROP_PX, CROP_PX, 3), np.uint8)
    views = Batches(small.train.pixels, np.zeros(130), np.arange(130), BATCH_SIZE, crops_seed(small.identity))
    for start in range(0, 3 * 130, BATCH_SIZE):
        found, _ = views.fill(start, np.empty((BATCH_SIZE, CROP_PX, CROP_PX, 3), np.uint8))
        for position, row, crop in zip(range(start, 3 * 130), views.draw(start, start + BATCH_SIZE)[0], found, strict=False):
            crops[row, position // 130] = crop
    same = streams[1]
    assert isinstance(same, SameCrops)
    for name, value in (("crops", crops), ("draws", alone.draw)):
        object.__setattr__(same, name, value)

    head, outputs = trained_head(alone, config, nets[0])
    whole, whole_outputs = trained_head(FineTuning(nets[1], fitted, same, small.val, config.pictures, None), config, nets[1])
    assert (head - whole).abs().max() < 0.01 * whole.std()  # what half precision leaves
    np.testing.assert_allclose(outputs, whole_outputs, atol=0.01 * whole_outputs.std())
    # Control: the same rows in other crops give another head.
    object.__setattr__(same, "crops", np.roll(crops, 1, axis=1))
    other, _ = trained_head(FineTuning(nets[2], fitted, same, small.val, config.pictures, None), config, nets[2])
    assert (other - whole).abs().max() > 10 * (head - whole).abs().max()


def test_stopped_at_a_report_and_resumed(here: Dataset, weights: Path, tmp_path: Path) -> None:
    config = frozen_config(weights)
    whole = list(train(config, here, TrialFolder(tmp_path / "whole")))
    running = train(config, here, TrialFolder(tmp_path / "cut"))
    first = [next(running), next(running)]
    running.close()  # type: ignore[attr-defined]
    assert TrialFolder(tmp_path / "cut").checkpoint.stat().st_size < 10_000  # the head alone
    rest = list(train(config, here, TrialFolder(tmp_path / "cut")))
    assert [*first, *rest[1:]] == whole
    assert TrialFolder(tmp_path / "cut").model.read_bytes() == TrialFolder(tmp_path / "whole").model.read_bytes()


def test_other_weights_do_not_go_on_from_here(here: Dataset, weights: Path, tmp_path: Path) -> None:
    """The checkpoint holds the head alone, so the trunk has to be the one that it was trained on."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    next(train(frozen_config(path), here, TrialFolder(tmp_path / "t")))
    save_file({name: 2 * tensor for name, tensor in load_file(weights).items()}, path)
    with pytest.raises(SweepError, match=r"weights: '[0-9a-f]{64}' before, '[0-9a-f]{64}' now; a trial goes on with the settings it began with"):
        next(train(frozen_config(path), here, TrialFolder(tmp_path / "t")))
    path.write_bytes(weights.read_bytes())
    assert next(train(frozen_config(path), here, TrialFolder(tmp_path / "t"))).step == 160


def test_a_trunk_that_was_loaded_in_part_is_trained_where_it_was_not(here: Dataset, weights: Path, tmp_path: Path) -> None:
    save_file({name: tensor for name, tensor in load_file(weights).items() if not name.startswith("9.")}, tmp_path / "part.safetensors")
    y = counts(here.train.labels, "views")
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    kinds = []
    for path in (tmp_path / "part.safetensors", weights):
        config = frozen_config(path)
        batches = Batches(here.train.pixels, fitted.encode(y), np.arange(len(y)), config.batch_size, config.seed)
        kinds.append(type(make_steps(config, here, frozen_net(config), fitted, batches, None)))
    assert kinds == [FineTuning, LinearProbe]


def test_a_frozen_sweep_says_so(dataset: Dataset, weights: Path, tmp_path: Path) -> None:
    said = {}
    for trunk in ("frozen", "trained"):
        sweep = small_sweep(Path("x"), shared=small_sweep(Path("x")).shared | {"weights": str(weights), "trunk": trunk})
        plan = make_plan(sweep, dataset.train.labels, dataset.val.labels, concurrent=1, home=tmp_path, pictures="")
        said[trunk] = render_plan(sweep, plan, on="here", control=None, concurrent=1, where="here", remaining=4, finished=0), plan.disk_bytes
    labels = [trial_label("0007", trial_config(weights="w.pth", trunk=trunk)) for trunk in ("frozen", "trained")]
    assert labels == ["0007 regression lr 3.0e-03 ×5 6 sd, frozen trunk", "0007 regression lr 3.0e-03 ×5 6 sd"]
    words = "trunk       frozen trunk: a linear head on cached features, another experiment than fine-tuning; 2 crops a picture"
    assert words in said["frozen"][0]
    assert "frozen" not in said["trained"][0]
    assert said["frozen"][1] - said["trained"][1] == 2 * 64 * 2 * len(dataset.train)  # float16, features, crops


def test_report_and_model_card_say_so_too(planted_shards: Path, weights: Path, tmp_path: Path) -> None:
    said = {}
    for trunk in ("frozen", "trained"):
        shared = small_sweep(planted_shards).shared | {"weights": str(weights), "trunk": trunk}
        sweep = small_sweep(planted_shards, name=trunk, trials=1, shared=shared)
        run_sweep(sweep, RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None)
        (planted_shards / OPENINGS).unlink(missing_ok=True)  # its one vault, sealed again
        verdict = report(tmp_path, trunk, tracking="off", say=lambda line: None)
        export(tmp_path, trunk, tmp_path / "out" / trunk, formats=("safetensors",))
        card = (tmp_path / "out" / trunk / "README.md").read_text()
        said[trunk] = [verdict.predictors[0].label.endswith("frozen trunk"), FROZEN in verdict.notes, FROZEN in card]
    assert said == {"frozen": [True] * 3, "trained": [False] * 3}
