"""The mean and the range of a candidate's fresh seeds, as curves of a run of their own: what its settings are worth, and how much of it is luck."""

from collections.abc import Iterable, Mapping

from peoria.records.schema import SweepRecord
from peoria.records.selection import FURTHER_ENDS, SEEDS_TO_CHOOSE, TARGET_METRICS, seed_key
from peoria.tracking.best import TrialEnd
from peoria.tracking.curves import OBJECTIVE, MetricPoint
from peoria.tracking.runs import TrackedRun
from peoria.tracking.verdict_file import Said
from peoria.tracking.words import NOTE


def mean_runs(ends: Iterable[TrialEnd], sweep: SweepRecord, said: Said) -> list[TrackedRun]:
    """One for the first two fresh seeds of each candidate, by which the winner is chosen, and one for all seeds of a winner, which is judged.

    Each is there once its seeds have ended, and never changes: more seeds are another run.

    Args:
        ends: of trials, with their runs where they have fresh seeds.
    """
    again = {end.key: end for end in ends if end.again is not None and end.status in FURTHER_ENDS}
    candidates = sorted({end.again.tags["of"] for end in again.values() if end.again is not None and "of" in end.again.tags})
    found = []
    for of in candidates:
        for num in sorted({min(SEEDS_TO_CHOOSE, sweep.seeds), sweep.seeds} - {0}):
            ended = [again[key] for number in range(1, num + 1) if (key := seed_key(of, number)) in again]
            if len(ended) == num:
                found.append(_mean_run(of, ended, sweep, said))
    return found


def _mean_run(of: str, ended: list[TrialEnd], sweep: SweepRecord, said: Said) -> TrackedRun:
    runs = [end.again for end in ended if end.again is not None]
    key, judged = f"{of} mean of {len(runs)}", len(runs) == sweep.seeds
    reached = [end.objective for end in ended]
    what = "the verdict judges their mean, where this is a winner" if judged else "of the candidates, these means chose the winner"
    note = (
        f"Trial {of} trained again with {len(runs)} fresh seeds: {what}. Each curve is their mean; `_lower` and `_upper` are the lowest and the "
        f"highest of them, which is luck of the seed alone, no interval. One that diverged counts as 0 from there on. At the end, {sweep.objective} "
        f"on val: {', '.join('diverged' if one is None else f'{one:+.3f}' for one in reached)}."
    )
    return TrackedRun(
        kind="mean",
        key=key,
        name=key,
        started_ms=min(run.started_ms for run in runs),
        params={name: value for name, value in runs[0].params.items() if name != "seed"} | {"num_seeds": str(len(runs))},
        tags={
            "role": "mean",
            "of": of,
            "status": "done",
            NOTE: note,
            "val_keys_sha256": sweep.val_keys_sha256,
        },
        points=tuple(_mean_points([_values(run, end) for run, end in zip(runs, ended, strict=True)])),
        status="FINISHED",
        ended_ms=max(run.ended_ms or 0 for run in runs),
        test=said.of_predictor(f"recipe-{of}") if judged else None,
    )


def _values(run: TrackedRun, end: TrialEnd) -> tuple[dict[int, Mapping[str, float]], bool]:
    return {point.step: point.metrics for point in run.points}, end.status == "diverged"


def _mean_points(curves: list[tuple[dict[int, Mapping[str, float]], bool]]) -> Iterable[MetricPoint]:
    for step in sorted({step for values, _ in curves for step in values}):
        metrics: dict[str, float] = {}
        for name in (OBJECTIVE, *TARGET_METRICS.values()):
            known = [values.get(step, {}).get(name) for values, _ in curves]
            if all(value is None for value in known):
                continue
            with_zeros = [0.0 if value is None and diverged else value for value, (_, diverged) in zip(known, curves, strict=True)]
            if (of_all := [value for value in with_zeros if value is not None]) and len(of_all) == len(curves):
                metrics[name] = sum(of_all) / len(of_all)
                if name != OBJECTIVE:
                    metrics |= {f"{name}_lower": min(of_all), f"{name}_upper": max(of_all)}
        if metrics:
            yield MetricPoint(step, metrics | {"pictures_seen": float(step)})
