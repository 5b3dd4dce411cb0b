"""What a user of the study can be told: every text says what was found, what is accepted, and what to do next."""

import signal

from shards.errors import UserError


class PeoriaError(UserError):
    """Something about the sweep, its settings or its weights that its owner can mend."""


class ConfigError(PeoriaError):
    """A sweep file or a flag that cannot be what was meant."""


class WeightsError(PeoriaError):
    """A file of weights that cannot be read, or that holds nothing for this net."""


class SweepError(PeoriaError):
    """A sweep that cannot start or go on: held by another process, or of another definition than before."""


class StorageAwayError(SweepError):
    """The database of a sweep has been away for too long; the same command goes on when it is back."""

    exit_code = 3


class ReportError(PeoriaError):
    """A sweep that cannot be judged yet."""


class RecordError(PeoriaError):
    """A file of a sweep's folder that cannot be read: damaged, edited, or of another format."""


class DivergedError(PeoriaError):
    """Training met a loss that is not finite; carries the step (pictures seen) and the settings, which stand in the trial's own file."""

    def __init__(self, step: int, loss: float, settings: dict[str, object]) -> None:
        self.step, self.loss, self.settings = step, loss, settings
        super().__init__(f"train/loss: {loss} at {step:,} pictures seen; a finite loss is needed")


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end; carries its number."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows."""
        return [f"interrupted by {self}; the same call goes on from here"]

    @property
    def exit_code(self) -> int:
        """As a shell tells it: 130, 143 or 129."""
        return 128 + self.number


def interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that an error came of, where it came of one: raised inside an import, Python wraps it in an error of another kind."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error
