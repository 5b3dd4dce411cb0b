"""Each origin of pictures and counts is packed as a table is: every row on record, and the same bytes after a kill."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from peoria.cli import main
from shards.errors import DamagedShardError, ShardsError
from shards.inspection.describe import describe
from shards.inspection.verify import verify
from shards.labels import read_labels
from shards.manifest import Manifest
from shards.pack.pack import pack
from shards.read.shard_set import ShardSet
from tests.helpers.origins import write_downloaded, write_hub, write_photos
from tests.helpers.packed_set import edit_manifest

Files = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.usefixtures("small_chunks")
ORIGINS = {
    "tars": (write_downloaded, {"id": "key", "views": "num_views"}, "00000.tar/000000001.jpg", {"not_downloaded": 4}),
    "parquet": (write_hub, {}, "data/train-00000-of-00002.parquet/1", {}),
    "folder": (write_photos, {"owner": "folder"}, "ann00/001.jpg", {}),
}


@pytest.mark.parametrize("kind", ORIGINS)
def test_every_row_is_on_record_and_every_picture_says_whence_it_came(tmp_path: Path, kind: str) -> None:
    write, columns, example, rejected = ORIGINS[kind]
    found = pack(write(tmp_path / "in"), tmp_path / "set", columns=columns, processes=1, shard_size=5)
    assert found.rejected == rejected
    assert (found.manifest.num_kept + found.manifest.num_rejected, found.manifest.source.table) == (24, "in")
    assert verify(tmp_path / "set") == []
    sources = []
    for shard in sorted((tmp_path / "set").glob("*/*.tar")):
        with tarfile.open(shard) as tar:
            sources += [json.load(file)["source"] for name in tar.getnames() if name.endswith("json") and (file := tar.extractfile(name))]
    assert example in sources
    assert len({*sources}) == found.manifest.num_kept


def test_the_command_names_a_kind_or_finds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "in", 8)
    (tmp_path / "in/notes.csv").write_text("a\n")
    given = ["pack", str(tmp_path / "in"), "--out", str(tmp_path / "set"), "--processes", "1", "--column", "owner=folder"]

    def run(*more: str) -> object:
        with pytest.raises(SystemExit) as ended:
            main(argv=[*given, *more])
        return ended.value.code

    assert run() == 2
    assert "holds notes.csv; what is meant" in capsys.readouterr().err
    assert run("--as", "foldr") == 2
    assert "hint: did you mean folder?" in capsys.readouterr().err
    assert run("--as", "folder") == 0
    assert "8 kept + 0 rejected" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ORIGINS)
def test_stopped_it_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, files: Files, kind: str) -> None:
    write, columns, _, _ = ORIGINS[kind]
    given = write(tmp_path / "in")

    def stop(what: str, done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    pack(given, tmp_path / "whole", columns=columns, processes=1)
    with pytest.raises(KeyboardInterrupt):
        pack(given, tmp_path / "out", columns=columns, processes=1, progress=stop)
    assert not (tmp_path / "out/manifest.json").exists()  # else nothing was stopped
    pack(given, tmp_path / "out", columns=columns, processes=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.slow
def test_killed_it_goes_on_with_other_processes_and_ends_with_the_same_bytes(tmp_path: Path, files: Files) -> None:
    write, columns, _, _ = ORIGINS["tars"]
    given, out = write(tmp_path / "in"), tmp_path / "out"
    pack(given, tmp_path / "whole", columns=columns, processes=1)
    code = (
        "from shards.pack import staging; from shards.pack.pack import pack; import sys, json; staging.CHUNK_ROWS = 6; "
        "pack(sys.argv[1], sys.argv[2], columns=json.loads(sys.argv[3]), processes=1)"
    )
    words = [sys.executable, "-c", code, str(given), str(out), json.dumps(columns)]
    with subprocess.Popen(words, start_new_session=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        while not any((out / ".staging").glob("0*")) and process.poll() is None:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (out / "manifest.json").exists()  # else nothing was stopped
    pack(given, out, columns=columns, processes=2)
    assert files(out) == files(tmp_path / "whole")


def test_a_folder_is_packed_without_counts_and_nothing_is_learned_from_it(tmp_path: Path) -> None:
    found = pack(write_photos(tmp_path / "in"), tmp_path / "set", columns={"owner": "folder"}, processes=1)
    assert "no counts yet: peoria recount" in found.text()
    labels = pq.read_table(tmp_path / "set/labels.parquet")
    assert labels["views"].null_count == len(labels) == 24
    shard_set = ShardSet(tmp_path / "set")
    for ask in (lambda: shard_set.labels("train"), lambda: describe(shard_set)):
        with pytest.raises(ShardsError, match=r"set: packed without counts; views of each picture\nhint: peoria recount .*set TABLE puts them in"):
            ask()
    assert verify(tmp_path / "set") == []
    assert pack(tmp_path / "in", tmp_path / "set", columns={"owner": "folder"}).already_packed
    for number, name in enumerate(sorted((tmp_path / "in").glob("*/*.jpg"))):  # the control: with counts all of it works, on the same pictures
        name.with_suffix(".json").write_text(json.dumps({"views": number}))
    counted = pack(tmp_path / "in", tmp_path / "counted", columns={"owner": "folder"}, processes=1)
    assert len(ShardSet(tmp_path / "counted").labels("train")) == counted.kept["train"]
    assert counted.manifest.pictures_sha256 == found.manifest.pictures_sha256
    assert counted.manifest.identity != found.manifest.identity


def test_counts_that_some_pictures_lack_are_damage(tmp_path: Path) -> None:
    """Only where no picture has one was the set packed without."""
    pack(write_photos(tmp_path / "in", 8), tmp_path / "set", processes=1)
    root = tmp_path / "set"
    labels = pq.read_table(root / "labels.parquet")
    views = labels.schema.get_field_index("views")
    pq.write_table(labels.set_column(views, "views", [[1] + [None] * (len(labels) - 1)]), root / "labels.parquet")
    edit_manifest(root, lambda manifest: manifest["files_sha256"].pop("labels.parquet"))
    with pytest.raises(DamagedShardError, match=r"column 'views' with 7 values that are not there"):
        read_labels(root, Manifest.load(root))
