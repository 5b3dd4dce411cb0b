"""Pictures of owners in the order of their upload, and what may move both their looks and their views."""

from dataclasses import dataclass

import numpy as np

from peoria.stats.clusters import Clusters
from peoria.stats.context import Context
from peoria.stats.metrics import Floats

START = np.datetime64("2014-01-01T00:00:00", "s")


@dataclass
class Owners:
    """``num`` owners of ``each`` pictures, uploaded at random within 40 days somewhere in 1,000."""

    rng: np.random.Generator
    num: int = 1000
    each: int = 10

    def __post_init__(self) -> None:
        self.owner = np.repeat(np.arange(self.num), self.each)
        since = np.sort(self.rng.uniform(0, 40, (self.num, self.each)), axis=1)
        self.since = since.ravel()  # [N], days from the owner's first
        self.days = self.rng.uniform(0, 1000, self.num)[self.owner] + self.since

    @property
    def clusters(self) -> Clusters:
        return Clusters.of(self.owner)

    @property
    def uploaded_at(self) -> np.ndarray:
        return START + (self.days * 86_400).astype("timedelta64[s]")

    @property
    def age(self) -> Floats:
        return 1100 - self.days

    def context(self, rows: np.ndarray | slice = slice(None)) -> Context:
        """Of these pictures, in this order."""
        found = Context.of(self.age[rows], self.uploaded_at[rows], None)
        assert found is not None
        return found

    def each_picture(self) -> Floats:
        """Standard normal [N], independent."""
        return self.rng.normal(size=self.num * self.each)

    def fame(self) -> Floats:
        """One for all pictures of an owner."""
        return self.rng.normal(size=self.num)[self.owner]

    def step(self) -> Floats:
        """Another value from some picture of the owner on."""
        at = self.rng.integers(1, self.each, self.num)[self.owner]
        return 2 * self.fame() * (np.tile(np.arange(self.each), self.num) >= at)

    def drift(self) -> Floats:
        """A trend of each owner's own."""
        return self.fame() * (self.since - 20) / 10

    def walk(self) -> Floats:
        """A random walk of each owner's own."""
        found: Floats = self.rng.normal(size=(self.num, self.each)).cumsum(axis=1).ravel()
        return found

    def hour(self) -> Floats:
        """The same function of the hour for all."""
        return np.cos(2 * np.pi * self.days) + 0.5 * np.sin(4 * np.pi * self.days)

    def seen(self, cause: Floats, noise: float = 1.0) -> tuple[Floats, Floats]:
        """(score, log views) that have this cause in common and nothing else."""
        return cause + noise * self.each_picture(), cause + noise * self.each_picture()
