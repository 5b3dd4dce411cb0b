"""What the paper claims, sentence by sentence, beside the arithmetic: the generated part of ``docs/paper.md``, which ``docs/paper.py`` writes.

Every number there is computed here from what the paper prints, or quoted from it.
"""

import re
from collections import Counter

from peoria.config.paper_recipe import PAPER, Setting
from peoria.paper import arithmetic, claims_on_data, claims_on_results
from peoria.paper.claim import SPLIT, Claim
from peoria.paper.printed import ITERATIONS, NUM_ANALYSED, TABLE_1


def claims() -> dict[str, list[Claim]]:
    """By theme, in the order of the paper."""
    themes = {
        "Popularity and other work": claims_on_data.introduction(),
        "Data": [*claims_on_data.pictures(), *claims_on_data.counts(), *claims_on_data.laws()],
        "Regression": [*claims_on_results.length(), *claims_on_results.regression()],
        "Classification": claims_on_results.classification(),
        "Hybrid": claims_on_results.hybrid(),
        "Conclusions": claims_on_results.conclusions(),
    }
    return {theme: [Claim(c.where, _joined(c.quote), c.verdict, _set(c.arithmetic)) for c in listed] for theme, listed in themes.items()}


def _joined(text: str) -> str:
    return " ".join(text.split())


def _set(text: str) -> str:
    """On one line, with numbers as a page has them: 4.5 % for 4.5%, −1 for -1, 1e-8 for 1e-08."""
    return re.sub(r"e-0(?=\d)", "e-", re.sub(r"(?<=[\s(])-(?=\d)", "−", re.sub(r"(?<=\d)%", " %", _joined(text))))


def generated() -> str:
    """The text of the page: how many claims, then a table a theme."""
    found = claims()
    num = Counter(claim.verdict for theme in found.values() for claim in theme)
    lines = [f"{num.total()} claims: " + ", ".join(f"{num[verdict]} {verdict}" for verdict in ("reproducible", "inconsistent", "unverifiable")) + "."]
    for theme, listed in found.items():
        lines += ["", f"### {theme}", "", "| section | the paper | arithmetic | verdict |", "|---|---|---|---|"]
        lines += [f"| {claim.where} | “{claim.quote}” | {claim.arithmetic} | **{claim.verdict}** |" for claim in listed]
        if theme == "Regression":
            lines += ["", *_readings(), "", *_passes()]
    lines += ["", "### Settings", "", *_settings()]
    return "\n".join(lines) + "\n"


def _settings() -> list[str]:
    """A row for each setting of the paper's recipe, that of several experiments once."""
    experiments: dict[tuple[str, Setting], list[str]] = {}
    for task, settings in PAPER.items():
        for name, setting in settings.items():
            experiments.setdefault((name, setting), []).append(task)
    lines = ["What a trial with the paper's settings is trained with, and which of it the paper states.", ""]
    lines += ["| setting | value | experiment | stated or assumed | by |", "|---|---|---|---|---|"]
    for (name, setting), tasks in sorted(experiments.items(), key=lambda item: -len(item[1])):
        number = f"{setting.value:g}" if isinstance(setting.value, float) else f"{setting.value:,}" if isinstance(setting.value, int) else ""
        of, said = "all" if len(tasks) == len(PAPER) else ", ".join(tasks), "stated" if setting.stated else "assumed"
        lines.append(f"| {name} | {_set(number) or setting.value} | {of} | {said} | {setting.where} |")
    return lines


def _readings() -> list[str]:
    views = TABLE_1["views"]
    lines = [
        "The readings of “approximately 87,000”: the loss that the mean would have, half the variance, and the share of it that the network removed "
        f"(below 0: added). Guessing 0 would have {(views.mean**2 + views.sd**2) / 2:,.0f} under B.",
        "",
        "| | reading | sd of views | loss of the mean | train, 49,992 | val, 50,090 |",
        "|---|---|---|---|---|---|",
    ]
    for r in arithmetic.readings():
        least = "≥ " if r.name == "D" else ""
        shown = "excluded | excluded" if r.name == "D" else f"{r.d2_train:.1%} | {r.d2_val:.1%}"
        lines.append(_set(f"| {r.name} | {r.text} | {least}{r.sd:,.2f} | {least}{r.constant:,.0f} | {shown} |"))
    return lines


def _passes() -> list[str]:
    sizes = (50, 64, 80, 100, 128, 256)
    lines = [_set(f"Passes over all {NUM_ANALYSED:,} pictures (over {SPLIT:.0%} of them) by batch size:"), ""]
    lines += ["| iterations | " + " | ".join(str(size) for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for iterations in ITERATIONS.values():
        row = (arithmetic.passes(iterations, size, NUM_ANALYSED) for size in sizes)
        lines.append(f"| {iterations:,} | " + " | ".join(f"{n:.2f} ({n / SPLIT:.2f})" for n in row) + " |")
    return lines
