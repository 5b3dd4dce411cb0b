"""Every combination of what the bounds may say, through the rules of the verdict: the headline, the lines and the notes of one report agree."""

import functools
from collections.abc import Iterator
from itertools import cycle, product

import numpy as np
import pytest
from scipy.stats import norm

from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate
from peoria.stats.metrics import Floats
from peoria.verdict import judge as rules
from peoria.verdict.measures import Known, Measured
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import Judgement, Target, Targets, TargetVerdict
from peoria.verdict.sentences import with_sentences
from peoria.verdict.values import Interval
from peoria.verdict.words import TARGETS
from tests.helpers.changed import changed
from tests.helpers.contradictions import contradictions
from tests.helpers.referee_worlds import WORLDS, study_of
from tests.helpers.referee_worlds import judged as judged_study
from tests.helpers.studies import sampled
from tests.helpers.worlds import judged, world

DRAWN: Floats = norm.ppf((np.arange(60) + 0.5) / 60)
State = tuple[float, float]  # a number and its standard error
ABOVE, LITTLE, NOTHING, UNKNOWN, BELOW = (0.3, 0.03), (0.05, 0.01), (0.0, 0.02), (0.05, 0.1), (-0.2, 0.03)
POOLED = (ABOVE, LITTLE, NOTHING, UNKNOWN, BELOW)
GIVEN = (None, ABOVE, (0.2, 0.03), LITTLE, NOTHING, UNKNOWN, BELOW)
WITHIN = (None, (0.6, 0.01), (0.51, 0.003), (0.5, 0.01), (0.52, 0.05), (0.4, 0.01))
NEIGHBOURS = (None, (ABOVE, ABOVE), (LITTLE, LITTLE), (LITTLE, UNKNOWN), (NOTHING, NOTHING), (NOTHING, ABOVE), (UNKNOWN, UNKNOWN), (BELOW, BELOW))
CONTROL = (None, (0.1, 0.02), NOTHING, UNKNOWN)
NAMED = (  # context, owner, change
    (ABOVE, NOTHING, (0.5, 0.01), (NOTHING, NOTHING), NOTHING),
    (ABOVE, ABOVE, (0.5, 0.01), (NOTHING, NOTHING), NOTHING),
    (ABOVE, ABOVE, (0.6, 0.01), (NOTHING, NOTHING), (0.1, 0.02)),
    *[(ABOVE, ABOVE, (0.6, 0.01), (ABOVE, ABOVE), NOTHING)] * 30,
)
GAPS = (ABOVE, (0.03, 0.005), NOTHING, (-0.1, 0.02), UNKNOWN)
WINNER, RIDGE, TRUNK, CONTEXT = "recipe-0007", "colour-ridge", "frozen-trunk-ridge", "context"


def drawn(state: State) -> Estimate:
    return Estimate(state[0], state[0] + state[1] * DRAWN, 100.0)


def less(of: Estimate, gap: State) -> Estimate:
    """The other one, of which ``of`` has ``gap`` more."""
    return Estimate(of.value - gap[0], of.samples - gap[0] - gap[1] * DRAWN, 100.0)


def predictor(name: str, kind: str, seeds: int = 1) -> PredictorScores:
    rows = np.arange(3.0) + np.zeros((seeds, 1))
    return PredictorScores(name, name.replace("-", " "), kind, rows, rows)  # type: ignore[arg-type]


@functools.cache
def known(whole: bool) -> Known:
    labels = world(num_owners=25)[1]
    assert labels.uploaded_at is not None
    if not whole:
        labels.uploaded_at[0] = np.datetime64("NaT")
    return Known(labels, Clusters.of(labels.owners))


class Rotated:
    """The next of several values each time: what is not in the product takes turns, at strides that share no factor."""

    def __init__(self) -> None:
        self.gaps = cycle(list(product(GAPS, repeat=3))[::7] + list(product(GAPS, repeat=3))[::3])
        self.context = cycle((None, *GAPS, *GAPS[::-1]))
        self.others = cycle(((), (RIDGE,), (RIDGE, TRUNK), (RIDGE, TRUNK, CONTEXT), (CONTEXT,), (RIDGE, CONTEXT), (RIDGE, TRUNK)))
        self.wider = cycle(({}, {"day": 1.0}, {"day": 60.0}, {"tag": 60.0, "day": 1.0}, {"tag": 1.0}))
        self.seeds = cycle((3, 1, 5, 3, 4, 3, 3, 1, 3, 3, 3, 2, 3))
        self.enough = cycle([True] * 16 + [False])
        self.whole = cycle((True, True, False))


def verdicts(target: Target, turn: Rotated, num: int) -> Iterator[TargetVerdict]:
    """Of ``num`` combinations of what the image line rests on, drawn of all of them, those of a named cause first."""
    names = TARGETS[target]
    every = [of for of in product(POOLED, GIVEN, WITHIN, NEIGHBOURS, CONTROL) if of[3] is not None or of[4] is None]
    rows = np.random.default_rng(0 if target == "views" else 1).permutation(len(every))[:num]
    for pooled, given, within, near, control in (*NAMED, *(every[k] for k in rows)):
        states = {names.pooled: pooled, names.given_context: given, names.within_owner: within, names.neighbours: near and near[0]}
        found = Measured({key: {WINNER: drawn(state)} for key, state in states.items() if state is not None}, num_owners=100, effective=100.0)
        if within is not None:
            found.estimates[names.pair_share] = {WINNER: drawn(within)}
        others, gaps = next(turn.others), next(turn.gaps)
        for name, shift in zip(others, (0, 1, 2), strict=False):
            for k, of in enumerate(found.estimates.values()):
                gap = gaps[(k + shift) % 3]
                of[name] = less(of[WINNER], gap)
        if near is not None:
            found.own_scale = {WINNER: drawn(near[1])} | {name: less(drawn(near[1]), gaps[1]) for name in others}
            found.control = None if control is None else drawn(control)
            found.wider = next(turn.wider)
            found.known_strength = 0.01
        gain, of_pooled = next(turn.context), found.estimates[names.pooled]
        if gain is not None and CONTEXT in others:
            of_pooled[f"{CONTEXT}+{WINNER}"] = less(of_pooled[CONTEXT], (-gain[0], -gain[1]))
        kinds = {RIDGE: "learned", TRUNK: "learned", CONTEXT: "context", f"{CONTEXT}+{WINNER}": "combined"}
        listed = [predictor(WINNER, "recipe", next(turn.seeds)), *(predictor(name, kind) for name, kind in kinds.items() if name in of_pooled)]
        found.all_dated = next(turn.whole)
        found.undated_pairs = None if found.all_dated or within is None else drawn(within)
        found.given_in_time = None if given is None else drawn(given)
        yield rules._target(target, listed, found, WINNER, next(turn.enough), 1)


@pytest.fixture(scope="module")
def whole() -> Judgement:
    return judged(*world(num_owners=30), num_resamples=20)


def test_no_combination_of_bounds_contradicts_itself(whole: Judgement) -> None:
    seen, answers, tests = {}, set(), cycle((whole.test, whole.test.model_copy(update={"num_dated": 0, "context": ("tags",)})))
    num = sampled(4000, 300)
    for views, favorites in zip(verdicts("views", Rotated(), num), verdicts("favorites", Rotated(), num), strict=True):
        found = with_sentences(whole.model_copy(update={"targets": Targets(views=views, favorites=favorites), "test": next(tests)}))
        if wrong := contradictions(found):
            seen.setdefault(wrong[0].partition(":")[0] + wrong[0][:60], wrong)
        answers |= {(line.key, line.answer) for line in found.targets.views.lines} | {views.explained_by}
    assert not seen, "\n".join(line for wrong in seen.values() for line in wrong)
    assert answers == {*product(("image", "deep", "context"), ("shown", "smaller", "undecided")), None, "context", "owner", "change"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"targets__views__in_the_picture": False}, "shown"),
        ({"targets__views__lines__1__answer": "smaller"}, "smaller: more"),
        ({"targets__views__lines__2__answer": "undecided"}, "undecided: the image adds"),
        ({"headline": "The score and the views correlate, but fame explains it."}, "a cause is named"),
        ({"targets__views__explained_by": "owner"}, "explained by owner, and shown"),
        ({"targets__views__pooled": Interval(value=-0.2, low=-0.3, high=-0.1)}, "headline on the sign"),
        ({"targets__views__confounded": True}, "the control and the notes"),
        ({"targets__views__enough_seeds": False}, "claimed of too few"),
        ({"targets__views__beats_all_baselines": False}, "headline on baselines"),
        ({"notes": ("The the score.",)}, "written badly"),
        ({"notes": ("No end",)}, "no sentence"),
    ],
)
def test_a_contradiction_is_seen(change: dict[str, object], said: str) -> None:
    """The control."""
    sound = sound_world()
    assert contradictions(sound) == []
    assert any(said in wrong for wrong in contradictions(changed(sound, **change)))


@functools.cache
def sound_world() -> Judgement:
    return judged(*world(shape=0.8, colour=0.3), num_resamples=60)


NAMES = (
    "null",
    "null, both targets",
    "favourites of 1 %",
    "owners unknown for half",
    "owners unknown for all",
    "10 events as tags",
    "dates missing where look and views disagree",
    "hour",
    "hour, dates unknown",
    "age bump",
    "fame",
    "fame for, look against",
    "drift",
    "picture .3",
    "cheap as good as deep",
)


@pytest.mark.parametrize("name", NAMES)
def test_no_report_of_a_world_contradicts_itself(name: str) -> None:
    assert name in WORLDS
    for seed in range(3):
        assert contradictions(judged_study(study_of(name, seed, 60), num_resamples=99)) == []
