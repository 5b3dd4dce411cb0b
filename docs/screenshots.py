"""Makes the pictures of the pages from the demo's sweep: ``make screenshots``. The home may be named: ``python -m docs.screenshots data``."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from peoria.tracking.database import sqlite_address
from peoria.tracking.ui import Server, find_page
from peoria.tracking.views import deep_link
from tests.helpers.browser import fresh_page, started, wait_for_charts

if TYPE_CHECKING:
    from playwright.sync_api import Page

SWEEP, IMAGES = "demo", Path("docs/images")


def save(page: "Page", name: str) -> None:
    """In a palette, a third of the bytes."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(256).save(IMAGES / name, optimize=True)


def main(home: Path) -> None:
    database = sqlite_address(home.absolute() / "mlflow.db")
    experiment = find_page(database, SWEEP)
    with started() as browser, Server(database, home / "mlflow-ui.log") as server:
        link = deep_link(server.address, experiment, SWEEP)
        with fresh_page(browser, width=1300, height=900) as page:
            page.goto(link)
            wait_for_charts(page, 2, 20)
            page.locator(".parcoords .dimension").first.wait_for()
            page.wait_for_timeout(2000)  # it fades in
            save(page, "mlflow.png")
        with fresh_page(browser, width=1000, height=823, device_scale_factor=1.5) as page:
            page.goto((home / "sweeps" / SWEEP / "report" / "report.html").absolute().as_uri())
            save(page, "report.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
