"""Worlds in which the popularity is planted, swept and judged once each."""

import contextlib
import functools
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peoria.config.sweep import Sweep
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.records.folder import SweepFolder
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from peoria.verdict import judged
from peoria.verdict import scores as stored_scores
from peoria.verdict.schema import Answer, Measure, TargetVerdict, Verdict
from peoria.verdict.sentences import all_said
from peoria.verdict.values import Interval
from shards.labels import Labels
from shards.pack.pack import pack
from shards.read.openings import OPENINGS
from tests.helpers.many_sweeps import SHARED, SPACE

NUM_PICTURES = 3000
NUM_TRIALS = 4


@dataclass(frozen=True)
class Judged:
    """A world after its report."""

    folder: SweepFolder
    verdict: Verdict

    def measure(self, name: str, measure: Measure = "rho_views") -> Interval:
        """Of a predictor by its name, or by its kind, as ``recipe``."""
        found = next(p for p in self.verdict.predictors if name in (p.name, p.kind)).measure(measure)
        assert found is not None
        return found

    @property
    def views(self) -> TargetVerdict:
        return self.verdict.targets.views

    @property
    def answers(self) -> dict[str, Answer]:
        """Of the three lines on views."""
        return {line.key: line.answer for line in self.views.lines}

    @property
    def said(self) -> str:
        return "\n".join(all_said(self.verdict))

    def difference(self, name: str) -> Interval:
        """Recipe − other in rho_views, paired."""
        return next(d.difference for d in self.views.differences if d.name == name)

    @property
    def scores_and_labels(self) -> tuple[np.ndarray, Labels]:
        """The shipped network's scores of the test pictures, and what they were judged by, as the report stored them."""
        taken = judged.Judged.of(self.folder.read_definition(), read_trials(self.folder))
        found = stored_scores.TestScores.read(self.folder, judged.signature(self.folder.read_definition(), taken))
        assert found is not None
        score = found.predictors[f"trial-{self.verdict.winners.views.key}"].views
        assert score is not None
        return score, found.labels


@dataclass(frozen=True)
class Worlds:
    """Plants and judges each world once; all share one cache of decoded pictures."""

    home: Path

    @functools.cache  # noqa: B019 - lives as long as the module's fixture
    def shards(self, name: str) -> Path:
        root = self.home / name
        plant(root / "pictures", num_pictures=NUM_PICTURES, seed=0, **EFFECT_WEIGHTS[name])
        pack(root / "pictures" / "metadata.csv", root / "shards", keep=("oracle",), processes=2)
        shutil.rmtree(root / "pictures")
        return root / "shards"

    def run(self, sweep: Sweep, *, control: str | None = None, trials: int | None = None) -> SweepResult:
        options = RunOptions(home=self.home, local=True, tracking="off", control=control, trials=trials)
        result = run_sweep(sweep, options, say=lambda line: None)
        assert result.complete
        return result

    def report(self, name: str, sealed: bool = True) -> Verdict:
        """``sealed``: whatever another question showed of test is sealed again, for these sets have one vault."""
        if sealed:
            (Path(SweepFolder.of(self.home, name).read_definition().shards) / OPENINGS).unlink(missing_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            return report(self.home, name, tracking="off", say=lambda line: None)

    @functools.cache  # noqa: B019
    def judged(self, name: str, control: str | None = None) -> Judged:
        sweep = Sweep(
            name=name, shards=str(self.shards(name)), trials=NUM_TRIALS, space=SPACE, shared=SHARED, startup_per_task=1, seeds=3, questions=()
        )
        folder = self.run(sweep, control=control).folder
        found = Judged(folder, self.report(folder.name))
        figures = [f"{name} {written(found.measure(name))}" for name in ("recipe", "colour-ridge", *(() if control else ("oracle",)))]
        more: tuple[Measure, ...] = ("rho_given_context", "pair_accuracy", "rho_neighbours")
        figures += [f"{measure} {written(found.measure('recipe', measure))}" for measure in more]
        print(f"\n{folder.name}: {', '.join(figures)}; recipe − ridge {written(found.difference('colour-ridge'))}")
        return found


def written(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
