"""What MLflow holds of a sweep reads as people look for it: roles, names, descriptions, the objective, test numbers, means of fresh seeds."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from peoria.errors import RecordError
from peoria.records.schema import SweepRecord
from peoria.redact import scrub_file
from peoria.tracking.curves import curve
from peoria.tracking.projection import Delivered, Tracker
from peoria.tracking.reader import read_sweep
from peoria.tracking.sent import batches
from peoria.tracking.verdict_file import Said, read_said
from peoria.tracking.words import EXPERIMENT_NOTE, SHOWN, set_name, sweep_axes, told_apart, trial_axes, trial_name
from tests.helpers.mlflow_held import FaultyClient, KilledError, client_of, everything, history, runs_of
from tests.helpers.sweep_folder import WrittenSweep

VERDICT = {
    "openings": {"number": 1},
    "targets": {
        "views": {
            "predictor": "recipe-0000",
            "pooled": {"value": 0.4, "low": 0.3, "high": 0.5},
            "given_context": {"value": 0.2, "low": 0.1, "high": 0.3},
            "within_owner": None,
            "lines": [
                {"key": "image", "title": "Image against chance", "answer": "shown", "text": "…"},
                {"key": "deep", "title": "Deep against cheap image", "answer": "undecided", "text": "…"},
                {"key": "context", "title": "Image on top of context", "answer": "smaller", "text": "…"},
            ],
        },
        "favorites": None,
    },
    "predictors": [
        {"name": "recipe-0000", "rho_views": {"value": 0.4, "low": 0.3, "high": 0.5}, "gini_fav": None},
        {"name": "colour-ridge", "rho_views": {"value": 0.25, "low": 0.2, "high": 0.3}},
    ],
}


def studied(path: Path, *, seeds: int = 3) -> WrittenSweep:
    """A sweep whose candidate was trained again, one of them diverging, and on parts of train."""
    sweep = WrittenSweep(path, definition={"name": path.name, "space": {"task": ["regression"]}, "seeds": 3}, trials=2)
    ends = {"0000": ("done", 0.3), "0001": ("pruned", 0.1)}
    for key, (status, objective) in ends.items():
        sweep.trial(key)
        _curve(sweep, key, objective, 4 if status == "done" else 1)
        sweep.outcome(key, status, objective)  # type: ignore[arg-type]
    sweep.trial("paper-hybrid", task="hybrid", purpose="paper")
    sweep.outcome("paper-hybrid")
    for number in range(1, seeds + 1):
        key = f"0000-seed-{number}"
        sweep.trial(key, purpose="reseed", of="0000", seed=number)
        _curve(sweep, key, 0.3 + number / 100, 2 if number == 3 else 4)
        sweep.outcome(key, "diverged" if number == 3 else "done", None if number == 3 else 0.3 + number / 100)
    for subset, key in {"owners:0.5": "0000-owners-0.5-2", "matched:2014-05-01/1": "0000-matched-2014-05-01-1"}.items():
        sweep.trial(key, purpose="subset", of="0000", subset=subset)
    sweep.baseline("colour-ridge", val_rho_views=0.2, val_rank_mean=0.21)
    return sweep


def _curve(sweep: WrittenSweep, key: str, reached: float, num: int) -> None:
    for point in range(1, num + 1):
        value = reached * point / 4
        sweep.point(key, 2000 * point, train_learning_rate=1e-3, train_loss=1.0, val_rank_mean=value, val_rho_views=value + 0.05)


@pytest.fixture(scope="module")
def held(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[WrittenSweep, str, dict[str, Any]]:
    """A sweep with its report, and its runs in MLflow, by name; not to be changed."""
    root = tmp_path_factory.mktemp("held")
    shutil.copy(migrated_database, root / "mlflow.db")
    sweep, uri = studied(root / "study"), f"sqlite:///{root / 'mlflow.db'}"
    sweep.finish()
    sweep.report("It is in the picture.", **VERDICT)
    sweep.folder.contact_sheet.write_bytes(b"\xff\xd8 token=hunter2 \xff")
    sweep.folder.predictions.write_text("id,score\n1,0.5\n")
    sweep.folder.trial("0000").model_card.write_text('{"winner": 1}')
    Tracker(uri).project(sweep.folder)
    return sweep, uri, runs_of(uri)


Projected = tuple[WrittenSweep, str, dict[str, Any]]


def test_every_run_has_a_role_a_short_name_said_once_a_description_and_the_data_set(held: Projected) -> None:
    _, _, runs = held
    assert {name: run.data.tags["role"] for name, run in runs.items()} == {
        "study": "sweep",
        "0000": "trial",
        "0001": "trial",
        "paper hybrid": "paper",
        "0000 seed 1": "reseed",
        "0000 seed 2": "reseed",
        "0000 seed 3": "reseed",
        "0000 ½ owners 2": "subset",
        "0000 control 1": "subset",
        "0000 mean of 2": "mean",
        "0000 mean of 3": "mean",
        "colour ridge": "baseline",
    }
    assert all(len(name) <= 15 for name in runs)
    assert all(run.data.tags["mlflow.note.content"] for run in runs.values())
    assert {(data.dataset.name, data.dataset.digest) for run in runs.values() for data in run.inputs.dataset_inputs} == {
        ("made-up", ("ab" * 32)[:36])
    }
    assert all(len(run.inputs.dataset_inputs) == 1 for run in runs.values())


def test_a_description_says_what_it_is_and_how_it_ended(held: Projected) -> None:
    notes = {name: run.data.tags["mlflow.note.content"] for name, run in held[2].items()}
    assert notes["study"] == "how much of it is in the picture?\n\nIt is in the picture."
    assert notes["0001"].startswith("A trial of the search: 0001 regression")
    assert (
        "**Pruned after 2,000 of 8,000 pictures: too far behind the others there, which is no failure.** Objective +0.100 (rank_mean" in notes["0001"]
    )
    assert notes["0000 seed 3"].startswith("The settings of trial 0000, trained again with a fresh seed")
    assert "Interrupted after 0 of 8,000 pictures" in notes["0000 control 1"]
    assert "rank_mean on val: +0.310, +0.320, diverged." in notes["0000 mean of 3"]


def test_pruned_is_no_failure_and_its_tag_tells(held: Projected) -> None:
    assert (held[2]["0001"].info.status, held[2]["0001"].data.tags["status"]) == ("FINISHED", "pruned")


def test_the_objective_is_a_metric_of_trials_baselines_and_means(held: Projected) -> None:
    _, uri, runs = held
    reached = {name: run.data.metrics.get("objective") for name, run in runs.items() if run.data.tags["role"] in ("trial", "baseline", "mean")}
    assert reached == pytest.approx({"0000": 0.3, "0001": 0.025, "colour ridge": 0.21, "0000 mean of 2": 0.315, "0000 mean of 3": 0.21})
    assert [step for step, _, _ in history(uri, runs["0000"])["objective"]] == [2000, 4000, 6000, 8000]


def test_the_page_of_comparison_opens_on_the_objective(held: Projected) -> None:
    """It takes the first metric that all runs share, in the order that the server gives them, which is that of the first rows."""
    sweep, uri, runs = held
    client = client_of(uri)
    given = {name: list(client.get_run(runs[name].info.run_id).data.metrics) for name in ("0000", "0001", "colour ridge", "0000 mean of 3")}
    assert {metrics[0] for metrics in given.values()} == {"objective"}
    assert not any("train/learning_rate" in run.data.metrics for run in runs.values())
    # The control: the curve has the learning rate, and a run that is given it first has it first.
    assert "train/learning_rate" in sweep.folder.trial("0000").points.read_text()
    other = client.create_run(runs["0000"].info.experiment_id)
    for batch in batches(curve([(1, {"train/another": 1.0, "val/rank_mean": 0.1})]), 0):
        client.log_batch(other.info.run_id, metrics=batch)
    assert next(iter(client.get_run(other.info.run_id).data.metrics)) == "train/another"
    client.delete_run(other.info.run_id)


def test_the_mean_and_range_of_fresh_seeds_are_curves(held: Projected) -> None:
    _, uri, runs = held
    two, three = (history(uri, runs[f"0000 mean of {num}"]) for num in (2, 3))

    def of(curves: Any, name: str) -> list[float]:
        return [value for _, value, _ in curves[name]]

    parts = [0.25, 0.5, 0.75, 1.0]
    assert of(two, "val/rho_views") == pytest.approx([0.315 * part + 0.05 for part in parts])
    assert of(two, "val/rho_views_lower") == pytest.approx([0.31 * part + 0.05 for part in parts])
    assert of(two, "val/rho_views_upper") == pytest.approx([0.32 * part + 0.05 for part in parts])
    # One that diverged ranks nothing from there on, as in the choice of the winner.
    assert of(three, "val/rho_views_lower") == pytest.approx([0.31 * 0.25 + 0.05, 0.31 * 0.5 + 0.05, 0.0, 0.0])
    assert of(three, "val/rho_views")[-1] == pytest.approx((0.36 + 0.37) / 3)
    assert "seed" not in runs["0000 mean of 3"].data.params
    assert runs["0000 mean of 3"].data.params["num_seeds"] == "3"


def test_more_seeds_are_another_run_and_change_none(tmp_path: Path) -> None:
    sweep = studied(tmp_path / "study", seeds=1)
    found = []
    for number in (2, 3):
        found.append({run.key: run for run in read_sweep(sweep.folder) if run.kind == "mean"})
        sweep.trial(key := f"0000-seed-{number}", purpose="reseed", of="0000", seed=number)
        _curve(sweep, key, 0.4, 4)
        assert {run.key: run for run in read_sweep(sweep.folder) if run.kind == "mean"} == found[-1]  # while it runs
        sweep.outcome(key, "done", 0.4)
    found.append({run.key: run for run in read_sweep(sweep.folder) if run.kind == "mean"})
    assert [list(runs) for runs in found] == [[], ["0000 mean of 2"], ["0000 mean of 2", "0000 mean of 3"]]
    assert found[1].items() <= found[2].items()


def test_the_sweeps_own_run_shows_nothing_that_tells_nothing(tmp_path: Path) -> None:
    sweep = studied(tmp_path / "study")
    outcome = sweep.folder.trial("0000").outcome
    said = json.loads(outcome.read_text())
    said["metrics"] |= {"val/gini_fav": 0.2, "val/half_mse_views_mean": 1.0, "val/score_sd": 2.0, "val/auc_fav": 0.6}
    outcome.write_text(json.dumps(said))
    parent = read_sweep(sweep.folder)[0]
    names = {"objective", "val/rho_views", "val/gini_fav"}
    assert set(parent.points[-1].metrics) == {f"best_by_objective/{name}" for name in names} | {"trials_ended"}


class TestVerdict:
    def test_numbers_with_bounds_and_short_answers(self, held: Projected) -> None:
        parent = held[2]["study"].data
        tested = {name: value for name, value in parent.metrics.items() if name.startswith("test/")}
        of_views = {"test/rho_views": 0.4, "test/rho_views_lower": 0.3, "test/rho_views_upper": 0.5}
        given = {"test/rho_given_context": 0.2, "test/rho_given_context_lower": 0.1, "test/rho_given_context_upper": 0.3}
        assert tested == of_views | given
        assert {name: value for name, value in parent.tags.items() if name.startswith("verdict.")} == {
            "verdict.views.image_against_chance": "yes",
            "verdict.views.deep_against_cheap_image": "not decided",
            "verdict.views.image_on_top_of_context": "small",
        }

    def test_of_what_was_compared_too(self, held: Projected) -> None:
        lower = {name: run.data.metrics.get("test/rho_views_lower") for name, run in held[2].items()}
        assert {name: value for name, value in lower.items() if value is not None} == {"study": 0.3, "colour ridge": 0.2, "0000 mean of 3": 0.3}

    def test_a_later_report_replaces_them_and_the_same_does_nothing(self, tmp_path: Path, mlflow_sqlite: str) -> None:
        sweep = studied(tmp_path / "study")
        sweep.report("", **VERDICT)
        tracker = Tracker(mlflow_sqlite)
        tracker.project(sweep.folder)
        lower = {"value": 0.1, "low": -0.1, "high": 0.2}
        for number, at in ((1, 100), (2, 50)):  # judged again; opened again, on a machine whose clock is behind
            sweep.report("", openings={"number": number}, targets={"views": {"pooled": lower}})
            before = sweep.folder.verdict.stat().st_mtime
            os.utime(sweep.folder.verdict, (before + at, before + at))
            assert tracker.project(sweep.folder).points == (number == 1)
            assert runs_of(mlflow_sqlite)["study"].data.metrics["test/rho_views"] == 0.1
            lower = lower | {"value": 0.1}
        os.utime(sweep.folder.verdict)
        assert Tracker(mlflow_sqlite).project(sweep.folder) == Delivered()
        # The control: of two values at one step and time MLflow shows the higher, not the later.
        from mlflow.entities import Metric

        client, run = client_of(mlflow_sqlite), runs_of(mlflow_sqlite)["study"]
        for value in (0.9, 0.2):
            client.log_batch(run.info.run_id, metrics=[Metric("test/naive", value, 1, 1)])
        assert client.get_run(run.info.run_id).data.metrics["test/naive"] == 0.9

    @pytest.mark.parametrize("text", ["{", "[]", '{"targets": {"views": {"pooled": {"value": "much"}}}}', '{"targets": {"views": {"pooled": null}}}'])
    def test_one_that_cannot_be_read_is_told_in_a_line(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "verdict.json").write_text(text)
        with pytest.raises(RecordError, match=r"verdict\.json: .*; it is written whole by `peoria report`") as caught:
            read_said(tmp_path / "verdict.json")
        assert "\n" not in str(caught.value)

    def test_none(self, tmp_path: Path) -> None:
        assert read_said(tmp_path / "verdict.json") == Said()


def test_a_report_leaves_its_table_its_contact_sheet_and_the_winners_card(held: Projected, tmp_path: Path) -> None:
    sweep, uri, runs = held
    client, run_id = client_of(uri), runs["study"].info.run_id
    sent = {file.path: client.download_artifacts(run_id, file.path, str(tmp_path)) for file in client.list_artifacts(run_id)}
    files = {"verdict.json", "report.html", "run.json", "predictions.csv", "contact_sheet.jpg", "model_card_views.json"}
    assert sent.keys() == files
    picture = sweep.folder.contact_sheet.read_bytes()
    assert Path(sent["contact_sheet.jpg"]).read_bytes() == picture
    assert scrub_file("contact_sheet.jpg", picture) != picture  # control: read as text, it has a secret


class TestAxes:
    def test_of_a_trial_no_axis_mixes_words_and_numbers_and_no_two_values_look_alike(self) -> None:
        from peoria.config.trial import TrialConfig

        def axis(name: str, **settings: Any) -> str:
            return trial_axes(TrialConfig.model_validate({"task": "regression", "learning_rate": 1e-3, **settings}))[name]

        cuts = [axis("axis.filter", outlier_sd=cut) for cut in (2.0, 2.5, 4.0, 10.0, None)]
        assert cuts == sorted(cuts) == [" 2 sd", " 2.5 sd", " 4 sd", "10 sd", "no cut"]  # the pages sort words
        assert sorted(["2 sd", "10 sd"]) == ["10 sd", "2 sd"]  # control
        subsets = [f"matched:2014-05-01/{draw}" for draw in (1, 2, 3)] + ["before:2014-05-01", "owners:0.125", None]
        nets = ["mobilenet_v3_small", "mobilenet_v3_large", "densenet161", "densenet169", "tiny"]
        shown = [[axis("axis.train", subset=subset) for subset in subsets], [axis("axis.net", net=net) for net in nets]]
        for words in shown:
            assert len({word[:10] for word in words}) == len(words)
            assert all(len(word) <= SHOWN for word in words)
        for raw in (subsets[:3], nets[:2]):  # control
            assert len({str(word)[:10] for word in raw}) == 1
        assert float(axis("axis.log10_learning_rate")) == -3

    def test_of_sweeps(self, tmp_path: Path) -> None:
        sweep = SweepRecord.read(WrittenSweep(tmp_path / "photos-2014-b").folder.definition)
        assert sweep_axes(sweep) == {"axis.control": "none", "axis.name": told_apart("photos-2014-b"), "axis.shards": "made-up", "axis.where": "all"}
        assert told_apart("photos-2014-b") != told_apart("photos-2014-a")


def test_no_secret_of_an_address_is_in_a_name(tmp_path: Path) -> None:
    path = WrittenSweep(tmp_path / "s").folder.definition
    sweep = SweepRecord.read(path).model_copy(update={"shards": "s3://ann:hunter2@b/p?sig=hunter2", "where": "tag=a"})
    assert set_name(sweep) == sweep_axes(sweep)["axis.shards"] == "p"
    assert "hunter2" in sweep.shards.rsplit("/", 1)[-1]  # control


def test_a_long_question_and_headline_stay_whole_in_the_description(tmp_path: Path) -> None:
    sweep = studied(tmp_path / "study")
    sweep.report("It is in the picture. " * 50)
    run = read_sweep(sweep.folder)[0]
    assert run.tags["mlflow.note.content"].count("It is in the picture.") == 50


def test_a_run_costs_a_server_four_requests(tmp_path: Path, mlflow_sqlite: str) -> None:
    calls = []
    for num in (1, 2, 12):  # with the first the view of all sweeps is written
        sweep = WrittenSweep(tmp_path / f"of-{num}")
        for number in range(num):
            sweep.trial(key := f"{number:04d}")
            sweep.points(key)
            sweep.outcome(key, ended_at=None)
        tracker = Tracker(mlflow_sqlite)
        client, _ = tracker._connect(sweep.folder)
        tracker._client = counting = FaultyClient(client, 0)
        tracker.project(sweep.folder)
        calls.append(counting.num_calls)
    assert calls[2] - calls[1] == 4 * 10


class TestExperimentsDescription:
    @pytest.mark.parametrize(
        ("before", "after"), [(None, EXPERIMENT_NOTE), ("", EXPERIMENT_NOTE), ("peoria: as it once was", EXPERIMENT_NOTE), ("our own", "our own")]
    )
    def test_it_is_written_where_nobody_has(self, before: str | None, after: str, tmp_path: Path, mlflow_sqlite: str) -> None:
        client = client_of(mlflow_sqlite)
        if before is not None:
            client.create_experiment("peoria", artifact_location=(tmp_path / "a").as_uri(), tags={"mlflow.note.content": before})
        for _ in range(2):
            Tracker(mlflow_sqlite)._connect(WrittenSweep(tmp_path / "s").folder)
        assert client.get_experiment_by_name("peoria").tags["mlflow.note.content"] == after


def test_killed_after_any_call_of_a_reported_sweep_the_next_pass_makes_it_whole(tmp_path: Path, mlflow_sqlite: str) -> None:
    sweep = studied(tmp_path / "study")
    sweep.report("", **VERDICT)
    client, _ = (whole := Tracker(mlflow_sqlite, experiment="whole"))._connect(sweep.folder)
    whole._client = counting = FaultyClient(client, 0)
    whole.project(sweep.folder)
    expected = everything(mlflow_sqlite, "whole")
    for at in range(2, counting.num_calls + 1, 13):
        tracker = Tracker(mlflow_sqlite, experiment=f"killed at {at}")
        tracker._client = FaultyClient(client, at)
        with pytest.raises(KilledError):
            tracker.project(sweep.folder)
        Tracker(mlflow_sqlite, experiment=f"killed at {at}").project(sweep.folder)
        assert everything(mlflow_sqlite, f"killed at {at}") == expected, at


def test_a_name_is_the_key_where_it_tells_no_more(tmp_path: Path) -> None:
    from peoria.records.trials import read_trials

    sweep = WrittenSweep(tmp_path / "s")
    for key, of in {"0000": None, "again": "0000", "0001-other": "0001"}.items():
        sweep.trial(key, purpose="search" if of is None else "subset", of=of, subset="owners:0.5" if of else None)
    assert [trial_name(trial) for trial in read_trials(sweep.folder)] == ["0000", "0001-other", "again"]
