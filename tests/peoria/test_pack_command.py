"""What a stranger's table needs said at the command line, and what is said back."""

from pathlib import Path

import pytest

from peoria.cli import main, parser
from shards.manifest import Manifest
from shards.sources.tables import FORMATS
from tests.helpers.packed_set import jpeg, photo


def test_a_strangers_table_is_packed_by_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "img").mkdir()
    text = "Nr;Aufrufe;likes;favorites;Fotograf\n"
    for i in range(12):
        (tmp_path / f"img/{i}.jpg").write_bytes(jpeg(photo(60, 50, seed=i)))
        text += f"{i}.0;{1000 * i + 1_000_000:,};7;9;Jürgen {i % 4} \n".replace(",", ".")
    (tmp_path / "t.dat").write_bytes(text.encode("cp1252"))
    flags = ["--out", tmp_path / "set", "--processes", 1, "--column", "id=nr", "--column", "views=aufrufe", "--column", "owner=fotograf"]
    flags += ["--path", "img/{id}.jpg", "--drop", "favorites", "--encoding", "cp1252", "--format", "csv"]
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in ("pack", tmp_path / "t.dat", *flags)])
    assert ended.value.code == 0
    manifest = Manifest.load(tmp_path / "set")
    assert (manifest.num_kept, manifest.source.table) == (12, "t.dat")
    assert manifest.source.columns == {"id": "Nr", "path": "img/{id}.jpg", "views": "Aufrufe", "owner": "Fotograf"}
    assert "12 kept" in capsys.readouterr().out
    assert [parser().parse_args(["pack", "t", "--format", name]).format for name in FORMATS] == [*FORMATS]
