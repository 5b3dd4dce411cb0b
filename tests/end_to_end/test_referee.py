"""Worlds made to fool the verdict: no line claims what is not so, no cause is named that is none, and no report contradicts itself.

Each world of `tests.helpers.referee_worlds` is judged as the product judges, a few studies each; PEORIA_TEST_FULL=1 runs 300. ``pytest -s`` prints
the rates. The seeds are 0, 1, 2, … and were not chosen.
"""

from collections import Counter
from functools import cache

import pytest
from scipy.stats import binom

from peoria.verdict.schema import Judgement, TargetVerdict
from tests.helpers.referee_worlds import WORLDS, judged, study_of
from tests.helpers.studies import run, sampled

pytestmark = pytest.mark.slow

STUDIES, OWNERS = sampled(300, 6), 200
ALLOWED = 0.05  # of false claims, in each world; 2.5 % are expected of one bound, and of four together less
# Pictures of one event are alike across owners and nothing in the table says so: that there are ten and not two thousand, nobody can tell.
UNKNOWABLE = {name for name in WORLDS if "events unknown" in name}


def claims(found: TargetVerdict) -> dict[str, bool]:
    return {
        "in the picture": found.in_the_picture,
        "deep": found.deep_shown,
        "context": found.context_shown,
        "beats all": bool(found.beats_all_baselines),
    }


def study(number: int) -> dict[str, bool]:
    """What a report claims, and of it what is false; and what context and pairs of one owner alone would have claimed."""
    world, seed = list(WORLDS)[number // STUDIES], number % STUDIES
    verdict, spec = judged(study_of(world, seed, OWNERS), seed), WORLDS[world]
    found: dict[str, bool] = {}
    for target, of in verdict.targets.known:
        true = {"in the picture": spec.picture, "deep": spec.deep, "context": spec.adds, "beats all": spec.picture}
        found |= {f"{target}: {name}": claim for name, claim in claims(of).items()}
        found |= {f"{target}: false {name}": claim and not true[name] for name, claim in claims(of).items()}
        cause = {"context": "context", "owner": "owner", "change": "drift"}.get(of.explained_by or "")
        found[f"{target}: false cause"] = cause is not None and cause not in spec.cause
        above = of.above_chance
        found[f"{target}: without neighbours"] = bool(above.pooled and above.given_context and above.within_owner)
    return found | {"contradiction": contradicts(verdict)}


def contradicts(verdict: Judgement) -> bool:
    """Whether a line shows what another puts down to something else."""
    for _, of in verdict.targets.known:
        shown = [line.key for line in of.lines if line.answer == "shown"]
        if of.in_the_picture != ("image" in shown) or (shown and not of.in_the_picture):
            return True
        if shown and (of.explained_by is not None or any("explains it" in line.text for line in of.lines)):
            return True
    return False


@cache
def rates() -> dict[str, Counter[str]]:
    """In how many studies of each world."""
    found: dict[str, Counter[str]] = {world: Counter() for world in WORLDS}
    for number, one in enumerate(run(study, range(len(WORLDS) * STUDIES))):
        found[list(WORLDS)[number // STUDIES]].update(name for name, claimed in one.items() if claimed)
    return found


def test_no_world_fools_the_verdict() -> None:
    most = binom.ppf(0.9995, STUDIES, ALLOWED)  # so that none of some 70 worlds is beyond it by chance
    false, studies = 0, 0
    for world, found in rates().items():
        print(f"{world}: " + ", ".join(f"{name} {100 * num / STUDIES:.0f} %" for name, num in sorted(found.items())))
        assert found["contradiction"] == 0, world
        if world in UNKNOWABLE:
            continue
        for name, num in found.items():
            if ": false " in name:
                assert num <= most, f"{world}: {name} in {num} of {STUDIES}"
        false += found["views: false in the picture"]
        studies += 0 if WORLDS[world].picture else STUDIES
    assert false <= binom.ppf(0.999, studies, 0.025), f"{false} of {studies}"


@pytest.mark.parametrize("world", ["drift", "camera and followers, strong"])
def test_without_the_neighbours_what_changes_within_an_owner_is_claimed(world: str) -> None:
    """The control: what context and pairs of one owner alone would claim."""
    found = rates()[world]
    assert found["views: without neighbours"] > 0.8 * STUDIES
    assert found["views: in the picture"] <= binom.ppf(0.999, STUDIES, 0.025)


def test_what_is_in_the_picture_is_shown() -> None:
    assert rates()["picture .3"]["views: in the picture"] > 0.8 * STUDIES
