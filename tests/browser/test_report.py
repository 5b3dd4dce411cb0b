"""The report in a real browser: it loads nothing, its console is silent, and nothing sticks out of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from peoria.report.page import render_report
from tests.helpers.browser import fresh_page
from tests.helpers.report_parts import parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(**parts()))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_is_silent_and_fits(report: Path, browser: "Browser", width: int, scheme: str) -> None:
    errors, asked = list[str](), list[str]()
    with fresh_page(browser, errors, width=width, color_scheme=scheme) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        for details in page.locator("details").all():
            details.evaluate("one => one.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != page.evaluate("getComputedStyle(document.body).color")
    assert errors == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]


def test_light_and_dark_differ(report: Path, browser: "Browser") -> None:
    """The control of the schemes."""
    found = set()
    for scheme in ("light", "dark"):
        with fresh_page(browser, color_scheme=scheme) as page:
            page.goto(report.as_uri())
            found.add(page.evaluate("getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor"))
    assert len(found) == 2


def test_a_page_that_is_wrong_is_seen(report: Path, browser: "Browser", tmp_path: Path) -> None:
    """The control: a script is refused by the page's own rule, and that is heard; a wide block is seen."""
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        report.read_text().replace("</main>", '<script>1</script><img src="http://127.0.0.1:9/x.png"><pre style="width:3000px">x</pre></main>')
    )
    errors: list[str] = []
    with fresh_page(browser, errors, width=400) as page:
        page.goto(wrong.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") > 400
    assert len(errors) >= 2


def test_trials_lead_to_their_runs(browser: "Browser", tmp_path: Path) -> None:
    arguments = parts()
    key = arguments["curves"][0].key
    page_of = {links: tmp_path / f"{links}.html" for links in (True, False)}
    server = "http://127.0.0.1:5000/#/experiments/1/runs"
    page_of[True].write_text(render_report(**arguments, links={"": f"{server}/aa", key: f"{server}/bb"}))
    page_of[False].write_text(render_report(**arguments))
    for links, path in page_of.items():
        with fresh_page(browser) as page:
            page.goto(path.as_uri())
            found = [link.get_attribute("href") for link in page.locator("#search a").all()]
            assert found == ([f"{server}/aa", f"{server}/bb"] if links else [])
            assert (page.locator("#search code", has_text="peoria ui").count() == 1) is not links
