"""Writes the generated part of ``docs/paper.md`` anew, between the two marks: ``make pages``."""

from pathlib import Path

from peoria.paper.claims import generated

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- audit: begin -->\n", "<!-- audit: end -->"


def filled(page: str) -> str:
    """``page`` with its generated part made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{generated()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
