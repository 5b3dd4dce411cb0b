"""`peoria check`: mends what can be mended of a sweep. The trials' folders are the record; Optuna's study fills in what they lost, and is made again
from them where it is lost itself. What is replaced is moved aside, never removed."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import optuna

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig, trial_label
from peoria.errors import RecordError, ReportError, SweepError
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.home import Home
from peoria.records.points import last_val_metrics, points_settings, read_points
from peoria.records.schema import (
    BaselineNames,
    BaselineRecord,
    Holder,
    OpeningIntent,
    Record,
    RunState,
    SweepRecord,
    TrialOutcome,
    TrialRungs,
    TrialStart,
)
from peoria.records.taken import TakenPoints
from peoria.records.trials import read_trials
from peoria.records.whole import lost_baseline, lost_trial_scores, said
from peoria.sweep.agreement import disagreements, says_what_it_is_for
from peoria.sweep.check import keeps_model, problems_of, studies
from peoria.sweep.definition import storage_name
from peoria.sweep.lock import sweep_lock
from peoria.sweep.mirror import Mirror, mirrored
from peoria.sweep.owed import sweep_of
from peoria.sweep.rebuild import decisions, rebuild
from peoria.sweep.storage import open_storage
from peoria.sweep.study import SCORES, SEEN, key_of, refuse_foreign, unsearched_name
from peoria.sweep.trial_files import HALF_BATCH
from peoria.training.checkpoint import check_model
from shards.words import counted

if TYPE_CHECKING:
    from peoria.sweep.lease import Lease

AnyRecord = TypeVar("AnyRecord", bound=Record)


def check(
    home: Path, name: str, *, url: str | None = None, storage: str | None = None, repair: bool = False, say: Callable[[str], object] = print
) -> list[str]:
    """What is wrong with a sweep, a line each; with ``repair`` what is still wrong after all was done that can be, and ``say`` is told of each thing
    done.

    Raises:
        ReportError: there is no such sweep.
        SweepError: a process runs it, or it ran with another storage.
    """
    folder = SweepFolder.of(home, name)
    if Path(name).name != name:
        raise ReportError(f"sweep {name}: the name of a sweep, as `peoria sweep` printed it; no path")
    if not any(path.exists() for path in (folder.definition, folder.journal, folder.path / "trials")):
        folder.read_definition()
    about = None
    with contextlib.suppress(RecordError):
        about = SweepRecord.read_if_there(folder.definition)
    if about is not None and about.storage != storage_name(storage):
        raise SweepError(
            f"sweep {name}: its trials are in the storage {about.storage}, not in {storage_name(storage)}; the one that it ran with",
            hint="--storage, or PEORIA_STORAGE, as of the command that ran the sweep",
        )
    with sweep_lock(folder, storage, say) as lease, mirrored(folder, Home(home, url).sweep_url(name), say) as mirror:
        with contextlib.suppress(RecordError):  # told below
            mirror.fetch_models(keeps_model(folder))
        if repair:
            _Repair(folder, storage, lease, mirror, say).run()
        return problems_of(folder, storage)


@dataclass(frozen=True)
class _Told:
    """What the study says of a trial."""

    frozen: optuna.trial.FrozenTrial
    config: TrialConfig

    @property
    def status(self) -> str | None:
        return self.frozen.user_attrs.get("status") if self.frozen.state.is_finished() else None

    @property
    def last(self) -> float | None:
        values = self.frozen.intermediate_values
        return values[max(values)] if values else None


class _Repair:
    def __init__(self, folder: SweepFolder, storage: str | None, lease: "Lease | None", mirror: Mirror, say: Callable[[str], object]) -> None:
        self.folder, self.storage, self._lease, self._mirror, self._say = folder, storage, lease, mirror, say
        self._aside = folder.damaged / time.strftime("%Y%m%d-%H%M%S")
        self._begun_again = False
        self._again: set[str] = set()
        self._decided: dict[str, dict[str, str]] = {}  # at the rungs of trials that begin again

    def run(self) -> None:
        folder = self.folder
        for path, record in (
            (folder.definition, SweepRecord), (folder.finished, RunState), (folder.holder, Holder), (folder.opening, OpeningIntent),
            (folder.taken, TakenPoints),
        ):  # fmt: skip
            self._readable(record, path)
        try:
            about = SweepRecord.read_if_there(folder.definition)
            told = None if about is None else self._told(sweep_of(about))
        except RecordError as error:  # whole, and another than the sweep was begun with
            self._move(folder.definition, error.problems[0])
            about = None
        if about is None:
            self._say(f"{folder.definition} is gone: the command that ran the sweep writes it again")
            return
        sweep, metric = sweep_of(about), f"val/{about.objective}"
        for path in sorted(path for path in self.folder.path.glob("trials/*") if path.is_dir()):
            of = None if told is None else told.get(path.name)
            decided = dict(of.frozen.user_attrs.get("rungs", {})) if of is not None else {}
            self._decided[path.name] = decided or self._decided_before(TrialFolder(path)) | _decisions(TrialFolder(path), sweep, metric)
            self._mend(TrialFolder(path), of, 0 if of is None or told is None else _whole_batch(path.name, told, sweep))
        kept = keeps_model(self.folder)
        self._mirror.fetch_models(kept)  # now that all that says so can be read
        for trial in kept:
            if lost := (*said(partial(check_model, trial)), *lost_trial_scores(trial, needed=True)):
                self._begin_again(trial, lost[0])
        for other in read_trials(self.folder):
            if other.status == "done" and other.folder not in kept and (lost := lost_trial_scores(other.folder, needed=False)):
                self._move(other.folder.val_scores, f"{lost[0]}; nothing needs it")
        self._mend_baselines()
        if told is None or self._begun_again or self._disagree(sweep):
            self._rebuild(sweep, about)

    def _told(self, sweep: Sweep) -> dict[str, _Told] | None:
        """By key; None where there is no study of this sweep, or one that cannot be trusted."""
        try:
            opened = open_storage(self.folder.journal, self.storage, self._lease, self._say)[0]
            refuse_foreign(opened, self.folder, sweep.name)
        except SweepError as error:
            self._say(error.problems[0])
            return None
        names = {study.study_name for study in opened.get_all_studies()}
        if not {sweep.name, unsearched_name(sweep.name)} <= names:
            return None
        found = {}
        for study in studies(opened, self.folder, sweep):
            for trial in study.get_trials(deepcopy=False):
                if "config" in trial.user_attrs:
                    found[key_of(study, trial)] = _Told(trial, TrialConfig.model_validate(trial.user_attrs["config"]))
        return found

    def _mend_baselines(self) -> None:
        """What cannot be read, or is not what was written, goes aside: the sweep's own command fits the baselines again."""
        done = self._readable(BaselineNames, self.folder.baselines_done)
        whole = [] if done is None else list(done.names)
        for baseline in self.folder.baselines():
            record = self._readable(BaselineRecord, baseline.record)
            if record is not None and done is not None and (lost := lost_baseline(done, baseline)):
                self._move(baseline.record, lost[0])
        if done is not None and all(self.folder.baseline(name).record.exists() for name in whole):
            return
        if done is not None:
            self._move(self.folder.baselines_done, "")
        if self.folder.finished.exists():
            self.folder.finished.unlink()
            self._say(f"{self.folder.baselines_done.parent}: not all there; the baselines are fitted again when the sweep goes on")

    def _mend(self, trial: TrialFolder, told: _Told | None, whole_batch: int) -> None:
        if trial.points.is_dir():
            self._begin_again(trial, f"{trial.points} is a folder")
        start, outcome = self._readable(TrialStart, trial.start), self._readable(TrialOutcome, trial.outcome)
        curve = points_settings(trial.points)
        votes = Counter([*((start.config.sha256,) if start else ()), *((outcome.settings_sha256,) if outcome else ()), *((curve,) if curve else ())])
        if told is not None:
            votes[told.config.sha256] += 1
        if not votes:
            if any(trial.path.iterdir()):
                self._move(trial.path, "nothing says what it was")
            return
        right = told.config.sha256 if told is not None and votes[told.config.sha256] == max(votes.values()) else votes.most_common(1)[0][0]
        if start is None or start.config.sha256 != right or (told is not None and not says_what_it_is_for(start, told.frozen)):
            if told is None or told.config.sha256 != right:
                self._move(trial.path, "its settings are lost; the trial is drawn again")
                self._begun_again = True
                return
            self._settings_from(trial, told, start, whole_batch)
        if curve is not None and curve != right:
            self._begin_again(trial, f"{trial.points} is a curve of other settings", trial.points)
        elif told is not None and told.status is not None and not set(told.frozen.intermediate_values) <= dict(read_points(trial.points)).keys():
            self._begin_again(trial, f"{trial.points} has lost points", trial.points)
        elif told is not None and told.status is not None and not _fits(outcome, told):
            self._outcome_from(trial, told)
        elif outcome is not None and outcome.settings_sha256 != right:
            self._begin_again(trial, f"{trial.outcome} is of other settings")
        elif outcome is not None and outcome.status in ("done", "pruned") and outcome.metrics != last_val_metrics(trial.points):
            self._move(trial.outcome, "its metrics are not those of the curve")
            outcome.model_copy(update={"metrics": last_val_metrics(trial.points)}).write(trial.outcome)

    def _settings_from(self, trial: TrialFolder, told: _Told, before: TrialStart | None, whole_batch: int) -> None:
        given = told.frozen.user_attrs
        half = told.config.batch_size < whole_batch
        label = (given.get("label") or trial_label(trial.key, told.config)).removesuffix(HALF_BATCH) + (HALF_BATCH if half else "")
        more = {name: given[name] for name in ("of", "origin") if name in given}
        begun = told.frozen.datetime_start
        if before is not None:
            self._move(trial.start, "not what the trial was begun as")
        TrialStart(
            config=told.config,
            purpose=given.get("purpose", "search"),
            label=label,
            half_batch=half,
            started_at=begun.timestamp() if begun else 0.0,
            **more,
        ).write(trial.start)
        self._say(f"{trial.start}: written again from Optuna's storage")

    def _outcome_from(self, trial: TrialFolder, told: _Told) -> None:
        ended = told.frozen.datetime_complete
        if trial.outcome.exists():
            self._move(trial.outcome, "not what Optuna's storage was told of the trial")
        TrialOutcome.model_validate(
            {
                "status": told.status,
                "settings_sha256": told.config.sha256,
                "objective": told.frozen.value if told.status == "done" else told.last if told.status == "pruned" else None,
                "metrics": last_val_metrics(trial.points) if told.status in ("done", "pruned") else {},
                "error": None if told.status in ("done", "pruned") else "the text was lost with the file",
                "pictures": told.frozen.user_attrs.get(SEEN, 0),
                "val_scores_sha256": told.frozen.user_attrs.get(SCORES),
                "ended_at": ended.timestamp() if ended else time.time(),
            }
        ).write(trial.outcome)
        self._say(f"{trial.outcome}: written again from Optuna's storage and the curve")

    def _begin_again(self, trial: TrialFolder, why: str, *also: Path) -> None:
        """A trial that lost what it cannot be judged without: its end is moved aside, and it is trained from the start, with the same bits. The end
        goes last: after a kill in the middle the next repair still sees what is missing."""
        if (decided := self._decided.get(trial.key)) and (start := TrialStart.read_if_there(trial.start)) is not None:
            TrialRungs(settings_sha256=start.config.sha256, decided=decided).write(trial.rungs)
        files = (trial.checkpoint, trial.checkpoint_before, trial.model, trial.model_card, trial.val_scores, trial.points, trial.outcome)
        self._mirror.forget(trial.key)
        for path in dict.fromkeys((*also, *files)):
            if path.exists():
                self._move(path, "")
        self._say(f"{trial.key}: {why}; it begins again when the sweep goes on")
        self._begun_again = True
        self._again.add(trial.key)

    def _is_owed(self, key: str) -> bool:
        """Whether it begins again, or was to since an earlier repair and has not come so far."""
        return key in self._again or (self.folder.trial(key).rungs.exists() and not self.folder.trial(key).outcome.exists())

    def _decided_before(self, trial: TrialFolder) -> dict[str, str]:
        """As an earlier repair kept it, where the study has been lost since."""
        kept = self._readable(TrialRungs, trial.rungs)
        start = self._readable(TrialStart, trial.start)
        return kept.decided if kept is not None and start is not None and kept.settings_sha256 == start.config.sha256 else {}

    def _disagree(self, sweep: Sweep) -> bool:
        opened = open_storage(self.folder.journal, self.storage, self._lease, self._say)[0]
        return bool(disagreements(self.folder, sweep, *studies(opened, self.folder, sweep)))

    def _rebuild(self, sweep: Sweep, about: SweepRecord) -> None:
        if self.storage is None:
            if self.folder.journal.exists():
                self._move(self.folder.journal, "")
            opened = open_storage(self.folder.journal, None)[0]
        else:
            opened = open_storage(self.folder.journal, self.storage, self._lease, self._say)[0]
            for name in (sweep.name, unsearched_name(sweep.name)):
                if name in {study.study_name for study in opened.get_all_studies()}:
                    self._copy_study(opened, name)
                    optuna.delete_study(study_name=name, storage=opened)
        num = rebuild(opened, self.folder, sweep, about, {key: decided for key, decided in self._decided.items() if decided and self._is_owed(key)})
        self.folder.finished.unlink(missing_ok=True)  # until its own command has seen that nothing is owed
        self._say(f"Optuna's study was made again from the folders of {counted(num, 'trial')}")

    def _copy_study(self, opened: optuna.storages.BaseStorage, name: str) -> None:
        self._aside.mkdir(parents=True, exist_ok=True)
        path = self._aside / self.folder.journal.name
        optuna.copy_study(from_study_name=name, from_storage=opened, to_storage=open_storage(path, None)[0])

    def _readable(self, record: type[AnyRecord], path: Path) -> AnyRecord | None:
        try:
            return record.read_if_there(path)
        except RecordError as error:
            self._move(path, error.problems[0])
            return None

    def _move(self, path: Path, why: str) -> None:
        target = self._aside / path.relative_to(self.folder.path)
        while target.exists():
            target = target.with_name(f"{target.name}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        if why:
            self._say(f"{path}: {why.removeprefix(f'{path}: ')}; moved to {target}")


def _whole_batch(key: str, told: dict[str, _Told], sweep: Sweep) -> int:
    """That a trial was first begun with: a follow-up with its winner's, whatever that was; the paper's with the paper's."""
    winner = told.get(told[key].frozen.user_attrs.get("of", ""))
    if winner is not None:
        return winner.config.batch_size
    point = paper_points(sweep.space.task, sweep.shared).get(key, {"task": told[key].config.task, "learning_rate": 1e-3})
    return sweep.trial(point, seed=0, threads=1).batch_size


def _fits(outcome: TrialOutcome | None, told: _Told) -> bool:
    value = {"done": told.frozen.value, "pruned": told.last}.get(str(told.status))
    fits_value = value is None or outcome is None or outcome.objective == value
    if outcome is None or outcome.val_scores_sha256 != told.frozen.user_attrs.get(SCORES):
        return False
    return outcome.status == told.status and outcome.settings_sha256 == told.config.sha256 and fits_value


def _decisions(trial: TrialFolder, sweep: Sweep, metric: str) -> dict[str, str]:
    """As its folder tells them; {} where that cannot be read."""
    try:
        return decisions(trial, sweep, metric)
    except RecordError:
        return {}
