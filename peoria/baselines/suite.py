"""Every baseline that the data of a sweep allow."""

from dataclasses import replace

import numpy as np

from peoria.baselines.context import age_features, context_baseline
from peoria.baselines.fit import Baseline, learned, random_score, trivial
from peoria.baselines.image import colour_and_edges, trunk_features
from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset
from peoria.data.subsets import subset_mask
from peoria.tasks import get_task


def all_baselines(dataset: Dataset, config: "TrialConfig", tasks: tuple[str, ...]) -> list[Baseline]:
    """Every baseline that these data allow, fitted on unfiltered train, or on the subset of it that trials learn from.

    Args:
        config: any trial of the sweep; gives the net, the weights, the target and the subset that trials share.
    """
    if config.subset is not None:
        subset = subset_mask(dataset.train.labels, config.subset, dataset.identity)
        dataset = replace(dataset, train=dataset.train.take(np.flatnonzero(subset)))
    train = dataset.train.labels
    posed = [get_task(task, config.plugins) for task in tasks]
    found = [trivial(task, dataset, config.target or task.default_target) for task in posed]
    found.append(random_score())
    found.append(learned("colour-ridge", "colour ridge", colour_and_edges, dataset, tasks))
    if config.weights is not None:
        found.append(learned("frozen-trunk-ridge", "frozen-trunk ridge", trunk_features(config, dataset), dataset, tasks))
    if np.isfinite(train.age_days()).any():
        found.append(replace(learned("age-only", "age only", age_features(dataset), dataset, tasks), kind="context"))
    return found


def every_baseline(dataset: Dataset, config: TrialConfig, tasks: tuple[str, ...]) -> list[Baseline]:
    """`all_baselines`, and the context's where there is any."""
    context = context_baseline(dataset, tasks)
    return [*all_baselines(dataset, config, tasks), *([] if context is None else [context])]
