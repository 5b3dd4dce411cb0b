"""docs/paper.md is what the code writes, with verdicts by its own definitions; test_figures.py computes its figures once more."""

import re
from pathlib import Path

import pytest

from docs.paper import BEGIN, END, PAGE, filled
from peoria.config.paper_recipe import PAPER
from peoria.config.space import Space
from peoria.paper.claim import Claim
from peoria.paper.claims import claims, generated

ROOT = Path(__file__).parents[3]
VERDICTS = ("reproducible", "inconsistent", "unverifiable")


def listed() -> list[Claim]:
    return [claim for theme in claims().values() for claim in theme]


def test_the_page_is_what_the_arithmetic_says() -> None:
    page = PAGE.read_text()
    assert filled(page) == page, "make pages writes it anew"
    changed = page.replace("986,429", "986,428")
    assert changed != page == filled(changed)  # a number that was changed by hand would be noticed


def test_each_setting_of_the_recipe_is_listed_as_stated_or_assumed() -> None:
    page = generated()
    assert "| batch_size | 50 | all | assumed | Caffe's recipe; the paper gives none" in page
    assert "| learning_rate | 1e-8 | regression | stated | section 4.1" in page
    for settings in PAPER.values():
        assert all(f"| {name} |" in page and setting.where in page for name, setting in settings.items())


def test_no_number_stands_outside_the_generated_part() -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    assert not re.search(r"\d", before + rest.split(END)[1])
    assert len(re.findall(r"\d+", generated())) > 200


def test_every_claim_has_its_verdict_and_fits_its_cell() -> None:
    found = listed()
    assert len({(claim.where, claim.quote) for claim in found}) == len(found) == 44
    for claim in found:
        assert claim.where
        assert claim.arithmetic
        assert claim.verdict in VERDICTS
        assert not re.search(r"[|\n]|nan|inf\b", claim.quote + claim.arithmetic)


def test_the_counts_of_verdicts_are_those_of_the_page_and_of_the_readme() -> None:
    num = {verdict: sum(claim.verdict == verdict for claim in listed()) for verdict in VERDICTS}
    assert generated().splitlines()[0] == f"{len(listed())} claims: " + ", ".join(f"{num[verdict]} {verdict}" for verdict in VERDICTS) + "."
    said = f"(of {len(listed())} claims {num['reproducible']} follow from others, {num['inconsistent']} contradict them or a source)"
    assert said in " ".join((ROOT / "README.md").read_text().split())


@pytest.mark.parametrize(
    ("quote", "verdict"),
    [
        # nothing that is printed gives the number
        ("only one in ten images has a favorite", "unverifiable"),
        ("a maximum accuracy of only 89.6%", "unverifiable"),
        ("The origin of the oscillatory behavior", "unverifiable"),
        ("a mean validation-set accuracy of 4.01", "unverifiable"),
        # what would contradict it is not printed
        ("an average-popularity image", "unverifiable"),
        ("over 400,000 images were collected", "unverifiable"),
    ],
)
def test_a_verdict_is_no_stronger_than_its_definition(quote: str, verdict: str) -> None:
    assert [claim.verdict for claim in listed() if claim.quote.startswith(quote)] == [verdict]


def test_what_the_page_says_of_the_code_holds() -> None:
    assert None in Space().outlier_sd  # "no removal is one of its values"
    assert {settings["target"].value for settings in PAPER.values()} == {"views", "favorites"}  # comments are never predicted
