"""A trial and a sweep of seconds."""

from pathlib import Path

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig


def trial_config(**changes: object) -> TrialConfig:
    """A trial of seconds."""
    settings: dict[str, object] = {
        "task": "regression",
        "learning_rate": 3e-3,
        "head_multiplier": 5.0,
        "net": "tiny",
        "target_scale": "log1p",
        "pictures": 640,
        "batch_size": 16,
        "evaluations": 4,
        "curve_points": 20,
        "schedule": "cosine",
        "seed": 1,
    }
    return TrialConfig.model_validate(settings | changes)


def small_sweep(shards: Path, **changes: object) -> Sweep:
    """A sweep of seconds."""
    settings: dict[str, object] = {
        "name": "small",
        "shards": str(shards),
        "trials": 4,
        "space": Space(
            task=("regression", "hybrid"),
            learning_rate=LogUniform(1e-3, 1e-2),
            head_multiplier=LogUniform(1, 10),
            outlier_sd=(None, 3.0),
        ),
        "shared": trial_config().model_dump(include={"net", "target_scale", "pictures", "batch_size", "evaluations", "curve_points", "schedule"}),
        "startup_per_task": 1,
        "seeds": 0,
        "questions": (),
    }
    return Sweep.model_validate(settings | changes)


def own_file(folder: Path) -> Path:
    """A sweep file that runs itself."""
    path = folder / "own.py"
    path.write_text(
        "import peoria\nfrom peoria import Sweep, Space, LogUniform\n"
        "SWEEP = Sweep(name='own', shards='nowhere', trials=9, space=Space(task=('hybrid',)), startup_per_task=1, seeds=0, questions=(),\n"
        "  shared={'net': 'tiny', 'pictures': 320, 'batch_size': 16, 'evaluations': 1, 'curve_points': 20})\n"
        "if __name__ == '__main__':\n    peoria.main(SWEEP)\n"
    )
    return path
