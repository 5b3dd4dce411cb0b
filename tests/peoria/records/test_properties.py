"""Records of any bytes, whole ones with a mutation among them: read as what was written, or refused in a line that names the file."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peoria.errors import PeoriaError, RecordError
from peoria.records.folder import SweepFolder
from peoria.records.points import points_settings, read_points
from peoria.records.schema import BaselineRecord, Record, RunState, SweepRecord, TrialOutcome, TrialStart
from peoria.records.val_scores import ValScores
from peoria.sweep.chain import last_link
from peoria.sweep.owed import sweep_of
from tests.helpers.sweep_folder import whole_sweep

MANY = settings(
    max_examples=20_000 if os.environ.get("PEORIA_TEST_FULL") else 150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS: dict[str, type[Record]] = {
    "sweep.json": SweepRecord,
    "finished.json": RunState,
    "trials/0000/config.json": TrialStart,
    "trials/0000/outcome.json": TrialOutcome,
    "baselines/colour-ridge/baseline.json": BaselineRecord,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = whole_sweep(tmp_path_factory.mktemp("whole") / "demo")
    folder.finish()
    return {name: (folder.folder.path / name).read_bytes() for name in KINDS}


def mutated(data: bytes, draw: st.DataObject) -> bytes:
    """A byte changed, a part gone, a part twice, or a field with another value."""
    at = draw.draw(st.integers(0, len(data) - 1))
    how = draw.draw(st.sampled_from(["byte", "cut", "twice", "field", "bytes"]))
    if how == "byte":
        return data[:at] + bytes([draw.draw(st.integers(0, 255))]) + data[at + 1 :]
    if how == "cut":
        return data[:at] + data[draw.draw(st.integers(at, len(data))) :]
    if how == "twice":
        return data[:at] + data[at // 2 :]
    if how == "bytes":
        return draw.draw(st.binary(max_size=200))
    fields: dict[str, Any] = json.loads(data)
    name = draw.draw(st.sampled_from(sorted(fields)))
    return json.dumps(fields | {name: draw.draw(JSON)}).encode("utf-8", "surrogatepass")


@MANY
@given(data=st.data(), name=st.sampled_from(sorted(KINDS)))
def test_a_record_is_read_or_refused(records: dict[str, bytes], tmp_path: Path, data: st.DataObject, name: str) -> None:
    path = tmp_path / Path(name).name
    path.write_bytes(mutated(records[name], data))
    record, refused = None, str(path)
    try:
        record = KINDS[name].read(path)
    except RecordError as error:
        refused = str(error)
    assert str(path) in refused
    if record is None:
        return
    record.write(path)
    assert KINDS[name].read(path) == record
    if isinstance(record, SweepRecord):
        with contextlib.suppress(PeoriaError):
            sweep_of(record)


@MANY
@given(data=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_curves_scores_and_journals_of_any_bytes(tmp_path: Path, data: bytes) -> None:
    folder = SweepFolder(tmp_path).trial("0000")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.points.write_bytes(data)
    folder.val_scores.write_bytes(data)
    steps = [step for step, _ in read_points(folder.points)]
    assert steps == sorted(set(steps))
    assert points_settings(folder.points) is None or b"settings_sha256" in data
    with pytest.raises(RecordError):
        ValScores.read(folder.val_scores)
    if data.splitlines():
        with pytest.raises(PeoriaError, match="is not as it was written"):
            last_link(folder.points)
    else:
        assert last_link(folder.points) == ""
