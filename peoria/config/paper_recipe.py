"""The paper's three experiments in one place, every setting marked as stated there or assumed here.

Source: N. Dufour, "Will it play in Peoria? Predicting Image Popularity with Convolutional Neural Networks", sections 3-5; where it is
silent, Caffe's ``finetune_flickr_style`` (solver.prototxt, train_val.prototxt), whose weights and recipe the study started from.
"""

from typing import Any, NamedTuple

BATCH_SIZE = 50


class Setting(NamedTuple):
    value: Any
    stated: bool
    where: str


_COMMON: dict[str, Setting] = {
    "head_multiplier": Setting(20.0, True, "section 4.1: 'the final fully connected layer had a learning rate multiplier of 20'"),
    "outlier_sd": Setting(6.0, True, "section 4.1: 'more than six standard deviations above the mean was removed'"),
    "batch_size": Setting(BATCH_SIZE, False, "Caffe's recipe; the paper gives none, and its passes fit no single one"),
    "momentum": Setting(0.9, False, "Caffe's recipe"),
    "weight_decay": Setting(5e-4, False, "Caffe's recipe"),
    "schedule": Setting("step", False, "Caffe's recipe"),
    "schedule_gamma": Setting(0.1, False, "Caffe's recipe"),
    "schedule_pictures": Setting(20_000 * BATCH_SIZE, False, "Caffe's recipe: each 20,000 iterations"),
}

PAPER: dict[str, dict[str, Setting]] = {
    "regression": {
        **_COMMON,
        "target": Setting("views", True, "section 4.1"),
        "target_scale": Setting("raw", False, "no scaling is mentioned, and a loss of 49,992 is one of raw views"),
        "learning_rate": Setting(1e-8, True, "section 4.1: 'a base learning rate of 1 × 10⁻⁸'"),
        "pictures": Setting(20_000 * BATCH_SIZE, True, "section 4.1: 20,000 iterations (section 5.1 says that 6,000 were run)"),
    },
    "classification": {
        **_COMMON,
        "target": Setting("favorites", True, "section 4.2: class 1 'if they had been favorited at least once'"),
        "target_scale": Setting("raw", True, "classes have no scale"),
        "learning_rate": Setting(1e-3, False, "Caffe's recipe; the paper gives none"),
        "pictures": Setting(86_000 * BATCH_SIZE, True, "section 5.2: 86,000 iterations"),
    },
    "hybrid": {
        **_COMMON,
        "target": Setting("views", True, "section 4.3"),
        "target_scale": Setting("raw", True, "section 4.3: the loss is on the bin index itself"),
        "learning_rate": Setting(1e-3, False, "Caffe's recipe; the paper gives none"),
        "pictures": Setting(97_000 * BATCH_SIZE, True, "section 5.3: 97,000 iterations"),
    },
}
PAPER_NET = {"net": "caffenet", "head": "fc"}


def paper_points(tasks: tuple[str, ...], shared: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The paper's settings of each of ``tasks`` that it has, by key ``paper-TASK``, on the net and for the length that the sweep shares.

    What the sweep does not fix is the paper's; a schedule step scales with the length, so that the rate drops at the paper's places.
    """
    points = {}
    for task in tasks:
        if task in PAPER:
            settings = {name: setting.value for name, setting in PAPER[task].items()}
            length = shared.get("pictures", settings["pictures"])
            settings["schedule_pictures"] = max(1, settings["schedule_pictures"] * length // settings["pictures"])
            points[f"paper-{task}"] = {**settings, "pictures": length, "task": task}
    return points
