"""`--from SWEEP`: the best points of another sweep, trained anew, or taken over where nothing that decides their bits differs."""

import json
import os
import shutil
from pathlib import Path

import pytest

import peoria.training.optim as optim
from peoria.config.space import LogUniform
from peoria.config.sweep import Sweep
from peoria.errors import ConfigError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialOutcome, TrialStart
from peoria.records.taken import TakenPoints
from peoria.records.trials import read_trials
from peoria.sweep import provenance, taken
from peoria.sweep.check import problems_of
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from tests.helpers.small import small_sweep

NUM = 4  # start-up points of each of two tasks: all of the first sweep are taken


@pytest.fixture(autouse=True)
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a checkout without changes: what ran there before ran with this code."""
    monkeypatch.setattr(provenance, "git", lambda root, *words: "" if "status" in words else "0" * 40)


@pytest.fixture(scope="module")
def first(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a sweep of four finished trials; never to be changed."""
    home = tmp_path_factory.mktemp("from")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "git", lambda root, *words: "" if "status" in words else "0" * 40)
        run(small_sweep(planted_shards, name="first", prune=False), home)
    return home


@pytest.fixture
def home(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each trial that is trained."""
    found, make = [], optim.make_optimizer

    def counted(*given: object, **named: object) -> object:
        found.append(1)
        return make(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(optim, "make_optimizer", counted)
    return found


def run(sweep: Sweep, home: Path, **options: object) -> SweepResult:
    return run_sweep(sweep, RunOptions(home=home, local=True, tracking="off", **options), lambda line: None)  # type: ignore[arg-type]


def second(shards: Path, **changes: object) -> Sweep:
    """Of another space, which has room for all points of the first."""
    wider = small_sweep(shards).space.model_copy(update={"head_multiplier": LogUniform(1, 30)})
    return small_sweep(shards, **{"name": "second", "space": wider, "trials": 4, "prune": False, "startup_per_task": NUM} | changes)


def from_first(folder: SweepFolder) -> dict[str, str]:
    """Keys of the trials that began with a point of the first sweep, and where that came from."""
    starts = {trial.key: TrialStart.read(trial.start) for trial in folder.trials()}
    return {key: start.origin for key, start in starts.items() if start.origin is not None and start.origin.startswith("from first ")}


def test_what_was_trained_in_just_this_way_is_taken_over(planted_shards: Path, home: Path, trained: list[int]) -> None:
    one = SweepFolder.of(home, "first")
    models = {trial.key for trial in one.trials() if trial.model.exists()}
    result = run(second(planted_shards), home, start_from="first")
    assert result.complete
    points = TakenPoints.read(result.folder.taken).points
    assert {point.key for point in points if point.seed is not None} == models & {point.key for point in points} != set()
    origins = from_first(result.folder)
    assert len(origins) == len(points) == 4
    over = {key: origin.split()[2].rstrip(",") for key, origin in origins.items() if origin.endswith(", taken over")}
    assert len(trained) == 4 - len(over)
    for key, was in over.items():
        ours, theirs = result.folder.trial(key), one.trial(was)
        assert TrialStart.read(ours.start).config == TrialStart.read(theirs.start).config
        ended, before = TrialOutcome.read(ours.outcome), TrialOutcome.read(theirs.outcome)
        assert ended.model_copy(update={"ended_at": 0.0}) == before.model_copy(update={"ended_at": 0.0})
        assert ours.points.read_bytes() == theirs.points.read_bytes()
    ranked = sorted(read_trials(one), key=lambda trial: -(trial.objective or 0))
    assert points[0].key == ranked[0].key


@pytest.mark.parametrize("other", ["data", "settings", "code", "machine"])
def test_of_other_data_settings_code_or_machine_the_points_alone_are_taken(
    other: str, planted_shards: Path, home: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, object] = {}
    if other == "data":
        from peoria.sweep import run as running

        monkeypatch.setattr(running, "take", lambda folder, sweep, options, identity, say: taken.take(folder, sweep, options, "0" * 64, say))
    elif other == "settings":
        changes = {"shared": second(planted_shards).shared | {"batch_size": 8}}
    elif other == "code":
        monkeypatch.setattr(provenance, "git", lambda root, *words: "" if "status" in words else "1" * 40)
    else:
        monkeypatch.setattr(provenance, "_cpu", lambda: "another")
    result = run(second(planted_shards, trials=2, **changes), home, start_from="first")
    assert result.complete
    assert len(trained) == 2
    assert all(point.seed is None for point in TakenPoints.read(result.folder.taken).points)
    assert [origin.endswith("taken over") for origin in from_first(result.folder).values()] == [False, False]


def test_points_outside_the_space_are_left_and_none_is_moved(planted_shards: Path, home: Path) -> None:
    configs = [trial.config for trial in read_trials(SweepFolder.of(home, "first"))]
    rates = sorted(config.learning_rate for config in configs)
    narrow = second(planted_shards).space.model_copy(update={"learning_rate": LogUniform(rates[0], rates[1])})  # both ends are within
    assert [taken.lies_in(narrow, config) for config in configs] == [config.learning_rate <= rates[1] for config in configs]
    assert not taken.lies_in(narrow.model_copy(update={"task": ("classification",)}), configs[0])
    assert not taken.lies_in(narrow.model_copy(update={"outlier_sd": (7.0,)}), configs[0])


@pytest.mark.parametrize("killed_at", [1, 3])
def test_once_begun_it_needs_nothing_of_the_other_sweep(
    killed_at: int, planted_shards: Path, home: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while a trial that is taken over is laid down; then the other sweep goes."""
    best = max(read_trials(SweepFolder.of(home, "first")), key=lambda trial: trial.objective or 0)
    left, replace = [killed_at], os.replace

    def killed(source: Path, path: Path) -> None:
        left[0] -= str(source).endswith(".taken.tmp")
        if left[0] == 0:
            raise KeyboardInterrupt
        replace(source, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(second(planted_shards, trials=1), home, start_from="first")
    shutil.rmtree(SweepFolder.of(home, "first").path)
    result = run(second(planted_shards, trials=1), home)
    assert result.complete
    assert from_first(result.folder) == {"0000": f"from first {best.key}, taken over"}
    assert TrialOutcome.read(result.folder.trial("0000").outcome).objective == best.objective
    assert not trained


def test_a_damaged_file_of_the_other_sweep_is_refused_by_name(planted_shards: Path, home: Path) -> None:
    one = SweepFolder.of(home, "first")
    best = max(read_trials(one), key=lambda trial: trial.objective or 0).folder
    for path, text in ((best.model, "model.safetensors: sha256"), (best.val_scores, "val_scores.npz: not the scores")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(SweepError, match=f"--from: .*{text}"):
            run(second(planted_shards), home, start_from="first")
        path.write_bytes(whole)
    assert not SweepFolder.of(home, "second").definition.exists()


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("name", "changes", "error", "text"),
    [
        ("gone", {}, ConfigError, "--from: gone: no such sweep"),
        ("second", {}, ConfigError, "--from: 'second'; the name of another sweep"),
        ("../first", {}, ConfigError, "--from: '../first'; the name of another sweep"),
        ("first", {"control": "shuffle"}, ConfigError, "--from with --control"),
    ],
)
def test_what_cannot_be_begun_with(name: str, changes: dict[str, str], error: type[Exception], text: str, planted_shards: Path, home: Path) -> None:
    with pytest.raises(error, match=text):
        run(second(planted_shards), home, start_from=name, **changes)


def test_nothing_is_taken_of_a_control_or_of_a_space_without_a_trial(planted_shards: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = second(planted_shards).space.model_copy(update={"learning_rate": LogUniform(1.0, 2.0)})
    with pytest.raises(ConfigError, match="--from: first: no finished trial of it lies in the space"):
        run(second(planted_shards, space=elsewhere), home, start_from="first")
    run(small_sweep(planted_shards, name="mixed", trials=1, startup_per_task=1), home, control="shuffle")
    with pytest.raises(SweepError, match=r"--from: mixed-shuffle is a control \(shuffle\)"):
        run(second(planted_shards), home, start_from="mixed-shuffle")


def test_a_sweep_goes_on_as_it_was_begun(planted_shards: Path, home: Path) -> None:
    run(second(planted_shards, trials=1), home)
    with pytest.raises(SweepError, match="--from: first; this sweep was begun without"):
        run(second(planted_shards, trials=1), home, start_from="first")
    run(second(planted_shards, name="third", trials=1), home, start_from="first")
    with pytest.raises(SweepError, match="--from: second; this sweep was begun from first"):
        run(second(planted_shards, name="third", trials=1), home, start_from="second")
    edited(SweepFolder.of(home, "third").taken, sweep="second")
    assert any("from.json: edited since" in text for text in problems_of(SweepFolder.of(home, "third"), None))
    with pytest.raises(Exception, match=r"from.json: edited since peoria wrote it"):
        run(second(planted_shards, name="third", trials=2), home)
