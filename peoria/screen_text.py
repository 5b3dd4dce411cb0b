"""A running sweep in words: the lines of the live view, the line after a long silence, the fields of an event."""

from typing import Any

from peoria.sweep.board import Best, Now, Running
from peoria.sweep.outlook import spoken
from peoria.sweep.owed import so_far

STATES = ("done", "pruned", "diverged", "failed", "infeasible")
MOST = 8  # trials that are shown one by one
BAR = 20  # characters


def region(now: Now, width: int, height: int) -> list[str]:
    """The lines of the live view; those that are too long are cut by whoever draws them."""
    rows = max(1, min(MOST, height - 8))
    lines = [headline(now)]
    lines += [f"  best      {_value(now, now.best)} ± {now.se:.3f}  {now.best.label}" if now.best else f"  best      none yet (± {now.se:.3f})"]
    lines += [f"  baseline  {_value(now, now.baseline)}          {now.baseline.label}"] if now.baseline else []
    shown = sorted(now.running, key=lambda trial: trial.waits)[:rows]
    wide = max((len(trial.key) for trial in shown), default=0)
    lines += [trial_line(trial, wide) for trial in shown]
    lines += [f"  and {len(now.running) - len(shown)} more"] if len(now.running) > len(shown) else []
    lines += [cluster_line(now)] if now.nodes is not None else []
    lines += [f"  {now.waits_for}"] if now.waits_for else []
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def headline(now: Now) -> str:
    ended = ", ".join(f"{now.counts[name]} {name}" for name in STATES if now.counts.get(name))
    return f"{now.sweep}: {so_far(now.counts['finished'], now.wanted, ' trials')}{f' ({ended})' if ended else ''}; {pace(now)}"


def pace(now: Now) -> str:
    left = "time left not known yet" if now.left_s is None else f"about {spoken(now.left_s)} left"
    return f"{now.pictures_s:,.0f} pictures/s; {left}"


def _value(now: Now, best: Best) -> str:
    return f"{now.objective} {best.value:+.3f}"


def trial_line(trial: Running, wide: int) -> str:
    share = trial.seen / trial.pictures if trial.pictures else 0.0
    if trial.waits:
        return f"  {trial.key:<{wide}}  waits for a place"
    full = int(share * BAR)
    what = trial.label.removeprefix(f"{trial.key} ")
    return f"  {trial.key:<{wide}}  {'━' * full}{'╌' * (BAR - full)} {share:>4.0%} of {trial.pictures:,}  {what}"


def cluster_line(now: Now) -> str:
    nodes = f"  nodes     {now.nodes}"
    if now.money is None:
        return nodes
    money = now.money
    return f"{nodes}; {money.spent:,.2f} {money.currency} so far, {money.an_hour:,.2f} an hour, by {money.of}"


def beat(now: Now) -> str:
    """How far it is, in a line."""
    under_way = [f"{trial.key} {trial.seen / trial.pictures:.0%} of {trial.pictures:,} pictures" for trial in now.running if not trial.waits]
    more = [f"and {len(under_way) - MOST} more"] if len(under_way) > MOST else []
    trials = so_far(now.counts["finished"], now.wanted, " trials")
    nodes = [cluster_line(now).strip()] if now.nodes is not None else []
    return "; ".join(part for part in (trials, ", ".join([*under_way[:MOST], *more]), pace(now), *nodes, now.waits_for) if part)


def event_of(now: Now) -> dict[str, Any]:
    """The fields of an event of progress."""
    money = now.money
    return {
        "sweep": now.sweep,
        "trials": dict(now.counts),
        "wanted": now.wanted,
        "running": [
            {"key": trial.key, "label": trial.label, "seen": trial.seen, "pictures": trial.pictures, "waits": trial.waits} for trial in now.running
        ],
        "objective": now.objective,
        "standard_error": now.se,
        "best": None if now.best is None else {"label": now.best.label, "value": now.best.value},
        "baseline": None if now.baseline is None else {"label": now.baseline.label, "value": now.baseline.value},
        "pictures_per_second": round(now.pictures_s, 1),
        "seconds_left": None if now.left_s is None else round(now.left_s),
        "nodes": now.nodes,
        "money": None if money is None else {"spent": money.spent, "an_hour": money.an_hour, "currency": money.currency, "prices": money.of},
        "waits_for": now.waits_for or None,
    }
