"""The pace of a sweep, by which the time left is told."""

from types import SimpleNamespace
from typing import Any

import pytest

from peoria.sweep.board import Board


def test_the_start_of_workers_is_no_part_of_the_pace() -> None:
    nothing: Any = None
    board = Board(nothing, nothing, nothing, nothing)
    for at, steps in ((0.0, {}), (90.0, {}), (100.0, {"0000": 0}), (160.0, {"0000": 600})):
        board._count(at, steps)
    assert board._pace() == 10.0
    board._count(220.0, {"0000": 600})  # the control: a wait in its midst is one
    assert board._pace() == 5.0


@pytest.mark.parametrize(("budget", "left_s"), [(None, 100 * 250), (30_000, 20_000), (10_100, 2 * 250)])
def test_the_time_left_ends_with_the_pictures_that_may_be_seen(budget: int | None, left_s: float) -> None:
    """At a picture a second, 10,000 seen: 100 trials of some 250 remain, or what may be seen of them, or the two that run."""
    store: Any = SimpleNamespace(
        sweep=SimpleNamespace(pictures=budget), tally=SimpleNamespace(pictures=10_000), choice=SimpleNamespace(over=False)
    )  # fmt: skip
    work: Any = SimpleNamespace(share=0.25, length=1000, paper=(), follow_ups=0)
    nothing: Any = None
    board = Board(store, work, nothing, nothing)
    for at in (0.0, 10.0):
        board._count(at, {"0000": int(at)})
    assert board._left([], {"remaining": 100, "running": 2, "unsearched_remaining": 0}) == left_s
