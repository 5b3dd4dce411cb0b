"""A packed set is the same to the byte whatever CPU packs it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.cpus import on_each

PACK = """
import hashlib, sys
from pathlib import Path
from shards.pack.pack import pack

table, out = (Path(word) for word in sys.argv[1:])
pack(table, out, processes=1)
for path in sorted(path for path in out.rglob("*") if path.is_file()):
    print(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(out))
"""


def test_a_packed_set_has_the_same_bytes_on_every_cpu(tmp_path: Path, make_table: Callable[..., Path], make_photo: Callable[..., np.ndarray]) -> None:
    # smaller and larger than 256, decoded at full and at half size, moved by half a pixel, by simplejpeg and by Pillow, and a flat one
    sizes = [(70, 60), (256, 300), (301, 257), (640, 480), (1001, 770), (1203, 1600)]
    change = {}
    for row, (width, height) in enumerate(sizes * 2):
        path = f"images/large-{row}.{'jpg' if row < len(sizes) else 'png'}"
        (tmp_path / "in/images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_photo(width, height, seed=100 + row)).save(tmp_path / "in" / path, quality=90)
        change[row] = {"path": path}
    table = make_table(tmp_path / "in", 24, change=change)

    sets = on_each(PACK, str(table), f"{tmp_path}/{{name}}")
    assert all(found == sets["this"] for found in sets.values()), sets
    assert {line.split()[1] for line in sets["this"]} >= {"manifest.json", "labels.parquet", "ledger.parquet", "train/00000.tar"}
