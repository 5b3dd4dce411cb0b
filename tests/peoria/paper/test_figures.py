"""Each figure of docs/paper.md computed once more, without the code that writes the page."""

import functools
import math
import re

import numpy as np
from scipy.optimize import brentq, fsolve
from scipy.special import zeta
from scipy.stats import norm

from peoria.paper.claims import claims, generated
from peoria.paper.oscillation import oscillation, softmax_losses

Figures = list[float | str]  # a number, computed here and met to the page's last digit; or a text, from the paper or a source, met as it is
FIGURE = re.compile(r"[−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?")
N, COLLECTED, REMOVED, FAVORITED, TEST = 393_691, 400_000, 500, 43_071, 5_000
MEAN, SD, MOST = 146.37, 323.58, 321_528


def best_of(num: float) -> float:
    """The mean of the largest of ``num`` standard normals."""
    x = np.linspace(-10, 10, 200_001)
    return float(np.trapezoid(x * num * norm.pdf(x) * norm.cdf(x) ** (num - 1), x))


@functools.cache
def cut_lognormal() -> tuple[float, float, float, float, float]:
    """mu, sigma, limit, share above it, kurtosis of the rest: by quadrature."""
    z = np.linspace(-9, 9, 400_001)
    density = norm.pdf(z) / norm.pdf(z).sum()

    def moments(p: np.ndarray) -> tuple[float, float, float, float, float]:
        x = np.exp(p[0] + p[1] * z)
        limit = math.exp(p[0] + p[1] ** 2 / 2) * (1 + 6 * math.sqrt(math.expm1(p[1] ** 2)))
        held = density * (x <= limit)
        kept = held.sum()
        mean = held @ x / kept
        variance = held @ (x - mean) ** 2 / kept
        return mean, variance, held @ (x - mean) ** 4 / kept / variance**2, limit, 1 - kept

    mu, sigma = fsolve(lambda p: [moments(p)[0] / MEAN - 1, moments(p)[1] / SD**2 - 1], lognormal())
    _, _, kurtosis, limit, share = moments(np.array([mu, sigma]))
    return mu, sigma, limit, share, kurtosis


def lognormal() -> tuple[float, float]:
    variance = math.log1p((SD / MEAN) ** 2)
    return math.log(MEAN) - variance / 2, math.sqrt(variance)


def tied(mu: float, sigma: float, top: int = 1_000_000) -> list[float]:
    """Half the variance of ten bins of whole numbers below ``top``, ties below or above an edge."""
    shares = np.diff(norm.cdf((np.log(np.arange(1, top + 1)) - mu) / sigma), prepend=0.0)
    shares /= shares.sum()
    edges = np.searchsorted(np.cumsum(shares), np.arange(1, 10) / 10)
    bins = [np.searchsorted(edges, np.arange(top), "left" if below else "right") for below in (True, False)]
    return sorted(float(shares @ b**2 - (shares @ b) ** 2) / 2 for b in bins)


def ended(top: int) -> list[float]:
    x = np.arange(1, top + 1.0)
    alpha = brentq(lambda a: (x ** (1 - a)).sum() / (x**-a).sum() - MEAN, 0.1, 3)
    return [alpha, float(100 / (x**-alpha).sum())]


def removed(mean: float, sd: float, top: int) -> tuple[float, float]:
    """(sd of all, count of each of 500 removed) where mean + 6 sd of all reaches ``top``: by bisection."""
    low, high = 0.0, 10_000.0
    for _ in range(200):
        count = (low + high) / 2
        m1, m2 = (N * mean + REMOVED * count) / (N + REMOVED), (N * (mean**2 + sd**2) + REMOVED * count**2) / (N + REMOVED)
        of_all = math.sqrt(m2 - m1**2)
        low, high = (count, high) if m1 + 6 * of_all < top else (low, count)
    return of_all, count


def data() -> dict[str, Figures]:
    mu, sigma = lognormal()
    _, _, _, share, _ = cut_lognormal()
    p = FAVORITED / N
    alpha = brentq(lambda a: zeta(a - 1) / zeta(a) - MEAN, 2 + 1e-6, 10)
    edges = np.linspace(0, 2000, 101)
    with np.errstate(divide="ignore"):
        heights = np.diff(norm.cdf((np.log(edges) - mu) / sigma))
    line = np.corrcoef(np.log((edges[1:] + edges[:-1]) / 2), np.log(heights))[0, 1] ** 2
    fav, com = (math.ceil(s**2 / m + m) for m, s in ((0.325, 2.205), (0.505, 5.505)))

    def forced(mean: float, most: int) -> Figures:
        return [f"{most:,}", (most - mean) / math.sqrt(N - 1), "393,691", (most - mean) / math.sqrt(COLLECTED - 1), "400,000"]

    return {
        "to predict image popularity": ["3", "4.1", "4.3"],
        "tens or hundreds": [MOST / MEAN, MOST // 10**4, MOST // 10**5],
        "the majority of imagespace": ["10", 256 * 256 * 3 * math.log10(256), "256", "256"],
        "very few images": [],
        "images that are objectively": ["6.4"],
        "none (to the author's": ["2014", "2.3", 2.3e6 / N, "0.81"],
        "metadata for some": ["99.2", "0.8", "2016"],
        "images were only drawn": ["400,000", 100 * 400_000 / 90_000_000, "90", "6.1"],
        "over 400,000 images": ["393,691", "500", N + 500, COLLECTED - N - 500],
        "only one in ten": [100 * p, "0.50", 100 * p + 50.5],
        "they are actually more": [0.50 / 0.32, "1"],
        "an average-popularity": [100 * (200 / MEAN - 1), "146.37", "200", "500", (200 * (N + 500) - MEAN * N) / 500, "321,528", "1", math.exp(mu),
                                  100 * norm.sf((math.log(200) - mu) / sigma), "200"],
        "Views 146.37": [*forced(MEAN, MOST), math.ceil(((MOST - MEAN - 0.005) / (SD + 0.005)) ** 2) + 1],
        "Favorites 0.32": [*forced(0.32, 1533), math.ceil(((1533 - 0.325) / 2.215) ** 2) + 1, "6", 0.32 + 6 * 2.21, math.sqrt(6 * 2.21 * 0.32),
                           "2000", fav, removed(0.325, 2.215, fav)[0]],
        "Comments 0.50": [*forced(0.50, 1175), com, "6", 0.5 + 6 * 5.51, math.sqrt(6 * 5.51 * 0.5), *_about(removed(0.505, 5.515, com)), "1,175"],
        "Covariance structure": ["0.44", 0.44 / SD / 2.21, *np.linalg.eigvalsh([[1, 0.44, 0.12], [0.44, 1, 0.44], [0.12, 0.44, 1]]).tolist()],
        "The number of favorites was": ["2", 19.36, 19.36, 1.44, (0.12 - 0.44**2) / (1 - 0.44**2)],
        "depicting a clear": ["1", "2,000", line, "146.37", alpha, 100 / zeta(alpha), *ended(MOST), "321,528", *ended(2088), "2,088", "4.3"],
        "the distribution of popularity": [],
        "they act like": ["321,528", "50", (MOST - MEAN) ** 2 / 50 / SD**2, "1", (MOST - MEAN) / SD / math.sqrt(50)],
        "more than six": [100 / 37, "500", N + 500, 100 * 500 / (N + 500), MEAN + 6 * SD, "1", MEAN + 6 * (MOST - MEAN) / math.sqrt(COLLECTED - 1),
                          "400,000", "1", 100 * share, share * (N + 500), share * (N + 500) / 500],
    }  # fmt: skip


def _about(found: tuple[float, float]) -> Figures:
    return [found[0], "500", found[1]]


def results() -> dict[str, Figures]:
    _, _, _, _, kurtosis = cut_lognormal()
    p, half = FAVORITED / N, SD**2 / 2
    error = half * math.sqrt((kurtosis - 1) / TEST)
    of_share = 100 * math.sqrt(p * (1 - p) / TEST)
    disjoint = 0.2 * N / TEST

    def gain(auc: float) -> float:
        """By the grid, no formula for the best threshold."""
        apart, at = math.sqrt(2) * norm.ppf(auc), np.linspace(-5, 12, 400_001)
        return float(100 * (p * norm.sf(at - apart) - (1 - p) * norm.sf(at)).max())

    bins = np.arange(10)
    losses = (bins - 4.5) ** 2 / 2
    se, ties, cut = losses.std() / math.sqrt(TEST), tied(*lognormal()), cut_lognormal()
    whole, least = losses.std() / math.sqrt(0.2 * N), ties[0]
    shares = {at: [1 - 4.01 / at, 1 - 3.94 / at] for at in (4.125, least)}
    paired = {at: 2 * at * math.sqrt(of[0]) / math.sqrt(TEST) for at, of in shares.items()}
    both = [x for at in shares for x in ([100 * share for share in shares[at]], [math.sqrt(share) for share in shares[at]])]
    fixed, shuffled = (100 * oscillation(softmax_losses(order), 80) for order in ("fixed", "shuffled"))  # held in test_oscillation.py
    return {
        "5. CONV": ["1", "6", "6", "256", 6 * 6 * 256, "6", "2", "3", "3", "256", 3 * 3 * 256, "2", "2", "256", 2 * 2 * 256, "6", "1"],
        "The net was run": [20 / 6, "1"],
        "20,000 iterations, a little": [4 * N / 20_000, 4.3 * N / 20_000, "4", "4.3", 3.2 * N / 20_000, 3.44 * N / 20_000, "80"],
        "6,000 iterations, covering": ["4", "4.3", "20,000", 4 * 0.3, 4.3 * 0.3, "6,000", "6,000", 1.5 / 0.3, "20,000"],
        "substantially better": ["1", "87,000", 100 * (49_992 / 43_500 - 1), 100 * (1 - 49_992 / half), "1", 100 * (1 - 49_992 / 87_000)],
        "a mean training error": ["1", kurtosis, "5,000", error, 100 * error / half, "1,000", "50", error / math.sqrt(10), 100 * (1 - 50_090 / half),
                                  (half - 50_090) / error],
        "With 10.9%": ["43,071", "393,691", 100 * p, 100 * (1 - p)],
        "a maximum accuracy": ["5,000", of_share, "89.6", (89.6 - 100 * (1 - p)) / of_share, "86", 100 * (1 - p) + best_of(86) * of_share, 86 * TEST,
                               100 * (1 - p) + best_of(disjoint) * of_share, disjoint, "20", "5,000", 89.6 - 89.1],
        "that is what was seen": ["0.65", gain(0.65), "0.75", gain(0.75), -p * math.log(p) - (1 - p) * math.log(1 - p), p * (1 - p), "0.5", p],
        "The origin of": [fixed, max(0, shuffled), "50", N / 50, 0.8 * N / 50, "80", 86_000 * 50 / N, 86_000 * 50 / N / 0.8, "86,000"],
        "10 'labels'": [bins.var(), bins.var() / 2, "1", *ties, *tied(cut[0], cut[1], int(cut[2]) + 1)],
        "a mean validation-set": ["1", "4.125", *both[0], *both[1], least, *both[2], *both[3], "97", best_of(97) * se,
                                  best_of(disjoint) * se, disjoint, "20", "5,000", "3.94", 4.01 - 3.94],
        "The deepnet did": ["5,000", se, "4.125", "4.01", 0.115 / se, least, "4.01", (least - 4.01) / se, "20", 0.115 / whole,
                            (least - 4.01) / whole, "5,000", 0.115 / paired[4.125], (least - 4.01) / paired[least]],
        "the primary gains": ["5.2", "3", 86_000 / 3, 97_000 / 3, 86_000 * 50 / N / 3, 97_000 * 50 / N / 3, "50", "20,000"],
        "We would be": [both[0][0], both[2][0]],
        "Training the deepenets": [10 ** (97_000 // 20_000)],
        "in all three": [50_090 / 49_992, 6_000 * 50 / N, "50", "1.5", "1e-8", 1e-8 * SD**2, "1e-3", 20 * 1e-8, 1e-3 * 10 / 2e-7],
        "with 400,000": ["250,000", 400_000 / 250_000],
        "we remain confident": ["4.1"],
        "images do not": [both[3][0], both[1][0], "5,000", 2.8 / math.sqrt(TEST - 1), (least - 4.01) / se, "5.3"],
        "clearly at least": ["1"],
        "they might be able": [],
        "are other abstract": ["2", "6.3"],
    }  # fmt: skip


def unmet(text: str, figures: Figures) -> list[str]:
    """What a text prints beside what it should: the figures in their order, each to the digits that are shown."""
    printed, problems = FIGURE.findall(text), []
    if len(printed) != len(figures):
        return [f"{printed} for {figures}"]
    for shown, figure in zip(printed, figures, strict=True):
        digits = len(re.sub(r"e.*", "", shown).partition(".")[2])
        style = f".{digits}e" if "e" in shown else f",.{digits}f"
        right = figure if isinstance(figure, str) else format(figure, style).replace("e-0", "e-").replace("-", "−" if "e" not in shown else "-")
        problems += [f"{shown} for {figure}"] if shown != right else []
    return problems


def test_every_figure_of_every_claim() -> None:
    expected = data() | results()
    left = dict(expected)
    for claim in (claim for theme in claims().values() for claim in theme):
        (key,) = [key for key in expected if claim.quote.startswith(key)]
        assert unmet(claim.arithmetic, left.pop(key)) == [], claim.quote
    assert left == {}


def test_a_figure_that_is_not_the_computed_one_is_noticed() -> None:
    text = "of 5,000 a share of −0.09 at 1e-8, 61.4 %"
    right: Figures = ["5,000", -0.0912, 1e-8, 61.44]
    assert unmet(text, right) == []
    for wrong in (["5,001", -0.0912, 1e-8, 61.44], ["5,000", 0.0912, 1e-8, 61.44], ["5,000", -0.0912, 1e-7, 61.44], ["5,000", -0.0912, 1e-8, 61.46]):
        assert len(unmet(text, wrong)) == 1
    assert unmet(text + " and 7", right) != []
    assert unmet("of 5,000", right) != []


def rows(start: str) -> list[str]:
    """The rows of the table that begins so, its head left out."""
    lines = generated().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(start)) + 2
    return lines[first : [*lines, ""].index("", first)]


def test_the_tables_of_readings_and_of_passes() -> None:
    half = SD**2 / 2
    readings: list[Figures] = [
        ["87,000", math.sqrt(87_000), 43_500, 100 * (1 - 49_992 / 43_500), 100 * (1 - 50_090 / 43_500)],
        ["1", SD, half, 100 * (1 - 49_992 / half), 100 * (1 - 50_090 / half)],
        ["87,000", math.sqrt(2 * 87_000), 87_000, 100 * (1 - 49_992 / 87_000), 100 * (1 - 50_090 / 87_000)],
        ["321,528", "400,000", (MOST - MEAN) / math.sqrt(COLLECTED - 1), (MOST - MEAN) ** 2 / (COLLECTED - 1) / 2],
    ]
    found = rows("| | reading |")
    assert [unmet(row, figures) for row, figures in zip(found, readings, strict=True)] == [[]] * 4
    lengths, sizes = (20_000, 6_000, 86_000, 97_000), (50, 64, 80, 100, 128, 256)
    passes: list[Figures] = [[f"{length:,}", *(length * size / of for size in sizes for of in (N, 0.8 * N))] for length in lengths]
    found = rows("| iterations |")
    assert [unmet(row, figures) for row, figures in zip(found, passes, strict=True)] == [[]] * 4
    intro = next(line for line in generated().splitlines() if line.startswith("The readings of"))
    assert unmet(intro, ["87,000", "0", "0", (MEAN**2 + SD**2) / 2]) == []


def test_the_table_of_settings() -> None:
    """By another way than the recipe: iterations times a batch, and what Caffe's recipe and the paper say."""
    found = {(cells[1], cells[3]): cells[2] for cells in ([cell.strip() for cell in row.split("|")] for row in rows("| setting |"))}
    assert found == {
        ("head_multiplier", "all"): "20",
        ("outlier_sd", "all"): "6",
        ("batch_size", "all"): "50",
        ("momentum", "all"): "0.9",
        ("weight_decay", "all"): "0.0005",
        ("schedule", "all"): "step",
        ("schedule_gamma", "all"): "0.1",
        ("schedule_pictures", "all"): f"{20_000 * 50:,}",
        ("learning_rate", "regression"): "1e-8",
        ("learning_rate", "classification, hybrid"): "0.001",
        **{("target", task): target for task, target in (("regression", "views"), ("classification", "favorites"), ("hybrid", "views"))},
        **{("target_scale", task): "raw" for task in ("regression", "classification", "hybrid")},
        ("pictures", "regression"): f"{20_000 * 50:,}",
        ("pictures", "classification"): f"{86_000 * 50:,}",
        ("pictures", "hybrid"): f"{97_000 * 50:,}",
    }
