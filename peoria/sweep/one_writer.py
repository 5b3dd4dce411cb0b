"""A storage of Optuna's whose only writer we are: what it has is read once and known from then on, so that no reading grows with the sweep."""

import copy
import json
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from peoria.errors import SweepError


class _Known:
    """The trials of one study."""

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        self.trials: list[FrozenTrial] = []  # by number
        self.by_state: dict[TrialState, dict[int, FrozenTrial]] = {state: {} for state in TrialState}
        for trial in trials:
            self.add(trial)

    def add(self, trial: FrozenTrial) -> None:
        self.trials.append(trial)
        self.by_state[trial.state][trial.number] = trial

    def replace(self, trial: FrozenTrial) -> None:
        del self.by_state[self.trials[trial.number].state][trial.number]
        self.trials[trial.number] = trial
        self.by_state[trial.state][trial.number] = trial

    def of(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        if states is None:
            return list(self.trials)
        wanted = [some for state, some in self.by_state.items() if some and state in states]
        found = wanted[0] if len(wanted) == 1 else {number: trial for some in wanted for number, trial in some.items()}
        return [found[number] for number in sorted(found)]


class OneWriter(BaseStorage):
    """Enters everything into ``inner`` first and then into what is known; reads ``inner`` once. A trial that was handed out never changes: each entry
    makes another in its place, as in Optuna's own storages.

    With ``hold_values`` the values that a trial reports are known at once, and entered when anything else of it is: whoever sets that can tell them
    from elsewhere after a kill.
    """

    def __init__(self, inner: BaseStorage) -> None:
        self.inner, self.hold_values = inner, False
        self._studies: dict[int, _Known] = {}
        self._ids: dict[str, int] = {}  # of studies, by name
        self._where: dict[int, tuple[int, int]] = {}  # study and number of a trial, by its id
        self._trial_ids: dict[tuple[int, int], int] = {}
        self._held: dict[int, dict[int, float]] = {}

    def _study(self, study_id: int) -> _Known:
        if study_id not in self._studies:
            self._studies[study_id] = known = _Known(self.inner.get_all_trials(study_id, deepcopy=False))
            for trial in known.trials:
                self._name(self.inner.get_trial_id_from_study_id_trial_number(study_id, trial.number), study_id, trial.number)
        return self._studies[study_id]

    def _name(self, trial_id: int, study_id: int, number: int) -> None:
        self._where[trial_id], self._trial_ids[study_id, number] = (study_id, number), trial_id

    def _changed(self, trial_id: int, **fields: Any) -> None:
        if trial_id not in self._where:
            return  # of a study that nobody has read yet
        study_id, number = self._where[trial_id]
        trial = copy.copy(self._studies[study_id].trials[number])
        for name, value in fields.items():
            setattr(trial, name, value)
        self._studies[study_id].replace(trial)

    def release(self, trial_id: int) -> None:
        """Enters what was held back of a trial."""
        held = self._held.get(trial_id, {})
        for step in list(held):
            self.inner.set_trial_intermediate_value(trial_id, step, held[step])
            del held[step]
        self._held.pop(trial_id, None)

    # -- writing

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self.inner.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self.inner.delete_study(study_id)
        self._studies.pop(study_id, None)
        self._ids = {name: known for name, known in self._ids.items() if known != study_id}

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self.inner.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.inner.set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        known = self._study(study_id)
        number, trial_id = len(known.trials), self.inner.create_new_trial(study_id, template_trial)
        if self.inner.get_trial_id_from_study_id_trial_number(study_id, number) != trial_id:
            raise SweepError(f"study {self.get_study_name_from_id(study_id)}: another process makes trials in it; one process at a time runs a sweep")
        if template_trial is None:
            trial = FrozenTrial(
                number=number,
                state=TrialState.RUNNING,
                value=None,
                datetime_start=datetime.now(),
                datetime_complete=None,
                params={},
                distributions={},
                user_attrs={},
                system_attrs={},
                intermediate_values={},
                trial_id=trial_id,
            )
        else:
            trial = self.inner.get_trial(trial_id)
        known.add(trial)
        self._name(trial_id, study_id, number)
        return trial_id

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution) -> None:
        self.release(trial_id)
        self.inner.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        trial = self.get_trial(trial_id)
        value = distribution.to_external_repr(param_value_internal)
        self._changed(trial_id, params={**trial.params, param_name: value}, distributions={**trial.distributions, param_name: distribution})

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        self.release(trial_id)
        done = self.inner.set_trial_state_values(trial_id, state, values)
        if done:
            fields: dict[str, Any] = {"state": state} | ({} if values is None else {"values": list(values)})
            if state == TrialState.RUNNING:
                fields["datetime_start"] = datetime.now()
            elif state.is_finished():
                fields["datetime_complete"] = datetime.now()
            self._changed(trial_id, **fields)
        return done

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        if self.hold_values:
            self._held.setdefault(trial_id, {})[step] = intermediate_value
        else:
            self.inner.set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._changed(trial_id, intermediate_values={**self.get_trial(trial_id).intermediate_values, step: intermediate_value})

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.release(trial_id)
        self.inner.set_trial_user_attr(trial_id, key, value)
        self._changed(trial_id, user_attrs={**self.get_trial(trial_id).user_attrs, key: as_read(value)})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.release(trial_id)
        self.inner.set_trial_system_attr(trial_id, key, value)
        self._changed(trial_id, system_attrs={**self.get_trial(trial_id).system_attrs, key: as_read(value)})

    # -- reading

    def get_study_id_from_name(self, study_name: str) -> int:
        if study_name not in self._ids:
            self._ids[study_name] = self.inner.get_study_id_from_name(study_name)
        return self._ids[study_name]

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.inner.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.inner.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self.inner.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.inner.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[Any]:
        return self.inner.get_all_studies()

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        self._study(study_id)
        return self._trial_ids[study_id, trial_number]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id not in self._where:
            return self.inner.get_trial(trial_id)
        study_id, number = self._where[trial_id]
        return self._studies[study_id].trials[number]

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        found = self._study(study_id).of(states)
        return copy.deepcopy(found) if deepcopy else found

    def remove_session(self) -> None:
        self.inner.remove_session()


def as_read(value: Any) -> Any:
    """An attribute as a storage gives it back: through JSON."""
    return json.loads(json.dumps(value))
