"""The worlds that the verdict is calibrated on hold what their `Spec` says."""

import numpy as np
import pytest

from peoria.stats.metrics import Floats, pearson, spearman
from tests.helpers.referee_worlds import CONTEXT, RECIPE, WORLDS, judged, predictors, study_of

NUM = 60


def without(x: Floats, columns: list[Floats], owner: np.ndarray | None = None) -> Floats:
    """``x`` [N] less a linear function of ``columns`` and, where asked, less its mean of each owner."""
    group = np.zeros(len(x), int) if owner is None else owner
    centred = [column - (np.bincount(group, column) / np.bincount(group))[group] for column in (x, *columns)]
    base = np.stack(centred[1:], axis=1) if columns else np.zeros((len(x), 1))
    return np.asarray(centred[0] - base @ np.linalg.lstsq(base, centred[0], rcond=None)[0])


def correlation(name: str, held: bool, owners: bool = False, seeds: int = 6) -> float:
    """Mean correlation of score and log views over studies, the causes ``held`` fixed or not, and the ``owners``."""
    found = []
    for seed in range(seeds):
        s = study_of(name, seed, 200)
        columns = list(s.causes.values()) if held else []
        found.append(pearson(*(without(x, columns, s.owner if owners else None) for x in (s.score.mean(axis=0), np.clip(s.logs, -4, 4)))))
    return float(np.mean(found))


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_has_the_parts_of_a_study(name: str) -> None:
    spec, s = WORLDS[name], study_of(name, 0, NUM)
    n, v = len(s.labels), len(s.val.views)
    assert spec.name == name
    assert len(s.val.labels) == v
    assert s.score.shape in ((3, n), (5, n))
    assert s.val.score.shape == (len(s.score), v)
    assert set(s.others) == set(s.val.others) <= {"colour-ridge", "frozen-trunk-ridge", CONTEXT}
    assert all(column.shape == (n,) for column in (*s.others.values(), *s.causes.values(), s.owner, s.logs))
    assert all(column.shape == (v,) for column in s.val.others.values())
    assert all(np.isfinite(column).all() for column in (s.score, s.val.score, *s.others.values(), *s.val.others.values()))
    assert s.labels.views.dtype == np.int64
    assert s.labels.views.min() >= 0
    assert len(np.unique(s.labels.keys)) == n
    context = set() if "dates unknown" in name else {"context", "combined"}
    assert {p.kind for p in predictors(s).values()} == {"recipe", "learned"} | context


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_follows_from_its_seed(name: str) -> None:
    one, same, other = study_of(name, 0, NUM), study_of(name, 0, NUM), study_of(name, 1, NUM)
    for field in ("owners", "views", "favorites", "uploaded_at", "tags"):
        np.testing.assert_array_equal(getattr(one.labels, field), getattr(same.labels, field))
    np.testing.assert_array_equal(one.score, same.score)
    np.testing.assert_array_equal(one.val.score, same.val.score)
    for key, column in one.others.items():
        np.testing.assert_array_equal(column, same.others[key])
    assert not np.array_equal(one.labels.views, other.labels.views)


def test_there_are_enough_worlds_of_every_kind() -> None:
    assert len(WORLDS) >= 32
    assert {cause for spec in WORLDS.values() for cause in spec.cause} == {"context", "owner", "drift", "picture"}
    assert all(spec.picture == spec.adds == ("picture" in spec.cause) for spec in WORLDS.values())
    assert all(spec.picture for spec in WORLDS.values() if spec.deep)


@pytest.mark.parametrize("name", [name for name, spec in WORLDS.items() if spec.cause and not spec.picture and "events" not in name])
def test_nothing_is_left_once_the_causes_are_held_fixed(name: str) -> None:
    assert abs(correlation(name, held=True)) < 0.05
    assert correlation(name, held=False) > (0.05 if "weak" in name else 0.1)  # control


@pytest.mark.parametrize("name", [name for name, spec in WORLDS.items() if spec.picture])
def test_the_picture_acts_within_owners(name: str) -> None:
    found = []
    for seed in range(6):
        s = study_of(name, seed, 200)
        others = [column for key, column in s.causes.items() if key != "picture"]
        views = np.log1p(s.labels.views)  # luck may have no variance
        found.append([pearson(without(s.score.mean(axis=0), others, s.owner), without(x, others, s.owner)) for x in (s.causes["picture"], views)])
    of_appeal, of_views = np.mean(found, axis=0)
    assert of_appeal > 0.03
    assert of_views > 0.02


@pytest.mark.parametrize("name", [name for name, spec in WORLDS.items() if spec.cause == {"owner"} and "against" not in name])
def test_fame_leaves_nothing_within_owners(name: str) -> None:
    assert abs(correlation(name, held=False, owners=True)) < (0.1 if "1 or 2" in name else 0.05)
    assert correlation(name, held=False) > 0.1  # control


@pytest.mark.parametrize("name", [name for name, spec in WORLDS.items() if spec.rho is not None])
def test_a_known_correlation_is_that_of_the_population(name: str) -> None:
    found = [np.mean([spearman(score, s.labels.views) for score in s.score]) for s in (study_of(name, k, 1000) for k in range(8))]
    assert np.mean(found) == pytest.approx(WORLDS[name].rho, abs=0.06 if "luck" in name else 0.03)


def test_dates_that_are_missing_make_a_correlation_where_there_is_none() -> None:
    studies = [study_of("dates missing where look and views disagree", seed, 200) for seed in range(6)]
    dated = [~np.isnat(s.labels.uploaded_at) for s in studies]  # type: ignore[arg-type]
    everywhere = np.mean([spearman(s.score[0], s.labels.views) for s in studies])
    among_dated = np.mean([spearman(s.score[0][rows], s.labels.views[rows]) for s, rows in zip(studies, dated, strict=True)])
    assert abs(everywhere) < 0.05
    assert among_dated > 0.15


def test_rare_favourites_and_zeros_are_as_rare_as_they_say() -> None:
    def mean_of(name: str, column: str, least: int) -> float:
        return float(np.mean([(getattr(study_of(name, seed, 1000).labels, column) >= least).mean() for seed in range(4)]))

    assert mean_of("favourites of 0.4 %", "favorites", 1) == pytest.approx(0.004, abs=0.0015)
    assert mean_of("favourites of 1 %", "favorites", 1) == pytest.approx(0.01, abs=0.003)
    assert 1 - mean_of("70 % zeros, fame and age", "views", 1) == pytest.approx(0.7, abs=0.05)


def test_the_product_judges_a_study() -> None:
    found = judged(study_of("null, both targets", 0, NUM), num_resamples=49)
    assert found.targets.favorites is not None
    assert found.targets.views.predictor == RECIPE
    assert found.targets.views.deep is not None
    assert found.targets.views.context is not None
    assert judged(study_of("picture .3", 0, 200), num_resamples=49).targets.views.in_the_picture
