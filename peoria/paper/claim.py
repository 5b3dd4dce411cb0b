"""A sentence of the paper beside the arithmetic on it, and what several of them assume."""

from typing import Literal, NamedTuple

Verdict = Literal["reproducible", "inconsistent", "unverifiable"]
SPLIT = 0.8  # of the pictures in train, where a split is assumed; the paper states none
PASSES = (4.0, 4.3)  # "a little over 4 times"


class Claim(NamedTuple):
    where: str  # section, table or figure
    quote: str  # the paper's words, "; " between places
    verdict: Verdict
    arithmetic: str
