"""Our tars are those of WebDataset's own writer, to the byte."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset.writer import TarWriter

from shards.pack import tars


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.binary(max_size=1600), st.binary(max_size=1100)), max_size=9))
@pytest.mark.filterwarnings("ignore")
def test_the_bytes_are_those_of_webdataset(samples: list[tuple[bytes, bytes]]) -> None:
    sink = io.BytesIO()
    with TarWriter(sink, user="peoria", group="peoria", mtime=0, encoder=False, compress=False) as tar:
        for number, (jpeg, sidecar) in enumerate(samples):
            tar.write({"__key__": f"{number:09d}", "jpg": jpeg, "json": sidecar})
    ours = b"".join(block for number, sample in enumerate(samples) for block in tars.sample(f"{number:09d}", *sample))
    lengths = [tars.length(len(jpeg), sidecar) for jpeg, sidecar in samples]
    assert len(ours) == sum(lengths)
    ours += tars.end(len(ours))
    assert ours == sink.getvalue()
    assert len(ours) == tars.size(lengths)


def test_a_pack_does_not_hold_torch(tmp_path: Path, mixed: Path) -> None:
    """Half a gigabyte, which WebDataset's own writer, the control, brings with it."""
    words = "import sys; from pathlib import Path; {}; print('torch' in sys.modules)"
    packs = f"from shards.pack.pack import pack; pack(Path({str(mixed)!r}), Path({str(tmp_path / 'out')!r}), processes=1)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    for what, held in ((packs, "False\n"), ("import webdataset.writer", "True\n")):
        ran = subprocess.run([sys.executable, "-c", words.format(what)], env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout == held
