"""`peoria plan`: probed on this device, told in 80 columns, refused where it costs too much, kept for the sweep's record, trains nothing."""

from pathlib import Path

import pytest

from peoria.cli import EXIT_USER_ERROR, main
from peoria.cluster.probe import probe
from peoria.config.trial import TrialConfig
from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import PlannedWork
from peoria.records.trials import read_trials
from peoria.report.plan_outcome import plan_outcome

pytestmark = pytest.mark.slow
SWEEP = """
from tests.helpers.small import small_sweep
SWEEP = small_sweep({shards!r}, trials=3, prune=False, seeds=3)
"""


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in words])
    return int(ended.value.code or 0)


def test_a_plan_and_what_came_of_it(planted_shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.py").write_text(SWEEP.format(shards=str(planted_shards)))
    words = (tmp_path / "s.py", "--home", tmp_path / "home", "--gpus-per-trial", "1")
    assert run("plan", *words) == 0
    lines = capfd.readouterr().out.splitlines()
    text = "\n".join(lines)
    # 3 searched of 640 pictures each, 2 seeds of each of 3 candidates, and a third of each of two winners
    assert "11 at most: 3 searched, 0 of the paper," in text
    assert "8 of the best again, 0 on parts of train" in text
    assert f"{11 * 640:,} seen in training" in text
    assert "check its prices: they are yours to check" in text
    assert "g6.2xlarge spot" in text
    assert "taken for as fast as the device that was probed" in text
    assert "start-up    1 random point of each task, anywhere in its ranges" in text
    assert "two good settings are told apart" in text
    assert "budget" not in text
    assert not [line for line in lines if len(line) > 80]
    assert not (tmp_path / "home" / "sweeps").exists()  # nothing was trained

    assert run("plan", *words, "--max-money", "0.001", "--pictures", "1000") == EXIT_USER_ERROR
    captured = capfd.readouterr()
    assert "--max-money: 0.001 USD; " in captured.err
    assert "above --max-money" in captured.out
    assert "budget      1,000 pictures of the search, then no further trial is begun" in captured.out
    assert "10 at most: 2 searched" in captured.out  # two are begun, and among three candidates one may lead both
    assert "Traceback" not in captured.err

    assert run("sweep", *words[:-2], "--local", "--tracking", "off") == 0
    folder = SweepFolder(tmp_path / "home" / "sweeps" / "small")
    planned = PlannedWork.read(folder.plan)
    assert (planned.trainings, planned.pictures) == (11, 7040)
    assert planned.trial_seconds is not None  # as the plan found it
    outcome = plan_outcome(folder, read_trials(folder))
    assert outcome is not None
    assert outcome.trainings in (10, 11)  # one trial may win both targets
    assert outcome.pictures == 640 * outcome.trainings
    assert 0 < outcome.trial_seconds < 600

    assert run("plan", *words) == EXIT_USER_ERROR if outcome.trainings == 11 else 0
    (tmp_path / "other").mkdir()
    assert run("sweep", *words[:-2], "--local", "--tracking", "off", "--home", tmp_path / "other") == 0
    assert PlannedWork.read(SweepFolder(tmp_path / "other" / "sweeps" / "small").plan).trial_seconds is None  # control: nothing was probed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-money", "nan"), "argument --max-money: nan; 0 or more"),
        (("--max-money", "-1"), "argument --max-money: -1; 0 or more"),
        (("--prices", "gone.toml"), "gone.toml: No such file or directory; a file of prices"),
    ],
)
def test_what_is_asked_wrongly_is_refused_at_once(words: tuple[str, str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "sweeps/demo.py", *words) == EXIT_USER_ERROR
    assert said in capfd.readouterr().err


def test_a_net_that_cannot_be_trained_is_one_line(planted_shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.py").write_text(
        SWEEP.format(shards=str(planted_shards)) + 'SWEEP = SWEEP.model_copy(update={"shared": SWEEP.shared | {"net": "gone"}})\n'
    )
    assert run("plan", tmp_path / "s.py", "--home", tmp_path) == EXIT_USER_ERROR
    error = capfd.readouterr().err
    assert error.startswith("net: 'gone'; caffenet, tiny, timm:NAME")  # as a sweep says it, and before a probe
    assert "Traceback" not in error
    with pytest.raises(SweepError, match="probe: a few batches of gone fail here: "):
        probe(TrialConfig(task="regression", learning_rate=1e-3, net="gone"), planted_shards, tmp_path, copies=1, gpu_share=0.0)
