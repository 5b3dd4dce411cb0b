"""Where the oscillation of the paper's training loss comes from (sections 5.2 and 5.3): "the origin of the oscillatory behavior is unclear,
although the oscillation period is approximately equivalent to traversing the entire dataset".

With the pictures in the same order in every pass the same batches come back at the same places, hard ones and easy ones, so the loss has the
period of a pass whatever is learnt. Caffe reads a database in its order; shuffled anew for each pass, there is no periodicity.
"""

from typing import Literal

import numpy as np

from peoria.errors import PeoriaError

MIN_PLACES, MIN_PASSES = 4, 3


def oscillation(losses: np.ndarray, batches_per_pass: float) -> float:
    """Share of the variance of a loss curve, its trend removed, that the position within the pass explains: 1 all of it, about 0 by chance.

    The trend is the moving average over one pass, in which nothing of that period is left. The share is ε² (Kelley 1935), one minus the mean
    square within the positions over that of all, so that its expectation for noise is 0, whatever the number of positions; it may fall below.

    Args:
        losses: float [T], one a batch (or one a stretch of batches, with ``batches_per_pass`` in that unit).
        batches_per_pass: need not be whole.

    Raises:
        PeoriaError: fewer than 3 passes, or fewer than 4 losses a pass.
    """
    num, period = len(losses), round(batches_per_pass)
    if batches_per_pass < MIN_PLACES or num < MIN_PASSES * batches_per_pass:
        found = f"{num} losses, {batches_per_pass:g} a pass"
        raise PeoriaError(f"losses: {found}; at least {MIN_PASSES} passes of at least {MIN_PLACES} losses are needed to see a periodicity")
    summed = np.concatenate([[0.0], np.cumsum(losses, dtype=np.float64)])
    start = period // 2
    trend = (summed[period:] - summed[:-period]) / period
    rest = np.asarray(losses, np.float64)[start : start + len(trend)] - trend
    places = ((np.arange(len(rest)) + start) % batches_per_pass * (period / batches_per_pass)).astype(np.int64) % period
    sizes = np.bincount(places, minlength=period)
    means = np.bincount(places, weights=rest, minlength=period) / np.maximum(sizes, 1)
    num_places = int((sizes > 0).sum())
    total = float(((rest - rest.mean()) ** 2).sum()) / (len(rest) - 1)
    within = float(((rest - means[places]) ** 2).sum()) / (len(rest) - num_places)
    return 1 - within / total if total > 0 else 0.0


def softmax_losses(order: Literal["fixed", "shuffled"], *, num: int = 4_000, batch_size: int = 50, num_passes: int = 12, seed: int = 0) -> np.ndarray:
    """Losses [T] of a linear softmax by plain stochastic gradient descent on ``num`` made pictures of 8 features, one in nine of them positive.

    The smallest thing that has batches and passes: what it shows of the order holds for any net.
    """
    random = np.random.default_rng(seed)
    features = random.standard_normal((num, 8))
    positive = random.random(num) < 1 / (1 + np.exp(2.4 - features[:, 0]))
    weights, bias, losses = np.zeros(8), 0.0, []
    rows = random.permutation(num)
    for _ in range(num_passes):
        if order == "shuffled":
            rows = random.permutation(num)
        for start in range(0, num, batch_size):
            batch = rows[start : start + batch_size]
            p = 1 / (1 + np.exp(-(features[batch] @ weights) - bias))
            losses.append(-np.log(np.where(positive[batch], p, 1 - p)).mean())
            error = p - positive[batch]
            weights -= 0.05 * (error[:, None] * features[batch]).mean(axis=0)
            bias -= 0.05 * error.mean()
    return np.array(losses)
