"""What is trained once the search is over and before the test split is opened: candidates and winners with fresh seeds, and further questions.

A trial that leads a search on val is lucky, in its seed too. So each of the few candidates is trained again with fresh seeds, which choose the winner
(`peoria.records.selection`), and what is judged is the winner's recipe: the same settings, trained ``seeds`` times (Bouthillier et al. 2021, arXiv
2103.03098). The further questions are asked of the views' winner: how skill grows with the owners seen, what a split by picture would have leaked,
and how a model of the past does on later pictures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.data.streams import SweepStream, derived_seed
from peoria.records.folder import SweepFolder
from peoria.records.schema import Purpose, TrialStart
from peoria.records.selection import SEEDS_TO_CHOOSE, Choice, seed_key
from shards.labels import Labels

OWNER_SHARES = (0.125, 0.25, 0.5)  # of train's owners, nested; the whole is the recipe itself
PICTURE_SHARE = 0.8  # of train's pictures; the rest are held out, of owners that are trained on
SUBSET_SEEDS = 3  # trainings of a part of which something is claimed, `peoria.stats.trainings.MIN_SEEDS`; with fewer seeds of the recipe only one
PAST_SHARE = 0.8  # of train's dated pictures lie before the cutoff


@dataclass(frozen=True)
class FollowUp:
    """One further trial: the settings of the searched trial ``of``, but for its seed and the pictures that it learns from."""

    key: str
    purpose: Purpose  # reseed or subset
    of: str
    config: TrialConfig
    label: str


def follow_ups(sweep: Sweep, choice: Choice, configs: Mapping[str, TrialConfig], cutoff: str | None) -> list[FollowUp]:
    """All that is trained beyond the search as far as it is known, in order, each once although one trial may be a candidate for both targets; []
    before the search is over.

    Args:
        configs: by key, the candidates' settings.
        cutoff: the cutoff date; None where too few dates are known.
    """

    def further(of: str, number: int, **changes: str) -> TrialConfig:
        return configs[of].model_copy(update={"seed": derived_seed(sweep.seed, int(of), SweepStream.FOLLOW_UP, number), **changes})

    if not choice.over:
        return []
    to_choose = [(of, number) for keys in choice.candidates.values() if len(keys) > 1 for of in keys for number in range(1, SEEDS_TO_CHOOSE + 1)]
    of_winners = [(of, number) for of in choice.winners.values() for number in range(1, sweep.seeds + 1)]
    found = [
        FollowUp(seed_key(of, number), "reseed", of, further(of, number), f"{of} again, seed {number}")
        for of, number in dict.fromkeys([*to_choose, *of_winners])
    ]
    if "views" not in choice.winners:
        return found
    of = choice.winners["views"]
    for number, (subset, again, text) in enumerate(parts_of_train(sweep, cutoff), start=101):
        key = f"{of}-{subset.replace(':', '-').replace('/', '-')}{f'-{again}' if again > 1 else ''}"
        label = f"{of} {text}{f', seed {again}' if again > 1 else ''}"
        found.append(FollowUp(key, "subset", of, further(of, number, subset=subset), label))
    return found


def parts_of_train(sweep: Sweep, cutoff: str | None) -> list[tuple[str, int, str]]:
    """(subset, which training of it, text) of all that the questions train on, first trainings first.

    What a claim compares, half of the owners with all, the past with its control, is trained as often on both sides: `SUBSET_SEEDS` times, of
    the control each time on other owners. The smaller shares and the pictures taken by chance are trained once, and bear no such claim.
    """
    first, again, times = [], [], SUBSET_SEEDS if sweep.seeds >= SUBSET_SEEDS else 1
    if "learning-curve" in sweep.questions:
        first += [(f"owners:{share:g}", f"on {100 * share:g} % of train, by owner") for share in OWNER_SHARES]
        again.append(first[-1])
    if "leak" in sweep.questions:
        first.append((f"pictures:{PICTURE_SHARE:g}", f"on {100 * PICTURE_SHARE:g} % of the pictures, by chance"))
    if "time" in sweep.questions and cutoff is not None:
        first.append((f"before:{cutoff}", f"on pictures from before {cutoff}"))
        again.append(first[-1])
        first += [(f"matched:{cutoff}/{draw}", f"on as many pictures of any time, draw {draw}") for draw in range(1, times + 1)]
    parts = [(subset, 1, text) for subset, text in first]
    return parts + [(subset, number, text) for number in range(2, times + 1) for subset, text in again]


def of_search(folder: SweepFolder, sweep: Sweep, choice: Choice, cutoff: Callable[[], str | None]) -> dict[str, FollowUp]:
    """`follow_ups` by key, of candidates whose settings lie in the sweep's folder."""
    keys = {key for found in choice.candidates.values() for key in found if choice.over}
    configs = {key: TrialStart.read(folder.trial(key).start).config for key in keys}
    asked = cutoff() if choice.over and choice.winners and "time" in sweep.questions else None
    return {follow_up.key: follow_up for follow_up in follow_ups(sweep, choice, configs, asked)}


def time_cutoff(train: Labels) -> str | None:
    """The day before which `PAST_SHARE` of train's dated pictures were uploaded, ISO; None where fewer than half have a date."""
    if train.uploaded_at is None:
        return None
    dated = train.uploaded_at[~np.isnat(train.uploaded_at)]
    if len(dated) < len(train) / 2 or dated.min() == dated.max():
        return None
    days = np.sort(dated.astype("datetime64[D]"))
    return str(days[int(PAST_SHARE * len(days))])
