"""The pace of a sweep, by which the time left is told."""

from typing import Any

from peoria.sweep.board import Board


def test_the_start_of_workers_is_no_part_of_the_pace() -> None:
    nothing: Any = None
    board = Board(nothing, nothing, nothing, nothing)
    for at, steps in ((0.0, {}), (90.0, {}), (100.0, {"0000": 0}), (160.0, {"0000": 600})):
        board._count(at, steps)
    assert board._pace() == 10.0
    board._count(220.0, {"0000": 600})  # the control: a wait in its midst is one
    assert board._pace() == 5.0
