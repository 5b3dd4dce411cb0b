"""The planted world must be what it says, or every test that finds something in it proves nothing."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from peoria.data.synthetic import EFFECT_WEIGHTS, Planted, plant
from peoria.errors import PeoriaError

World = tuple[Planted, list[dict[str, str]]]


def _world(folder: Path, name: str, num: int, seed: int = 0) -> World:
    planted = plant(folder / name, num_pictures=num, seed=seed, **EFFECT_WEIGHTS[name])
    with planted.table.open(newline="") as file:
        return planted, list(csv.DictReader(file))


def _column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> World:
    return _world(tmp_path_factory.mktemp("plants"), "both", 600)


def _squares(world: World) -> list[np.ndarray]:
    """The central squares, BGR, as packing cuts them."""
    squares = []
    for row in world[1]:
        picture = cv2.imread(str(world[0].table.parent / row["path"]))
        assert picture is not None
        height, width, _ = picture.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        squares.append(cv2.resize(picture[top : top + side, left : left + side], (256, 256), interpolation=cv2.INTER_AREA))
    return squares


def _statistics(square: np.ndarray) -> np.ndarray:
    """Colour means, spreads and histograms, contrast and edges: all that does not know where in the frame something is."""
    hsv, grey = cv2.cvtColor(square, cv2.COLOR_BGR2HSV), cv2.cvtColor(square, cv2.COLOR_BGR2GRAY)
    histograms = [np.histogram(hsv[..., i], bins=8, range=(0, 256))[0] / grey.size for i in range(3)]
    edges = [np.abs(np.diff(grey.astype(int), axis=axis)).mean() for axis in (0, 1)]
    return np.concatenate([hsv.mean((0, 1)), hsv.std((0, 1)), *histograms, [grey.std()], edges])


def _held_out_rho(features: np.ndarray, target: np.ndarray) -> float:
    """Spearman of a ridge, fitted on the first two thirds, on the rest."""
    cut = len(target) * 2 // 3
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 11))).fit(features[:cut], target[:cut])
    return float(spearmanr(ridge.predict(features[cut:]), target[cut:]).statistic)


def test_one_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (plant(tmp_path / name, num_pictures=12, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 12 + 2
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()
    assert first.oracle_rho == again.oracle_rho != other.oracle_rho


def test_counts_look_like_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.data.synthetic.render", lambda *_: b"")  # counts do not wait for pictures
    planted, rows = _world(tmp_path, "both", 6000)
    counts = np.array([_column(rows, name) for name in ("views", "favorites", "comments")])
    assert 100 < counts[0].mean() < 220
    assert 200 < counts[0].std() < 600
    assert counts[0].max() > 3000
    assert abs((counts[1] > 0).mean() - 0.109) < 0.015
    assert abs((counts[2] > 0).mean() - 0.1) < 0.015
    assert np.corrcoef(counts)[np.triu_indices(3, 1)].min() > 0.02
    assert planted.mean_views == counts[0].mean()
    assert planted.share_favorites == (counts[1] > 0).mean()
    assert 0.63 < planted.oracle_rho < 0.72
    assert abs(planted.colour_rho - planted.arrangement_rho) < 0.06
    assert planted.oracle_rho == pytest.approx(spearmanr(_column(rows, "oracle"), counts[0]).statistic, abs=1e-4)
    owners, num = np.unique([row["owner"] for row in rows], return_counts=True)
    assert len(owners) == planted.num_owners > 500
    assert num.max() > 5 * np.median(num)


def test_colour_is_in_the_statistics_and_arrangement_is_not(both: World) -> None:
    statistics = np.array([_statistics(square) for square in _squares(both)])
    assert _held_out_rho(statistics[:, :6], _column(both[1], "planted_colour")) > 0.9
    assert abs(_held_out_rho(statistics, _column(both[1], "planted_arrangement"))) < 0.15


def test_arrangement_is_in_a_thumbnail(both: World) -> None:
    grey = [cv2.cvtColor(square, cv2.COLOR_BGR2GRAY) for square in _squares(both)]
    thumbnails = np.array([cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).ravel() for picture in grey])
    assert _held_out_rho(thumbnails, _column(both[1], "planted_arrangement")) > 0.8


def test_no_two_pictures_are_near_duplicates(both: World) -> None:
    pdqhash = pytest.importorskip("pdqhash")
    hashes = np.array([pdqhash.compute(np.ascontiguousarray(square[..., ::-1]))[0] for square in _squares(both)], dtype=np.float32)
    distances = hashes @ (1 - hashes).T
    distances += distances.T
    assert distances[np.triu_indices(len(hashes), 1)].min() > 15


def _within(rows: list[dict[str, str]], name: str, groups: np.ndarray) -> float:
    """Correlation of the ranks of a column and of views, both less their group's mean."""
    values, views = rankdata(_column(rows, name)), rankdata(_column(rows, "views"))
    for group in np.unique(groups):
        inside = groups == group
        values[inside] -= values[inside].mean()
        views[inside] -= views[inside].mean()
    return float(np.corrcoef(values, views)[0, 1])


@pytest.mark.parametrize("name", ["owner", "age"])
def test_a_look_that_follows_fame_or_age_only_correlates_from_outside(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.data.synthetic.render", lambda *_: b"")
    planted, rows = _world(tmp_path, name, 4000)
    groups = np.array([row["owner"] if name == "owner" else row["uploaded_at"][:7] for row in rows])
    assert planted.oracle_rho == 0.0
    assert 0.24 < planted.colour_rho < 0.4
    assert abs(_within(rows, "planted_colour", groups)) < 0.06
    # control: with a cause in the picture the same measure sees it
    assert _within(_world(tmp_path, "colour", 4000)[1], "planted_colour", groups) > 0.4


def test_nothing_planted_is_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.data.synthetic.render", lambda *_: b"")
    planted = plant(tmp_path, num_pictures=6000, **EFFECT_WEIGHTS["none"])
    assert planted.oracle_rho == 0.0
    assert abs(planted.colour_rho) < 0.05
    assert abs(planted.arrangement_rho) < 0.05


def test_parameters_are_kept_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    plant(tmp_path, num_pictures=3, noise=0.5, seed=7, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    written = json.loads((tmp_path / "plant.json").read_text())
    assert written["parameters"]["noise"] == 0.5
    assert written["parameters"]["seed"] == 7
    assert written["planted"]["num_pictures"] == 3


def test_every_wrong_parameter_is_named(tmp_path: Path) -> None:
    wrong = r"colour: -1; a finite number.*\nage: nan; a finite.*\nage_look: 2; a number from 0 to 1\nnum_pictures: 0; at least 1"
    with pytest.raises(PeoriaError, match=wrong):
        plant(tmp_path, num_pictures=0, colour=-1, age=float("nan"), age_look=2)
    with pytest.raises(PeoriaError, match=r"owner_look, age_look: 0.9, 0.9; squares that sum to at most 1"):
        plant(tmp_path, num_pictures=1, owner_look=0.9, age_look=0.9)
