"""Runs the groups of figures that were named, or all; exit status 1 where a floor is missed, or a group breaks."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.figures import Group, Measured, NotRunError, Setting
from benchmarks.groups import GROUPS, ON_REQUEST
from benchmarks.machine import host_class, machine
from benchmarks.rounds import ROOT

PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
COLOURS = {"below floor": "red", "aim": "green", "floor": "yellow", "not run": "dim", "told": "dim"}


def main(arguments: list[str] | None = None) -> int:
    setting, names, out = parsed(arguments)
    console = Console()
    measured: list[Measured] = []
    took: dict[str, float] = {}
    broken = False
    for name in names:
        start = time.monotonic()
        try:
            for found in run(GROUPS[name], setting):
                measured.append(found)
                console.print(line(found))
                write(out, setting, measured, took)  # each as it comes: whatever ends this, what was measured is kept
        except NotRunError as error:  # told, and an exit status; hours of other figures are not lost for it
            broken = True
            console.print(f"[red]{name}: not run: {escape(str(error))}[/]")
        took[name] = round(time.monotonic() - start, 1)
    console.print(table(measured))
    write(out, setting, measured, took)
    console.print(f"written to {out}")
    return int(broken or any(found.verdict == "below floor" for found in measured))


def parsed(arguments: list[str] | None) -> tuple[Setting, list[str], Path]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"groups to run (default: all but {', '.join(ON_REQUEST)}): {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each candidate; their median counts (default: 5)")
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "benchmarks", help="made pictures and packed sets, kept between runs")
    parser.add_argument("--pictures", type=Path, help="a packed set to measure loading on in addition to made pictures")
    parser.add_argument("--peers", default=str(PEERS_PYTHON) if PEERS_PYTHON.exists() else sys.executable, help="Python with benchmarks/peers.txt")
    parser.add_argument("--out", type=Path, help="results file (default: benchmarks/results/DATE-HOST.json)")
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if name not in GROUPS]
    if unknown:
        parser.error(f"{', '.join(unknown)}; groups are {', '.join(GROUPS)}")
    setting = Setting(parsed.work.resolve(), parsed.rounds, parsed.peers, parsed.pictures and parsed.pictures.resolve())
    out = parsed.out or ROOT / "benchmarks" / "results" / f"{time.strftime('%Y-%m-%d')}-{host_class()}.json"
    return setting, parsed.names or [name for name in GROUPS if name not in ON_REQUEST], out


def run(group: Group, setting: Setting) -> Iterator[Measured]:
    setting.work.mkdir(parents=True, exist_ok=True)
    yield from group(setting)


def line(found: Measured) -> str:
    value = f"not run: {found.why}" if found.value is None else f"{found.text}  {found.verdict}"
    return f"[{COLOURS[found.verdict]}]{found.figure.name}: {escape(value)}[/]"


def table(measured: list[Measured]) -> Table:
    shown = Table("figure", "floor", "aim", "value", "", "what it is", box=None)
    for found in measured:
        figure = found.figure
        bound = "≤ " if figure.lower_is_better else "≥ "
        wanted = ["" if value is None else f"{bound}{value:g}" for value in (figure.floor, figure.aim)]
        said = f"[{COLOURS[found.verdict]}]{found.verdict}[/]"
        shown.add_row(figure.name, *wanted, escape(found.text), said, figure.text if found.value is not None else f"not run: {found.why}")
    return shown


def write(out: Path, setting: Setting, measured: list[Measured], took: dict[str, float]) -> None:
    """Figures that were not run this time keep what the file of the same day and host class says of them."""
    kept: dict[str, Any] = {}
    described = machine(setting)
    when = {"at": time.strftime("%Y-%m-%d %H:%M"), "git_commit": described["environment"]["git_commit"]}
    if out.exists():
        kept = {item["name"]: item for item in json.loads(out.read_text())["figures"]}
    for found in measured:
        item = asdict(found.figure) | {
            "value": found.value,
            "interval": found.interval,
            "verdict": found.verdict,
            "why": found.why,
            "detail": found.detail,
        }
        kept[found.figure.name] = item | when
    out.parent.mkdir(parents=True, exist_ok=True)
    whole = {"machine": described, "seconds": took, "figures": list(kept.values())}
    out.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
