"""Writes a file of results between the two marks of docs/speed.md, and a few of them into README.md: ``python -m benchmarks.readme FILE``.

Without FILE it is the one that docs/speed.md names. A run of one's own is no page's business: `make bench` writes no page.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import ON_OWN, value_text
from benchmarks.rounds import ROOT

BEGIN, END = "<!-- speed: begin -->\n", "<!-- speed: end -->"
PAGE, README = ROOT / "docs" / "speed.md", ROOT / "README.md"
OF_README = ("first_pass_f32_vs_webdataset", "later_pass_f32_vs_webdataset", "whole_trial", "demo_sweep_with_startup")
HEAD = ["| what | value | floor / aim |", "|---|---|---|"]


def named() -> Path:
    """The results that docs/speed.md is of."""
    found = re.search(f"{re.escape(BEGIN)}.*?`(benchmarks/results/[^`]+)`", PAGE.read_text(), flags=re.DOTALL)
    assert found is not None, PAGE
    return ROOT / found.group(1)


def rows(found: dict[str, Any]) -> dict[str, str]:
    """Table rows by the name of the figure: of each that was measured and has a floor, in the order of measuring."""
    table = {}
    for figure in found["figures"]:
        if figure["value"] is None or figure["floor"] is None:
            continue
        bound = "≤" if figure["lower_is_better"] else "≥"
        text = f"{figure['text']} (own pictures)" if figure["name"].endswith(ON_OWN) else figure["text"]
        missed = " **below the floor**" if figure["verdict"] == "below floor" else ""
        value = value_text(figure["value"], figure.get("interval"), figure["unit"])
        table[figure["name"]] = f"| {text} | {value}{missed} | {bound} {figure['floor']:g} / {figure['aim']:g} |"
    return table


def whole_table(path: Path) -> str:
    """Every row, then what was not run."""
    found = json.loads(path.read_text())
    others = [f"{figure['name']} ({figure['why']})" for figure in found["figures"] if figure["value"] is None]
    machine = found["machine"]
    missing = f"\n\nNot run: {', '.join(others)}." if others else ""
    head = f"Measured on {machine['environment']['machine']} ({machine['cpu']}), `benchmarks/results/{path.name}`. Each figure's candidates took"
    runs = {item["at"] for item in found["figures"]}
    several = "; the figures themselves are of several runs and commits, named in the file."
    head += f" turns within one run{several if len(runs) > 1 else ', all in the same one.'}"
    return "\n".join([head, "", *HEAD, *rows(found).values()]) + missing + "\n"


def few_rows(path: Path) -> str:
    """Those of README.md; one of them falls short, and says so."""
    table = rows(json.loads(path.read_text()))
    return "\n".join([*HEAD, *(table[name] for name in OF_README if name in table)]) + "\n"


def filled(text: str, table: str) -> str:
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}{table}{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    results = Path(sys.argv[1]) if sys.argv[1:] else named()
    for page, table in ((PAGE, whole_table(results)), (README, few_rows(results))):
        page.write_text(filled(page.read_text(), table))
