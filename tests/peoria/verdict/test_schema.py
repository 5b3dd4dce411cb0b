"""verdict.json: written and read by one set of models, and refused in words where it is another's."""

import inspect
import json
from pathlib import Path

import pytest

from peoria.errors import ReportError
from peoria.verdict import answers, schema, tables, values
from peoria.verdict.schema import Verdict
from tests.helpers.report_parts import parts


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    found: Verdict = parts(num_trials=12)["verdict"]
    return found


@pytest.fixture
def path(verdict: Verdict, tmp_path: Path) -> Path:
    file = tmp_path / "sweeps" / "demo" / "report" / "verdict.json"
    verdict.write(file)
    return file


def test_what_is_read_is_what_was_written(verdict: Verdict, path: Path) -> None:
    first = path.read_bytes()
    read = Verdict.read(path)
    assert read == verdict
    read.write(path)
    assert path.read_bytes() == first


def test_numbers_have_six_decimals_and_no_negative_zero() -> None:
    found = values.Interval(value=-1e-9, low=0.12345678, high=2 / 3)
    assert found.model_dump_json() == '{"value":0.0,"low":0.123457,"high":0.666667}'
    with pytest.raises(ValueError, match="finite"):
        values.Interval(value=float("nan"), low=0.0, high=0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": 1}, "format_version 1; 2 is read here"),
        ({"format_version": None}, "format_version None; 2 is read here"),
        ({"mood": "sunny"}, "mood: Extra inputs are not permitted; what `peoria report` wrote is read here"),
        ({"test": {}}, "test.num_pictures: Field required; what `peoria report` wrote is read here"),
    ],
)
def test_another_verdict_is_refused(path: Path, change: dict[str, object], said: str) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(ReportError) as error:
        Verdict.read(path)
    assert str(error.value) == f"{path}: {said}\nhint: peoria report demo writes it anew"


def test_a_verdict_without_a_version_is_refused(path: Path) -> None:
    found = json.loads(path.read_bytes())
    del found["format_version"]
    path.write_text(json.dumps(found))
    with pytest.raises(ReportError, match="format_version 0; 2 is read here"):
        Verdict.read(path)
    path.write_text("{")
    with pytest.raises(ReportError, match="not JSON"):
        Verdict.read(path)


def test_every_field_is_described() -> None:
    models = {
        model
        for module in (schema, answers, tables, values)
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, values.Model) and model is not values.Model
    }
    assert len(models) > 60
    without = [f"{model.__name__}.{name}" for model in models for name, field in model.model_fields.items() if not field.description]
    assert without == []
    assert [model.__name__ for model in models if not model.__doc__] == []
