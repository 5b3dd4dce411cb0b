"""A small packed set of pictures of its own."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from shards.manifest import sealed
from shards.pack.pack import pack


def photo(width: int, height: int, seed: int = 0, noise_sd: float = 3.0) -> np.ndarray:
    """uint8 [height, width, 3]: smooth like a photograph, with grain; another one for every seed."""
    random = np.random.default_rng(seed)
    smooth = cv2.resize(random.uniform(0, 255, (9, 12, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    pixels: np.ndarray = (smooth + random.normal(0, noise_sd, smooth.shape)).clip(0, 255).astype(np.uint8)
    return pixels


def jpeg(pixels: np.ndarray, quality: int = 92) -> bytes:
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorsubsampling="420")
    return data


def pack_pictures(folder: Path) -> Path:
    """Packs 60 pictures of 30 owners and one row without a picture, in shards of 10, into ``folder/set``."""
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "views", "favorites", "comments", "owner", "uploaded_at", "tags", "mood"])
        for i in range(60):
            (folder / f"{i}.jpg").write_bytes(jpeg(photo(300, 280, seed=i)))
            date = f"2013-01-{1 + i % 28:02d}T00:00:00Z" if i % 7 else ""
            writer.writerow([f"p{i}", f"{i}.jpg", i * i, int(i % 9 == 0), i % 3, f"o{i // 2}", date, "a,b", f"m{i}"])
        writer.writerow(["gone", "gone.jpg", 1, 0, 0, "o0", "", "", ""])
    pack(folder / "table.csv", folder / "set", keep=["mood"], processes=1, shard_size=10)
    return folder / "set"


def edit_manifest(root: Path, change: Callable[[Any], None]) -> None:
    """Lets ``change`` edit the manifest, and seals it again: what a forger would do."""
    manifest = json.loads((root / "manifest.json").read_text())
    change(manifest)
    (root / "manifest.json").write_bytes(sealed(json.dumps(manifest).encode()))


def tar(members: Sequence[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data), kind, target
            made.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def forge_shard(root: Path, data: bytes) -> Path:
    """Puts ``data`` in the place of the first shard, with a manifest that says so."""

    def change(manifest: Any) -> None:
        manifest["shards"][0] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    edit_manifest(root, change)
    path = root / str(json.loads((root / "manifest.json").read_text())["shards"][0]["file"])
    path.write_bytes(data)
    return path
