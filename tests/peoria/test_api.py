"""peoria from Python: the functions that the commands call, their frames, their errors, and what a notebook shows of them."""

import contextlib
import importlib
import inspect
import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import peoria
from peoria import api
from peoria.called import CalledPackage
from peoria.errors import PeoriaError, ReportError
from peoria.records.folder import SweepFolder
from peoria.report.recorded import RecordedSweep
from peoria.sweep.run import SweepResult
from peoria.verdict.schema import Verdict
from shards.errors import ShardsError, TableError
from shards.read.openings import OPENINGS
from tests.helpers.small import small_sweep

FUNCTIONS = ("plant", "pack", "describe", "sweep", "report", "open_sweep", "predict", "load_model")
ROOT = Path(__file__).parents[2]


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys, time\nbegan = time.perf_counter()\nimport peoria\n"
        "assert peoria.__version__ and dir(peoria) and peoria.__doc__\nours = time.perf_counter() - began\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'numpy', 'pandas', 'pyarrow', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy\n"
        "began = time.perf_counter()\nimport pandas\nprint(f'import peoria took {ours / (time.perf_counter() - began):.3f} of import pandas')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)


def test_what_it_offers_is_seen_and_told() -> None:
    assert set(peoria.__all__) | {"__version__"} <= set(dir(peoria))
    assert peoria.__version__.split(".")[0].isdigit()
    assert not [name for name in dir(peoria) if not name.startswith("_") and name not in peoria.__all__]
    for name in FUNCTIONS:
        function = getattr(peoria, name)
        assert callable(function)
        assert "Raises:" in (function.__doc__ or ""), name
        assert f"peoria.{name}(" in (peoria.__doc__ or "") or name == "plant", name
        assert [one.annotation for one in inspect.signature(function).parameters.values()].count(inspect.Parameter.empty) == 0
    with pytest.raises(AttributeError, match="no attribute 'sweeps'"):
        _ = peoria.sweeps


def test_wings_that_are_functions_too_are_called_whatever_was_imported() -> None:
    import peoria.report.page
    import peoria.sweep.run

    assert isinstance(peoria.sweep, ModuleType)
    assert inspect.signature(peoria.sweep) == inspect.signature(api.sweep)
    assert inspect.getdoc(peoria.report) == inspect.getdoc(api.report)
    with pytest.raises(ReportError, match="sweep gone: none in"):
        peoria.report("gone", say=None)
    plain = ModuleType("peoria.sweep")  # control: as Python leaves a package
    assert not callable(plain)
    plain.__class__ = CalledPackage
    assert callable(plain)


class Made(NamedTuple):
    home: Path
    found: RecordedSweep
    said: list[str]
    printed: str


@pytest.fixture(scope="module")
def made(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A small sweep, run by a thread that is not the main one."""
    home, said, found = tmp_path_factory.mktemp("api"), list[str](), list[Any]()
    out = io.StringIO()

    def run() -> None:
        try:
            found.append(peoria.sweep(small_sweep(planted_shards, trials=3), home=str(home), local=True, tracking="off", say=said.append))
        except BaseException as error:  # noqa: BLE001 - told below
            found.append(error)

    with contextlib.redirect_stdout(out):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert isinstance(found[0], RecordedSweep), found
    return Made(home, found[0], said, out.getvalue())


def test_a_sweep_says_each_line_once_and_prints_none(made: Made) -> None:
    assert made.printed == ""
    assert made.said
    assert made.found.run is not None
    assert made.found.run.complete
    results = [line for line in made.said if "0000" in line]
    assert len(results) == len(set(results))


def test_its_trials_curves_and_baselines_are_frames(made: Made) -> None:
    found = peoria.open_sweep("small", home=made.home)
    trials = found.trials
    assert list(trials.index) == ["0000", "0001", "0002"]
    assert {"status", "task", "learning_rate", "head_multiplier", "objective", "val/rho_views", "label", "batch_size"} <= set(trials.columns)
    assert str(trials["ended_at"].dt.tz) == "UTC"
    curves = found.curves
    assert curves.index.names == ["trial", "pictures"]
    done = trials[trials["status"] == "done"]
    last = curves["val/rho_views"].dropna().groupby("trial").last()
    assert last[done.index].tolist() == done["val/rho_views"].tolist()
    assert {"label", "kind", "val/rho_views"} <= set(found.baselines.columns)
    assert "colour-ridge" in found.baselines.index


def test_its_status_is_typed_and_shown_in_words(made: Made) -> None:
    status = made.found.status
    assert (status.state, status.num_ended, status.num_wanted, sum(status.trials.values())) == ("finished", 3, 3, 3)
    assert status.winners == made.found.winners
    assert repr(made.found) == repr(status) == status.text
    assert status.text.startswith("sweep small: 3 of 3 trials")
    assert "<table" in made.found._repr_html_()
    assert "sweep small" in made.found._repr_html_()


def test_nothing_is_judged_before_the_report(made: Made, tmp_path: Path) -> None:
    for read in (lambda: made.found.verdict, lambda: made.found.predictors, lambda: made.found.predictions):
        with pytest.raises(ReportError, match=r"sweep small: not judged as it stands; a report is needed\nhint: peoria.report\(\"small\"\)"):
            read()
    with pytest.raises(ReportError, match=r"sweep other: none in .*; there are small"):
        peoria.open_sweep("other", made.home)


@pytest.fixture(scope="module")
def verdict(made: Made, planted_shards: Path) -> Verdict:
    said: list[str] = []
    (planted_shards / OPENINGS).unlink(missing_ok=True)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        found = peoria.report("small", made.home, tracking="off", say=said.append)
    assert out.getvalue() == ""
    assert sum("Test split" in text for text in said) == 1
    assert sum(text == found.headline for text in said) == 1
    return found


def test_the_report_is_read_as_frames(made: Made, verdict: Verdict) -> None:
    assert made.found.verdict == verdict
    assert repr(verdict).startswith(verdict.headline)
    predictors, predictions = made.found.predictors, made.found.predictions
    judged = verdict.targets.views.predictor
    assert predictors.loc[judged, "rho_views"] == verdict.targets.views.pooled.value
    assert predictors.loc[judged, "rho_views_low"] < predictors.loc[judged, "rho_views_high"]
    assert len(predictions) == verdict.test.num_pictures
    rho = spearmanr(predictions[judged], predictions["views"]).statistic
    assert rho == pytest.approx(verdict.targets.views.pooled.value, abs=1e-6)
    assert predictions["owner"].nunique() == verdict.test.num_owners
    assert made.found.status.judged
    again: list[str] = []
    assert peoria.report("small", made.home, tracking="off", say=again.append) == verdict  # opens nothing more


def test_a_model_scores_what_it_is_given(made: Made, planted_shards: Path) -> None:
    paths = sorted((planted_shards.parent / "pictures" / "images").glob("*"))[:3]
    frame = peoria.predict("small", paths, home=made.home, seeds=False, unlike=False)
    assert len(frame) == 3 * frame["target"].nunique()
    assert frame["percentile"].between(0, 1).all()
    scorer = peoria.load_model("small", made.home)
    scores = scorer.score(np.zeros((2, 256, 256, 3), np.uint8))
    assert scores.value.shape == scores.percentile.shape == (2,)
    assert scores.value[0] == pytest.approx(scores.value[1], rel=1e-5)  # places in a batch differ in the last bits


def test_a_packed_set_is_described_in_words_and_frames(planted_shards: Path, tmp_path: Path) -> None:
    found = peoria.describe(str(planted_shards))
    assert found.splits.loc["total", "num_pictures"] == found.found["num_kept"]
    assert found.counts.loc[("train", "views"), "max"] == found.found["parts"]["train"]["counts"]["views"]["max"]
    assert found.left_out.sum() == found.found["num_rejected"]
    assert repr(found).startswith("metadata.csv: 600 rows")
    assert {path.name for path in found.write(tmp_path)} == {"describe.json", "describe.txt", "describe.png"}


def test_packing_twice_packs_once_and_is_shown_in_words(tmp_path: Path) -> None:
    made = peoria.plant(tmp_path / "in", pictures=60)
    first = peoria.pack(made.table, tmp_path / "out", processes=1)
    assert repr(first).startswith(f"{tmp_path / 'out'}: ")
    assert peoria.pack(str(made.table), str(tmp_path / "out"), processes=1).already_packed


def test_errors_are_a_line(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"gone\.csv"):
        peoria.pack("gone.csv", tmp_path / "out")
    with pytest.raises(ShardsError, match=r"no manifest\.json"):
        peoria.describe(tmp_path)
    with pytest.raises(PeoriaError, match="plant: 'sound'; one of both, colour"):
        peoria.plant(tmp_path, plant="sound")
    with pytest.raises(PeoriaError, match="trails: no such setting of a run; one of cache, "):
        peoria.sweep("gone.py", trails=3)
    (tmp_path / "file").touch()
    with pytest.raises(PeoriaError, match=r"file.*: .*; folders all the way") as told:
        peoria.plant(tmp_path / "file" / "below", pictures=10)
    assert isinstance(told.value.__cause__, NotADirectoryError)
    with pytest.raises(NotADirectoryError):  # control
        api.plant.__wrapped__(tmp_path / "file" / "below", pictures=10)  # type: ignore[attr-defined]


def test_a_notebook_shows_an_error_without_the_way_to_it(tmp_path: Path) -> None:
    def shown(code: str) -> str:
        words = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "-c", code]
        environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        return done.stdout + done.stderr

    ours = shown("import peoria; peoria.open_sweep('gone')")
    assert "ReportError: sweep gone: none in data/sweeps; there is none at all" in ours
    assert "Traceback" not in ours
    assert "Traceback" in shown("raise ValueError('of a bug')")  # control


def test_a_notebooks_torch_has_its_threads_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def trains(*given: object) -> SweepResult:
        torch.set_num_threads(7)  # as a trial in this process does
        return SweepResult(SweepFolder.of(tmp_path, "small"), {}, {}, None)

    before = torch.get_num_threads()
    monkeypatch.setattr("peoria.sweep.run.run_sweep", trains)
    try:
        peoria.sweep(small_sweep(tmp_path), home=tmp_path, local=True)
        assert torch.get_num_threads() == before != 7
        trains()  # control
        assert torch.get_num_threads() == 7
    finally:
        torch.set_num_threads(before)


SCRIPT = """
import os
import peoria
from tests.helpers.small import small_sweep

print("main runs", flush=True)
print(peoria.pack(os.environ["TABLE"], "shards", processes=2), flush=True)
found = peoria.sweep(small_sweep("shards", trials=2), tracking="off", concurrent=1, say=None)
print(found.run.complete, found.status.state, flush=True)
"""


@pytest.mark.slow
def test_a_script_without_a_main_guard_packs_and_sweeps_with_ray(planted_shards: Path, tmp_path: Path) -> None:
    """tests/shards/pack/test_workers.py has the control, and the other places that Python runs from."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TABLE": str(planted_shards.parent / "pictures" / "metadata.csv")}
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("main runs") == 1
    assert "True finished" in done.stdout


def test_modules_are_where_the_names_say() -> None:
    for name, home in peoria._HOMES.items():
        assert getattr(peoria, name) is getattr(importlib.import_module(f"peoria.{home}"), name)
