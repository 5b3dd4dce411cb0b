"""Simulated studies of known truth: what a score and the views share, by world, and what the product says of them.

A world is drawn for owners of train, val and test at once, so that events, days and tags are the same ones; the context baseline is fitted on
train, context and image are combined on val, and test is judged. The truth is in `Spec`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from peoria.stats.clusters import Clusters
from peoria.stats.combine import combine
from peoria.stats.metrics import Floats, gini, spearman
from peoria.verdict.judge import judge
from peoria.verdict.predictors import CHEAP, PredictorScores
from peoria.verdict.schema import Judgement, Target
from shards.labels import Labels
from tests.helpers import referee_causes as causes
from tests.helpers import referee_pictures as pictures
from tests.helpers.referee_causes import Drawn, World

READ = np.datetime64("2016-01-01T00:00:00", "s")
DAY_S = 86_400
RECIPE = "recipe-0001"
CONTEXT = "context"


@dataclass(frozen=True)
class Val:
    """The val split of a study, V pictures."""

    labels: Labels
    score: Floats  # [S, V]
    others: dict[str, Floats]  # as `Study.others`, [V]

    @property
    def views(self) -> np.ndarray:
        """int64 [V]."""
        return self.labels.views


@dataclass(frozen=True)
class Study:
    """A test split of N pictures with all that is judged on it."""

    labels: Labels
    score: Floats  # [S, N], of the judged recipe's seeds
    others: dict[str, Floats]  # 'colour-ridge', 'frozen-trunk-ridge', 'context', each [N], where the world has them
    val: Val
    causes: dict[str, Floats] = field(default_factory=dict)  # what nobody sees: by name [N]; given all, score and log views are independent
    owner: np.ndarray = field(default_factory=lambda: np.empty(0, int))  # int [N], the real one, where the label is blank as well
    logs: Floats = field(default_factory=lambda: np.empty(0))  # [N], of the true rate of views


@dataclass(frozen=True)
class Spec:
    """A world and what is true in it."""

    name: str
    make: Callable[[np.random.Generator, int], Study]  # (rng, owners of test)
    picture: bool  # within an owner, the picture has a true effect on views, which the score tells
    deep: bool  # the score knows more of the picture's own effect than every cheap model
    adds: bool  # it adds to context by way of the picture
    cause: frozenset[str]  # what stands behind the correlation, of {'context', 'owner', 'drift', 'picture'}; empty: there is none, or it is luck
    rho: float | None = None  # Spearman's ρ of a seed's score and views in the population of owners (and seeds), where it is known exactly


@dataclass(frozen=True)
class Design:
    """How a world is studied."""

    seeds: int = 3
    seed_noise: float = causes.SEED_NOISE  # what each seed has of its own, in standard deviations of what they share
    diverge: float = 0.0  # chance of each seed but the first to give one value for all
    owners: float = 1.0  # of test, for each that is asked for
    val_share: float = 0.5  # owners of val for each of test
    train_share: float = 1.0  # of train, at least 20


def study(rng: np.random.Generator, num_owners: int, world: World, design: Design) -> Study:
    num_test = max(2, round(design.owners * num_owners))
    num_val = max(2, round(design.val_share * num_test))
    drawn = world(rng, num_test + num_val + max(20, round(design.train_share * num_test)))
    owner = drawn.people.owner
    bounds = np.searchsorted(owner, [num_test, num_test + num_val])
    test, val, train = slice(0, bounds[0]), slice(bounds[0], bounds[1]), slice(bounds[1], None)
    views = causes.views_of(drawn.logs) if drawn.views is None else drawn.views
    score = drawn.base + design.seed_noise * drawn.base.std() * rng.normal(size=(design.seeds, len(owner)))
    if drawn.found_by_luck is not None:
        score += rng.normal(size=(design.seeds, 1)) * drawn.found_by_luck
    score[1:][rng.uniform(size=design.seeds - 1) < design.diverge] = 0.0
    others = {"colour-ridge": drawn.cheap} | ({} if drawn.trunk is None else {"frozen-trunk-ridge": drawn.trunk})
    known = context_of(drawn, views, train)
    if known is not None:
        others[CONTEXT] = known
    return Study(
        labels=labels_of(drawn, views, test),
        score=score[:, test],
        others={name: column[test] for name, column in others.items()},
        val=Val(labels_of(drawn, views, val), score[:, val], {name: column[val] for name, column in others.items()}),
        causes={name: column[test] for name, column in drawn.causes.items()},
        owner=owner[test],
        logs=drawn.logs[test],
    )


def labels_of(drawn: Drawn, views: np.ndarray, rows: slice) -> Labels:
    owner = drawn.people.owner[rows]
    n = len(owner)
    keys = (np.arange(n) + 100_000_000).astype(str)
    told = drawn.people.age if drawn.told_age is None else drawn.told_age
    uploaded = READ - np.round(told[rows] * DAY_S).astype("timedelta64[s]")
    without_dates = drawn.dated is not None and not drawn.dated.any()
    if drawn.dated is not None:
        uploaded = np.where(drawn.dated[rows], uploaded, np.datetime64("NaT", "s"))
    tags = None
    if drawn.tags is not None:
        tags = np.array([" ".join(f"t{tag}" for tag in row if tag >= 0) for row in drawn.tags[rows].tolist()])
    return Labels(
        keys=keys,
        ids=keys,
        owners=owner.astype(str) if drawn.known is None else np.where(drawn.known[rows], owner.astype(str), ""),
        views=views[rows],
        favorites=None if drawn.favorites is None else drawn.favorites[rows],
        uploaded_at=None if without_dates else uploaded,
        observed_at=None if without_dates else np.full(n, READ),
        tags=tags,
    )


def context_of(drawn: Drawn, views: np.ndarray, train: slice) -> Floats | None:
    """The log views that a ridge fitted on train tells from the context, with the columns of the product's: [N]; ``None`` where nothing is known."""
    told = drawn.people.age if drawn.told_age is None else drawn.told_age
    dated = np.ones(len(told), bool) if drawn.dated is None else drawn.dated
    columns = []
    if dated.any():
        days = np.where(dated, told, np.median(told[dated]))
        angles = [2 * np.pi * told / period for period in (1.0, 7.0)]
        columns = [days, np.log1p(days), *(np.where(dated, wave(angle), 0.0) for angle in angles for wave in (np.cos, np.sin))]
    if drawn.tags is not None:
        given = np.zeros((len(told), drawn.tags.max() + 2))
        given[np.arange(len(told))[:, None], drawn.tags] = 1.0  # −1, no tag, in the last
        columns += list(given[:, :-1].T)
    if not columns:
        return None
    x = np.stack(columns)
    x -= x[:, train].mean(axis=1, keepdims=True)
    x /= np.maximum(x[:, train].std(axis=1, keepdims=True), 1e-3)
    y = np.log1p(views[train])
    penalty = 10.0 * np.eye(len(x))
    weights = np.linalg.solve(x[:, train] @ x[:, train].T + penalty, x[:, train] @ (y - y.mean()))
    return np.asarray(weights @ x)


def predictors(found: Study) -> dict[str, PredictorScores]:
    """All that is judged, by name."""
    listed = [PredictorScores(RECIPE, f"trial 1, {len(found.score)} fresh seeds", "recipe", found.score, found.score)]
    for name in CHEAP:
        if name in found.others:
            listed.append(PredictorScores(name, name.replace("-", " "), "learned", found.others[name], found.others[name]))
    if CONTEXT in found.others:
        context, label = found.others[CONTEXT], "context (age, time of upload" + (")" if found.labels.tags is None else ", tags)")
        listed.append(PredictorScores(CONTEXT, label, "context", context, context))
        views = _joined(found, found.val.views.astype(float))
        liked = found.val.labels.favorites
        favorites = None if liked is None else _joined(found, (liked >= 1).astype(float))
        name = f"{CONTEXT}+{RECIPE}"
        listed.append(PredictorScores(name, f"{label} and the image", "combined", views, favorites))
    return {p.name: p for p in listed}


def _joined(found: Study, y: Floats) -> Floats:
    """Context and image as one score, combined on val for ``y`` [V], by seed: [S, N]."""
    seeds = zip(found.val.score, found.score, strict=True)
    return np.stack([combine(known, found.val.others[CONTEXT], y).score(found.others[CONTEXT], asked) for known, asked in seeds])


def on_val(found: Study) -> dict[str, dict[str, float]]:
    """Of the cheap models and the context, what chooses among them."""
    val, metrics = found.val, {}
    liked = val.labels.favorites
    for name, column in val.others.items():
        metrics[name] = {"rho_views": spearman(column, val.views)}
        if liked is not None and len(np.unique(liked >= 1)) == 2:
            metrics[name]["gini_fav"] = gini(column, liked >= 1)
    return metrics


def judged(found: Study, seed: int = 0, num_resamples: int = 299) -> Judgement:
    """What the product says; of favourites too, where test and val have both classes."""
    labels, favorites = found.labels, (found.labels.favorites, found.val.labels.favorites)
    winners: dict[Target, str] = {"views": RECIPE}
    if all(column is not None and len(np.unique(column >= 1)) == 2 for column in favorites):
        winners["favorites"] = RECIPE
    return judge(predictors(found), labels, Clusters.of(labels.owners), winners=winners, num_resamples=num_resamples, seed=seed)


def study_of(name: str, seed: int, num_owners: int) -> Study:
    """One study of a world; those of different worlds share no luck."""
    return WORLDS[name].make(np.random.default_rng([seed, crc32(name.encode())]), num_owners)


WORLDS: dict[str, Spec] = {}


def _add(name: str, world: World, cause: str = "", *, deep: bool = False, rho: float | None = None, **design: Any) -> None:
    found = frozenset(cause.split())
    make = partial(study, world=world, design=Design(**design))
    WORLDS[name] = Spec(name, make, "picture" in found, deep, "picture" in found, found, rho)


_add("null", causes.null, seeds=5, rho=0.0)
_add("null, seeds far apart", causes.null, seed_noise=1.5, rho=0.0)
_add("null, luck of seeds", causes.seeds_luck, rho=0.0)
_add("null, luck of 5 seeds", causes.seeds_luck, seeds=5, rho=0.0)
_add("null, both targets", partial(causes.null, favorites=0.1), rho=0.0)
_add("favourites of 0.4 %", partial(causes.null, favorites=0.004), rho=0.0)
_add("favourites of 1 %", partial(causes.null, favorites=0.01), rho=0.0)
_add("owners unknown for half", partial(causes.null, unknown=0.5), owners=0.3)
_add("owners unknown for all", partial(causes.null, unknown=1.0), owners=0.3)
_add("10 events unknown", partial(causes.grouped, groups=10, alike=0.35))
_add("40 events unknown", partial(causes.grouped, groups=40, alike=0.35))
_add("160 events unknown", partial(causes.grouped, groups=160, alike=0.35))
_add("10 events as tags", partial(causes.grouped, groups=10, alike=0.35, told=True), "context")
_add("40 events as tags", partial(causes.grouped, groups=40, alike=0.35, told=True), "context")
_add("160 events as tags", partial(causes.grouped, groups=160, alike=0.35, told=True), "context")
_add("near-duplicates across owners", partial(causes.grouped, groups=None, alike=0.95, share=0.4))
_add("upload-day shocks", causes.days_shared)
_add("albums", causes.albums, rho=0.0)
_add("random walks apart", causes.walks_apart, rho=0.0)
_add("dates missing where look and views disagree", causes.dates_missing, rho=0.0)

_add("hour", causes.hour, "context")
_add("hour plainly, train of few", partial(causes.hour, effect=0.35, seen=1.0, noise=0.3), "context", train_share=0.1)
_add("hour, weak", partial(causes.hour, effect=0.15, seen=0.6, noise=0.8), "context")
_add("hour, dates unknown", partial(causes.undated, world=causes.hour), "context")
_add("weekday", causes.weekday, "context")
_add("weekday nights", partial(causes.weekday, nights=True), "context")
_add("season", causes.season, "context")
_add("season plain in the look", partial(causes.season, seen=0.7, noise=0.5), "context")
_add("age bump", causes.age_bump, "context", seeds=5)
_add("age bump, narrow", partial(causes.age_bump, width=90), "context")
_add("10 % wrong dates", causes.wrong_dates, "context")
_add("age × season", causes.age_season, "context")
_add("200 tags", causes.tagged, "context")

_add("fame", causes.fame, "owner")
_add("fame, dates unknown", partial(causes.undated, world=causes.fame), "owner")
_add("fame and heavy-tailed luck", partial(causes.fame, heavy=True), "owner")
_add("one giant", causes.giant, "owner")
_add("one large owner", partial(causes.giant, share=0.2), "owner")
_add("owners of 1 or 2 pictures", causes.few_each, "owner")
_add("self-made", causes.self_made, "owner")
_add("fame for, look against", causes.against, "owner")
_add("fame and age plainly", causes.plainly, "owner context", seeds=5)
_add("fame and hour plainly", partial(causes.plainly, with_hour=True), "owner context")
_add("fame × age", causes.fame_and_age, "owner context")
_add("70 % zeros, fame and age", partial(causes.plainly, zeros=0.7), "owner context")
_add("dates missing at random, fame and age", partial(causes.dates_missing, at_random=True), "owner context")

_add("drift", causes.drift, "drift")
_add("drift, half", partial(causes.drift, effect=0.5, seen=0.5), "drift")
_add("drift, weak", partial(causes.drift, effect=0.3, seen=0.3), "drift")
_add("drift, up or down", partial(causes.drift, shape="sign"), "drift")
_add("drift, there and back", partial(causes.drift, shape="hump"), "drift")
_add("camera and followers", partial(causes.steps, effect=0.4), "drift")
_add("camera and followers, strong", causes.steps, "drift")
_add("two steps", partial(causes.steps, num_steps=2, effect=0.6), "drift")
_add("random walk", causes.walks, "drift")
_add("album effect", partial(causes.albums, effect=0.6), "drift")

_add("picture .05", partial(pictures.picture, rho=0.05), "picture", rho=0.05, deep=True)
_add("picture .1", partial(pictures.picture, rho=0.1), "picture", rho=0.1, deep=True)
_add("picture .1, owners of 20", partial(pictures.picture, rho=0.1, median=16, spread=0.7, cap=60), "picture", rho=0.1, deep=True)
_add("picture .2", partial(pictures.picture, rho=0.2), "picture", rho=0.2, deep=True, seeds=5)
_add("picture .3", partial(pictures.picture, rho=0.3), "picture", rho=0.3, deep=True)
_add("picture .2, seeds that diverge", partial(pictures.picture, rho=0.2), "picture", seeds=5, deep=True, diverge=0.2)
_add("picture in a third of owners", partial(pictures.picture, rho=0.3, in_owners=1 / 3), "picture", deep=True)
_add("picture, fame, hour and drift", pictures.among_others, "picture owner context drift", deep=True)
_add("picture and age", pictures.with_age, "picture context", deep=True)
_add("picture, fame and heavy-tailed luck", partial(pictures.among_others, heavy=True), "picture owner", deep=True)
_add("cheap as good as deep", partial(pictures.as_good, worse=0.7), "picture")
_add("cheap as good, val of few", partial(pictures.as_good, worse=0.6), "picture", val_share=0.05)
_add("deep knows more fame", pictures.better_fame, "picture owner")
