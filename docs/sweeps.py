"""Writes the tables of ``docs/sweeps.md`` anew, between the two marks, from the settings' own descriptions: ``make pages``."""

from pathlib import Path

from peoria.config.settings import settings_of
from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Point, Sweep
from peoria.config.trial import TrialConfig

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->"
TITLES = {
    Sweep: "`Sweep(…)`: the sweep",
    Space: "`Space(…)`: what is searched",
    LogUniform: "`LogUniform(low, high)`: a range",
    Point: "`Point(…)`: a point of the queue",
    TrialConfig: "`shared={…}`: what all trials have in common",
}


def filled(page: str) -> str:
    """``page`` with its tables made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{generated()}{END}{rest.split(END)[1]}"


def generated() -> str:
    return "\n".join(f"### {title}\n\n{table(model)}" for model, title in TITLES.items()) + "\n"


def table(model: type) -> str:
    rows = ["| setting | what it is | unit | default | accepted | source of the default |", "|---|---|---|---|---|---|"]
    for setting in settings_of(model):
        default = setting.default if setting.default == "required" else f"`{setting.default}`"
        cells = (f"`{setting.name}`", setting.text, setting.unit, default, setting.accepts, setting.source)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
