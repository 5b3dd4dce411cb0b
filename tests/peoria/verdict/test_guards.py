"""Guards of "in the picture" beyond its four bounds, each in a world that passes the four without it."""

from dataclasses import replace

import numpy as np
import pytest

from peoria.data.controls import control_name, not_in_pictures, refuse_control
from peoria.errors import ConfigError
from peoria.stats.clusters import Clusters
from peoria.verdict.judge import judge
from peoria.verdict.measures import Known
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import AboveChance, TargetVerdict
from shards.labels import Labels

ALL_FOUR = AboveChance(pooled=True, given_context=True, within_owner=True, neighbours=True)
READ = np.datetime64("2016-01-01T00:00:00", "s")


def labels_of(owner: np.ndarray, days: np.ndarray, logs: np.ndarray, dated: np.ndarray | None = None) -> Labels:
    keys = np.char.zfill(np.arange(len(owner)).astype(str), 9)
    uploaded = READ - np.round(days * 86_400).astype("timedelta64[s]")
    if dated is not None:
        uploaded = np.where(dated, uploaded, np.datetime64("NaT", "s"))
    views = np.floor(np.exp(4.2 + 1.3 * logs)).astype(np.int64)
    return Labels(keys, keys, owner.astype(str), views, uploaded_at=uploaded, observed_at=np.full(len(owner), READ))


def judged(labels: Labels, score: np.ndarray) -> TargetVerdict:
    one = PredictorScores("recipe", "r", "shipped", score, score)
    return judge({"recipe": one}, labels, Clusters.of(labels.owners), winners={"views": "recipe"}, num_resamples=199).targets.views


def in_time(rng: np.random.Generator, num: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    owner = np.repeat(np.arange(num), each)
    return owner, rng.uniform(60, 1000, num)[owner] - np.sort(rng.uniform(0, 28, (num, each)), axis=1).ravel()


@pytest.mark.parametrize("seed", [0, 1])
def test_dates_known_for_a_reason_beside_fame_are_not_in_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner, days = in_time(rng, 300, 14)
    fame, look, luck = rng.normal(size=300)[owner], rng.normal(size=4200), rng.normal(size=4200)
    dated = look * luck + 0.3 * rng.normal(size=4200) > 0  # known where look and views agree
    score = fame + look
    found = judged(labels_of(owner, days, 0.8 * fame + luck, dated), score)
    above = found.above_chance
    assert above == ALL_FOUR  # control: the four bounds hold
    assert not found.in_the_picture


@pytest.mark.parametrize("seed", [0, 1])
def test_a_mood_that_comes_back_is_not_in_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner, days = in_time(rng, 400, 14)
    mood = np.empty((400, 14))
    mood[:, 0] = rng.normal(size=400)
    for k in range(1, 14):
        mood[:, k] = 0.6 * mood[:, k - 1] + 0.8 * rng.normal(size=400)
    both = mood.ravel()
    found = judged(labels_of(owner, days, both + 0.5 * rng.normal(size=5600)), both + 0.5 * rng.normal(size=5600))
    above = found.above_chance
    assert above == ALL_FOUR  # control: the four bounds hold
    assert found.confounded
    assert not found.in_the_picture


def test_what_is_of_the_picture_passes_them_all() -> None:
    rng = np.random.default_rng(0)
    owner, days = in_time(rng, 300, 14)
    look, fame = rng.normal(size=4200), rng.normal(size=300)[owner]
    dated = rng.uniform(size=4200) < 0.9
    found = judged(labels_of(owner, days, 0.6 * look + 0.5 * fame + 0.6 * rng.normal(size=4200), dated), look + 0.5 * rng.normal(size=4200))
    assert found.in_the_picture


def test_the_hour_that_is_planted_is_that_of_the_upload() -> None:
    rng = np.random.default_rng(0)
    owner, days = in_time(rng, 20, 10)
    labels = labels_of(owner, days, rng.normal(size=200))
    assert labels.uploaded_at is not None
    planted = not_in_pictures(name := control_name("plant-hour"), labels, labels, "set")
    hour = (labels.uploaded_at - labels.uploaded_at.astype("datetime64[D]")) / np.timedelta64(3600, "s")
    assert np.corrcoef(planted, -np.abs(hour - 12))[0, 1] > 0.9
    with pytest.raises(ConfigError, match="uploaded_at unknown for 200 of 200"):
        refuse_control(name, replace(labels, uploaded_at=None), "train")


@pytest.mark.parametrize(
    ("measure", "limit"), [("within_owner", "peoria.verdict.measures.PAIRS_A_COLUMN"), ("neighbours", "peoria.stats.neighbours.DIFFERENCES_A_COLUMN")]
)
def test_too_few_for_the_columns_of_context_are_not_measured(measure: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners who upload every 40 days, and three times on successive days: 75 pairs and 50 differences near in time."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(25), 23)
    days = rng.uniform(100, 200, 25)[owner] + np.tile([*(40.0 * np.arange(20)), 801.0, 802.1, 803.3], 25)
    look = rng.normal(size=len(owner))
    labels = labels_of(owner, days, look + 0.1 * rng.normal(size=len(owner)))
    assert getattr(judged(labels, look).above_chance, measure) is None
    monkeypatch.setattr(limit, 0)
    assert getattr(judged(labels, look).above_chance, measure) is not None  # control


def test_a_tag_that_many_pictures_have_groups_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = np.array([f"photo t{k % 14}" for k in range(70)])
    labels = replace(labels_of(np.arange(70), np.arange(70.0), np.zeros(70)), tags=tags)
    known = Known(labels, Clusters.of(labels.owners))
    assert known.groups(np.arange(70))["tag"].num == 14
    monkeypatch.setattr("peoria.verdict.measures.MOST_OF_A_TAG", 1.0)
    assert known.groups(np.arange(70))["tag"].num == 1  # control
