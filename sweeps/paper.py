"""Will it play in Peoria? The study itself, on the net it used.

Question   how much of a Flickr picture's popularity can a fine-tuned CaffeNet see, whatever the task, rates and threshold?
Command    peoria sweep sweeps/paper.py --shards DIR --gpus-per-trial 0.5
           CaffeNet's weights: save bvlc_reference_caffenet.caffemodel (or finetune_flickr_style.caffemodel) under data/weights
Cost       60 trials of 1 M pictures, most of them pruned early, the paper's three, 9 to 18 with fresh seeds and 12 on parts of train:
           about 48 M pictures at most, 42 M without upload dates
Result     none yet on data that may be published
"""

import peoria
from peoria import LogUniform, Point, Space, Sweep

SWEEP = Sweep(
    name="paper",
    question="how much of a picture's popularity can a fine-tuned CaffeNet see?",
    shards="data/shards/flickr",
    trials=60,
    space=Space(
        learning_rate=LogUniform(1e-6, 1e-2, typical=1e-3),  # Caffe's
        head_multiplier=LogUniform(1.0, 100.0, typical=20.0),  # the paper's
        outlier_sd=(None, 10.0, 6.0, 4.0, 3.0, 2.0),
    ),
    shared={
        "net": "caffenet",
        "weights": "data/weights/bvlc_reference_caffenet.caffemodel",
        "target_scale": "standard",
        "pictures": 1_000_000,
        "batch_size": 50,
        "curve_points": 80,  # a point each 250 iterations: the paper's Figures 3 and 4 average over 400 and 600
        "schedule": "cosine",
    },
    # Caffe's recipe on standardised targets, with both of the multipliers that it and the paper give.
    queue=tuple(Point(task=task, learning_rate=1e-3, head_multiplier=m, outlier_sd=6.0) for task in ("regression", "hybrid") for m in (10.0, 20.0)),
    paper=True,
)

if __name__ == "__main__":
    peoria.main(SWEEP)
