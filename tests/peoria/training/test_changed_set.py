"""A set that changes while a sweep is on it: what is trained from then on could not be compared with what was, and is not trained."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.data.dataset import open_dataset
from peoria.errors import SweepError
from peoria.training import trial
from peoria.training.messages import TrialReport, TrialSpec
from peoria.training.trial import run_trial
from shards.living.recount import recount
from tests.helpers.living import counts, manifest, new_counts
from tests.helpers.packed_set import pack_pictures
from tests.helpers.small import trial_config


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_pictures(tmp_path_factory.mktemp("table"))


def test_a_trial_of_a_set_that_was_changed_is_interrupted_in_words(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, seen = Path(shutil.copytree(packed, tmp_path / "set")), []

    def train(_: object, dataset: object, *__: object) -> Iterator[TrialReport]:
        seen.append(dataset)
        yield TrialReport(step=1, status="done")

    monkeypatch.setattr(trial, "train", train)
    places = {"shards": root, "cache": tmp_path / "cache", "cache_bytes": None, "control": None, "where": None}
    identity = manifest(root).identity

    def ended(**more: str) -> TrialReport:
        return list(run_trial(TrialSpec(key="0000", folder=tmp_path / "0000", config=trial_config(), **places, **more)))[-1]

    assert ended(identity=identity).status == "done"
    recount(root, counts(tmp_path, new_counts(root)))
    assert ended(identity=identity).status == "done"  # what a worker has open stays as it was
    trial._dataset.cache_clear()
    found = ended(identity=identity)
    assert found.status == "interrupted"
    assert f"data {manifest(root).identity[:12]} now; the sweep began on {identity[:12]} (hint: " in str(found.error)
    assert len(seen) == 2
    assert ended().status == "done"  # control: nothing is compared
    with pytest.raises(SweepError, match="the sweep began on"):
        open_dataset(root, tmp_path / "cache", identity=identity)
