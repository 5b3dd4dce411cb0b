"""Each sentence of a further question, to the letter, from results written by hand."""

from dataclasses import replace

import pytest

from peoria.stats.ceiling import CountNoise, Factors, PairCeiling, Shape, Slopes, UpperEnd
from peoria.stats.combine import OnTopOfContext, Weights
from peoria.stats.estimates import Interval
from peoria.stats.learning_curve import Extrapolation, HeldOutRho, Leak, LearningCurve, TimeSplit
from peoria.stats.noise import NoisePlaces, Places
from peoria.verdict import sentences

ABOVE, AROUND, BELOW = Interval(0.2134, 0.1, 0.3), Interval(0.02, -0.1, 0.14), Interval(-0.2, -0.3, -0.1)


def test_count_noise() -> None:
    noise = CountNoise(0.9, Interval(0.81, 0.64, 0.9), Interval(0.9, 0.8, 0.95), 566, 5, 0.123, False)
    known = "Counting noise alone leaves ρ = 0.900 [0.800, 0.950]"
    assert sentences.said_of_count_noise(noise) == f"{known} to a score that knows every picture's true rate."
    loose = sentences.said_of_count_noise(replace(noise, zero_share=0.878, upper_bound_only=True))
    assert loose == f"{known} at most to a score that knows every picture's true rate; 88 % of the counts are 0."
    unknown = sentences.said_of_count_noise(replace(noise, zero_share=0.99, upper_bound_only=True, reliability=None, ceiling=None))
    assert unknown == "What counting noise alone leaves cannot be told: 99 % of the counts are 0, and halves do not correlate."


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
        ("whole", ABOVE, "no evidence of a potential apart from the outcome, as both ends rise alike"),
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


def test_learning_curve() -> None:
    further = (Extrapolation(2, 400, ABOVE), Extrapolation(10, 2000, Interval(0.3, 0.1, 0.5)))
    found = LearningCurve((), ABOVE, True, None, further)
    change = "from half of the owners to all of them ρ changes by +0.213 [+0.100, +0.300]."
    law = "If the power law holds, ρ would be 0.213 [0.100, 0.300] with 2 times the pictures and 0.300 [0.100, 0.500] with 10 times the pictures."
    assert sentences.said_of_learning_curve(found, 20) == f"Still rising: {change} {law}"
    assert sentences.said_of_learning_curve(replace(found, further=()), 20) == f"Still rising: {change}"
    level = replace(found, last_doubling=AROUND, still_rising=False, further=())
    assert sentences.said_of_learning_curve(level, 20) == (
        "No evidence that more data would help: from half of the owners to all of them ρ changes by +0.020 [−0.100, +0.140]."
    )
    unknown = sentences.said_of_learning_curve(replace(found, last_doubling=None, still_rising=None), 20)
    assert unknown == "Whether more data would help cannot be told: a run on half of the owners, and one on all of them, are needed."
    few = "Too little to judge whether more data would help: 19 owners, where at least 20 are needed."
    assert sentences.said_of_learning_curve(found, 19) == few


def test_leak() -> None:
    found = Leak(HeldOutRho(400, 160, ABOVE), HeldOutRho(200, 26, AROUND), ABOVE, True)
    against = "on other pictures of train's owners against pictures of owners never seen."
    assert sentences.said_of_leak(found) == f"A random split would flatter: ρ +0.213 [+0.100, +0.300] {against}"
    none = sentences.said_of_leak(replace(found, difference=AROUND, leaks=False))
    assert none == f"No evidence that a random split would flatter: ρ +0.020 [−0.100, +0.140] {against}"
    few = sentences.said_of_leak(replace(found, owner=HeldOutRho(200, 19, AROUND), leaks=False))
    assert few == "Too little to judge what a random split would flatter by: 19 owners, where at least 20 are needed."


def test_time() -> None:
    found = TimeSplit("2014-06-02", 1104, 23, ABOVE, ABOVE, BELOW)
    how = "trained on pictures from before 2014-06-02 and judged on 1,104 of other owners from then on."
    assert sentences.said_of_time(found) == f"A model of the past does worse on later pictures: {how}"
    as_good = sentences.said_of_time(replace(found, difference=AROUND))
    assert as_good == f"A model of the past shows no evidence of doing worse on later pictures: {how}"


def test_context() -> None:
    found = OnTopOfContext(200, 500, 20, Weights(0.3, 0.6), ABOVE, ABOVE, ABOVE, ABOVE, None, True)
    text = "ρ 0.213 [0.100, 0.300] from context alone, +0.213 [+0.100, +0.300] with the image"
    assert sentences.said_of_context(found) == f"The image adds to what is known without it: {text}."
    none = sentences.said_of_context(replace(found, adds=False, image_given_context=BELOW))
    given = "given the context, image and views correlate with ρ = −0.200 [−0.300, −0.100]"
    assert none == f"No evidence that the image adds to the context: {text}; {given}."
    few = sentences.said_of_context(replace(found, num_owners=19, adds=False))
    assert few == "Too little to judge what the image adds: 19 owners, where at least 20 are needed."


def test_noise() -> None:
    low = sentences.said_of_noise(NoisePlaces(200, Places(0.05, 0.2, 0.49)))
    assert low == "White noise scores above 20 % of the test pictures (5 to 49 %): the model knows that noise is not popular."
    high = sentences.said_of_noise(NoisePlaces(200, Places(0.54, 0.59, 0.64)))
    unknowing = "the model does not know that noise is unpopular: it never saw any"
    assert high == f"White noise scores above 59 % of the test pictures (54 to 64 %): {unknowing}."
