"""How often this process does what takes time: opens a file, looks into a folder, waits for the disk, takes a trial's settings apart."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from peoria.sweep.sampler import Settings

_counting: list[Counter[str]] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _counting and event in ("open", "os.scandir", "os.listdir"):
        _counting[-1][event] += 1


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """``with counted() as num:``: num["open"], num["os.scandir"], num["stat"], num["fsync"], num["points"]."""
    if not _hooked:
        sys.addaudithook(_hook)  # for ever: it counts only inside
        _hooked.append(True)
    found, stat, fsync = Counter[str](), os.stat, os.fsync

    def counting_stat(*arguments: Any, **named: Any) -> os.stat_result:
        found["stat"] += 1
        return stat(*arguments, **named)

    def counting_fsync(handle: int) -> None:
        found["fsync"] += 1
        fsync(handle)

    point = Settings.point

    def counting_point(self: Settings, params: dict[str, Any]) -> list[float] | None:
        found["points"] += 1
        return point(self, params)

    with patch.object(os, "stat", counting_stat), patch.object(os, "fsync", counting_fsync), patch.object(Settings, "point", counting_point):
        _counting.append(found)
        try:
            yield found
        finally:
            _counting.pop()
