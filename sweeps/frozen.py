"""What does a trunk that never saw a count already know?

Question   how far does one new linear layer get on the frozen convolutions of a pretrained AlexNet? Another experiment than fine-tuning.
Command    peoria sweep sweeps/frozen.py --shards DIR
Cost       30 trials of 10,000 pictures at about 100 pictures/s and core: under an hour on 2 CPU cores, most trials being pruned
Result     none yet on data that may be published
"""

import peoria
from peoria import LogUniform, Space, Sweep

SWEEP = Sweep(
    name="frozen",
    question="how far does a linear layer on a frozen trunk get?",
    shards="data/shards/flickr",
    trials=30,
    space=Space(learning_rate=LogUniform(1e-5, 1e-1), head_multiplier=LogUniform(1.0, 100.0), outlier_sd=(None, 6.0, 3.0)),
    shared={
        "net": "alexnet",
        "head": "pool",
        "weights": "data/weights/alexnet_features.pth",
        "trunk": "frozen",
        "target_scale": "log1p",
        "pictures": 10_000,
        "batch_size": 50,
        "evaluations": 4,
        "schedule": "cosine",
    },
)

if __name__ == "__main__":
    peoria.main(SWEEP)
