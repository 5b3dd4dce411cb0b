"""Candidates of other projects, with the settings that their documentation recommends. They run in the Python that has them (peers.txt).

Nothing of peoria is imported here: that Python need not have it.
"""

import glob
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH_SIZE = 256
CROP_PX = 227
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RoundOf = Callable[[], int]


def extracted(root: str, folder: Path) -> list[str]:
    """The JPEGs of train as files: both projects copy a JPEG as it is only from a file."""
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.part")
        for shard in sorted(glob.glob(f"{root}/train/*.tar")):
            with tarfile.open(shard) as tar:
                tar.extractall(partial, [member for member in tar if member.name.endswith(".jpg")], filter="data")
        partial.rename(folder)
    return sorted(str(path) for path in folder.glob("*.jpg"))


def opened(path: str) -> Any:
    from PIL import Image

    return Image.open(path)


def crops(*, from_pil: bool) -> Callable[[Any], Any]:
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    steps = [v2.RandomCrop(CROP_PX), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, SD)]
    return v2.Compose(([v2.PILToTensor()] if from_pil else []) + steps)


def litdata(root: str, folder: str) -> RoundOf:
    """StreamingDataset over JPEGs, which it decodes by torchvision, and its own loader; shuffled."""
    from litdata import StreamingDataLoader, StreamingDataset, optimize

    store, paths = Path(folder) / "litdata", extracted(root, Path(folder) / "files")
    if not (store / "index.json").exists():
        optimize(fn=opened, inputs=paths, output_dir=str(store), chunk_bytes="64MB", num_workers=1, verbose=False)
    transform = crops(from_pil=False)

    class Pictures(StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            return transform(super().__getitem__(index))

    loader = StreamingDataLoader(Pictures(str(store), shuffle=True), batch_size=BATCH_SIZE, num_workers=0)
    return lambda: sum(len(batch) for batch in loader)


def mosaicml(root: str, folder: str) -> RoundOf:
    """StreamingDataset over a jpeg column, PIL, torch's loader; shuffled."""
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory
    from torch.utils.data import DataLoader

    clean_stale_shared_memory()
    store, paths = Path(folder) / "mosaicml", extracted(root, Path(folder) / "files")
    if not (store / "index.json").exists():
        with MDSWriter(out=str(store), columns={"jpg": "jpeg"}) as writer:
            for path in paths:
                writer.write({"jpg": opened(path)})
    transform = crops(from_pil=True)

    class Pictures(StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            return transform(super().__getitem__(index)["jpg"])

    loader: Any = DataLoader(Pictures(local=str(store), shuffle=True, batch_size=BATCH_SIZE), batch_size=BATCH_SIZE, num_workers=0)
    return lambda: sum(len(batch) for batch in loader)


def img2dataset(pictures: str) -> RoundOf:
    """The Resizer of its workers: short side to 256 by area, central square, JPEG at 90."""
    from img2dataset.resizer import Resizer

    resizer = Resizer(256, "center_crop", resize_only_if_bigger=False, encode_quality=90)
    paths = sorted(path for path in os.listdir(pictures) if path.endswith(".jpg"))

    def run() -> int:
        for path in paths:
            with open(f"{pictures}/{path}", "rb") as file:
                *_, error = resizer(io.BytesIO(file.read()))
            assert error is None, error
        return len(paths)

    return run


def img2dataset_fetching(port: int, num: int, work: str) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Its command, with a process a core and the 64 threads each of its examples; a shard for each process."""
    import csv
    import shutil
    import tempfile

    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else a part of it asks its index first
    import img2dataset

    from benchmarks.cpu import cpu_s

    def run() -> tuple[int, dict[str, Any]]:
        folder, before, cpus = Path(tempfile.mkdtemp(dir=work)), cpu_s(), os.cpu_count() or 1
        with open(folder / "table.csv", "w", newline="") as file:
            csv.writer(file).writerows([("url",), *((f"http://127.0.0.1:{port}/{row:06d}.jpg",) for row in range(num))])
        img2dataset.download(
            url_list=str(folder / "table.csv"),
            input_format="csv",
            output_folder=str(folder / "out"),
            output_format="webdataset",
            processes_count=cpus,
            thread_count=64,
            number_sample_per_shard=-(-num // cpus),
            image_size=256,
            resize_mode="center_crop",
            encode_quality=90,
        )
        fetched = 0
        for shard in glob.glob(f"{folder}/out/*.tar"):
            with tarfile.open(shard) as tar:
                fetched += sum(name.endswith(".jpg") for name in tar.getnames())
        assert fetched == num, fetched
        shutil.rmtree(folder)
        return num, {"cpu_s": cpu_s() - before}

    return run
