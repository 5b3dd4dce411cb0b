"""Each sentence of a further question, to the letter, from results written by hand."""

from dataclasses import replace

import pytest

from peoria.stats.ceiling import CountNoise, Factors, PairCeiling, Shape, Slopes, UpperEnd
from peoria.stats.estimates import Interval
from peoria.stats.learning_curve import Extrapolation, HeldOutRho, Leak, LearningCurve, MeasuredSize, TimeSplit
from peoria.stats.noise import NoisePlaces, Places
from peoria.verdict import question_sentences as sentences

ABOVE, AROUND, BELOW = Interval(0.2134, 0.1, 0.3), Interval(0.02, -0.1, 0.14), Interval(-0.2, -0.3, -0.1)


def test_count_noise() -> None:
    noise = CountNoise(0.9, Interval(0.81, 0.64, 0.9), Interval(0.9, 0.8, 0.95), 566, 5, 60, 0.023, False)
    known = "Were counts Poisson, counting them would leave at most ρ = 0.900 [0.800, 0.950] to a score that knows every picture's true rate"
    assert sentences.said_of_count_noise(noise) == f"{known}; real counts vary more and leave less."
    copies = PairCeiling(1234, 200, ABOVE, Interval(0.5, 0.4, 0.6))
    second = "real counts vary more and leave less: copies of one picture by one owner, 0.500 [0.400, 0.600] to a score of content and owner."
    assert sentences.said_of_count_noise(noise, copies) == f"{known}; {second}"
    assert sentences.said_of_count_noise(noise, PairCeiling(29, 25, None, None)) == sentences.said_of_count_noise(noise)
    loose = sentences.said_of_count_noise(replace(noise, zero_share=0.878, upper_bound_only=True))
    assert loose == f"{known} (88 % of the counts are 0); real counts vary more and leave less."
    unknown = replace(noise, zero_share=0.99, upper_bound_only=True, reliability=None, ceiling=None)
    assert (
        sentences.said_of_count_noise(unknown) == "What counting noise leaves cannot be told: 99 % of the counts are 0, and halves do not correlate."
    )
    few = "What counting noise leaves cannot be told: 19 owners have a count above 0, where at least 20 are needed."
    assert sentences.said_of_count_noise(replace(unknown, num_owners=19)) == few


def test_copies() -> None:
    found = PairCeiling(1234, 200, ABOVE, Interval(0.5, 0.4, 0.6))
    reached = "counts correlate with ρ = 0.213 [0.100, 0.300], so that a score of their content"
    assert sentences.said_of_copies(found, one_owner=False) == (
        f"Copies of one picture by different owners (1,234 pairs): {reached} could reach 0.500 [0.400, 0.600] at most."
    )
    assert sentences.said_of_copies(found, one_owner=True) == (
        f"Copies of one picture by the same owner (1,234 pairs): {reached} and owner could reach 0.500 [0.400, 0.600] at most."
    )
    few = sentences.said_of_copies(PairCeiling(29, 25, None, None), one_owner=False)
    assert few == "Copies of one picture by different owners: 29 pairs in 25 groups; at least 30 pairs in 20 groups of owners are needed."


@pytest.mark.parametrize(
    ("shape", "lower", "said"),
    [
        ("upper_end", ABOVE, "the upper end rises more than the lower: the score tells a potential more than an outcome"),
        (
            "upper_end",
            AROUND,
            "the upper end rises more than the lower and the lower end does not measurably rise: the score tells a potential more than an outcome",
        ),
        ("lower_end", ABOVE, "the lower end rises more than the upper: the score tells what a picture gets at least"),
        ("whole", ABOVE, "both ends rise, and which of them rises more is not decided: no evidence of a potential apart from the outcome"),
        ("none", AROUND, "no evidence that the score sets a potential"),
        ("unknown", ABOVE, "the lower end lies below a count of 5 and has no room to fall, so that nothing can be said of a potential"),
    ],
)
def test_upper_end(shape: Shape, lower: Interval, said: str) -> None:
    found = UpperEnd((), Slopes(lower, ABOVE, ABOVE), ABOVE, Factors(Interval(1.5, 1, 2), Interval(4, 3, 5)), shape)
    ends = "the 95 % quantile goes × 4.000 [3.000, 5.000], the 5 % quantile × 1.500 [1.000, 2.000]"
    assert sentences.said_of_upper_end(found, 20) == f"From the lowest to the highest tenth of the score {ends}: {said}."
    few = "Too little to judge whether the score tells a potential: 19 owners, where at least 20 are needed."
    assert sentences.said_of_upper_end(found, 19) == few


SIZES = tuple(MeasuredSize(fraction, 10, 100, trained, AROUND) for fraction, trained in ((0.25, 1), (0.5, 3), (1.0, 5)))


def test_learning_curve() -> None:
    further = (Extrapolation(2, 400, ABOVE), Extrapolation(10, 2000, Interval(0.3, 0.1, 0.5)))
    found = LearningCurve(SIZES, ABOVE, "rising", 0.05, None, further)
    change = "from half of the owners (trained 3 times) to all of them (5 times) ρ changes by +0.213 [+0.100, +0.300]"
    law = "If the power law holds, ρ would be 0.213 [0.100, 0.300] with 2 times the pictures and 0.300 [0.100, 0.500] with 10 times the pictures"
    once = "smaller parts were trained once, whose luck is in no interval"
    assert sentences.said_of_learning_curve(found) == f"Still rising: {change}. {law}; {once}."
    assert sentences.said_of_learning_curve(replace(found, points=SIZES[1:])) == f"Still rising: {change}. {law}."
    found = replace(found, further=())
    assert sentences.said_of_learning_curve(found) == f"Still rising: {change}."
    assert sentences.said_of_learning_curve(replace(found, answer="falling")) == f"Falling, not rising: {change}."
    assert sentences.said_of_learning_curve(replace(found, answer="negligible")) == f"Rising by less than 0.02 a doubling, if at all: {change}."
    level = replace(found, last_doubling=AROUND, answer="undecided")
    assert sentences.said_of_learning_curve(level) == (
        "Not decided whether more data would help: from half of the owners (trained 3 times) to all of them (5 times) ρ changes by "
        "+0.020 [−0.100, +0.140]; smallest rise that could be seen in 4 cases of 5: 0.050."
    )
    assert sentences.said_of_learning_curve(replace(found, answer="too few trainings")) == (
        f"Not decided whether more data would help, for the luck of training is unknown without 3 trainings a side: {change}."
    )
    unknown = sentences.said_of_learning_curve(replace(found, last_doubling=None, answer=None, detectable=None))
    assert unknown == "Whether more data would help cannot be told: a run on half of the owners, and one on all of them, are needed."
    few = "Too little to judge whether more data would help: at least 20 owners, worth 5 of equal size, are needed."
    assert sentences.said_of_learning_curve(replace(found, answer="too few owners")) == few


def test_leak() -> None:
    found = Leak(HeldOutRho(400, 160, ABOVE), HeldOutRho(200, 26, AROUND), ABOVE, True, 0.05)
    against = "on other pictures of train's owners against pictures of owners never seen, by one training"
    val = "those owners are val's, on whom the recipe was chosen, so that the truth is more rather than less"
    assert sentences.said_of_leak(found) == f"A random split would flatter: ρ +0.213 [+0.100, +0.300] {against}; {val}."
    none = sentences.said_of_leak(replace(found, difference=AROUND, leaks=False))
    seen = "smallest difference that could be seen in 4 cases of 5: 0.050"
    assert none == f"Not decided whether a random split would flatter: ρ +0.020 [−0.100, +0.140] {against}; {val}; {seen}."
    few = sentences.said_of_leak(replace(found, owner=HeldOutRho(200, 19, AROUND), leaks=False))
    assert few == "Too little to judge what a random split would flatter by: 19 owners, where at least 20 are needed."


def test_time() -> None:
    found = TimeSplit("2014-06-02", 1104, 23, 3, ABOVE, ABOVE, ABOVE, BELOW, "worse", 0.05)
    how = (
        "ρ −0.200 [−0.300, −0.100], trained 3 times on pictures from before 2014-06-02, against as many pictures of any time, "
        "judged on 1,104 of other owners from then on"
    )
    assert sentences.said_of_time(found) == f"A model of the past does worse on later pictures: {how}."
    little = "A model of the past does worse on later pictures by less than 0.02, if at all"
    assert sentences.said_of_time(replace(found, answer="negligible")) == f"{little}: {how}."
    open_one = sentences.said_of_time(replace(found, answer="undecided"))
    seen = "smallest difference that could be seen in 4 cases of 5: 0.050"
    assert open_one == f"Not decided whether a model of the past does worse on later pictures: {how}; {seen}."
    once = sentences.said_of_time(replace(found, answer="too few trainings", num_trainings=1))
    unknown = "Not decided whether a model of the past does worse on later pictures, for the luck of training is unknown without 3 trainings a side"
    assert once == f"{unknown}: {how.replace('trained 3 times', 'trained once')}."
    few = "Too little to judge whether a model of the past does worse on later pictures: at least 20 owners, worth 5 of equal size, are needed."
    assert sentences.said_of_time(replace(found, answer="too few owners")) == few


@pytest.mark.parametrize(
    ("places", "where"),
    [(Places(0.05, 0.2, 0.49), "the lower half"), (Places(0.54, 0.59, 0.64), "the upper half"), (Places(0.2, 0.4, 0.6), "both halves")],
)
def test_noise(places: Places, where: str) -> None:
    """A place in a ranking is no knowledge."""
    low, middle, high = (f"{100 * place:.0f}" for place in (places.q05, places.q50, places.q95))
    said = f"it ranks in {where}, which is a place in a ranking and no sign of what the model knows of noise."
    found = sentences.said_of_noise(NoisePlaces(200, places))
    assert found == f"White noise scores above {middle} % of the test pictures ({low} to {high} %): {said}"
