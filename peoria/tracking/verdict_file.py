"""What MLflow is to hold of a verdict: numbers with their bounds, and the short answers. The verdict's wing comes later than this one, so it reads no
more of the file than this."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from peoria.errors import RecordError

ANSWERS = {"shown": "yes", "smaller": "small", "undecided": "not decided"}
_MEASURES = {  # by target: its part of a verdict → the metric
    "views": {"pooled": "rho_views", "given_context": "rho_given_context", "within_owner": "pair_accuracy", "neighbours": "rho_neighbours"},
    "favorites": {"pooled": "gini_fav", "given_context": "fav_given_context", "within_owner": "fav_pair_accuracy", "neighbours": "fav_neighbours"},
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _Interval(_Part):
    value: float
    low: float
    high: float


class _Line(_Part):
    title: str
    answer: str


class _Target(_Part):
    pooled: _Interval
    given_context: _Interval | None = None
    within_owner: _Interval | None = None
    neighbours: _Interval | None = None
    lines: tuple[_Line, ...] = ()


class _Targets(_Part):
    views: _Target | None = None
    favorites: _Target | None = None


class _Predictor(_Part):
    name: str
    rho_views: _Interval | None = None
    gini_fav: _Interval | None = None


class _Openings(_Part):
    number: int = 1


class _Verdict(_Part):
    headline: str | None = None
    openings: _Openings = _Openings()
    targets: _Targets = _Targets()
    predictors: tuple[_Predictor, ...] = ()


@dataclass(frozen=True)
class TestNumbers:
    """Metrics of the test split; each measure with ``_lower`` and ``_upper``."""

    metrics: dict[str, float]
    step: int  # number of the opening
    at_ms: int  # when they were written


@dataclass(frozen=True)
class Said:
    """What a verdict says; nothing where there is none."""

    headline: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    """By tag: yes, small or not decided."""
    of_sweep: TestNumbers | None = None
    predictors: dict[str, TestNumbers] = field(default_factory=dict)

    def of_predictor(self, name: str) -> TestNumbers | None:
        return self.predictors.get(name)


def read_said(path: Path) -> Said:
    """
    Raises:
        RecordError: there is a verdict that cannot be read.
    """
    try:
        data, at_ms = path.read_bytes(), path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return Said()
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; a verdict") from None
    try:
        verdict = _Verdict.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise RecordError(f"{path}: {where}{problem['msg']}; it is written whole by `peoria report`") from None

    def numbers(measures: dict[str, _Interval | None]) -> TestNumbers | None:
        found: dict[str, float] = {}
        for name, interval in measures.items():
            if interval is not None:
                found |= {f"test/{name}": interval.value, f"test/{name}_lower": interval.low, f"test/{name}_upper": interval.high}
        return TestNumbers(found, verdict.openings.number, at_ms) if found else None

    targets = {name: found for name in _MEASURES if (found := getattr(verdict.targets, name)) is not None}
    of_sweep = {metric: getattr(target, part) for name, target in targets.items() for part, metric in _MEASURES[name].items()}
    of_predictors = {one.name: numbers({"rho_views": one.rho_views, "gini_fav": one.gini_fav}) for one in verdict.predictors}
    return Said(
        headline=verdict.headline or "",
        answers={
            f"verdict.{name}.{line.title.lower().replace(' ', '_')}": ANSWERS.get(line.answer, line.answer)
            for name, target in targets.items()
            for line in target.lines
        },
        of_sweep=numbers(of_sweep),
        predictors={name: found for name, found in of_predictors.items() if found is not None},
    )
