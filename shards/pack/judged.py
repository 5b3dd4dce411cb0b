"""What can be known of a study when its pictures are packed: what will stand in its way, each in a line with what to do.

The floors are those of a verdict (`peoria.stats.estimates`): what a report would say after a sweep is said before it.
"""

import math
from collections.abc import Iterator

import numpy as np

from shards.counts import counted as known_values
from shards.manifest import SPLITS, SplitRule
from shards.pack.kept import Kept
from shards.read.vaults import MIN_OWNERS as VAULT_OWNERS
from shards.words import counted

MIN_OWNERS = 20  # in test: with fewer, intervals were not shown to hold
MIN_EFFECTIVE = 5.0  # likewise, of owners of equal size
_FLOOR = f"{MIN_OWNERS} owners, worth {MIN_EFFECTIVE:g} of equal size"
_WORTH_SAYING = 0.01  # share of pictures
_FIRST_PAGE = np.datetime64("1991-08-06", "s")  # of the web
_DAY = np.timedelta64(1, "D")
_LEAST, _FEW_TO_TELL = 10, 500  # views, pictures


def warnings_of(kept: Kept, rule: SplitRule) -> tuple[str, ...]:
    """What will stand in the way of a study of these pictures, the worst first; empty where nothing will. The same for the same rows: no clock."""
    of_split: dict[str, Kept] = {split: kept.of_split(split) for split in SPLITS}
    found = [*_empty(kept, of_split), *_constant_views(of_split), *_test_owners(kept, of_split["test"], rule)]
    found += [*_largest(of_split), *_favorites(of_split), *_unknown(kept), *_dates(kept), *_top_list(kept.views), *_one_vault(of_split["test"], rule)]
    return tuple(found)


def too_few_owners(sizes: np.ndarray, num_unknown: int, rule: SplitRule) -> str:
    """What is wrong with the owners of test, "" for nothing.

    Args:
        sizes: int [O], pictures of each known owner.
        num_unknown: pictures of unknown owners, each a unit of its own.
        rule: whose share of test says how many owners are needed.
    """
    num = len(sizes) + num_unknown
    if not len(sizes):
        return "owner: unknown for every picture of test; without owners a verdict claims nothing: --column owner=COLUMN names the column"
    if num < MIN_OWNERS:
        of_all = f"{math.ceil(MIN_OWNERS / rule.test):,} owners in all" if rule.test else "a share for test"
        return f"test: {counted(num, 'owner')}; a verdict needs {_FLOOR}, which takes {of_all}: pack pictures of more owners"
    worth = effective(np.concatenate([sizes, np.ones(num_unknown, np.int64)]))
    if worth < MIN_EFFECTIVE:
        return f"test: {num:,} owners, worth {worth:.1f}, for few have most of the pictures; a verdict needs {_FLOOR}: pack pictures of more owners"
    return ""


def effective(sizes: np.ndarray) -> float:
    """How many owners of equal size those with so many pictures, int [O], are worth: `peoria.stats.clusters.Clusters.effective`."""
    squares = sizes.astype(np.float64) ** 2
    return float(squares.sum() ** 2 / (squares @ squares)) if len(sizes) else 0.0


def _empty(kept: Kept, of_split: dict[str, Kept]) -> Iterator[str]:
    num_owners = len(kept.sizes)
    why = (
        f"an owner lies in one split, and there {'is 1' if num_owners == 1 else f'are {num_owners:,}'}" if num_owners else "the pictures are too few"
    )
    for split, part in of_split.items():
        if not len(part):
            what = "pack pictures of more owners" + ("; --drop owner splits by picture, as if all were strangers" if num_owners else "")
            yield f"{split}: no picture, and a sweep needs all three splits: {why}; {what}"
        elif split != "test" and len(part) > 1 and len(part.sizes) == 1 and not part.num_unknown_owners:
            yield f"{split}: all {len(part):,} pictures are one owner's; what is learnt or chosen there may be of this owner alone: pack more owners"


def _constant_views(of_split: dict[str, Kept]) -> Iterator[str]:
    for split, part in of_split.items():
        if len(part) == 1:
            yield f"{split}: 1 picture, and nothing can be ranked there: pack more pictures"
        elif len(part) and part.views.min() == part.views.max():
            yield f"views: {int(part.views[0]):,} for every picture of {split}, so that nothing can be ranked there: is it the right column?"


def _test_owners(kept: Kept, test: Kept, rule: SplitRule) -> Iterator[str]:
    if not len(test):
        return
    if few := too_few_owners(test.sizes, test.num_unknown_owners, rule):
        yield few if len(kept.sizes) or not few.startswith("owner:") else few.replace(" of test", "")
        return
    several = int((test.sizes > 1).sum())
    if several < MIN_OWNERS:
        yield (
            f"test: {counted(several, 'owner')} with two pictures or more; {MIN_OWNERS} are needed to compare pictures of one owner, without which "
            "nothing is said to be in the picture: pack more of each"
        )


def _one_vault(test: Kept, rule: SplitRule) -> Iterator[str]:
    num, two = test.num_units, 2 * VAULT_OWNERS
    if MIN_OWNERS <= num < two and len(test.sizes):
        of_all = f", of {math.ceil(two / rule.test):,} in all," if rule.test else ""
        yield f"test: {num:,} owners are one vault, which one report opens; {two} owners{of_all} make two, for a second look"


def _largest(of_split: dict[str, Kept]) -> Iterator[str]:
    for split, part in of_split.items():
        largest = int(part.sizes.max(initial=0))
        if len(part.sizes) > 1 and 2 * largest > len(part):
            yield f"{split}: one owner has {largest / len(part):.0%} of the pictures; what is found may be of this owner: pack fewer of those"


def _favorites(of_split: dict[str, Kept]) -> Iterator[str]:
    parts = {split: part for split, part in of_split.items() if "favorites" in part.counts}
    given = {split: known_values(part.counts["favorites"])[1] >= 1 for split, part in parts.items()}
    one_class = [split for split, positive in given.items() if positive.all() or not positive.any()]
    if one_class:
        means = {"train": "'classification' learns nothing", "val": "trials are ranked by views alone", "test": "favourites are not judged"}
        has = [f"{int(given[split].sum()):,} of {len(given[split]):,} of {split}" for split in one_class]
        what = f"{', '.join(means[split] for split in one_class)}: --drop favorites leaves the column out"
        yield f"favorites: {', '.join(has)} pictures have one, so that there is nothing to tell apart; {what}"
    elif "test" in given and of_split["test"].num_units >= MIN_OWNERS:
        test, is_rare = parts["test"], given["test"] == (given["test"].mean() < 0.5)
        rare = test.take(np.isin(np.arange(len(test)), known_values(test.counts["favorites"])[0][is_rare]))
        if rare.num_units < MIN_OWNERS or effective(rare.units) < MIN_EFFECTIVE:
            which = "with a favourite" if given["test"].mean() < 0.5 else "without a favourite"
            yield f"favorites: pictures {which} of {counted(rare.num_units, 'owner')} in test; to judge favourites takes {_FLOOR}: pack more pictures"


def _unknown(kept: Kept) -> Iterator[str]:
    share = kept.num_unknown_owners / max(1, len(kept))
    if _WORTH_SAYING <= share < 1:
        yield (
            f"owner: unknown for {share:.0%} of the pictures, which are split one by one; pictures of one such owner may lie in train and in test: "
            "fill in owners, or leave these rows out"
        )
    dates = kept.times.get("uploaded_at")
    missing = 1.0 if dates is None else float(np.isnat(dates).mean()) if len(dates) else 0.0
    if missing >= _WORTH_SAYING:
        of = "every picture" if missing == 1 else f"{missing:.0%} of the pictures"
        yield (
            f"uploaded_at: unknown for {of}; age cannot be told from appeal there, and a verdict that lacks it never says 'in the picture': "
            "--column uploaded_at=COLUMN names the column"
        )


def _dates(kept: Kept) -> Iterator[str]:
    uploaded, read = (kept.times.get(name) for name in ("uploaded_at", "observed_at"))
    if uploaded is None:
        return
    early = int((uploaded < _FIRST_PAGE).sum())
    if early:
        first = str(uploaded[uploaded < _FIRST_PAGE].min())[:10]
        yield f"uploaded_at: before the web for {counted(early, 'picture')}, first {first}: a mark for unknown? Leave such cells empty"
    if read is None or np.isnat(read).all():
        return
    read = np.where(np.isnat(read), np.fmax.reduce(read), read)
    late = int((uploaded > read + _DAY).sum())  # a day: dates without an hour, and time zones
    if late:
        yield (
            f"observed_at: before uploaded_at for {counted(late, 'picture')}, and counts cannot be read before the upload: "
            "are both the right columns, and their days and months in order?"
        )


def _top_list(views: np.ndarray) -> Iterator[str]:
    """Where pictures were chosen by their views, these are cut at a floor on which they lie densest; of others the fewest are rare.

    On a logarithmic axis the lower half of a power law that is cut is ln 2 / ln 5 = 0.43 of what lies from the middle to the uppermost tenth,
    the upper tenth of log-normal counts 0.54; whole log-normal counts, of 500 pictures, have more than 1.5.
    """
    if len(views) < _FEW_TO_TELL or views.min() < _LEAST:
        return
    low, middle, high = (math.log(value) for value in np.quantile(views, (0, 0.5, 0.9)))
    if middle - low < 0.6 * (high - middle):
        yield (
            f"views: none below {int(views.min()):,}, and half of all within {math.exp(middle - low):.1f} times of it, as in a list of the most "
            "viewed; what was chosen by its views says little of what makes them: pack all pictures of these owners, or a sample by chance"
        )
