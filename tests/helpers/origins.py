"""Origins of pictures and counts as other programs write them."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards.sources.source import BadRow, Record, Source
from tests.helpers.packed_set import jpeg, photo


def picture(seed: int) -> bytes:
    return jpeg(photo(60 + seed % 7, 50 + seed % 5, seed=seed))


def write_tar(path: Path, files: Sequence[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_downloaded(folder: Path, num_shards: int = 2, num: int = 12) -> Path:
    """As img2dataset writes, of ``num`` addresses a shard: samples as they came, a Parquet table of all, a JSON of sums. Each fifth was not there."""
    for shard in range(num_shards):
        lines, files = list[dict[str, Any]](), list[tuple[str, bytes]]()
        for number in range(num):
            key, seed = f"{shard:05d}{number:04d}", shard * num + number
            there = number % 5 != 4
            line = {
                "url": f"https://example.org/{seed}.jpg",
                "caption": f"picture {seed}",
                "num_views": seed * seed,
                "owner": f"o{seed // 2}",
                "key": key,
            }
            line |= {"status": "success" if there else "failed_to_download", "error_message": None if there else "HTTP Error 404: Not Found"}
            lines.append(line)
            if there:
                files += [
                    (f"{key}.jpg", picture(seed)),
                    (f"{key}.txt", line["caption"].encode()),
                    (f"{key}.json", json.dumps(line, indent=4).encode()),
                ]
        write_tar(folder / f"{shard:05d}.tar", files)
        pq.write_table(pa.Table.from_pylist(lines), folder / f"{shard:05d}.parquet")
        (folder / f"{shard:05d}_stats.json").write_text(json.dumps({"count": num}))
    return folder


def write_hub(folder: Path, num: int = 24, files: int = 2, group: int = 5) -> Path:
    """As a data set on Hugging Face lies on the disk: data/train-*.parquet, pictures as ``struct<bytes, path>``."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# A data set\n")
    for file in range(files):
        rows = [
            {"image": {"bytes": picture(i), "path": f"{i}.jpg"}, "views": i * i, "owner": f"o{i // 2}"} for i in range(file, num, files)
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows), folder / f"data/train-{file:05d}-of-{files:05d}.parquet", row_group_size=group)
    return folder


def write_photos(folder: Path, num: int = 24) -> Path:
    """photos/OWNER/N.jpg."""
    for i in range(num):
        path = folder / f"ann{i // 2:02d}/{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    return folder


def good(source: Source) -> list[Record]:
    return [row for row in source.records() if not isinstance(row, BadRow)]


def bad(source: Source) -> list[tuple[str, str]]:
    """(reason, id) of the rows that the origin itself leaves out."""
    return [(row.reason, row.id) for row in source.records() if isinstance(row, BadRow)]
