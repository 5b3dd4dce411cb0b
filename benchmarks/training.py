"""What input, evaluation, checkpoints and reports cost a trial of the tiny net, the one net that a CPU trains as fast as it can be fed."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.rounds import Candidate, Process, Round, alternate, cpu_rate, wall_rate
from benchmarks.sets import cache, packed

TINY = Figure("tiny_training", "training steps on real input, against one batch in memory", 0.90, 0.97)
WHOLE = Figure("whole_trial", "a whole trial, against a bare loop of its training steps", 0.85, 0.95)


def tiny_training(setting: Setting) -> Iterator[Measured]:
    root = packed(setting)
    of = {"root": str(root), "cache": str(cache(setting, root))}
    candidates = {name: Candidate("trials:training", of | {"resident": name == "resident"}) for name in ("real", "resident")}
    yield ratio(TINY, rounds_of(setting, candidates))


def whole_trial(setting: Setting) -> Iterator[Measured]:
    root = packed(setting)
    of = {"root": str(root), "cache": str(cache(setting, root))}
    candidates = {"trial": Candidate("trials:whole_trial", of | {"work": str(setting.work)}), "bare": Candidate("trials:bare_loop", of)}
    yield ratio(WHOLE, rounds_of(setting, candidates))


def rounds_of(setting: Setting, candidates: dict[str, Candidate]) -> dict[str, list[Round]]:
    with ExitStack() as stack:
        return alternate({name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}, setting.rounds)


def ratio(figure: Figure, rounds: dict[str, list[Round]]) -> Measured:
    """The first candidate's pictures a second of CPU time over the second's; the same of wall time in the detail."""
    (ours, a), (other, b) = rounds.items()
    detail = {ours: round(cpu_rate(a)), other: round(cpu_rate(b)), "of_wall_time": round(wall_rate(a) / wall_rate(b), 3)}
    return Measured(figure, cpu_rate(a) / cpu_rate(b), detail=detail)
