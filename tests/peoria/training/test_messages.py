"""What passes between processes arrives as it was."""

from pathlib import Path

import pytest

from peoria.training.messages import TrialSpec
from tests.helpers.small import trial_config


@pytest.mark.parametrize("name", ["plain", "a b", "a%20b", "a?b#c", "ümlaut 猫", "bytes\udcff", "new\nline", "'\"", "+"])
def test_a_path_of_any_name_arrives(name: str) -> None:
    path = Path("/data") / name
    spec = TrialSpec(key="0000", folder=path, config=trial_config(), shards=path, cache=path, cache_bytes=None, control=None, where=None)
    sent = spec.model_dump_json()
    assert sent.encode()
    assert TrialSpec.model_validate_json(sent) == spec
    assert TrialSpec.model_validate(spec.model_dump()) == spec
    assert spec.folder == path
