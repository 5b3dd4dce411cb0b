"""Both sides of the frozen trunk's figure do the work that they are paid for, each round anew."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import frozen_trunk as module
from peoria.data.dataset import Dataset
from peoria.training import frozen_features


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NET": "tiny", "HEAD": "fc", "BATCH_SIZE": 8, "TRIALS": 3, "PICTURES": 400, "PART": 2}.items():
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("small")
def test_every_round_makes_its_features_and_trains_every_trial(
    here: Dataset, planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []
    compute = frozen_features._compute

    def noted(trunk: object, split: object, crops: int, out: object) -> None:
        made.append(out.shape)  # type: ignore[attr-defined]
        compute(trunk, split, crops, out)  # type: ignore[arg-type]

    monkeypatch.setattr(frozen_features, "_compute", noted)
    run = module.heads(str(planted_shards), str(module.weights(tmp_path)), str(here.cache), str(tmp_path))
    num = len(here.train)
    for number in (1, 2):
        pictures, told = run()
        assert (pictures, told["num_train"]) == (3 * 400, num)
        assert told["features_s"] > 0
        assert [shape[:2] for shape in made] == [(num, 2), (len(here.val), 1)] * number  # once a round, not once a trial


@pytest.mark.usefixtures("small")
def test_the_full_fine_tune_trains_the_trunk(planted_shards: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peoria.training import optim

    nets: list[Any] = []
    make = optim.make_optimizer

    def noted(net: object, **settings: float) -> object:
        nets.append(net)
        return make(net, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(optim, "make_optimizer", noted)
    run = module.full(str(planted_shards), str(module.weights(tmp_path)), str(home / "cache"))
    before = {name: value.clone() for name, value in nets[0].trunk.named_parameters()}
    assert run() == 2 * 8
    assert not any((value == before[name]).all() for name, value in nets[0].trunk.named_parameters())
