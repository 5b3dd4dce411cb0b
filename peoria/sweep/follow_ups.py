"""What is trained once the search is over and before the test split is opened: the winners' settings with fresh seeds, and further questions.

A trial that won a search on val is lucky in its seed, too. So what is judged is its recipe: the same settings, trained again ``seeds`` times
with seeds that no choice depended on (Bouthillier et al. 2021, arXiv 2103.03098). The further questions are asked of the views' winner:
how skill grows with the owners seen, what a split by picture would have leaked, and how a model of the past does on later pictures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.data.streams import SweepStream, derived_seed
from peoria.records.schema import Purpose
from shards.labels import Labels

OWNER_SHARES = (0.125, 0.25, 0.5)  # of train's owners, nested; the whole is the recipe itself
PICTURE_SHARE = 0.8  # of train's pictures; the rest are held out, of owners that are trained on
PAST_SHARE = 0.8  # of train's dated pictures lie before the cutoff


@dataclass(frozen=True)
class FollowUp:
    """One further trial: the settings of the searched trial ``of``, but for its seed and the pictures that it learns from."""

    key: str
    purpose: Purpose  # reseed or subset
    of: str
    config: TrialConfig
    label: str


def follow_ups(sweep: Sweep, won: Mapping[str, str], configs: Mapping[str, TrialConfig], cutoff: str | None) -> list[FollowUp]:
    """All that is trained beyond the search, in order, each once although one trial may win both targets.

    Args:
        won: by target, the winner's key.
        configs: by key, the winners' settings.
        cutoff: the cutoff date; None where too few dates are known.
    """
    found = []
    for of in dict.fromkeys(won.values()):
        for number in range(1, sweep.seeds + 1):
            config = configs[of].model_copy(update={"seed": derived_seed(sweep.seed, int(of), SweepStream.FOLLOW_UP, number)})
            found.append(FollowUp(seed_key(of, number), "reseed", of, config, f"{of} again, seed {number}"))
    if "views" not in won:
        return found
    of = won["views"]
    subsets: list[tuple[str, str]] = []
    if "learning-curve" in sweep.questions:
        subsets += [(f"owners:{share:g}", f"on {100 * share:g} % of train, by owner") for share in OWNER_SHARES]
    if "leak" in sweep.questions:
        subsets.append((f"pictures:{PICTURE_SHARE:g}", f"on {100 * PICTURE_SHARE:g} % of the pictures, by chance"))
    if "time" in sweep.questions and cutoff is not None:
        subsets.append((f"before:{cutoff}", f"on pictures from before {cutoff}"))
    for number, (subset, text) in enumerate(subsets, start=101):
        config = configs[of].model_copy(update={"seed": derived_seed(sweep.seed, int(of), SweepStream.FOLLOW_UP, number), "subset": subset})
        found.append(FollowUp(f"{of}-{subset.replace(':', '-')}", "subset", of, config, f"{of} {text}"))
    return found


def seed_key(of: str, number: int) -> str:
    """The key of the ``number``-th training of trial ``of`` with a fresh seed, counted from 1."""
    return f"{of}-seed-{number}"


def time_cutoff(train: Labels) -> str | None:
    """The day before which `PAST_SHARE` of train's dated pictures were uploaded, ISO; None where fewer than half have a date."""
    if train.uploaded_at is None:
        return None
    dated = train.uploaded_at[~np.isnat(train.uploaded_at)]
    if len(dated) < len(train) / 2 or dated.min() == dated.max():
        return None
    days = np.sort(dated.astype("datetime64[D]"))
    return str(days[int(PAST_SHARE * len(days))])
