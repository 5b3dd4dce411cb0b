"""Worlds in which part of the popularity is in the picture: half of its appeal is seen by any cheap model, half takes a deep one."""

import numpy as np

from peoria.stats.metrics import Floats
from tests.helpers.referee_causes import SEED_NOISE, Drawn, People, circle, people, z
from tests.helpers.studies import latent_of


def appeal_of(p: People) -> tuple[Floats, Floats, Floats]:
    """The appeal [N] of unit variance, and its two halves, colour and shape."""
    colour, shape = p.alike(), p.alike()
    return (colour + shape) / np.sqrt(2), colour, shape


def picture(rng: np.random.Generator, num: int, rho: float = 0.1, in_owners: float = 1.0, **sizes: float) -> Drawn:
    """Nothing but the picture: pooled Spearman's ρ of score and views is ``rho`` where it acts in all owners; else in a share of them."""
    p = people(rng, num, **sizes)  # type: ignore[arg-type]
    latent = latent_of(rho) * np.sqrt(1 + SEED_NOISE**2)  # of what seeds share
    appeal, colour, _ = appeal_of(p)
    acts = (rng.uniform(size=p.num) < in_owners)[p.owner]
    logs = np.where(acts, appeal, p.alike())
    return Drawn(p, logs, latent * appeal + np.sqrt(1 - latent**2) * p.alike(), latent / 2 * colour + p.alike(), causes={"picture": appeal})


def among_others(rng: np.random.Generator, num: int, heavy: bool = False) -> Drawn:
    """The picture, the owner's fame, the hour and a drift, each in the views and in the score."""
    p = people(rng, num)
    appeal, colour, _ = appeal_of(p)
    others = {"fame": p.own(), "hour": circle(p.age, 1.0), "drift": p.own() * p.place}
    if heavy:
        others = {"fame": others["fame"]}
    luck = np.clip(p.rng.standard_cauchy(len(p.owner)), -40, 40) if heavy else p.alike()
    logs, base = luck + 0.7 * appeal, p.alike() + 0.7 * appeal
    cheap = 0.25 * colour + p.alike()
    for quantity in others.values():
        logs, base, cheap = logs + 0.4 * quantity, base + 0.4 * quantity, cheap + 0.1 * quantity
    return Drawn(p, logs, base, cheap, causes={"picture": appeal, **others})


def as_good(rng: np.random.Generator, num: int, worse: float = 0.7) -> Drawn:
    """A cheap model knows as much as the deep one, a second ``worse`` times as much."""
    p = people(rng, num)
    appeal, _, _ = appeal_of(p)
    logs = 0.7 * appeal + p.alike()
    base, trunk, cheap = (size * 0.5 * appeal + p.alike() for size in (1.0, 1.0, worse))
    return Drawn(p, logs, base, cheap, trunk, causes={"picture": appeal})


def better_fame(rng: np.random.Generator, num: int) -> Drawn:
    """The deep model knows of the picture what the cheap one knows, and more of the owner's fame."""
    p = people(rng, num)
    appeal, _, _ = appeal_of(p)
    fame = p.own()
    logs = 0.6 * appeal + 0.8 * fame + p.alike()
    base, cheap = (0.5 * appeal + size * fame + p.alike() for size in (0.8, 0.2))
    return Drawn(p, logs, base, cheap, causes={"picture": appeal, "fame": fame})


def with_age(rng: np.random.Generator, num: int) -> Drawn:
    """The picture, and age plainly in views and look."""
    p = people(rng, num)
    appeal, colour, _ = appeal_of(p)
    age = z(p.age)
    logs, base, cheap = 0.6 * appeal + age + p.alike(), 0.5 * appeal + age + p.alike(), 0.2 * colour + 0.5 * age + p.alike()
    return Drawn(p, logs, base, cheap, causes={"picture": appeal, "age": age})
