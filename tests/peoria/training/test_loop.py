"""Training: learns what is there, ends as it should, and a kill at any instant changes no bit of what comes out."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset, open_dataset
from peoria.data.images import ShardPictures
from peoria.errors import ConfigError, DivergedError, SweepError
from peoria.models import build
from peoria.records.folder import TrialFolder
from peoria.records.points import point_lines
from peoria.tasks import get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all, network_metrics, objective_name
from peoria.training.loop import train
from peoria.training.messages import TrialReport
from tests.helpers.small import trial_config

RUN = """
import sys
from pathlib import Path
from peoria.config.sweep import TrialConfig
from peoria.data.dataset import open_dataset
from peoria.records.folder import TrialFolder
from peoria.records.points import point_lines
from peoria.training.loop import train
shards, cache, folder, config = sys.argv[1:]
for report in train(TrialConfig.model_validate_json(config), open_dataset(Path(shards), Path(cache)), TrialFolder(Path(folder))):
    print(report.step, flush=True)
"""


@pytest.fixture(scope="module")
def reports(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrialReport], Path]:
    folder = tmp_path_factory.mktemp("trial")
    return list(train(trial_config(), dataset, TrialFolder(folder))), folder


def test_reports_carry_the_set_points_and_the_curves(reports: tuple[list[TrialReport], Path]) -> None:
    found = reports[0]
    assert [report.step for report in found] == [160, 320, 480, 640]
    assert [report.status for report in found] == ["running", "running", "running", "done"]
    points = [point for report in found for point in report.points]
    assert [step for step, _ in points] == list(trial_config().set_points())
    assert all(np.isfinite(values["train/loss"]) for _, values in points)
    assert found[-1].metrics == {name: value for name, value in points[-1][1].items() if name.startswith("val/")}
    assert found[-1].metrics["val/rho_views"] > 0.2  # there is a lot to be learnt


def test_what_is_left_is_the_model_alone(reports: tuple[list[TrialReport], Path], dataset: Dataset) -> None:
    found, folder = reports
    net, card = load_model(TrialFolder(folder))
    fitted = get_task("regression").restore(card.task)
    outputs = forward_all(net, dataset.val.pixels, device=torch.device("cpu"), autocast=None)
    assert network_metrics(fitted, outputs, dataset.val.labels)["rho_views"] == pytest.approx(found[-1].metrics["val/rho_views"], abs=1e-6)
    assert TrialFolder(folder).checkpoint.stat().st_size < 100_000 < TrialFolder(folder).model.stat().st_size  # no optimiser, no second copy
    with np.load(TrialFolder(folder).val_scores) as stored:
        np.testing.assert_allclose(stored["scores"], fitted.score(outputs), rtol=1e-4, atol=1e-5)


def test_a_trial_that_is_over_reports_its_end_again(reports: tuple[list[TrialReport], Path], dataset: Dataset) -> None:
    found, folder = reports
    assert list(train(trial_config(), dataset, TrialFolder(folder))) == [sent_again(found)]


def sent_again(reports: list[TrialReport]) -> TrialReport:
    """The last of them as its checkpoint has it: with the whole curve."""
    return reports[-1].model_copy(update={"points": [point for report in reports for point in report.points]})


def test_the_seed_is_all_there_is_of_chance(reports: tuple[list[TrialReport], Path], dataset: Dataset, tmp_path: Path) -> None:
    again = list(train(trial_config(), dataset, TrialFolder(tmp_path)))
    assert again == reports[0]
    assert TrialFolder(tmp_path).model.read_bytes() == TrialFolder(reports[1]).model.read_bytes()
    other = next(train(trial_config(seed=2), dataset, TrialFolder(tmp_path / "other")))
    assert other.metrics != again[0].metrics


@pytest.mark.parametrize("threads", [1, 2])
def test_pictures_decoded_each_time_make_the_same_model(
    reports: tuple[list[TrialReport], Path], planted_shards: Path, tmp_path: Path, threads: int
) -> None:
    """Where the decoded copy has no room, training ends with the same bits."""
    cramped = open_dataset(planted_shards, tmp_path / "cache", budget_bytes=0, threads=threads)
    assert isinstance(cramped.train.pixels, ShardPictures)
    assert isinstance(cramped.val.pixels, ShardPictures)
    assert list(train(trial_config(), cramped, TrialFolder(tmp_path / "trial"))) == reports[0]
    assert TrialFolder(tmp_path / "trial").model.read_bytes() == TrialFolder(reports[1]).model.read_bytes()


def test_stopped_at_a_report_and_resumed(reports: tuple[list[TrialReport], Path], dataset: Dataset, tmp_path: Path) -> None:
    running = train(trial_config(), dataset, TrialFolder(tmp_path))
    first = [next(running), next(running)]
    running.close()  # type: ignore[attr-defined]
    rest = list(train(trial_config(), dataset, TrialFolder(tmp_path)))
    assert rest[0] == sent_again(first)
    assert [*first, *rest[1:]] == reports[0]
    assert TrialFolder(tmp_path).model.read_bytes() == TrialFolder(reports[1]).model.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification", "hybrid", "hybrid on a frozen trunk"])
def test_killed_at_any_instant_and_resumed(task: str, planted_shards: Path, home: Path, tmp_path: Path) -> None:
    """A real process, SIGKILLed at random instants until it comes through, against one that was left alone."""
    changes: dict[str, object] = {"task": task, "pictures": 6400}
    if "frozen" in task:  # a head learns so fast that there is more for it to do
        save_file(build("tiny", num_outputs=1, seed=9)[0].trunk.state_dict(), tmp_path / "w.safetensors")
        changes = {"task": "hybrid", "pictures": 64_000, "trunk": "frozen", "weights": str(tmp_path / "w.safetensors")}
    config = trial_config(**changes).model_dump_json()

    def start(folder: Path) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        words = [sys.executable, "-c", RUN, str(planted_shards), str(home / "cache"), str(folder), config]
        return subprocess.Popen(words, start_new_session=True, text=True, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})

    undisturbed = start(tmp_path / "undisturbed")
    assert undisturbed.communicate()[0].split()[-1] == str(changes["pictures"])
    dice = random.Random(task)
    kills = 0
    for attempt in range(30):
        with start(tmp_path / "killed") as process:
            assert process.stdout is not None
            process.stdout.readline()  # training has begun, or been gone on with
            time.sleep(dice.uniform(0.0, 0.6))
            if attempt < 4 and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
            process.stdout.read()  # to its end, or a closed pipe would stop it a second time
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills >= 2
    assert TrialFolder(tmp_path / "killed").model.read_bytes() == TrialFolder(tmp_path / "undisturbed").model.read_bytes()


def test_other_settings_do_not_go_on_from_here(dataset: Dataset, tmp_path: Path) -> None:
    running = train(trial_config(), dataset, TrialFolder(tmp_path))
    next(running)
    with pytest.raises(SweepError, match=r"config: .*'threads': 1.* before, .*'threads': 2.* now; a trial goes on with the settings it began with"):
        next(train(trial_config(threads=2), dataset, TrialFolder(tmp_path)))
    torch.set_num_threads(1)


def test_divergence_carries_step_and_settings(dataset: Dataset, tmp_path: Path) -> None:
    config = trial_config(learning_rate=1e6, target_scale="raw")
    with pytest.raises(DivergedError, match=r"train/loss: (nan|inf) at \d+ pictures seen; a finite loss is needed") as caught:
        list(train(config, dataset, TrialFolder(tmp_path)))
    assert caught.value.step in config.set_points()
    assert caught.value.settings["learning_rate"] == 1e6
    assert not TrialFolder(tmp_path).model.exists()


def test_the_paper_rate_on_raw_views_is_finite(dataset: Dataset, tmp_path: Path) -> None:
    config = trial_config(learning_rate=1e-8, target_scale="raw", head_multiplier=20.0)
    last = list(train(config, dataset, TrialFolder(tmp_path)))[-1]
    assert last.metrics["val/half_mse_views"] > 0
    assert last.metrics["val/mse_views"] == pytest.approx(2 * last.metrics["val/half_mse_views"])


def test_the_cut_leaves_val_alone(dataset: Dataset, tmp_path: Path) -> None:
    """The same val pictures and the same constants, whatever is left out of train; a split that is cut with the trial picks the tightest cut."""
    own, fixed = {}, {}
    y = dataset.val.labels.views.astype(float)
    for sd in (None, 6.0, 1.0):
        found = list(train(trial_config(outlier_sd=sd, pictures=320, evaluations=1), dataset, TrialFolder(tmp_path / str(sd))))[-1]
        with np.load(tmp_path / str(sd) / "val_scores.npz") as stored:
            assert (stored["keys"] == dataset.val.labels.keys).all()
        fixed[sd] = found.metrics["val/half_mse_views_mean"]
        limit = np.inf if sd is None else dataset.train.labels.views.mean() + sd * dataset.train.labels.views.std()
        inside = dataset.train.labels.views <= limit
        own[sd] = 0.5 * np.mean((y[y <= limit] - dataset.train.labels.views[inside].mean()) ** 2)
    assert len(set(fixed.values())) == 1
    assert own[1.0] < own[6.0] <= own[None]  # with no learning at all


def test_a_val_split_that_cannot_rank(dataset: Dataset) -> None:
    from dataclasses import replace

    val = dataset.val.labels
    assert objective_name(val) == "rank_mean"
    assert objective_name(replace(val, favorites=None)) == "rho_views"
    for favorites in (0, 1):  # one class: nothing to rank by
        assert objective_name(replace(val, favorites=np.full(len(val), favorites))) == "rho_views"
    with pytest.raises(ConfigError, match="pictures with one number of views"):
        objective_name(replace(val, views=np.full(len(val), 7)))


def test_a_config_survives_json() -> None:
    config = trial_config(outlier_sd=None)
    assert TrialConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_a_loss_on_val_that_overflows_is_left_out(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the curve it would be no JSON, and end the sweep at each start: the checkpoint holds the report already."""
    monkeypatch.setattr("peoria.training.loop.val_loss", lambda *_: float("inf"))
    reports = list(train(trial_config(pictures=320, evaluations=1), dataset, TrialFolder(tmp_path)))
    assert reports[-1].status == "done"
    assert "train/loss_on_val" not in reports[-1].points[-1][1]
    point_lines(reports[-1].points)
    with pytest.raises(ValueError, match="not JSON compliant"):  # control
        point_lines([(320, {"train/loss_on_val": float("inf")})])
