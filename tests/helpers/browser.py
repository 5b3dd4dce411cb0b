"""The system's Chromium, for tests that look at pages as people do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS = 120_000  # generous: the machine may be busy
FLAGS = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]  # plotly draws lines by WebGL
OF_MLFLOW = ("favicon", "gateway-proxy", "ResizeObserver", "404 (Not Found)", "demo.mlflow")  # errors of its own page, with or without us


@contextmanager
def started() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def fresh_page(browser: "Browser", errors: list[str] | None = None, *, width: int = 1400, height: int = 1000, **how: Any) -> "Iterator[Page]":
    """A page of a browser that has never been anywhere; what its console says of errors is added to ``errors``."""
    context = browser.new_context(viewport={"width": width, "height": height}, **how)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    if errors is not None:
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()


def charts(page: "Page") -> list[dict[str, Any]]:
    """The plotly charts that are drawn: traces with name and y, and the axes of parallel coordinates."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => ({
            traces: plot.data.map(trace => ({name: trace.name ?? null, y: trace.y ? [...trace.y] : null})),
            dimensions: (plot.data[0]?.dimensions ?? []).map(axis => ({label: axis.label, values: [...axis.values], ticks: axis.ticktext ?? null}))
        }))"""
    )
    return found


def wait_for_charts(page: "Page", number: int, lines: int = 1) -> list[dict[str, Any]]:
    """Once so many charts are drawn, the first with so many lines."""
    page.wait_for_function(
        """([number, lines]) => { const plots = [...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.data?.length);
            return plots.length >= number && plots[0].data.length >= lines }""",
        arg=[number, lines],
    )
    return charts(page)
