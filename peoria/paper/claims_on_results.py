"""What the paper claims of its three experiments, and concludes from them: sections 4.1 to 6.4."""

import math

from peoria.config.paper_recipe import PAPER
from peoria.paper import arithmetic, printed
from peoria.paper.claim import PASSES, SPLIT, Claim
from peoria.paper.printed import HYBRID, ITERATIONS, NUM_ANALYSED, NUM_COLLECTED, NUM_FAVORITED, NUM_TEST, REGRESSION, TABLE_1
from peoria.stats import metrics

AVA = 250_000  # "over 250,000 images": the abstract of the paper's [12]
NUM_DISJOINT = (1 - SPLIT) * NUM_ANALYSED / NUM_TEST  # tests of different pictures that fit into what is not train


def length() -> list[Claim]:
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


def regression() -> list[Claim]:
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


def classification() -> list[Claim]:
    from peoria.paper.oscillation import oscillation, softmax_losses

    p = NUM_FAVORITED / NUM_ANALYSED
    prior = arithmetic.prior_losses(p)
    se = arithmetic.se_of_mean(math.sqrt(p * (1 - p)), NUM_TEST)
    num_tests = ITERATIONS["classification"] // printed.TEST_EVERY
    best = {num: 1 - p + metrics.expected_best_of(num, se) for num in (num_tests, round(NUM_DISJOINT))}
    a_pass = NUM_ANALYSED / printed.BATCH_SIZE
    periods = ITERATIONS["classification"] / a_pass
    share = {order: oscillation(softmax_losses(order), 80) for order in ("fixed", "shuffled")}
    highest, mean = printed.CLASSIFICATION["max"], printed.CLASSIFICATION["mean"]
    return [
        Claim("4.2, 5.2", "With 10.9% of the dataset having the label 1; would achieve an accuracy of 89.1%", "reproducible",
            f"{NUM_FAVORITED:,} / {NUM_ANALYSED:,} = {p:.3%}; the rest {1 - p:.3%}."),
        Claim("5.2", "a maximum accuracy of only 89.6% and a mean accuracy during the last 5 testing episodes of 89.1%", "unverifiable", f"""
            Nothing printed gives them, and they need no skill. One test of {NUM_TEST:,} pictures has a standard error of {100 * se:.2f} points, so
            {highest:.1%} lies {(highest - 1 + p) / se:.1f} of them above the share. The best of {num_tests} tests without skill is expected at
            {best[num_tests]:.1%} if all are of different pictures, of which there would have to be {num_tests * NUM_TEST:,}; at
            {best[round(NUM_DISJOINT)]:.2%} if they are the {NUM_DISJOINT:.1f} that {1 - SPLIT:.0%} of the data hold. If each is of the same
            {NUM_TEST:,}, luck of the pictures sets none above another, and the {100 * (highest - mean):.1f} points between are the network's."""),
        Claim("5.2", "that is what was seen when the deepnet was tested against the validation set", "unverifiable", f"""
            Skill would hardly be seen: the best threshold on a score with an AUC of 0.65, both classes normal, adds
            {100 * arithmetic.accuracy_gain(0.65, p):.4f} points of accuracy, with 0.75 {100 * arithmetic.accuracy_gain(0.75, p):.2f}. The share
            alone scores a log-loss of {prior["log_loss"]:.4f}, a Brier score of {prior["brier"]:.4f}, an AUC of 0.5 and an average precision of
            {prior["average_precision"]:.3f}; none of the network's is given."""),
        Claim("5.2", """The origin of the oscillatory behavior is unclear, although the oscillation period is approximately equivalent to traversing
            the entire dataset""", "unverifiable", f"""
            No period and no batch is printed. It is what to expect where each pass has the same order, as Caffe's has unless told otherwise: with a
            linear softmax on made pictures, the place within the pass explains {share["fixed"]:.0%} of the loss's variance about its trend; shuffled
            anew each pass, {max(0.0, share["shuffled"]):.0%} (`peoria/paper/oscillation.py`). That shows that it can be so, not that it was. At a
            batch of {printed.BATCH_SIZE} a pass is {a_pass:,.0f} iterations, {SPLIT * a_pass:,.0f} over {SPLIT:.0%}: {periods:.1f} or
            {periods / SPLIT:.1f} periods in 86,000."""),
    ]  # fmt: skip


def hybrid() -> list[Claim]:
    chance, tied = arithmetic.bin_loss(), tied_losses()
    least = min(tied["all"])
    d2 = {name: metrics.d2(HYBRID[name], chance) for name in ("mean", "min")}
    d2_tied = {name: metrics.d2(HYBRID[name], least) for name in ("mean", "min")}
    r, r_tied = ({name: arithmetic.least_r(value) for name, value in shares.items()} for shares in (d2, d2_tied))
    se, whole = (arithmetic.se_of_mean(arithmetic.bin_loss_sd(), num) for num in (NUM_TEST, (1 - SPLIT) * NUM_ANALYSED))
    paired = arithmetic.se_of_mean(arithmetic.paired_sd(r["mean"], chance), NUM_TEST)
    paired_tied = arithmetic.se_of_mean(arithmetic.paired_sd(r_tied["mean"], least), NUM_TEST)
    num_tests = ITERATIONS["hybrid"] // printed.TEST_EVERY
    gap, gap_tied = chance - HYBRID["mean"], least - HYBRID["mean"]
    return [
        Claim("5.3", """10 'labels' which evenly partition the data into equal-sized groups, the expected Euclidean loss from guessing the mean
            'label' is exactly 4.125""", "reproducible", f"""
            Variance {2 * chance:g}, half of it {chance:g}. Whole numbers tie: where equal counts stay together, a lognormal of Table 1's mean and sd
            gives {_range(tied["all"])}, by the side of an edge that they fall to; one that has them after the cut {_range(tied["cut"])}."""),
        Claim("5.3", "a mean validation-set accuracy of 4.01 and a minimum of 3.94", "unverifiable", f"""
            Losses, not accuracies, and nothing printed gives them. 1 − loss / {chance:g} is {d2["mean"]:.2%} and {d2["min"]:.2%}, a correlation with
            the bin of at least {r["mean"]:.3f} and {r["min"]:.3f} where bins are equal. The bound that holds for all of the ties above is that of
            {least:.2f}: {d2_tied["mean"]:.2%} and {d2_tied["min"]:.2%}, at least {r_tied["mean"]:.3f} and {r_tied["min"]:.3f}. The minimum is
            selected: luck of the pictures puts the lowest of {num_tests} tests {metrics.expected_best_of(num_tests, se):.2f} below their mean if all
            are of different ones, {metrics.expected_best_of(round(NUM_DISJOINT), se):.2f} if they are the {NUM_DISJOINT:.1f} that {1 - SPLIT:.0%} of
            the data hold, and not at all if each is of the same {NUM_TEST:,}. {HYBRID["min"]} is {HYBRID["mean"] - HYBRID["min"]:.2f} below: no more
            than luck in the first two cases, the network's own in the third."""),
        Claim("5.3", "The deepnet did significantly outperform chance", "unverifiable", f"""
            No test, number of pictures or split is given. In standard errors of one test of {NUM_TEST:,} pictures ({se:.3f}),
            {chance:g} − {HYBRID["mean"]} is {gap / se:.2f}, but {least:.2f} − {HYBRID["mean"]}, the least by ties, {gap_tied / se:.2f}; if the tests
            covered {1 - SPLIT:.0%} of the data {gap / whole:.2f} and {gap_tied / whole:.2f}, had the mean bin been scored on the same {NUM_TEST:,}
            {gap / paired:.2f} and {gap_tied / paired_tied:.2f}. Both of the last need pictures that are independent, and no owner or near-copy on
            both sides of the split; nothing is said of that."""),
    ]  # fmt: skip


def conclusions() -> list[Claim]:
    least = min(tied_losses()["all"])
    d2, d2_tied = (metrics.d2(HYBRID["mean"], constant) for constant in (arithmetic.bin_loss(), least))
    rate, head = 1e-8, 20.0
    run = arithmetic.passes(ITERATIONS["regression"], printed.BATCH_SIZE, NUM_ANALYSED)
    third = {task: ITERATIONS[task] / 3 for task in ("classification", "hybrid")}
    passes = {task: arithmetic.passes(round(num), printed.BATCH_SIZE, NUM_ANALYSED) for task, num in third.items()}
    a_step = PAPER["hybrid"]["schedule_pictures"].value // PAPER["hybrid"]["batch_size"].value
    gamma = PAPER["hybrid"]["schedule_gamma"].value
    fallen = {gamma ** -(ITERATIONS[task] // a_step) for task in third}
    gap = (least - HYBRID["mean"]) / arithmetic.se_of_mean(arithmetic.bin_loss_sd(), NUM_TEST)
    return [
        Claim("5.2, 5.3", """the primary gains in training accuracy were achieved in the first third of training; with primary reductions in training
            loss happening in the first third of the training process once again""", "unverifiable", f"""
            No number of either curve is printed, and the accuracy of 5.2 is a loss in Figure 3. A third is {third["classification"]:,.0f} and
            {third["hybrid"]:,.0f} iterations, {passes["classification"]:.1f} and {passes["hybrid"]:.1f} passes at a batch of {printed.BATCH_SIZE}.
            In Caffe's recipe the rate falls to a tenth after {a_step:,}: gains slow down there whatever is left to learn."""),
        Claim("6", "We would be hard-pressed to claim that the deepnets were successful", "reproducible", f"""
            {d2:.1%} of the hybrid's loss ({d2_tied:.1%} at the least by ties), nothing of the classification's errors, an unknown share of the
            regression's loss."""),
        Claim("6.1", "Training the deepenets longer would have necessarily improved the training loss", "unverifiable", f"""
            One training loss is printed, at one time. By Caffe's recipe the rate had fallen {" or ".join(f"{n:,.0f}" for n in sorted(fallen))}-fold
            by the end of the two longer runs: more of the same would have changed little."""),
        Claim("6.1", """in all three experiments the validation accuracy was stable by the time training was halted, suggesting that the decrease in
            training loss was due to overfitting""", "inconsistent", f"""
            Not in the first: its loss on val is {REGRESSION["val"] / REGRESSION["train"]:.3f} times that on train, after {run:.2f} (batch
            {printed.BATCH_SIZE}) to 1.5 passes. Learning too slowly would explain it as well: on raw views a rate of {rate:.0e} moves the trunk as
            {arithmetic.trunk_rate(rate):.2e} does on standardised ones, Caffe's 1e-03, but the head's {head * rate:.0e} stays as it is,
            {1e-3 * 10 / (head * rate):,.0f} times below Caffe's. For the other two no training loss is printed."""),
        Claim("6.1", "with 400,000 images our dataset is roughly twice the size of the AVA dataset", "inconsistent",
            f"AVA has over {AVA:,}: less than {NUM_COLLECTED / AVA:.1f} times."),
        Claim("6.2", "we remain confident that it was the most apt given the time constraints required we use a pretrained model", "unverifiable", """
            One net was run. It was compared with no other, pretrained or not, and with no cheap model; as listed it could not be loaded (4.1)."""),
        Claim("6.3", """images do not encode the features that are predictive of their popularity; This seems unlikely and is intuitively
            unsatisfying""", "unverifiable", f"""
            The hybrid's r of at least {arithmetic.least_r(d2_tied):.3f} ({arithmetic.least_r(d2):.3f} with equal bins) would show that they do:
            {NUM_TEST:,} independent pictures show {metrics.detectable(1 / math.sqrt(NUM_TEST - 1)):.3f} in four cases of five. But the loss that it
            comes from may lie {gap:.2f} standard errors of a test below its constant (5.3), and it is pooled: an owner's fame or a picture's age that
            shows in its looks gives the same number, and neither was held fixed."""),
        Claim("6.3", "clearly at least some of the popularity of an image is encoded in the image itself", "unverifiable", """
            Rests on the noise of section 1, see there, and on the r above."""),
        Claim("6.3", """they might be able to inform one of an images potential to become popular, but whether or not they actually become popular is
            contingent on extrinsic features""", "unverifiable", """
            A potential would show as upper quantiles of views that rise with the prediction while lower ones do not; only mean losses are printed.
            `upper_end` in `peoria/stats/ceiling.py` tests it."""),
        Claim("6.4", """are other abstract features of an image predictive of popularity? I.e., general aesthetics; since they are known to predict
            popularity""", "inconsistent", """
            Asked and called known in one section, without a source; by section 2 none of the works cited on aesthetics “directly address popularity”,
            and by 6.3 it is open whether anything in an image predicts it."""),
    ]  # fmt: skip


def tied_losses() -> dict[str, list[float]]:
    """Half the variance of ten bins where equal counts stay together, by either side of an edge: Table 1 of all pictures, or of the cut ones."""
    views = TABLE_1["views"]
    cut = arithmetic.cut_lognormal(views.mean, views.sd)
    laws = {
        "all": arithmetic.whole_lognormal(*arithmetic.lognormal(views.mean, views.sd)),
        "cut": arithmetic.whole_lognormal(cut.mu, cut.sigma, math.floor(cut.cut) + 1),
    }
    return {name: sorted(arithmetic.tied_bins(shares, below=below)[1] for below in (True, False)) for name, shares in laws.items()}


def _range(ends: list[float]) -> str:
    return f"{ends[0]:.2f} or {ends[1]:.2f}"


def _map(*, padded: bool, stride_5: int) -> str:
    size = arithmetic.side(padded=padded, stride_5=stride_5)
    return f"{size}×{size}×256 = {size * size * 256:,}"
