"""Can the sweep find what was planted?

Question   3,000 made pictures whose popularity lies partly in their colour, partly in their arrangement: does a network find both?
Command    make demo, or: peoria sweep sweeps/demo.py && peoria report demo
Cost       about 3 minutes on 2 CPU cores
Result     see README.md
"""

import peoria
from peoria import LogUniform, Space, Sweep

SWEEP = Sweep(
    name="demo",
    question="how much of a planted popularity can be seen in the pictures?",
    shards="data/shards/demo",
    trials=14,
    space=Space(
        # A net of 60 thousand parameters trained from nothing takes larger steps than a pretrained one.
        learning_rate=LogUniform(1e-4, 3e-2),
        head_multiplier=LogUniform(1.0, 30.0),
        outlier_sd=(None, 6.0, 3.0, 1.0),
    ),
    shared={
        "net": "tiny",
        "target_scale": "log1p",
        "pictures": 20_000,
        "batch_size": 32,
        "evaluations": 8,
        "curve_points": 40,
        "schedule": "cosine",
    },
    startup_per_task=2,
    paper=True,
)

if __name__ == "__main__":
    peoria.main(SWEEP)
