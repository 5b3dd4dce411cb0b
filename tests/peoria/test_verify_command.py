"""`peoria verify` of a set that is whole, of one packed before there was a digest of its manifest, and of a damaged one."""

import json
from pathlib import Path

import pytest

from peoria.cli import main
from tests.helpers.packed_set import pack_pictures


def verify(root: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv=["verify", str(root)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_older_set_is_whole_and_says_what_it_does_not_prove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pack_pictures(tmp_path)
    assert verify(root) == 0
    assert capsys.readouterr() == ("", "")
    manifest = json.loads((root / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    (root / "manifest.json").write_text(json.dumps(manifest))
    assert verify(root) == 0
    said = capsys.readouterr().err
    assert said == (
        f"{root}/manifest.json: no manifest_sha256, for it was packed before there was one; packed anew it has one, with the same identity\n"
    )
    (root / "labels.parquet").unlink()
    assert verify(root) == 1
    assert capsys.readouterr().err == f"{root}/labels.parquet: No such file or directory; the one that was packed\n"
