"""How strong something hidden would have to be to undo a finding."""

import math


def robustness(correlation: float) -> float:
    """The share of what is left of the score, and of what is left of the views, that a hidden factor would have to explain to bring a partial
    correlation to 0: ½·(√(f⁴ + 4f²) − f²) with f² = r² / (1 − r²), here in a form that loses no digits near 1.

    The robustness value of Cinelli & Hazlett (2020, "Making sense of sensitivity: extending omitted variable bias", Journal of the Royal Statistical
    Society B 82:39-67). Of a correlation that is not above 0 it is 0, of 1 it is 1.
    """
    if correlation <= 0:
        return 0.0
    if correlation >= 1:
        return 1.0
    f = correlation / math.sqrt((1 - correlation) * (1 + correlation))
    return 2 * f / (math.hypot(f, 2) + f)
