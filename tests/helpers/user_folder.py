"""A folder as a user has it before the first command: pictures, and a table of them in each of the forms that the pages speak of."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from tests.helpers.origins import write_tar

ROOT = Path(__file__).parents[2]
FEW = 40  # pictures in the forms that are only packed
SMALL = """
one = {"space": Space(**dict(SWEEP.space) | {"task": ("regression",)}), "queue": ()}  # so that predictions are in views, whichever trial wins
small = {"net": "tiny", "weights": None, "target_scale": "log1p", "pictures": 1000, "evaluations": 4, "curve_points": 20}
SWEEP = Sweep(**dict(SWEEP) | one | {"trials": 6, "seeds": 3, "questions": (), "shared": SWEEP.shared | small})
"""

Row = dict[str, str]


def user_folder(root: Path) -> Path:
    """A checkout's sweeps, of which paper.py trains six small nets for seconds, and 1,200 made pictures."""
    shutil.copytree(ROOT / "sweeps", root / "sweeps")
    paper = root / "sweeps" / "paper.py"
    before, main, after = paper.read_text().partition('\nif __name__ == "__main__":')
    assert main
    paper.write_text(before + SMALL + main + after)
    plant(root / "photos", num_pictures=1200, seed=5, **EFFECT_WEIGHTS["both"])
    images = root / "photos" / "images"
    (root / "images").symlink_to(images)
    with (root / "photos" / "metadata.csv").open(newline="") as file:
        rows = [row | {"tags": f"{row['tags']},ocean"} if int(row["id"]) % 2 else row for row in csv.DictReader(file)]  # enough to filter by
    renamed(root / "photos" / "metadata.csv", rows, {name: name for name in ("views", "comments", "tags")}, ",")
    few = [row | {"file": row["path"].removeprefix("images/")} for row in rows[:FEW]]
    for row in few:
        for part in ("new", "more") * (row in few[:3]) + (f"album/{row['owner']}",):
            (root / part).mkdir(parents=True, exist_ok=True)
            shutil.copy(images / row["file"], root / part / row["file"])
    (root / "pictures").mkdir()
    (root / "pictures" / "images").symlink_to(images)
    renamed(root / "pictures" / "metadata.csv", rows, {"views": "num_views", "tags": "camera"}, ",")
    renamed(root / "counts.csv", rows, {"views": "num_views"}, ",")
    added = [row | {"id": f"new-{row['id']}", "path": row["file"]} for row in few[:3]]
    renamed(root / "more" / "metadata.csv", added, {"views": "num_views", "tags": "camera"}, ",")
    renamed(root / "list.csv", few, {"views": "num_views", "file": "file"}, ";")
    failed = {"key": "000009999", "status": "failed_to_download", "num_views": 1}
    found = [{"key": key(row), "status": "success", "num_views": int(row["views"])} for row in few]
    bytes_of = {key(row): (images / row["file"]).read_bytes() for row in few}
    samples = [
        (f"{line['key']}.{kind}", data) for line in found for kind, data in (("jpg", bytes_of[line["key"]]), ("json", json.dumps(line).encode()))
    ]
    write_tar(root / "downloaded" / "00000.tar", samples)
    pq.write_table(pa.Table.from_pylist([*found, failed]), root / "downloaded" / "00000.parquet")
    hub = [{"image": {"bytes": bytes_of[key(row)], "path": row["file"]}, "num_views": int(row["views"])} for row in few]
    (root / "my-data-set" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(hub), root / "my-data-set" / "data" / "train-00000-of-00001.parquet", row_group_size=10)
    return root


def key(row: Row) -> str:
    """As img2dataset numbers its pictures: five digits of the shard, four in it."""
    return f"{int(row['id']):09d}"


def renamed(path: Path, rows: list[Row], names: dict[str, str], delimiter: str) -> None:
    """The table with id, path, favourites and dates, and the columns ``names`` under their new names."""
    columns = {name: name for name in ("id", "path", "favorites", "owner", "uploaded_at", "observed_at")} | names
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns.values())
        writer.writerows([row[name] for name in columns] for row in rows)
