"""Predictions: the numbers of the sweep's own evaluation, whatever is wrong with a picture, in every form of output."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from peoria.data.control_signals import noise_pictures
from peoria.data.images import ArrayPictures
from peoria.predict_command import EXIT_NONE, EXIT_SOME_BAD
from peoria.records.whole import trial_scores
from peoria.serving.inputs import Squares
from peoria.serving.output import blocks, line, table
from peoria.serving.predict import COLUMNS, Model, Prediction, as_frame, load_models, predict, predictions
from peoria.serving.scorer import Scorer, winner_for
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.images.square import decode_square
from shards.manifest import PictureRule
from shards.read.shard_set import ShardSet
from tests.helpers.picture_kinds import KINDS
from tests.helpers.small import small_sweep
from tests.peoria.test_cli import run


@pytest.fixture(scope="module")
def swept(planted_shards: Path, home: Path) -> Path:
    """A home with a sweep of two trials, and fresh seeds of the winners."""
    sweep = small_sweep(planted_shards, name="served", trials=2, seeds=3, prune=False)
    run_sweep(sweep, RunOptions(home=home, local=True, tracking="off"), lambda text: None)
    return home


@pytest.fixture(scope="module")
def model(swept: Path) -> Model:
    (found,) = load_models(swept, "served", "views", cache=swept / "cache", say=lambda text: None)
    return found


@pytest.fixture(scope="module")
def originals(planted_shards: Path) -> list[Path]:
    """The pictures of val as they were before they were packed."""
    ids = ShardSet(planted_shards).labels("val").ids
    return [planted_shards.parent / "pictures" / "images" / f"{int(of):06d}.jpg" for of in ids]


@pytest.fixture
def mixed(originals: list[Path], tmp_path: Path) -> Path:
    """A folder with two good pictures, in folders, a broken one, a small one, a hidden one and a text."""
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    shutil.copy(originals[0], folder / "a.jpg")
    shutil.copy(originals[1], folder / "below" / "b.JPG")
    (folder / "broken.jpg").write_bytes(originals[2].read_bytes()[:700])
    Image.new("RGB", (40, 40), (200, 20, 20)).save(folder / "small.png")
    shutil.copy(originals[3], folder / ".hidden.jpg")
    (folder / "notes.txt").write_text("none")
    return folder


def test_scores_are_those_of_the_sweeps_own_evaluation(swept: Path, model: Model, originals: list[Path]) -> None:
    trial = winner_for(swept, "served", "views")[2]
    known = trial_scores(trial.folder).views
    found = list(predictions([model], originals))
    value = np.array([one.value for one in found])
    evaluated = model.winner.fitted.predict(known[:, None]) if model.winner.fitted.num_outputs == 1 and trial.config.task == "regression" else known
    np.testing.assert_allclose(value, evaluated, rtol=1e-5)
    below = np.array([np.mean(known < score) for score in known])
    assert np.abs(np.array([one.percentile for one in found]) - below).max() <= 1 / len(known) + 1e-9  # equal but for rounding
    squares = np.stack([decode_square(path.read_bytes(), PictureRule())[0] for path in originals])
    control = model.winner.score(squares).value  # without the JPEG that packing makes
    assert np.abs(control - evaluated).max() > 1e-4


def test_seeds_spread_is_that_of_their_own_models(swept: Path, model: Model, originals: list[Path]) -> None:
    one = next(predictions([model], originals[:1]))
    (batch,) = [of.squares for of in decoded_of(originals[:1])]
    values = [float(Scorer.of_trial(scorer.trial).score(batch).value[0]) for scorer in model.seeds]
    assert {scorer.trial.of for scorer in model.seeds} == {model.winner.trial.key}
    assert (one.seeds, one.seeds_low, one.seeds_high) == (3, min(values), max(values))
    assert one.seeds_mean == pytest.approx(np.mean(values))
    assert one.seeds_low < one.seeds_high


def decoded_of(paths: list[Path]) -> Iterator[Squares]:
    from peoria.serving.inputs import Input, decoded

    return decoded((Input(str(path)) for path in paths), PictureRule())


def test_a_model_sees_pictures_by_the_rule_of_those_it_learnt_from(model: Model, tmp_path: Path) -> None:
    (path := tmp_path / "p3.jpg").write_bytes(next(kind for kind in KINDS if kind.name == "JPEG profile Display P3").picture(1)[0])
    assert model.rule == PictureRule()
    earlier = replace(model, sweep=model.sweep.model_copy(update={"picture_rule": 2}))
    (now,), (then,) = ([one.value for one in predictions([of], [path])] for of in (model, earlier))
    assert now != then
    assert "picture_rule" not in earlier.sweep.model_dump()  # the record of a sweep that began before there was the field is as it was


def test_a_bad_picture_is_a_line_and_the_exit_status_tells(swept: Path, mixed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--home", swept, "--target", "views")
    assert run("predict", "served", mixed, "ftp://example.org/a.jpg", *words) == EXIT_SOME_BAD
    out, err = capfd.readouterr()
    lines = [text.split("\t") for text in out.splitlines()]
    assert [Path(name).name for name, *_ in lines] == ["a.jpg", "broken.jpg", "small.png", "b.JPG", "a.jpg"]
    assert [parts[1] == "no value" for parts in lines] == [False, True, False, False, True]
    assert "unlike what it learnt from" in lines[2]
    assert "ftp://example.org/a.jpg: an address of a kind that is not fetched; a file, or one that begins with http:// or https://" in err
    assert "broken.jpg: truncated: " in err
    assert "3 of 5 pictures have a value, 2 have none" in err
    assert run("predict", "served", mixed / "a.jpg", *words) == 0
    assert run("predict", "served", mixed / "gone*.jpg", mixed / "notes.txt", *words) == EXIT_NONE
    assert run("predict", "served", mixed / "a.jpg", "--out", mixed / "a.xlsx", *words) == 2
    assert run("predict", "served", mixed / "a.jpg", "--out", mixed / "a.jpg", "--format", "csv", *words) == 2
    assert "a name that ends as what it is" in capfd.readouterr().err
    assert (mixed / "a.jpg").read_bytes().startswith(b"\xff\xd8")


def test_files_say_the_same_in_every_format(swept: Path, mixed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        (tmp_path / f"o.{ending}").write_text("old")
        assert run("predict", "served", mixed, "--home", swept, "--target", "views", "--out", tmp_path / f"o.{ending}") == EXIT_SOME_BAD
    capfd.readouterr()
    rows = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert list(rows[0]) == list(COLUMNS)
    assert [json.loads(text) for text in (tmp_path / "o.jsonl").read_text().splitlines()] == rows
    with (tmp_path / "o.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    shown = {None: "", True: "true", False: "false"}
    assert told == [{name: shown[value] if isinstance(value, bool | None) else str(value) for name, value in row.items()} for row in rows]
    assert [row["error"] is None for row in rows] == [True, False, True, True]
    frame = as_frame(predict("served", str(mixed), home=swept, target="views", cache=swept / "cache"))
    assert frame.columns.tolist() == list(COLUMNS)
    np.testing.assert_allclose(frame["value"].dropna(), [row["value"] for row in rows if row["value"] is not None], rtol=1e-6)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    from shards.files import write_blocks

    def stopped() -> Iterator[Prediction]:
        yield from [Prediction(f"{number}.jpg", "views", 1.0) for number in range(5000)]
        raise KeyboardInterrupt

    for kind in ("csv", "jsonl", "parquet"):
        path = tmp_path / f"o.{kind}"
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt):
            write_blocks(path, blocks(kind, stopped()))
        assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 3
    assert len(b"".join(blocks("csv", [Prediction("1.jpg", "views", 1.0)])).splitlines()) == 2  # control


def test_names_come_from_standard_input(swept: Path, mixed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("predict", "served", "-", "--home", swept, "--target", "views", "--format", "jsonl", "--no-unlike")
    good, odd = mixed / "a.jpg", mixed / "with\nline.jpg"
    shutil.copy(good, odd)

    def piped(data: bytes) -> int:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as file:
            file.write(data)
        with os.fdopen(reading) as file:
            monkeypatch.setattr(sys, "stdin", file)
            return run(*words)

    for text, names in ((f"{good}\r\n\n{mixed / 'small.png'}", [good, mixed / "small.png"]), (f"{odd}\0{good}\0", [odd, good])):
        assert piped(text.encode()) == 0
        assert [json.loads(row)["picture"] for row in capfd.readouterr().out.splitlines()] == [str(name) for name in names]
    assert piped(good.read_bytes()[:5000]) == 2
    assert "standard input: the bytes of a picture; names of pictures, one a line" in capfd.readouterr().err
    assert piped(b"") == EXIT_NONE


def test_what_is_unlike_val_is_flagged(model: Model, swept: Path, planted_shards: Path) -> None:
    assert model.familiar is not None

    def flagged(squares: np.ndarray, side_px: int = 300) -> float:
        features = model.winner.seen(ArrayPictures(squares))[1]
        assert model.familiar is not None
        return float(np.mean(model.familiar.distance(squares, features, np.full(len(squares), side_px)) > 1))

    flat = np.stack([np.full((256, 256, 3), colour, np.uint8) for colour in np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3))])
    assert flagged(noise_pictures(20, seed=1).array) == 1
    assert flagged(flat) == 1
    shard_set = ShardSet(planted_shards)
    train = np.empty((shard_set.num_pictures("train"), 256, 256, 3), np.uint8)
    shard_set.decode("train", train)
    val = np.empty((shard_set.num_pictures("val"), 256, 256, 3), np.uint8)
    shard_set.decode("val", val)
    assert flagged(val) <= max(0.01, 1 / len(val))  # control: of the same kind, by other owners
    assert flagged(train[:20], side_px=63) == 1
    assert flagged(train[:20], side_px=64) < 0.5
    alone = replace(model.familiar, parts=(model.familiar.parts[0],))
    seen = model.winner.seen(noise_pictures(20, seed=1))[1]
    assert np.mean(alone.parts[0].distance(seen) > 1) < 1  # why the network's own features are not asked alone


def test_where_val_cannot_be_looked_at_nothing_is_flagged(swept: Path, model: Model, tmp_path: Path) -> None:
    from peoria.serving.familiar import Familiar

    said: list[str] = []
    for gone in (model.sweep.model_copy(update={"shards": str(tmp_path)}), model.sweep.model_copy(update={"identity": "ab"})):
        assert Familiar.of_val(model.winner, gone, tmp_path / "cache", said.append) is None
    assert all(text.startswith("unlike: not told; ") for text in said)
    assert Familiar.of_val(model.winner, model.sweep, swept / "cache", said.append) is not None  # control
    assert len(said) == 2  # and it is kept: they are not looked at again


def test_the_model_of_a_control_says_so_in_each_line(model: Model, originals: list[Path]) -> None:
    shuffled = replace(model, winner=replace(model.winner, card=model.winner.card.model_copy(update={"control": "shuffle"})))
    assert all(line(one)[-1] == "control shuffle: no model of anything" for one in predictions([shuffled], originals[:3]))
    assert b'"control": "shuffle"' in b"".join(blocks("jsonl", predictions([shuffled], originals[:1])))
    assert not any("control" in part for one in predictions([model], originals[:3]) for part in line(one)[1:])


def test_a_table_fits_a_terminal() -> None:
    from rich.cells import cell_len

    long = Prediction("folder/" * 20 + "猫の写真.jpg", "favorites", 12345.6, "views", 0.5, 5, 1.0, -1.23e-5, 98765.4, unlike=True)
    for width in (60, 80, 200):
        lines = list(table([long, replace(long, picture="a.jpg")], width, str))
        assert all(cell_len(text) <= min(max(width, 70), 80) for text in lines), lines
        assert "猫の写真.jpg" in lines[1] or width < 80
    assert list(table([Prediction("a.jpg", "views", error="no such file")], 80, str)) == []


def test_folders_do_not_lead_in_a_ring(tmp_path: Path) -> None:
    from peoria.serving.inputs import expand

    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "b" / "x[1].png").touch()
    found = [Path(one.name).name for one in expand([tmp_path / "a", str(tmp_path / "a" / "b" / "x[1].png"), str(tmp_path / "**" / "*.png")])]
    assert found == ["x[1].png"] * 3
    assert next(expand([str(tmp_path / "**x")])).error.endswith("a glob, as 'new/*.jpg' or 'new/**/*.jpg'")
