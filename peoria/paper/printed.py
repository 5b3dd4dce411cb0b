"""What the paper prints: its tables, counts and results."""

from typing import NamedTuple


class Row(NamedTuple):
    """A row of the paper's Table 1."""

    mean: float
    sd: float
    max: int


TABLE_1 = {"views": Row(146.37, 323.58, 321_528), "favorites": Row(0.32, 2.21, 1_533), "comments": Row(0.50, 5.51, 1_175)}
TABLE_2 = {"views favorites": 0.44, "views comments": 0.12, "favorites comments": 0.44}
NUM_OFFERED = 90_000_000  # "some 90 million images", section 3.1
NUM_COLLECTED, NUM_ANALYSED, NUM_REMOVED, NUM_FAVORITED = 400_000, 393_691, 500, 43_071  # sections 3.1, 4.2 and 4.1
OUTLIER_SD = 6.0
AVERAGE_PICTURE = 200  # views of "an average-popularity image", Figure 1
ITERATIONS = {"planned": 20_000, "regression": 6_000, "classification": 86_000, "hybrid": 97_000}  # sections 4.1, 5.1 to 5.3
WINDOWS = {"classification": 400, "hybrid": 600}  # iterations, Figures 3 and 4
REGRESSION = {"train": 49_992.0, "val": 50_090.0, "expected": 87_000.0}  # section 5.1
CLASSIFICATION = {"max": 0.896, "mean": 0.891, "constant": 0.891}  # section 5.2, accuracy
HYBRID = {"mean": 4.01, "min": 3.94, "constant": 4.125}  # section 5.3
NUM_BINS = 10
BATCH_SIZE, TEST_EVERY, NUM_TEST = 50, 1_000, 5_000  # pictures, iterations, pictures in one test
