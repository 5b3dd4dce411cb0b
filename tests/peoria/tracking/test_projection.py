"""MLflow holds what the sweep folder tells, once, whatever happens on the way."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from peoria.errors import PeoriaError
from peoria.records.folder import SweepFolder
from peoria.records.json_file import write_json
from peoria.tracking.projection import MAX_METRICS, Delivered, Tracker, batches
from tests.helpers.mlflow_held import FaultyClient, client_of, everything, history, runs_of
from tests.helpers.sweep_folder import STARTED, WrittenSweep, whole_sweep


@pytest.fixture
def folder(tmp_path: Path) -> WrittenSweep:
    return whole_sweep(tmp_path / "demo")


class TestAPass:
    def test_parent_children_statuses_and_names(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        import mlflow

        before = mlflow.get_tracking_uri()
        Tracker(mlflow_sqlite).project(folder.folder)
        runs = runs_of(mlflow_sqlite)
        parent = runs["demo"].info.run_id
        found = {name: (run.info.status, run.data.tags.get("status"), run.data.tags.get("diverged")) for name, run in runs.items()}
        assert found == {
            "demo": ("RUNNING", None, None),
            "0000": ("FINISHED", "done", None),
            "0001": ("FINISHED", "pruned", None),
            "0002": ("FINISHED", "diverged", "true"),
            "0003": ("FAILED", "failed", None),
            "0004": ("FINISHED", "done", None),
            "0005": ("RUNNING", "running", None),
            "paper regression": ("RUNNING", "running", None),
            "trivial regression": ("FINISHED", "done", None),
            "colour ridge": ("FINISHED", "done", None),
        }
        children = [run for name, run in runs.items() if name != "demo"]
        assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent}
        assert {run.data.tags["val_keys_sha256"] for run in children} == {"2" * 64}
        assert runs["0003"].data.tags["error"] == "ValueError: bad batch"
        assert runs["0000"].data.params["outlier_sd"] == "null"
        assert runs["demo"].data.params["space.task"] == '["regression", "hybrid"]'
        assert runs["demo"].data.tags["environment.lock_sha256"] == "1" * 64
        assert mlflow.get_tracking_uri() == before
        assert mlflow.active_run() is None

    def test_the_points_of_a_trial_are_its_curve(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        Tracker(mlflow_sqlite).project(folder.folder)
        curves = history(mlflow_sqlite, runs_of(mlflow_sqlite)["0000"])
        start = int(STARTED + 10) * 1000
        assert curves["train/loss"] == [(step, 1.0 / step, start + step) for step in (2000, 4000, 6000, 8000)]
        assert [step for step, _, _ in curves["pictures_seen"]] == [2000, 4000, 6000, 8000]

    def test_the_sweep_shows_the_best_so_far(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        folder.trial("paper-hybrid", purpose="paper")
        folder.outcome("paper-hybrid", objective=0.9)
        Tracker(mlflow_sqlite).project(folder.folder)
        parent = runs_of(mlflow_sqlite)["demo"]
        best = [(step, value) for step, value, _ in history(mlflow_sqlite, parent)["best_by_objective/objective"]]
        assert best == [(1, 0.25), (2, 0.25), (3, 0.25), (4, 0.25), (5, 0.3)]
        assert parent.data.metrics["best_by_objective/val/rho_views"] == pytest.approx(0.35)
        assert parent.data.tags["best_by_objective"] == "0004, best by objective (rank_mean +0.300)"
        assert parent.data.tags["winner_for_views"] == "0004, leader for views (rho_views +0.350)"  # two trials remain
        assert "winner_for_favorites" not in parent.data.tags

    @pytest.mark.parametrize("fresh", [True, False])
    def test_a_second_pass_finds_nothing_to_do(self, folder: WrittenSweep, mlflow_sqlite: str, fresh: bool) -> None:
        tracker = Tracker(mlflow_sqlite)
        assert tracker.project(folder.folder).points == 24
        held = everything(mlflow_sqlite)
        again = Tracker(mlflow_sqlite) if fresh else tracker
        assert again.project(folder.folder) == again.project(folder.folder) == Delivered()
        assert everything(mlflow_sqlite) == held

    def test_only_what_is_new_is_sent(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        tracker = Tracker(mlflow_sqlite)
        for _ in range(3):
            tracker.project(folder.folder)
        folder.point("0005", 4000, train_loss=0.5)
        assert tracker.project(folder.folder) == Delivered(points=1)
        folder.outcome("0005", objective=0.2)
        assert tracker.project(folder.folder) == Delivered(points=1, tags=2, statuses=1)  # the point is the sweep's

    def test_a_torn_last_line_waits(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        tracker = Tracker(mlflow_sqlite)
        tracker.project(folder.folder)
        path = folder.folder.trial("0005").points
        line = json.dumps({"step": 4000, "metrics": {"train/loss": 0.5}}) + "\n"
        path.write_text(path.read_text() + line[:20])
        assert tracker.project(folder.folder).points == 0
        path.write_text(path.read_text() + line[20:])
        assert tracker.project(folder.folder).points == 1

    def test_nan_and_inf_are_left_out_and_told(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        folder.point("0005", 4000, train_loss=math.nan, val_loss=math.inf, val_rank_mean=0.25)
        Tracker(mlflow_sqlite).project(folder.folder)
        run = runs_of(mlflow_sqlite)["0005"]
        assert run.data.tags["diverged"] == "true"
        curves = history(mlflow_sqlite, run)
        assert [step for step, _, _ in curves["train/loss"]] == [2000]
        assert [step for step, _, _ in curves["val/rank_mean"]] == [2000, 4000]

    def test_control_inf_would_become_a_number(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        Tracker(mlflow_sqlite).project(folder.folder)
        run = runs_of(mlflow_sqlite)["0005"]
        client_of(mlflow_sqlite).log_metric(run.info.run_id, "val/loss", math.inf, step=9999)
        assert math.isfinite(runs_of(mlflow_sqlite)["0005"].data.metrics["val/loss"])

    def test_secrets_never_reach_the_database(self, tmp_path: Path, mlflow_sqlite: str) -> None:
        folder = WrittenSweep(tmp_path / "s", definition={"weights": "https://ann:hunter2@host/w.pth?sig=hunter2", "env": {"HF_TOKEN": "hunter2"}})
        folder.trial("0000", weights="s3://ann:hunter2@bucket/w.pth")
        folder.outcome("0000", "failed", None, error="OSError: postgresql://ann:hunter2@db/x\nRAY_AUTH_TOKEN=hunter2")
        Tracker(mlflow_sqlite).project(folder.folder)
        data = Path(mlflow_sqlite.removeprefix("sqlite:///")).read_bytes()
        assert b"w.pth" in data
        assert b"hunter2" not in data

    def test_long_values_are_cut_and_keep_their_end(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        folder.trial("0006")
        folder.outcome("0006", "failed", None, error="Traceback" + "x" * 9000 + "ValueError: here")
        Tracker(mlflow_sqlite).project(folder.folder)
        error = runs_of(mlflow_sqlite)["0006"].data.tags["error"]
        assert (len(error) <= 500, error[:9], error[-16:]) == (True, "Traceback", "ValueError: here")

    def test_batches_are_of_whole_points(self) -> None:
        from peoria.tracking.curves import curve

        points = curve([(step, {f"m{k:02d}": 1.0 for k in range(29)}) for step in range(1, 101)])
        sizes = [{metric.step for metric in batch} for batch in batches(points, 0)]
        assert [len(steps) for steps in sizes] == [33, 33, 33, 1]
        assert MAX_METRICS == 1000
        assert not any(a & b for a, b in pairwise(sizes))


class TestBaselines:
    def test_a_baseline_is_a_line_that_grows_with_the_longest_trial(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        tracker = Tracker(mlflow_sqlite)
        for pictures, steps in ((8000, [0, 8000]), (12000, [0, 8000, 12000]), (12000, [0, 8000, 12000])):
            folder.trial("0005", pictures=pictures)
            tracker.project(folder.folder)
            line = history(mlflow_sqlite, runs_of(mlflow_sqlite)["colour ridge"])["val/rho_views"]
            assert [(step, value) for step, value, _ in line] == [(step, 0.1) for step in steps]


class TestParent:
    def test_it_ends_with_finished_json_and_runs_again_without(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        tracker = Tracker(mlflow_sqlite)
        found = []
        for change in (None, "interrupted", None, "finished"):
            (folder.folder.finished).unlink(missing_ok=True)
            if change:
                folder.finish(change)
            tracker.project(folder.folder)
            runs = runs_of(mlflow_sqlite)
            found.append((runs["demo"].info.status, runs["0005"].info.status))
        assert found == [("RUNNING", "RUNNING"), ("KILLED", "KILLED"), ("RUNNING", "RUNNING"), ("FINISHED", "KILLED")]
        assert runs_of(mlflow_sqlite)["demo"].info.end_time == int(STARTED + 1000) * 1000

    def test_artifacts_are_sent_when_changed(self, folder: WrittenSweep, mlflow_sqlite: str, tmp_path: Path) -> None:
        tracker = Tracker(mlflow_sqlite)
        assert tracker.project(folder.folder).artifacts == 3
        folder.report("<h1>0.4</h1>")  # run.json stays as it was
        assert Tracker(mlflow_sqlite).project(folder.folder).artifacts == 2
        client, parent = client_of(mlflow_sqlite), runs_of(mlflow_sqlite)["demo"]
        sent = client.download_artifacts(parent.info.run_id, "report.html", str(tmp_path))
        assert Path(sent).read_text() == "<h1>0.4</h1>"
        assert (tmp_path / "mlflow" / "mlartifacts" / parent.info.run_id / "artifacts" / "run.json").is_file()

    def test_artifacts_hold_no_secret_and_the_files_stay_as_they_are(self, folder: WrittenSweep, mlflow_sqlite: str, tmp_path: Path) -> None:
        folder.report("<h1>pwd=hunter2 of ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8</h1>")
        before = {path: path.read_bytes() for path in (folder.folder.page, folder.folder.verdict)}
        Tracker(mlflow_sqlite).project(folder.folder)
        sent = [path for path in (tmp_path / "mlflow").rglob("*") if path.is_file()]
        assert {"report.html", "verdict.json", "run.json"} <= {path.name for path in sent}
        assert not [path for path in sent if b"hunter2" in path.read_bytes() or b"ghp_a1" in path.read_bytes()]
        assert {path: path.read_bytes() for path in before} == before
        assert all(b"hunter2" in data for data in before.values())  # control
        assert Tracker(mlflow_sqlite).project(folder.folder) == Delivered()

    def test_a_changed_setting_is_told_by_a_tag(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        from mlflow.exceptions import MlflowException

        tracker = Tracker(mlflow_sqlite)
        tracker.project(folder.folder)
        WrittenSweep(folder.folder.path, definition={"name": "demo", "prune": False})
        tracker.project(folder.folder)
        parent = runs_of(mlflow_sqlite)["demo"]
        assert (parent.data.params["prune"], parent.data.tags["now.prune"]) == ("true", "false")
        with pytest.raises(MlflowException, match="Changing param values is not allowed"):  # what would end the pass
            client_of(mlflow_sqlite).log_param(parent.info.run_id, "prune", "false")

    def test_a_sweep_thrown_away_and_begun_again_has_its_own_runs(self, tmp_path: Path, mlflow_sqlite: str) -> None:
        for start in (STARTED, STARTED + 5000):
            folder = WrittenSweep(tmp_path / "demo", started_at=start)
            folder.trial("0000")
            if start == STARTED:
                folder.points("0000")
            Tracker(mlflow_sqlite).project(folder.folder)
            (folder.folder.trial("0000").points).unlink(missing_ok=True)
        client = client_of(mlflow_sqlite)
        runs = client.search_runs([client.get_experiment_by_name("peoria").experiment_id])
        assert sorted(len(run.data.metrics) for run in runs if "peoria.trial" in run.data.tags) == [0, 5]


class TestExperiment:
    def test_deleted(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        client = client_of(mlflow_sqlite)
        client.delete_experiment(client.create_experiment("peoria"))
        accepted = "experiment 'peoria': deleted; an active one is needed\nhint: mlflow experiments restore --experiment-id 1"
        with pytest.raises(PeoriaError, match=accepted):
            Tracker(mlflow_sqlite).project(folder.folder)

    def test_another_sweep_makes_it_first(self, folder: WrittenSweep, mlflow_sqlite: str, tmp_path: Path) -> None:
        class Late(FaultyClient):
            asked = False

            def get_experiment_by_name(self, name: str) -> Any:
                if not self.asked:
                    self.asked = True
                    self.client.create_experiment(name, artifact_location=(tmp_path / "artifacts").as_uri())
                    return None
                return self.client.get_experiment_by_name(name)

        tracker = Tracker(mlflow_sqlite)
        tracker._client = Late(client_of(mlflow_sqlite), 0)
        assert tracker.project(folder.folder).runs == 10


class TestFolder:
    def test_no_sweep(self, tmp_path: Path) -> None:
        with pytest.raises(PeoriaError, match=r"sweep\.json: No such file or directory; a file of a sweep's folder"):
            Tracker("sqlite:////nowhere/mlflow.db").project(SweepFolder(tmp_path))

    def test_a_file_that_is_not_json(self, folder: WrittenSweep) -> None:
        (folder.folder.trial("0000").outcome).write_text("{")
        with pytest.raises(PeoriaError, match=r"outcome.json: not JSON .*; it is written whole by"):
            Tracker("sqlite:////nowhere/mlflow.db").project(folder.folder)

    def test_a_trial_without_settings_is_not_a_trial_yet(self, folder: WrittenSweep, mlflow_sqlite: str) -> None:
        write_json(folder.folder.trial("0009").path / "other.json", {})
        assert Tracker(mlflow_sqlite).project(folder.folder).runs == 10
