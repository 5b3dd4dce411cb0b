"""Trials that have begun and not ended, and the values that they report."""

from dataclasses import dataclass

import optuna

from peoria.config.trial import TrialConfig
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import Curve, read_points
from peoria.records.schema import SweepRecord
from peoria.sweep.one_writer import OneWriter
from peoria.sweep.pruner import RungPruner
from peoria.sweep.study import key_of
from peoria.sweep.trial_files import Curves


@dataclass(frozen=True)
class Assignment:
    """A trial to run, or to go on with."""

    key: str  # the searched trial's number, or the name of another
    config: TrialConfig
    folder: TrialFolder


@dataclass
class UnderWay:
    """A trial that has begun and not ended."""

    key: str
    trial: optuna.Trial
    stored_as: int  # its id in the storage, which counts the trials of all studies
    searched: bool
    settings_sha256: str = ""  # once it is assigned

    @property
    def place(self) -> tuple[bool, int]:
        """Where it stands among those that wait: the paper's first."""
        return self.searched, self.trial.number

    @property
    def settings(self) -> str:
        """`TrialConfig.sha256`."""
        return self.settings_sha256 or TrialConfig.model_validate(self.trial.user_attrs["config"]).sha256


class Values:
    """What trials report to Optuna. It is held back until something is decided of it, for the curve has it too: a report waits for no disk and no
    database, and what a kill takes is found in the curve again.

    In a folder without a definition nothing says which metric of a curve that is; there each value is entered at once.
    """

    def __init__(self, folder: SweepFolder, storage: OneWriter, pruner: RungPruner, curves: Curves) -> None:
        self._folder, self._storage, self._pruner, self._curves = folder, storage, pruner, curves
        about = SweepRecord.read_if_there(folder.definition)
        self._metric = None if about is None else f"val/{about.objective}"
        storage.hold_values = self.held = self._metric is not None

    def of(self, study: optuna.Study, searched: bool, trial: optuna.Trial | None = None, number: int = 0) -> UnderWay:
        """A trial that was just asked for, or the one that the study has of this number."""
        number = number if trial is None else trial.number
        stored_as = self._storage.get_trial_id_from_study_id_trial_number(self._storage.get_study_id_from_name(study.study_name), number)
        trial = trial or optuna.Trial(study, stored_as)
        return UnderWay(key_of(study, trial), trial, stored_as, searched)

    def catch_up(self, under_way: UnderWay, points: Curve) -> None:
        """Enters what is not there yet: of all points that were sent and, once, of what the curve has of a former run."""
        if self._metric is None:
            return
        if not self._curves.is_open(under_way.key):
            points = sorted((dict(read_points(self._folder.trial(under_way.key).points)) | dict(points)).items())
        for step, values in points:
            if self._metric in values:
                self.enter(under_way, step, values[self._metric])

    def enter(self, under_way: UnderWay, step: int, value: float) -> None:
        if step not in self._storage.get_trial(under_way.stored_as).intermediate_values:
            under_way.trial.report(value, step)
            if under_way.searched:
                self._pruner.entered(step, value)

    def write(self, under_way: UnderWay) -> None:
        """Everything of a trial goes to the disk or the database, the curve first: study and folder never disagree."""
        self._curves.sync(under_way.key)
        self._storage.release(under_way.stored_as)
