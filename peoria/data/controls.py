"""Negative and positive controls: the same pictures with their own counts reassigned, so that how much of popularity is in the picture is known.

Each picture gets a latent number z, and the (views, favorites, comments) triples of its own split are reassigned in the order of z, the triple
with the most views to the highest. So every split, test included, keeps its counts to the last one; what changes is who has them.

- ``shuffle``, the negative control (a permutation): z is noise. Nothing tells anything of a picture's counts. Shuffling train alone would leave
  what all splits share.
- ``plant-KIND-STRENGTH``, the positive ones: z = strength · s + √(1 − strength²) · noise, where s and noise are standard normal. With
  S = Spearman(s, counts), S = (6/π) · asin(strength / 2), as of any two normal variables (Pearson 1907), but for sampling, and a little less where
  views have ties: strength 0.45 plants S = 0.433. The kinds of s:
  - ``colour``: how much more red than blue a picture is; any histogram knows it.
  - ``arrangement``: how much brighter its upper half is than its lower half, less what a linear function of position-free statistics (means,
    spreads, shares of hues and of brightness, roughness; fitted on train) tells of it. A mirror changes nothing.
  - ``owner``: the owner's, drawn by a hash of the name. Nothing of the picture.
  - ``age``: how long the picture has been up. Nothing of the picture.
  - ``hour``: how near to noon (UTC) it was uploaded. Nothing of the picture but its light, and the table has it.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from peoria.data.subsets import uniform
from peoria.errors import ConfigError
from peoria.stats.metrics import normal_scores
from shards.labels import Labels

SHUFFLE = "shuffle"
PLANTED_SIGNALS = ("colour", "arrangement", "owner", "age", "hour")
WORDS = (SHUFFLE, *(f"plant-{kind}" for kind in PLANTED_SIGNALS))
DEFAULT_STRENGTH = 0.45
ONE_MOMENT = np.datetime64(0, "s")  # where no table says when the counts were read; ages are ranked, so any will do, if it is that of all splits


@dataclass(frozen=True)
class Control:
    """What its name says: ``shuffle``, ``plant-colour-0.45``."""

    kind: str
    strength: float = 0.0

    @classmethod
    def parse(cls, name: str) -> "Control":
        """Raises ConfigError for what `control_name` never gives."""
        if name == SHUFFLE:
            return cls(SHUFFLE)
        word, _, text = name.rpartition("-")
        with suppress(ValueError):  # ConfigError is one
            if word in WORDS and name == control_name(word, float(text)):
                return cls(word.removeprefix("plant-"), float(text))
        raise ConfigError(f"control: {name!r}; {SHUFFLE} or plant-KIND-STRENGTH, as in plant-colour-{DEFAULT_STRENGTH:g}")

    @property
    def reads_pictures(self) -> bool:
        return self.kind in ("colour", "arrangement")


def control_name(word: str, strength: float | None = None) -> str:
    """The name of a control as it goes on record: ``plant-colour`` of strength 0.45 is ``plant-colour-0.45``.

    Raises:
        ConfigError: no such control, a strength outside 0 to 1, or one where nothing is planted.
    """
    if word not in WORDS:
        raise ConfigError(f"--control: {word!r}; one of {', '.join(WORDS)}")
    if word == SHUFFLE:
        if strength is not None:
            raise ConfigError(f"--strength: {strength:g} with --control {SHUFFLE}; only what is planted has a strength")
        return word
    strength = DEFAULT_STRENGTH if strength is None else strength
    if not 0 <= strength <= 1:
        raise ConfigError(f"--strength: {strength:g}; a number from 0 to 1")
    return f"{word}-{strength:g}"


def refuse_control(name: str, labels: Labels, split: str) -> None:
    """Raises ConfigError where the control needs what these pictures do not have."""
    kind = Control.parse(name).kind
    if kind == "owner":
        unknown, column = int((labels.owners == "").sum()), "owner"
    elif kind == "hour":
        unknown, column = len(labels) if labels.uploaded_at is None else int(np.isnat(labels.uploaded_at).sum()), "uploaded_at"
    elif kind == "age":
        unknown = int(np.isnan(labels.age_days()).sum())
        column = "uploaded_at" if labels.observed_at is None else "uploaded_at or observed_at"
    else:
        return
    if unknown:
        raise ConfigError(
            f"control: {name}: {column} unknown for {unknown:,} of {len(labels):,} pictures of {split}; known for each",
            hint="take another control, or pack a table without those pictures",
        )


def reassign(name: str, labels: Labels, seed: str, s: np.ndarray | None) -> Labels:
    """The labels with their triples reassigned.

    Args:
        seed: decides the noise, and who goes first among equals.
        s: what is planted, float64 [N], standard normal; None: nothing.
    """
    control = Control.parse(name)
    if control.kind == SHUFFLE:
        order = _random(seed).permutation(len(labels))
    else:
        assert s is not None
        random = _random(f"{seed}/{control.kind}")
        z = control.strength * s + np.sqrt(1 - control.strength**2) * random.standard_normal(len(labels))
        order = np.empty(len(labels), np.int64)
        order[np.lexsort((random.random(len(labels)), z))] = np.lexsort((random.random(len(labels)), labels.views))
    return replace(
        labels,
        views=labels.views[order],
        favorites=None if labels.favorites is None else labels.favorites[order],
        comments=None if labels.comments is None else labels.comments[order],
    )


def not_in_pictures(name: str, train: Labels, labels: Labels, identity: str) -> np.ndarray:
    """s of ``owner``, ``age`` and ``hour``, float64 [N]."""
    kind = Control.parse(name).kind
    if kind == "age":
        return normal_scores(*(of.age_days(ONE_MOMENT) for of in (train, labels)))
    if kind == "hour":
        return normal_scores(*(_from_midnight(of) for of in (train, labels)))
    from scipy.special import ndtri

    found: np.ndarray = ndtri(uniform(labels.owners, f"{identity}/planted owner") + 2.0**-54)  # never 0, whose score is not finite
    return found


def _from_midnight(labels: Labels) -> np.ndarray:
    """Seconds between the time of upload and the nearest midnight (UTC), float64 [N]."""
    assert labels.uploaded_at is not None
    seconds = labels.uploaded_at.astype("datetime64[s]").astype(np.int64) % 86_400
    return np.minimum(seconds, 86_400 - seconds).astype(np.float64)


def _random(seed: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
