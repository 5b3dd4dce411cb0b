"""The manual builds as a site without a warning, from what lies here alone; a link that leads nowhere, or a name that is not there, stops it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STRICT = re.findall(r"^docs: install\n\t\$\(BIN\)/python -m sphinx (.*) docs build/site$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def built(pages: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` builds it, pages of another folder with the manual's own settings."""
    words = [sys.executable, "-m", "sphinx", *STRICT[0].split(), "-d", str(out / "doctrees"), "-c", str(DOCS), str(pages), str(out / "site")]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)


def test_it_is_strict() -> None:
    assert len(STRICT) == 1
    assert {"-W", "-n", "--keep-going"} <= set(STRICT[0].split())


@pytest.mark.slow
def test_the_site_builds_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    ran = built(DOCS, tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
    site = tmp_path / "site"
    pages = {path.stem: path.read_text() for path in site.glob("*.html")}
    assert {path.stem for path in DOCS.glob("*.md")} <= set(pages)
    assert not [name for name, page in pages.items() if re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//", page)]
    assert "Two commands, on a plain Linux" in pages["start"]  # README.md, whole
    assert 'href="cluster.html"' in pages["start"]
    assert 'id="peoria.Sweep"' in pages["reference"]
    assert "how often each winner" in pages["reference"]  # a setting's own description
    listed = set(re.findall(r'class="reference internal" href="(\w+)\.html"', pages["index"]))
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= listed


@pytest.mark.slow
def test_control_what_leads_nowhere_stops_it(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / "index.md").write_text("# One\n\n[good](good.md#a-part)\n\n:::{toctree}\ngood\n:::\n")
    good = "# Good\n\n## A part\n\n[one](index.md)\n"
    (pages / "good.md").write_text(good)
    ran = built(pages, tmp_path / "good")
    assert (ran.returncode, ran.stderr) == (0, "")
    gone = {"gone.md": "[x](gone.md)", "nowhere": "[x](index.md#nowhere)", "gone.png": "![x](images/gone.png)", "lonely": ""}
    (pages / "good.md").write_text(good + "\n\n".join(gone.values()))
    (pages / "lonely.md").write_text("# In no list of contents\n")
    ran = built(pages, tmp_path / "bad")
    assert ran.returncode != 0
    assert [name for name in gone if name not in ran.stderr] == []


def test_pages_of_the_root_lead_where_they_led() -> None:
    from docs.conf import of_the_root

    text = of_the_root("[a](docs/data.md#x) [b](CONTRIBUTING.md) [c](CITATION.cff) [d](https://a.org/b) [e](#f) ![g](docs/images/h.png)")
    assert text == "[a](data.md#x) [b](contributing.md) [c](../CITATION.cff) [d](https://a.org/b) [e](#f) ![g](images/h.png)"


def test_a_name_in_a_docstring_has_to_be_in_the_code() -> None:
    from docs.conf import in_the_code

    assert in_the_code("peoria.models.weights")
    assert in_the_code("peoria.config.trial.TrialConfig.set_points")
    assert not in_the_code("peoria.models.weight")
    assert not in_the_code("peoria.config.trial.TrialConfig.steps")


def test_a_notebook_is_a_page() -> None:
    from docs.conf import text_of_notebook

    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "text"]},
        {"cell_type": "code", "source": ["1 + 1"], "outputs": [{"output_type": "execute_result", "data": {"text/plain": ["2"]}}]},
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    assert text_of_notebook({"cells": cells}) == "# A\ntext\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n"
