"""What the paper claims, sentence by sentence, beside the arithmetic: the generated part of ``docs/paper.md``, which ``docs/paper.py`` writes.

Every number there is computed here from what the paper prints, or quoted from it.
"""

import math
import re
from collections import Counter
from typing import Literal, NamedTuple

from peoria.config.paper_recipe import PAPER, Setting
from peoria.paper import arithmetic, printed
from peoria.paper.printed import HYBRID, ITERATIONS, NUM_ANALYSED, NUM_COLLECTED, NUM_FAVORITED, NUM_REMOVED, NUM_TEST, REGRESSION, TABLE_1, TABLE_2
from peoria.stats import metrics

Verdict = Literal["reproducible", "inconsistent", "unverifiable"]
SPLIT = 0.8  # of the pictures in train, where a split is assumed; the paper states none
PASSES = (4.0, 4.3)  # "a little over 4 times"
YFCC = (99.2, 0.8)  # million photos and videos: Thomee et al. 2016, "YFCC100M: the new data in multimedia research"
AVA = 250_000  # "over 250,000 images": the abstract of the paper's [12]


class Claim(NamedTuple):
    where: str  # section, table or figure
    quote: str  # the paper's words, "; " between places
    verdict: Verdict
    arithmetic: str


def claims() -> dict[str, list[Claim]]:
    """By theme, in the order of the paper."""
    themes = {
        "Data": [*_pictures(), *_counts(), *_laws()],
        "Regression": [*_length(), *_regression()],
        "Classification": _classification(),
        "Hybrid": _hybrid(),
        "Conclusions": _conclusions(),
    }
    return {theme: [Claim(c.where, _joined(c.quote), c.verdict, _set(c.arithmetic)) for c in listed] for theme, listed in themes.items()}


def _pictures() -> list[Claim]:
    views, favorites, comments = TABLE_1.values()
    digits = 256 * 256 * 3 * math.log10(256)
    return [
        Claim("1", "tens or hundreds of thousands times more popular", "unverifiable", f"""
            The most viewed picture has {views.max / views.mean:,.0f} times the mean. Ten thousand times holds against pictures of at most
            {views.max // 10_000} views, a hundred thousand times against those of at most {views.max // 100_000}; how many these are is not
            said."""),
        Claim("1", "the majority of imagespace is images of noise, yet very few images of noise are widely popular", "unverifiable", f"""
            It sets a share of all possible pictures (10^{digits:,.0f} of 256×256) against a share of uploaded ones. What would count is how often
            uploaded noise becomes popular beside other uploads; the paper has no such noise."""),
        Claim("3.1", "metadata for some 90 million images and 10 million videos", "inconsistent",
            f"Its makers count {YFCC[0]} and {YFCC[1]} million (Thomee et al. 2016)."),
        Claim("3.1, 4.1, 4.2", "over 400,000 images were collected; some 500 images being excluded; of the 393,691 images analyzed",
            "inconsistent", f"""
            {NUM_ANALYSED:,} + {NUM_REMOVED} = {NUM_ANALYSED + NUM_REMOVED:,}: at least {NUM_COLLECTED - NUM_ANALYSED - NUM_REMOVED:,} pictures are
            missing without a word."""),
        Claim("3.2", "only one in ten images has a favorite or a comment", "reproducible", f"""
            {NUM_FAVORITED / NUM_ANALYSED:.2%} have a favourite, so at least that many have one or the other. For comments no share is given."""),
        Claim("3.2", "they are actually more frequent than favorites", "reproducible",
            f"{comments.mean / favorites.mean:.2f} comments for each favourite by Table 1; of pictures with one, nothing is said."),
    ]  # fmt: skip


def _counts() -> list[Claim]:
    views, favorites, _ = TABLE_1.values()
    vf, vc, fc = TABLE_2.values()
    mu, _ = arithmetic.lognormal(views.mean, views.sd)

    def forced(name: str) -> str:
        row = TABLE_1[name]
        return f"""One value of {row.max:,} forces an sd of at least {arithmetic.forced_sd(row, NUM_ANALYSED):,.2f} among {NUM_ANALYSED:,} pictures
            ({arithmetic.forced_sd(row, NUM_COLLECTED):,.2f} among {NUM_COLLECTED:,})"""

    return [
        Claim("Figure 1", "an average-popularity image with 200 views", "inconsistent", f"""
            {printed.AVERAGE_PICTURE / views.mean - 1:.0%} above the mean of {views.mean}; a lognormal of Table 1's mean and sd has its median at
            {math.exp(mu):.0f} views."""),
        Claim("Table 1", "Views 146.37 323.58 321,528", "inconsistent", f"""
            {forced("views")}; the printed one needs {arithmetic.needed_num(views):,}, rounding in its favour. Mean and sd can be of the cut
            pictures and the maximum of all; they cannot be of one set."""),
        Claim("Table 1", "Favorites 0.32 2.21 1,533", "inconsistent",
            f"{forced('favorites')}; the printed one needs {arithmetic.needed_num(favorites):,}. As above."),
        Claim("Table 1", "Comments 0.50 5.51 1,175", "unverifiable", f"{forced('comments')}: possible."),
        Claim("Table 2", "Covariance structure among popularity metrics", "unverifiable", f"""
            As a covariance, {vf} would be a correlation of {vf / views.sd / favorites.sd:.4f}; they are correlations. Such a matrix can exist
            (eigenvalues {", ".join(f"{value:.2f}" for value in arithmetic.eigenvalues())}). Whether the outliers are in is not said."""),
        Claim("3.2", """The number of favorites was predictive of the number of comments and the number of views, but views and comments were not
            highly predictive of each other""", "reproducible", f"""
            Shares of variance, from Table 2: {fc**2:.1%}, {vf**2:.1%} and {vc**2:.1%}. With favourites held fixed, views and comments correlate at
            {arithmetic.partial(vc, vf, fc):.2f}."""),
    ]  # fmt: skip


def _laws() -> list[Claim]:
    views = TABLE_1["views"]
    exponent = arithmetic.zeta_exponent(views.mean)
    least = arithmetic.forced_sd(views, NUM_ANALYSED)
    return [
        Claim("4.1, Figure 2", "depicting a clear Power Law relationship", "unverifiable", f"""
            A histogram cannot show it: that of a lognormal of Table 1's mean and sd, up to 2,000 views, on two logarithmic axes, has a straight line
            with R² = {arithmetic.loglog_fit(views.mean, views.sd):.2f} through it. A power law from one view on with a mean of {views.mean} has
            α = {exponent:.3f} and {arithmetic.share_of_ones(exponent):.0%} of the pictures at exactly one view; ten bins of “an equal number of
            images” (4.3) could not be made of it. At best the tail is one."""),
        Claim("4.1", "more than six standard deviations above the mean was removed, resulting in some 500 images being excluded", "unverifiable", f"""
            Any law allows up to {arithmetic.cantelli(printed.OUTLIER_SD):.1%} a count (Cantelli); {NUM_REMOVED} of
            {NUM_ANALYSED + NUM_REMOVED:,} are {NUM_REMOVED / (NUM_ANALYSED + NUM_REMOVED):.2%}. The limit is
            {views.mean + printed.OUTLIER_SD * views.sd:,.0f} views by Table 1's sd, at least {views.mean + printed.OUTLIER_SD * least:,.0f}
            by one that its maximum allows."""),
    ]  # fmt: skip


def _length() -> list[Claim]:
    least, most = (arithmetic.batch_for(n, ITERATIONS["planned"], NUM_ANALYSED) for n in PASSES)
    shorter = ITERATIONS["regression"] / ITERATIONS["planned"]
    return [
        Claim("4.1", "5. CONV 3x3, 2 stride, ReLU", "inconsistent", f"""
            With CaffeNet's padding and stride 1 the last map is {_map(padded=True, stride_5=1)}, which the pretrained layer 6 is made for; with
            stride 2 it is {_map(padded=True, stride_5=2)}, and without padding, as listed, {_map(padded=False, stride_5=2)}: no pretrained layer 6
            could be loaded. Most likely a padding of 1 was meant."""),
        Claim("4.1, 5.1", "The net was run for 20,000 iterations; The deepnet was run on the data for 6,000 iterations", "inconsistent",
            f"One experiment, two lengths: {1 / shorter:.2f} to 1."),
        Claim("4.1", "20,000 iterations, a little over 4 times over the dataset", "unverifiable", f"""
            A batch of {least:.0f} to {most:.0f} for {PASSES[0]:g} to {PASSES[1]:g} passes over all pictures, {SPLIT * least:.0f} to
            {SPLIT * most:.0f} over {SPLIT:.0%} of them. Neither batch nor split is stated."""),
        Claim("5.1", "6,000 iterations, covering the entire dataset roughly one and a half times", "inconsistent", f"""
            {PASSES[0]:g} to {PASSES[1]:g} passes in 20,000 iterations are {PASSES[0] * shorter:.2f} to {PASSES[1] * shorter:.2f} in 6,000, whatever
            the batch; one and a half in 6,000 would be {1.5 / shorter:.1f} in 20,000."""),
    ]  # fmt: skip


def _regression() -> list[Claim]:
    found = {reading.name: reading for reading in arithmetic.readings()}
    sd = TABLE_1["views"].sd
    cut = arithmetic.cut_lognormal(TABLE_1["views"].mean, sd)
    se_test = arithmetic.se_half_mse(sd, cut.kurtosis, NUM_TEST)
    se_train = arithmetic.se_half_mse(sd, cut.kurtosis, 1_000 * printed.BATCH_SIZE)
    return [
        Claim("5.1", "substantially better than the expected error of approximately 87,000", "inconsistent", f"""
            The mean's loss is half the variance, and Table 1 gives no 87,000, halved or not (below). The network is {-found["A"].d2_train:.1%} worse
            than the mean if that is a variance, {found["B"].d2_train:.1%} better by Table 1's sd, {found["C"].d2_train:.1%} better if it is halved
            already."""),
        Claim("5.1", """a mean training error of 49,992 for the final 1,000 iterations; The best validation accuracy achieved was 50,090""",
            "unverifiable", f"""
            Losses, not accuracies. A lognormal with Table 1's mean and sd after the cut has a kurtosis of {cut.kurtosis:.0f}; the mean's loss on
            {NUM_TEST:,} pictures then has a standard error of {se_test:,.0f} ({se_test / found["B"].constant:.1%}), on 1,000 batches of
            {printed.BATCH_SIZE} one of {se_train:,.0f}. Reading B's {found["B"].d2_val:.1%} on val, the best of several tests, are
            {(found["B"].constant - REGRESSION["val"]) / se_test:.1f} standard errors."""),
    ]  # fmt: skip


def _classification() -> list[Claim]:
    from peoria.paper.oscillation import oscillation, softmax_losses

    p = NUM_FAVORITED / NUM_ANALYSED
    prior = arithmetic.prior_losses(p)
    se = arithmetic.se_of_mean(math.sqrt(p * (1 - p)), NUM_TEST)
    num_tests = ITERATIONS["classification"] // printed.TEST_EVERY
    a_pass = NUM_ANALYSED / printed.BATCH_SIZE
    periods = ITERATIONS["classification"] / a_pass
    share = {order: oscillation(softmax_losses(order), 80) for order in ("fixed", "shuffled")}
    return [
        Claim("4.2, 5.2", "With 10.9% of the dataset having the label 1; would achieve an accuracy of 89.1%", "reproducible",
            f"{NUM_FAVORITED:,} / {NUM_ANALYSED:,} = {p:.3%}; the rest {1 - p:.3%}."),
        Claim("5.2", "a maximum accuracy of only 89.6% and a mean accuracy during the last 5 testing episodes of 89.1%", "reproducible", f"""
            No skill is visible: one test of {NUM_TEST:,} pictures has a standard error of {100 * se:.2f} points, so 89.6% lies
            {(printed.CLASSIFICATION["max"] - 1 + p) / se:.1f} of them above the share; the best of {num_tests} tests without skill is expected at
            {1 - p + metrics.expected_best_of(num_tests, se):.1%}."""),
        Claim("5.2", "that is what was seen when the deepnet was tested against the validation set", "unverifiable", f"""
            Skill could not be seen: the best threshold on a score with an AUC of 0.65, both classes normal, adds
            {100 * arithmetic.accuracy_gain(0.65, p):.4f} points of accuracy, with 0.75 {100 * arithmetic.accuracy_gain(0.75, p):.2f}. The share
            alone scores a log-loss of {prior["log_loss"]:.4f}, a Brier score of {prior["brier"]:.4f}, an AUC of 0.5 and an average precision of
            {prior["average_precision"]:.3f}; none of the network's is given."""),
        Claim("5.2", """The origin of the oscillatory behavior is unclear, although the oscillation period is approximately equivalent to traversing
            the entire dataset""", "reproducible", f"""
            Expected where each pass has the same order, as Caffe's has unless told otherwise. With a linear softmax on made pictures, the place
            within the pass explains {share["fixed"]:.0%} of the loss's variance about its trend; shuffled anew each pass,
            {max(0.0, share["shuffled"]):.0%} (`peoria/paper/oscillation.py`). At a batch of {printed.BATCH_SIZE} a pass is {a_pass:,.0f}
            iterations, {SPLIT * a_pass:,.0f} over {SPLIT:.0%}: {periods:.1f} or {periods / SPLIT:.1f} periods in 86,000."""),
    ]  # fmt: skip


def _hybrid() -> list[Claim]:
    chance, sd = arithmetic.bin_loss(), arithmetic.bin_loss_sd()
    shares = arithmetic.whole_lognormal(TABLE_1["views"].mean, TABLE_1["views"].sd)
    ties = sorted(arithmetic.tied_bins(shares, below=below)[1] for below in (True, False))
    d2 = {name: metrics.d2(HYBRID[name], chance) for name in ("mean", "min")}
    r = {name: arithmetic.least_r(value) for name, value in d2.items()}
    se, whole = arithmetic.se_of_mean(sd, NUM_TEST), arithmetic.se_of_mean(sd, (1 - SPLIT) * NUM_ANALYSED)
    paired = arithmetic.se_of_mean(arithmetic.paired_sd(r["mean"]), NUM_TEST)
    num_tests = ITERATIONS["hybrid"] // printed.TEST_EVERY
    gap = chance - HYBRID["mean"]
    return [
        Claim("5.3", """10 'labels' which evenly partition the data into equal-sized groups, the expected Euclidean loss from guessing the mean
            'label' is exactly 4.125""", "reproducible", f"""
            Variance {2 * chance:g}, half of it {chance:g}. Whole numbers tie: where equal counts stay together, a lognormal of Table 1's mean and sd
            gives {ties[0]:.2f} or {ties[1]:.2f}, by the side of an edge that they fall to."""),
        Claim("5.3", "a mean validation-set accuracy of 4.01 and a minimum of 3.94", "reproducible", f"""
            Losses, not accuracies. 1 − loss / {chance:g} is {d2["mean"]:.2%} and {d2["min"]:.2%}, a correlation with the bin of at least
            {r["mean"]:.3f} and {r["min"]:.3f}. The minimum of {num_tests} tests of {NUM_TEST:,} pictures each is expected
            {metrics.expected_best_of(num_tests, se):.2f} below their mean by luck; 3.94 is {HYBRID["mean"] - HYBRID["min"]:.2f} below and adds
            nothing."""),
        Claim("5.3", "The deepnet did significantly outperform chance", "unverifiable", f"""
            No test, number of pictures or split is given. {chance:g} − 4.01 is {gap / se:.1f} standard errors of one test of {NUM_TEST:,} pictures,
            {gap / whole:.1f} if the tests covered {1 - SPLIT:.0%} of the data, {gap / paired:.1f} had the mean bin been scored on the same
            {NUM_TEST:,}. So likely, if pictures are independent and no owner or near-copy is on both sides of the split; nothing is said of
            that."""),
    ]  # fmt: skip


def _conclusions() -> list[Claim]:
    d2 = metrics.d2(HYBRID["mean"], arithmetic.bin_loss())
    rate, head = 1e-8, 20.0
    run = arithmetic.passes(ITERATIONS["regression"], printed.BATCH_SIZE, NUM_ANALYSED)
    third = {task: arithmetic.passes(ITERATIONS[task], printed.BATCH_SIZE, NUM_ANALYSED) / 3 for task in ("classification", "hybrid")}
    return [
        Claim("6", "We would be hard-pressed to claim that the deepnets were successful", "reproducible", f"""
            {d2:.1%} of the hybrid's loss, nothing of the classification's errors, an unknown share of the regression's loss."""),
        Claim("6.1", "Training the deepenets longer would have necessarily improved the training loss", "unverifiable", f"""
            One training loss is printed, at one time. By 5.2 and 5.3 most was gained in the first third, {third["classification"]:.1f} and
            {third["hybrid"]:.1f} passes at a batch of {printed.BATCH_SIZE}."""),
        Claim("6.1", """in all three experiments the validation accuracy was stable by the time training was halted, suggesting that the decrease in
            training loss was due to overfitting""", "inconsistent", f"""
            Not in the first: its loss on val is {REGRESSION["val"] / REGRESSION["train"]:.3f} times that on train, after {run:.2f} (batch
            {printed.BATCH_SIZE}) to 1.5 passes. Learning too slowly would explain it as well: on raw views a rate of {rate:.0e} moves the trunk as
            {arithmetic.trunk_rate(rate):.2e} does on standardised ones, Caffe's 1e-03, but the head's {head * rate:.0e} stays as it is,
            {1e-3 * 10 / (head * rate):,.0f} times below Caffe's. For the other two no training loss is printed."""),
        Claim("6.1", "with 400,000 images our dataset is roughly twice the size of the AVA dataset", "inconsistent",
            f"AVA has over {AVA:,}: less than {NUM_COLLECTED / AVA:.1f} times."),
        Claim("6.3", """images do not encode the features that are predictive of their popularity; This seems unlikely and is intuitively
            unsatisfying""", "unverifiable", f"""
            The hybrid's r of at least {arithmetic.least_r(d2):.2f} would show that they do; {NUM_TEST:,} independent pictures show
            {metrics.detectable(1 / math.sqrt(NUM_TEST - 1)):.3f} in four cases of five. But it is pooled: an owner's fame or a picture's age that
            shows in its looks gives the same number, and neither was held fixed."""),
        Claim("6.3", "clearly at least some of the popularity of an image is encoded in the image itself", "unverifiable", """
            Rests on the noise of section 1, see there, and on the r above."""),
    ]  # fmt: skip


def _map(*, padded: bool, stride_5: int) -> str:
    size = arithmetic.side(padded=padded, stride_5=stride_5)
    return f"{size}×{size}×256 = {size * size * 256:,}"


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
