"""What does a trunk that never saw a count already know?

Question   how far does a linear probe of a pretrained AlexNet get: one new layer on frozen convolutions? Another experiment than fine-tuning.
Command    peoria sweep sweeps/linear_probe.py --shards DIR
Cost       once, three crops of each train picture and one of val at about 75 crops/s and core; then 30 trials of 200,000 pictures, each about
           2 s on one core (the head alone, on cached features)
Result     none yet on data that may be published
"""

import peoria
from peoria import LogUniform, Space, Sweep

SWEEP = Sweep(
    name="linear_probe",
    question="how far does a linear probe get?",
    shards="data/shards/flickr",
    trials=30,
    space=Space(learning_rate=LogUniform(1e-5, 1e-1), head_multiplier=LogUniform(1.0, 100.0), outlier_sd=(None, 6.0, 3.0)),
    shared={
        "net": "alexnet",
        "head": "pool",
        "weights": "data/weights/alexnet_features.pth",
        "trunk": "frozen",
        "target_scale": "log1p",
        "pictures": 200_000,
        "batch_size": 50,
        "evaluations": 4,
        "schedule": "cosine",
    },
)

if __name__ == "__main__":
    peoria.main(SWEEP)
