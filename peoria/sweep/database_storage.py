"""Optuna's storage in a database, which may be away for a while: nothing that was entered is lost, nothing is entered twice."""

import time
import weakref
from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar, cast

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from peoria.databases import AWAY_S, address, engine_options, opened, shown, trouble
from peoria.errors import StorageAwayError, SweepError
from peoria.sweep.lease import Lease

Answer = TypeVar("Answer")


class _Away(Exception):
    """The database is away. Raised in place of SQLAlchemy's error: Optuna takes that for invalid data, and makes a new trial up to five times."""


class DatabaseStorage(BaseStorage):
    """Optuna's `RDBStorage` behind its cache, whose calls outlive dropped connections.

    We are a study's only writer (see `Lease`), so what became of a write whose acknowledgement was lost can be read: a trial that was made, begun or
    ended is recognised; attributes, parameters and values are the same when entered again.
    """

    def __init__(self, url: str, lease: Lease | None = None, say: Callable[[str], object] = print) -> None:
        """
        Raises:
            SweepError: there is no driver, the address is wrong, the server away, or the user may not do what is needed; one line and a hint.
        """
        self.url, self._lease, self._say = url, lease, say
        self._database = opened(url, lambda: _make(url), say)
        weakref.finalize(self, self._database.engine.dispose)  # whoever drops the storage leaves no connection behind
        self._inner = cast(BaseStorage, optuna.storages.get_storage(self._database))
        self._num_trials: dict[int, int] = {}  # by study, where known
        sql.event.listen(self._database.engine, "handle_error", _told_apart)
        if lease is not None:
            _guard(self._database.engine, lease)

    def _tried(self, call: Callable[[], Answer], done: Callable[[], Answer | None] = lambda: None) -> Answer:
        """``call()``, again until it gets an answer.

        Args:
            done: asked before each further try; what ``call`` would have answered, where an earlier try was entered after all.

        Raises:
            StorageAwayError: no answer for `AWAY_S`.
            LeaseLostError: another process took the sweep over.
            SweepError: the database refuses.
        """
        away_since, said, tries = 0.0, False, 0
        while True:
            try:
                found = done() if tries else None
                answer = call() if found is None else found
            except _Away as error:
                tries += 1
                now = time.monotonic()
                away_since = away_since or now
                if now - away_since > AWAY_S:
                    raise StorageAwayError(
                        f"storage {shown(self.url)}: {error}; away for {now - away_since:.0f} s", hint="the same command goes on when it is back"
                    ) from None
                if tries > 1:  # one connection that was dropped is no news
                    if not said:
                        self._say(f"  storage {shown(self.url)}: {error}; trying again for {AWAY_S:g} s")
                        said = True
                    time.sleep(min(0.25 * 2**tries, 5.0))
            except (StorageInternalError, SQLAlchemyError) as error:
                about = trouble(error)
                raise SweepError(f"storage {shown(self.url)}: {about.found}", hint=about.hint) from None
            else:
                if said:
                    self._say(f"  storage {shown(self.url)}: back after {time.monotonic() - away_since:.0f} s")
                return answer

    def _written(self, call: Callable[[], Answer], done: Callable[[], Answer | None] = lambda: None) -> Answer:
        if self._lease is not None:
            self._lease.refuse_if_lost()
        return self._tried(call, done)

    # -- writing

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._written(lambda: self._inner.create_new_study(directions, study_name))  # made already: Optuna then loads it by its name

    def delete_study(self, study_id: int) -> None:
        self._written(lambda: self._inner.delete_study(study_id))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._written(lambda: self._inner.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._written(lambda: self._inner.set_study_system_attr(study_id, key, value))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        if study_id not in self._num_trials:
            self._num_trials[study_id] = len(self.get_all_trials(study_id, deepcopy=False))
        before = self._num_trials[study_id]

        def made() -> int | None:
            self._settle(study_id)
            now = self._inner.get_all_trials(study_id, deepcopy=False)
            return self._inner.get_trial_id_from_study_id_trial_number(study_id, now[-1].number) if len(now) > before else None

        trial_id = self._written(lambda: self._inner.create_new_trial(study_id, template_trial), made)
        self._num_trials[study_id] += 1
        return trial_id

    def _settle(self, study_id: int) -> None:
        """Waits until no transaction of a dropped connection still makes a trial: Optuna holds the study's row meanwhile."""
        row = sql.select(sql.column("study_id")).select_from(sql.table("studies")).where(sql.column("study_id") == study_id)
        with self._database.engine.begin() as connection:
            connection.execute(row.with_for_update())

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution) -> None:
        self._written(lambda: self._inner.set_trial_param(trial_id, param_name, param_value_internal, distribution))  # its name is unique in a trial

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        def is_so() -> bool | None:
            trial = self._inner.get_trial(trial_id)
            same = trial.state == state and (values is None or trial.values == list(values))
            return True if same else None

        def set_once() -> bool:
            try:
                return self._inner.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:  # by a try whose connection was dropped, after `is_so` had looked
                if is_so():
                    return True
                raise

        return self._written(set_once, is_so)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._written(lambda: self._inner.set_trial_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._written(lambda: self._inner.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._written(lambda: self._inner.set_trial_system_attr(trial_id, key, value))

    # -- reading

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._tried(lambda: self._inner.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._tried(lambda: self._inner.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._tried(lambda: self._inner.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._tried(lambda: self._inner.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._tried(lambda: self._inner.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:
        return self._tried(lambda: self._inner.get_all_studies())

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._tried(lambda: self._inner.get_trial_id_from_study_id_trial_number(study_id, trial_number))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._tried(lambda: self._inner.get_trial(trial_id))

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._tried(lambda: self._inner.get_all_trials(study_id, deepcopy, states))

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._tried(lambda: self._inner.get_best_trial(study_id))

    def remove_session(self) -> None:
        self._inner.remove_session()


def _make(url: str) -> RDBStorage:
    known = address(url)
    try:
        # Optuna fills in {SCHEMA_VERSION}: braces of a password or a path are doubled
        return RDBStorage(known.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine_options(known))
    except StorageInternalError as error:
        raise error.__cause__ or error from None
    except RuntimeError:
        raise SweepError(
            f"storage {shown(url)}: its tables are of another version of Optuna; those of {optuna.__version__} are needed",
            hint="name another database, or see `optuna storage upgrade --help`",
        ) from None


def _told_apart(context: Any) -> None:
    """Of an engine's errors those that pass are raised as `_Away`."""
    if context.is_pre_ping or context.sqlalchemy_exception is None:
        return
    about = trouble(context.sqlalchemy_exception)
    if about.passes:
        raise _Away(about.found)


def _guard(engine: sql.Engine, lease: Lease) -> None:
    """Nothing is committed without the lease, and nobody takes the lease over between the look and the commit."""

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if context.isinsert or context.isupdate or context.isdelete:
            connection.info["writes"] = True

    def check(connection: Any) -> None:
        if connection.info.pop("writes", False):
            lease.guard(connection)

    def forget(connection: Any) -> None:
        connection.info.pop("writes", None)

    for moment, listener in (("before_cursor_execute", note), ("commit", check), ("begin", forget)):
        sql.event.listen(engine, moment, listener)
