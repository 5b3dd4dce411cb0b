"""How long a browser that was never here waits for a sweep's charts in MLflow: 1,000 trials beside 20, in turns, on the same server.

    python -m benchmarks.ui [--trials 1000] [--rounds 5]

Both sweeps lie in one experiment, as `peoria sweep` leaves them; their curves are drawn, not trained. Needs a Chromium, and for the first filling of
the database some minutes.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from peoria.records.folder import SweepFolder
from peoria.tracking.database import sqlite_address
from peoria.tracking.projection import Tracker
from peoria.tracking.ui import Server, find_page
from peoria.tracking.views import deep_link
from tests.helpers.browser import fresh_page, started, wait_for_charts
from tests.helpers.written_study import written_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FEW, FLOOR_S, FLOOR_RATIO = 20, 10.0, 3.0


def seconds(browser: "Browser", link: str, lines: int) -> float:
    """Until the first two charts and the parallel coordinates are drawn."""
    with fresh_page(browser) as page:
        began = time.monotonic()
        page.goto(link)
        wait_for_charts(page, 2, lines)
        page.locator(".parcoords .dimension").first.wait_for()
        return time.monotonic() - began


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--trials", type=int, default=1000)
    flags.add_argument("--rounds", type=int, default=5)
    given = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder, started() as browser:
        home = Path(folder)
        database = sqlite_address(home / "mlflow.db")
        for name, num_trials in (("few", FEW), ("many", given.trials)):
            Tracker(database).project(SweepFolder(written_study(home / "sweeps" / name, num_trials).folder.path))
        experiment = find_page(database, None)
        with Server(database, home / "server.log") as server:
            took: dict[str, list[float]] = {"few": [], "many": []}
            for turn in range(given.rounds + 1):
                for name, lines in (("few", FEW), ("many", 90)):
                    found = seconds(browser, deep_link(server.address, experiment, name), lines)
                    if turn:  # the first fills the server's caches
                        took[name].append(found)
    few, many = (statistics.median(took[name]) for name in ("few", "many"))
    print(f"{FEW} trials {few:.2f} s, {given.trials:,} trials {many:.2f} s, ratio {many / few:.2f}; floor: {FLOOR_S:g} s, {FLOOR_RATIO:g} x")
    raise SystemExit(int(many > FLOOR_S or many / few > FLOOR_RATIO))


if __name__ == "__main__":
    main()
