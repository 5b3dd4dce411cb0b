"""Writes the newest results into the README, between the two marks: ``python -m benchmarks.readme``."""

import json
import re

from benchmarks.rounds import ROOT

BEGIN, END = "<!-- speed: begin -->\n", "<!-- speed: end -->"


def table() -> str:
    """One row a figure that was measured and has a floor, in the order of measuring; then what was not run."""
    path = max((ROOT / "benchmarks" / "results").glob("*.json"))
    found = json.loads(path.read_text())
    judged = [figure for figure in found["figures"] if figure["value"] is not None and figure["floor"] is not None]
    rows = []
    for figure in judged:
        bound = "≤" if figure["lower_is_better"] else "≥"
        text = f"{figure['text']} ({figure['name'].partition('_on_')[2]})" if "_on_" in figure["name"] else figure["text"]
        missed = " **below the floor**" if figure["verdict"] == "below floor" else ""
        rows.append(f"| {text} | {figure['value']:.3g} {figure['unit']}{missed} | {bound} {figure['floor']:g} / {figure['aim']:g} |")
    others = [f"{figure['name']} ({figure['why']})" for figure in found["figures"] if figure["value"] is None]
    machine = found["machine"]
    missing = f"\n\nNot run: {', '.join(others)}." if others else ""
    head = f"Measured on {machine['environment']['machine']} ({machine['cpu']}), `benchmarks/results/{path.name}`. Each figure's candidates took"
    runs = {item["at"] for item in found["figures"]}
    several = "; the figures themselves are of several runs and commits, named in the file."
    head += f" turns within one run{several if len(runs) > 1 else ', all in the same one.'}"
    return "\n".join([head, "", "| what | value | floor / aim |", "|---|---|---|", *rows]) + missing + "\n"


def filled(readme: str) -> str:
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}{table()}{END}", readme, flags=re.DOTALL)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))
