"""What a user of the study can be told: every text says what was found, what is accepted, and what to do next."""

from shards.errors import UserError


class PeoriaError(UserError):
    """Something about the sweep, its settings or its weights that its owner can mend."""


class ConfigError(PeoriaError):
    """A sweep file or a flag that cannot be what was meant."""


class WeightsError(PeoriaError):
    """A file of weights that cannot be read, or that holds nothing for this net."""


class SweepError(PeoriaError):
    """A sweep that cannot start or go on: held by another process, or of another definition than before."""


class ReportError(PeoriaError):
    """A sweep that cannot be judged yet."""


class RecordError(PeoriaError):
    """A file of a sweep's folder that cannot be read: damaged, edited, or of another format."""


class DivergedError(PeoriaError):
    """Training met a loss that is not finite; carries the step (pictures seen) and the settings."""

    def __init__(self, step: int, loss: float, settings: dict[str, object]) -> None:
        self.step, self.loss, self.settings = step, loss, settings
        super().__init__(f"train/loss: {loss} at {step:,} pictures seen; a finite loss is needed ({settings})")
