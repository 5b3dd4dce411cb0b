"""Making pictures ready for a packed set, against img2dataset, and how near the result is to a full decode with bicubic scaling."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, Measured, NotRunError, Setting, not_run
from benchmarks.pictures import jpegs
from benchmarks.rounds import Candidate, Process, alternate, cpu_rate

NUM = {"medium": 48, "large": 6}
SPEED = {
    "medium": Figure("packing_1024x768_vs_img2dataset", "pictures made ready on one core, against img2dataset's Resizer", 2.0, 2.5),
    "large": Figure("packing_4000x3000_vs_img2dataset", "… large ones", 2.5, 3.0),
}
QUALITY = {
    "medium": Figure("packing_1024x768_psnr", "made ready, against a full decode with bicubic scaling", 44.0, 47.0, "dB"),
    "large": Figure("packing_4000x3000_psnr", "… large ones", 44.0, 47.0, "dB"),
}

PHOTOS = Figure("packing_photos_psnr", "… the two photos of 640x427 that come with scikit-learn, full of fine detail", None, None, "dB")


def packing(setting: Setting) -> Iterator[Measured]:
    for size, num in NUM.items():
        folder = setting.work / size
        paths = jpegs(folder, size, num)
        mean_bytes = round(sum(path.stat().st_size for path in paths) / num)
        yield from speed(SPEED[size], setting, folder, mean_bytes)
        decibels = [psnr(path.read_bytes()) for path in paths]
        yield Measured(QUALITY[size], float(np.mean(decibels)), detail={"lowest": round(min(decibels), 1), "mean_bytes": mean_bytes})
    photos = {path.name: psnr(path.read_bytes()) for path in sorted(Path(str(files("sklearn.datasets.images"))).glob("*.jpg"))}
    yield Measured(PHOTOS, float(np.mean(list(photos.values()))), detail={name: round(decibel, 1) for name, decibel in photos.items()})


def speed(figure: Figure, setting: Setting, folder: Path, mean_bytes: int) -> Iterator[Measured]:
    untuned = Figure(f"{figure.name}_untuned", "… against its Resizer without the malloc variables", None, None)
    theirs = Candidate("peers:img2dataset", {"pictures": str(folder)}, setting.peers)
    candidates = {
        "peoria": Candidate("packing:prepare", {"pictures": str(folder), "work": str(setting.work)}),
        "img2dataset": theirs,
        "img2dataset_untuned": replace(theirs, tuned=False),
    }
    try:
        with ExitStack() as stack:
            rounds = alternate({name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}, setting.rounds)
    except NotRunError as error:
        yield from not_run([figure, untuned], str(error))
        return
    rates = {name: cpu_rate(found) for name, found in rounds.items()}
    detail = {name: round(rate, 1) for name, rate in rates.items()} | {"mean_bytes": mean_bytes}
    yield Measured(figure, rates["peoria"] / rates["img2dataset"], detail=detail)
    yield Measured(untuned, rates["peoria"] / rates["img2dataset_untuned"], detail=detail)


def prepare(pictures: str, work: str) -> Callable[[], int]:
    """All that packing does with a picture: read, judged, decoded, scaled, hashed for likeness and for identity, encoded, staged."""
    from shards.manifest import PictureRule
    from shards.pack.prepare import prepare_all
    from shards.pack.staging import CHUNK_ROWS, stage_rows
    from shards.sources.pictures import Folder
    from shards.sources.rows import PictureRow

    names = sorted(path.name for path in Path(pictures).glob("*.jpg"))
    rows = [PictureRow(row=i, id=str(i), path=names[i % len(names)], views=1) for i in range(CHUNK_ROWS)]  # what is written to disk at once

    def run() -> int:
        staging = Path(tempfile.mkdtemp(dir=work))
        prepare_all(staging, stage_rows(staging, rows, ()), Folder(Path(pictures)), PictureRule(), lambda what, done, total: None)
        shutil.rmtree(staging)
        return len(rows)

    return run


def psnr(data: bytes) -> float:
    """dB between the square that is packed, before its JPEG, and the central square of a full decode scaled by Pillow's bicubic filter."""
    from PIL import Image

    from shards.images.square import decode_square
    from shards.manifest import PictureRule

    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        left, top, side = (width - min(image.size)) / 2, (height - min(image.size)) / 2, min(image.size)
        wanted = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))
    found = decode_square(data, PictureRule())[0]
    return float(20 * np.log10(255 / np.sqrt(np.mean((wanted.astype(float) - found) ** 2))))
