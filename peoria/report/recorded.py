"""A sweep as its record tells it, in tables: what a notebook reads of a sweep that runs, or has ended, or was judged."""

import html
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import SweepRecord
from peoria.records.selection import choice_in
from peoria.records.trials import TrialRecord, read_trials
from peoria.sweep.bring import bring
from peoria.sweep.overview import NO_WORD, overview
from peoria.sweep.run import SweepResult
from peoria.sweep.status import status
from peoria.sweep.store_lease import held
from peoria.verdict.judged import Judged, signature
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import Verdict
from peoria.verdict.scores import TestScores
from peoria.verdict.values import Interval
from shards.counts import Counts, PartlyKnown
from shards.store import open_store

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # trials in a notebook's summary
State = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True, repr=False)
class Status:
    """How far a sweep is; shown as the lines of `peoria status`."""

    state: State
    """``interrupted`` also where a run was killed: the same call goes on."""
    num_ended: int
    """Searched trials that ended as done, pruned or diverged."""
    num_wanted: int
    """Searched trials that the sweep asks for."""
    trials: dict[str, int]
    """All trials by status, follow-ups and the paper's too; one without an end is ``running``, whether or not somebody runs it."""
    winners: dict[str, str]
    """Keys by target, once they are known."""
    judged: bool
    """Whether there is a report."""
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class RecordedSweep:
    """A sweep as its record tells it. Each property reads the record anew, so that it may be asked while the sweep runs; of a sweep in a bucket it
    reads what was there when it was opened.

    ``print(sweep)`` says how far it is. Every frame is a copy of its own.
    """

    name: str
    home: Home = field(default_factory=lambda: Home.of("data"))
    run: SweepResult | None = None
    """What `peoria.sweep` has just left: ``run.complete``, ``run.left``; None of one that was opened."""

    @classmethod
    def open(cls, name: str, home: Home) -> "RecordedSweep":
        """
        Raises:
            ReportError: there is no such sweep; lists those there are.
            RecordError: its folder is of another format, or damaged.
        """
        bring(home, name)
        SweepFolder.of(home.path, name).read_definition()
        return cls(name, home)

    @property
    def folder(self) -> SweepFolder:
        """Where its files lie; ``folder.page`` is the report for people."""
        return SweepFolder.of(self.home.path, self.name)

    @property
    def record(self) -> SweepRecord:
        """What it asks, of which data, and where it ran."""
        return self.folder.read_definition()

    @property
    def status(self) -> Status:
        """How far it is, the winners, and who runs it or how the last run ended."""
        url = self.home.sweep_url(self.name)
        elsewhere = None if url is None else held(open_store(url))
        found = overview(self.home.path, self.name, elsewhere)
        return Status(
            state="interrupted" if found.state == NO_WORD else cast("State", found.state),
            num_ended=found.facts["ended"],
            num_wanted=found.facts["wanted"],
            trials=dict(Counter(trial.status for trial in read_trials(self.folder))),
            winners=found.facts["winners"],
            judged=found.facts["report"] is not None,
            text=status(self.home.path, self.name, elsewhere),
        )

    @property
    def trials(self) -> "pd.DataFrame":
        """A row a trial that was begun, by key: what it was for, how it ended, its settings, ``objective`` and the val metrics of its last
        evaluation, as ``val/rho_views``; ``started_at`` and ``ended_at`` in UTC. What a trial has not got is missing."""
        import pandas as pd

        rows = [_row(trial) for trial in read_trials(self.folder)]
        frame = pd.DataFrame(rows, columns=None if rows else ["key", "label", "purpose", "of", "status", "objective"]).set_index("key")
        for name in frame.columns.intersection(["started_at", "ended_at"]):
            frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
        return frame

    @property
    def curves(self) -> "pd.DataFrame":
        """A row a point of a trial's curve, by (trial, pictures seen); a column a metric, missing where that point has none.

        ``curves["val/rho_views"].dropna().unstack("trial").plot()`` draws all trials.
        """
        import pandas as pd

        points = [(trial.key, seen, metrics) for trial in read_trials(self.folder) for seen, metrics in trial.points()]
        index = pd.MultiIndex.from_tuples([point[:2] for point in points], names=["trial", "pictures"]) if points else _no_points()
        return pd.DataFrame([metrics for *_, metrics in points], index=index).sort_index(axis="columns")

    @property
    def baselines(self) -> "pd.DataFrame":
        """A row a baseline, by name: label, kind, and its val metrics, as ``val/rho_views``."""
        import pandas as pd

        rows = [{"name": one.name, "label": one.label, "kind": one.kind, **one.metrics} for one in self.folder.read_baselines()]
        return pd.DataFrame(rows, columns=None if rows else ["name", "label", "kind"]).set_index("name")

    @property
    def winners(self) -> dict[str, str]:
        """The winners' keys by target (``views``, ``favorites``); empty until they are known."""
        return choice_in(self.record, read_trials(self.folder)).winners

    @property
    def verdict(self) -> Verdict:
        """What the report says: numbers with intervals, and the sentences that they allow.

        Raises:
            ReportError: there is no report yet, or one of another version.
        """
        if not self.folder.verdict.exists():
            raise self._not_judged()
        return Verdict.read(self.folder.verdict)

    @property
    def predictors(self) -> "pd.DataFrame":
        """A row a predictor of the report, by name: label, kind, number of seeds, and each measure on test with ``_low`` and ``_high``, its 95 %
        interval. Raises as `verdict`."""
        import pandas as pd

        rows = [{**one.model_dump(include={"name", "label", "kind", "num_seeds"}), **_measures(dict(one))} for one in self.verdict.predictors]
        return pd.DataFrame(rows).set_index("name")

    @property
    def predictions(self) -> "pd.DataFrame":
        """A row a test picture that the report opened, by key: ``id``, ``owner``, counts, time of upload, and a column of scores a predictor, by the
        names of `predictors`; of a recipe the mean over its seeds. Scores for favourites stand in ``NAME (favorites)`` where they differ. Sealed
        pictures are not among them.

        Raises:
            ReportError: there is no report yet, or the sweep has other winners since.
            RecordError: the stored scores are damaged.
        """
        import pandas as pd

        sweep = self.record
        scored = TestScores.read(self.folder, signature(sweep, Judged.of(sweep, read_trials(self.folder))))
        if scored is None:
            raise self._not_judged()
        labels = scored.labels
        columns: dict[str, Any] = {
            "id": labels.ids,
            "owner": [owner or None for owner in labels.owners.tolist()],
            "views": labels.views,
        }
        for name in ("favorites", "comments"):
            if (counts := getattr(labels, name)) is not None:
                columns[name] = _nullable(counts)
        if labels.uploaded_at is not None:
            columns["uploaded_at"] = pd.DatetimeIndex(labels.uploaded_at, tz="UTC")
        for one in scored.predictors.values():
            columns |= _scores(one)
        return pd.DataFrame(columns, index=pd.Index(labels.keys, name="key"))

    def _not_judged(self) -> ReportError:
        return ReportError(f"sweep {self.name}: not judged as it stands; a report is needed", hint=f'peoria.report("{self.name}")')

    def __repr__(self) -> str:
        return self.status.text

    def _repr_html_(self) -> str:
        """The status, and the trials that led last."""
        trials = self.trials
        wanted = [name for name in ("label", "status", "objective", "val/rho_views", "val/gini_fav") if name in trials]
        best = trials[trials["purpose"] == "search"].sort_values("objective", ascending=False)[wanted].head(SHOWN) if len(trials) else trials
        return f"<pre>{html.escape(repr(self))}</pre>{best.to_html(na_rep='', float_format=lambda value: f'{value:.3f}', border=0)}"


def _row(trial: TrialRecord) -> dict[str, Any]:
    about = {"key": trial.key, "label": trial.label, "purpose": trial.purpose, "of": trial.of, "status": trial.status, "objective": trial.objective}
    ends = {"started_at": trial.started_at, "ended_at": trial.ended_at, "error": trial.error}
    return about | trial.config.model_dump(mode="json") | trial.metrics | ends


def _measures(predictor: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in predictor.items():
        if isinstance(value, Interval):
            found |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
    return found


def _no_points() -> "pd.MultiIndex":
    import pandas as pd

    return pd.MultiIndex.from_arrays([np.array([], object), np.array([], np.int64)], names=["trial", "pictures"])


def _nullable(counts: Counts) -> Any:
    import pandas as pd

    known = counts.known if isinstance(counts, PartlyKnown) else np.ones(len(counts), bool)
    values = np.zeros(len(counts), np.int64)
    values[known] = counts.values if isinstance(counts, PartlyKnown) else counts
    return pd.arrays.IntegerArray(values, ~known)


def _scores(predictor: PredictorScores) -> dict[str, np.ndarray]:
    views, favorites = predictor.score("views"), predictor.score("favorites")
    found = {} if views is None else {predictor.name: views.mean(axis=0)}
    if favorites is not None and (views is None or not np.array_equal(views, favorites)):
        found[f"{predictor.name} (favorites)"] = favorites.mean(axis=0)
    return found
