"""What popularity and a score of it may share without any appeal of the picture, and with some: the causes behind `tests.helpers.referee_worlds`.

A world draws all pictures of train, val and test at once and says what log views and the score are made of. Quantities have unit variance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from peoria.stats.metrics import Floats


@dataclass
class People:
    """The owners of N pictures, and when they uploaded each."""

    rng: np.random.Generator
    owner: np.ndarray  # int [N]
    age: Floats  # [N], days before the counts were read
    place: Floats  # [N], of unit variance: when within the owner's burst of uploads

    @property
    def num(self) -> int:
        return int(self.owner[-1]) + 1

    def own(self) -> Floats:
        """Standard normal [N], the same for all pictures of an owner."""
        return self.rng.normal(size=self.num)[self.owner]

    def each(self) -> Floats:
        """Standard normal [N], independent."""
        return self.rng.normal(size=len(self.owner))

    def alike(self, group: np.ndarray | None = None, icc: float = 0.5) -> Floats:
        """Standard normal [N], alike within groups int [N], owners if not said."""
        group = self.owner if group is None else group
        return np.sqrt(icc) * self.rng.normal(size=group.max() + 1)[group] + np.sqrt(1 - icc) * self.each()


@dataclass
class Drawn:
    """All pictures of a world. ``cheap`` and ``trunk`` are the scores of the cheap models; ``trunk`` may be missing."""

    people: People
    logs: Floats  # [N], of views
    base: Floats  # [N], what all seeds of the judged score share
    cheap: Floats
    trunk: Floats | None = None
    causes: dict[str, Floats] = field(default_factory=dict)  # by name [N]: given all of them, score and log views are independent
    found_by_luck: Floats | None = None  # [N], what a seed goes by too, by a standard normal weight of its own
    views: np.ndarray | None = None  # int64 [N]; of ``logs`` if not said
    favorites: np.ndarray | None = None  # int64 [N]
    tags: np.ndarray | None = None  # int [N, K], the number of each tag, -1 for none
    told_age: Floats | None = None  # [N], as the table says it
    dated: np.ndarray | None = None  # bool [N]
    known: np.ndarray | None = None  # bool [N], whose owner is known


SEED_NOISE = 0.2  # standard deviation of what each seed has of its own, of that which they share
World = Callable[[np.random.Generator, int], Drawn]


def people(
    rng: np.random.Generator, num: int, *, median: float = 5.0, spread: float = 1.0, cap: int = 20, days: float = 1000.0, burst: float = 60.0
) -> People:
    """Sizes are log-normal and capped, as packing does; an owner's uploads lie within ``burst`` days."""
    return of_sizes(rng, np.minimum(1 + np.floor(np.exp(rng.normal(np.log(median), spread, num))), cap).astype(int), days, burst)


def of_sizes(rng: np.random.Generator, sizes: np.ndarray, days: float = 1000.0, burst: float = 60.0) -> People:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    within = rng.uniform(size=len(owner))
    age = rng.uniform(burst, days, len(sizes))[owner] - burst * within
    return People(rng, owner, age, np.sqrt(12) * (within - 0.5))


def z(x: Floats) -> Floats:
    return np.asarray((x - x.mean()) / x.std())


def views_of(logs: Floats) -> np.ndarray:
    return np.floor(np.exp(4.2 + 1.3 * np.minimum(logs, 25))).astype(np.int64)


def circle(age: Floats, period: float, peak: float = 0.8) -> Floats:
    """A wave in time, of unit variance."""
    return np.asarray(np.sqrt(2) * np.cos(2 * np.pi * (age / period - peak)))


def confounded(
    p: People, effect: dict[str, tuple[Floats, float, float]], *, cheap: float = 0.3, luck: float = 1.0, noise: float = 1.0, heavy: bool = False
) -> Drawn:
    """Causes, each (quantity [N], its weight in log views, its weight in the score); a cheap model sees the share ``cheap`` of each."""
    lucky = np.clip(p.rng.standard_cauchy(len(p.owner)), -40, 40) + p.alike() if heavy else p.alike()
    logs, base, seen = luck * lucky, noise * p.alike(), p.alike()
    for quantity, in_views, in_score in effect.values():
        logs, base, seen = logs + in_views * quantity, base + in_score * quantity, seen + cheap * in_score * quantity
    return Drawn(p, logs, base, seen, causes={name: quantity for name, (quantity, _, _) in effect.items()})


# Nothing.


def null(rng: np.random.Generator, num: int, favorites: float | None = None, unknown: float = 0.0, heavy: bool = False, **sizes: float) -> Drawn:
    """Score and views alike within owners, unrelated; ``favorites``, the share favourited, likewise. Owners of a share are ``unknown``."""
    p = people(rng, num, **sizes)  # type: ignore[arg-type]
    drawn = confounded(p, {}, heavy=heavy)
    if favorites is not None:
        liked = p.alike() + 0.5 * drawn.logs
        drawn.favorites = (liked > np.quantile(liked, 1 - favorites)).astype(np.int64)
    drawn.known = rng.uniform(size=len(p.owner)) >= unknown if unknown else None
    return drawn


def seeds_luck(rng: np.random.Generator, num: int, luck: float = 0.08) -> Drawn:
    """The recipe knows nothing on average; each of its seeds learns to like or to dislike what is viewed."""
    drawn = null(rng, num)
    drawn.found_by_luck = luck * drawn.logs
    return drawn


def grouped(rng: np.random.Generator, num: int, groups: int | None, alike: float, told: bool = False, share: float = 1.0, copies: int = 4) -> Drawn:
    """Views and look are each alike within groups that run across owners, unrelated: ``groups`` events of which a ``share`` of the pictures
    is, or that share in groups of ``copies``. ``told``: the events are tags."""
    p = people(rng, num)
    n = len(p.owner)
    grouped = rng.uniform(size=n) < share
    group = rng.integers(0, groups or max(1, int(share * n / copies)), n)
    look, logs = (np.where(grouped, p.alike(group, alike), p.alike()) for _ in range(2))
    return Drawn(p, logs, look, 0.5 * look + p.alike(), causes={"group": np.where(grouped, group, -1).astype(float)}, tags=_one(group, grouped, told))


def _one(group: np.ndarray, member: np.ndarray, told: bool) -> np.ndarray | None:
    return np.where(member, group, -1)[:, None] if told else None


def days_shared(rng: np.random.Generator, num: int, alike: float = 0.4) -> Drawn:
    """A shock to all uploads of a day, and something in the look of that day, unrelated."""
    p = people(rng, num)
    day = np.floor(p.age).astype(int)
    return Drawn(p, p.alike(day, alike) + 0.5 * p.own(), p.alike(day, alike) + 0.5 * p.own(), p.alike(), causes={"day": day.astype(float)})


def albums(rng: np.random.Generator, num: int, effect: float = 0.0, of: int = 10) -> Drawn:
    """Uploads come in albums of 10 within minutes; look and views are alike within one, and of ``effect`` share the album's theme."""
    p = of_sizes(rng, of * (1 + rng.integers(0, 3, num)))
    album = np.arange(len(p.owner)) // of
    p.age = p.age[album * of] - 0.01 * rng.uniform(size=len(album))
    theme = rng.normal(size=album[-1] + 1)[album]
    look, logs = p.alike(album, 0.6) + effect * theme, p.alike(album, 0.6) + effect * theme
    return Drawn(p, logs, look, p.alike(album, 0.6) + 0.3 * effect * theme, causes={"theme": theme})


def walks_apart(rng: np.random.Generator, num: int) -> Drawn:
    """Fame and look of an owner are random walks over his uploads, unrelated."""
    p = people(rng, num)
    return Drawn(p, walk(p) + 0.7 * p.each(), walk(p) + 0.7 * p.each(), walk(p) + p.each())


# What is known without the picture.


def hour(rng: np.random.Generator, num: int, effect: float = 0.7, seen: float = 0.7, noise: float = 1.0) -> Drawn:
    p = people(rng, num)
    return confounded(p, {"hour": (circle(p.age, 1.0), effect, seen)}, noise=noise)


def weekday(rng: np.random.Generator, num: int, effect: float = 0.7, seen: float = 0.7, nights: bool = False) -> Drawn:
    """Weekends are other than weekdays; or, ``nights``, the nights of working days only."""
    p = people(rng, num)
    day, time = np.floor(p.age) % 7, p.age % 1
    on = (day < 5) & (time < 0.3) if nights else day < 2
    return confounded(p, {"weekday": (z(on.astype(float)), effect, seen)})


def season(rng: np.random.Generator, num: int, effect: float = 0.6, seen: float = 0.6, noise: float = 1.0) -> Drawn:
    p = people(rng, num, days=4 * 365.25)
    return confounded(p, {"season": (circle(p.age, 365.25), effect, seen)}, noise=noise)


def age_bump(rng: np.random.Generator, num: int, width: float = 150) -> Drawn:
    """The score is a noisy copy of what age does."""
    p = people(rng, num)
    return confounded(p, {"age": (z(np.exp(-(((p.age - 500) / width) ** 2))), 1.0, 1.0)}, cheap=0.0, noise=0.8)


def wrong_dates(rng: np.random.Generator, num: int, share: float = 0.1) -> Drawn:
    """A tenth of the dates in the table are any date."""
    p = people(rng, num)
    drawn = confounded(p, {"age": (z(p.age), 1.0, 1.0)}, noise=0.7)
    drawn.told_age = np.where(rng.uniform(size=len(p.age)) < share, rng.uniform(0, 1000, len(p.age)), p.age)
    return drawn


def age_season(rng: np.random.Generator, num: int) -> Drawn:
    """The season matters more to older pictures."""
    p = people(rng, num, days=4 * 365.25)
    return confounded(p, {"age and season": (z(p.age / p.age.max() * circle(p.age, 365.25)), 0.8, 0.8)})


def tagged(rng: np.random.Generator, num: int, tags: int = 200, each: int = 3, effect: float = 0.7) -> Drawn:
    """Tags carry views, and look."""
    p = people(rng, num)
    given = np.minimum(np.floor(tags * rng.uniform(size=(len(p.owner), each)) ** 2), tags - 1).astype(int)  # some are frequent
    drawn = confounded(p, {"tags": (rng.normal(size=tags)[given].sum(axis=1) / np.sqrt(each), effect, effect)})
    drawn.tags = given
    return drawn


def dates_missing(rng: np.random.Generator, num: int, at_random: bool = False) -> Drawn:
    """Dates are known rather where look and views agree, which they do not in all; or for half, whichever."""
    p = people(rng, num)
    if at_random:
        drawn = confounded(p, {"fame": (p.own(), 0.7, 0.7), "age": (z(p.age), 0.7, 0.7)})
        drawn.dated = rng.uniform(size=len(p.age)) < 0.5
        return drawn
    drawn = confounded(p, {})
    drawn.dated = rng.uniform(size=len(p.age)) < 1 / (1 + np.exp(-2 * drawn.logs * drawn.base))
    return drawn


def undated(rng: np.random.Generator, num: int, world: World) -> Drawn:
    """A world whose table has no dates."""
    drawn = world(rng, num)
    drawn.dated = np.zeros(len(drawn.logs), bool)
    return drawn


# Owners.


def fame(rng: np.random.Generator, num: int, effect: float = 0.9, seen: float = 0.9, heavy: bool = False, **sizes: float) -> Drawn:
    p = people(rng, num, **sizes)  # type: ignore[arg-type]
    return confounded(p, {"fame": (p.own(), effect, seen)}, heavy=heavy)


def plainly(rng: np.random.Generator, num: int, with_hour: bool = False, zeros: float = 0.0, heavy: bool = False) -> Drawn:
    """Fame and age (or hour) multiply views, and both show in the look plainly. A share of ``zeros`` is put on the views."""
    p = people(rng, num)
    second = ("hour", circle(p.age, 1.0)) if with_hour else ("age", z(p.age))
    drawn = confounded(p, {"fame": (p.own(), 1.0, 1.0), second[0]: (second[1], 1.0, 1.0)}, luck=0.5, noise=0.3, heavy=heavy)
    if zeros:
        found = drawn.logs + rng.logistic(size=len(p.age))
        drawn.views = np.where(found < np.quantile(found, zeros), 0, views_of(drawn.logs))
    return drawn


def fame_and_age(rng: np.random.Generator, num: int) -> Drawn:
    """What age does differs by owner, and the look tells how."""
    p = people(rng, num)
    return confounded(p, {"fame": (p.own(), 0.5, 0.5), "fame × age": (p.own() * z(p.age), 0.8, 0.8)})


def giant(rng: np.random.Generator, num: int, share: float = 1.0) -> Drawn:
    """One owner of test has 2.5 pictures for each owner of test, or a share of that: as many as a third of the others."""
    sizes = np.minimum(1 + np.floor(np.exp(rng.normal(np.log(5), 1, num))), 20).astype(int)
    sizes[0] = max(20, round(share * num))
    p = of_sizes(rng, sizes)
    return confounded(p, {"fame": (p.own(), 0.9, 0.9)})


def few_each(rng: np.random.Generator, num: int) -> Drawn:
    """Owners of 1 or 2 pictures."""
    p = of_sizes(rng, 1 + rng.integers(0, 2, num))
    return confounded(p, {"fame": (p.own(), 0.9, 0.9)})


def self_made(rng: np.random.Generator, num: int) -> Drawn:
    """Who is famous uploads more, and more once he has got followers; the look tells fame, not when it came."""
    known = rng.normal(size=num)
    sizes = np.clip(np.floor(np.exp(rng.normal(1.3, 0.5, num) + 0.8 * known)), 1, 30).astype(int)
    p = of_sizes(rng, sizes)
    after = rng.uniform(size=len(p.owner)) < 0.75  # of the burst's second half: there three uploads in four lie
    within = 0.5 * (rng.uniform(size=len(p.owner)) + after)
    start = (rng.uniform(60, 1000, num))[p.owner]
    p.age, p.place = start - 60 * within, np.sqrt(12) * (within - 0.5)
    return confounded(p, {"fame": (known[p.owner], 0.9, 0.9), "followers": (z(after.astype(float)), 0.6, 0.0)})


def against(rng: np.random.Generator, num: int) -> Drawn:
    """Famous owners have a look; within an owner, more of it means fewer views."""
    p = people(rng, num)
    return confounded(p, {"fame": (p.own(), 1.0, 1.0), "look": (p.each(), -0.4, 0.7)}, noise=0.6)


# What changes within an owner.


def drift(rng: np.random.Generator, num: int, effect: float = 1.0, seen: float = 1.0, shape: str = "slope") -> Drawn:
    """Within the two months of an owner's uploads fame changes and his look with it: by a slope of his own, up or down (``sign``), or there
    and back (``hump``)."""
    p = people(rng, num)
    by_owner = np.sign(p.own()) if shape == "sign" else p.own()
    course = p.place if shape != "hump" else (1 - p.place**2) / np.sqrt(0.8)
    return confounded(p, {"drift": (by_owner * course, effect, seen)})


def steps(rng: np.random.Generator, num: int, num_steps: int = 1, effect: float = 1.0) -> Drawn:
    """A new camera, and on that day new followers; a second step takes both farther, or back."""
    p = people(rng, num)
    level = np.zeros(len(p.owner))
    for k in range(num_steps):
        height = 1.0 if k == 0 else np.sign(p.own())
        level += height * (p.place > rng.uniform(-1.5, 1.5, p.num)[p.owner])
    return confounded(p, {"step": (z(level), effect, effect)})


def walk(p: People) -> Floats:
    """A random walk over each owner's uploads, of about unit variance."""
    order = np.lexsort((-p.age, p.owner))
    first = np.flatnonzero(np.diff(p.owner[order], prepend=-1))
    gap = np.clip(-np.diff(p.age[order], prepend=0.0), 0, 60) / 60
    gap[first] = 0.5
    total = np.cumsum(p.each() * np.sqrt(gap))
    start = np.concatenate([[0.0], total])[first]
    found = np.empty(len(order))
    found[order] = total - np.repeat(start, np.diff(np.append(first, len(order))))
    return found


def walks(rng: np.random.Generator, num: int) -> Drawn:
    """Fame of an owner is a random walk, and his look goes with it."""
    p = people(rng, num)
    return confounded(p, {"walk": (walk(p), 0.8, 0.8)})
