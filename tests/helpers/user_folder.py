"""A folder as a user has it before the first command: pictures, and a table of them in each of the forms that the pages speak of."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from peoria.data.synthetic import EFFECT_WEIGHTS, plant

ROOT = Path(__file__).parents[2]
FEW = 40  # pictures in the forms that are only packed
SMALL = """
one = {"space": Space(**dict(SWEEP.space) | {"task": ("regression",)}), "queue": ()}  # so that predictions are in views, whichever trial wins
small = {"net": "tiny", "weights": None, "target_scale": "log1p", "pictures": 1000, "evaluations": 4, "curve_points": 20}
SWEEP = Sweep(**dict(SWEEP) | one | {"trials": 6, "seeds": 1, "questions": (), "shared": SWEEP.shared | small})
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
    for part, pictures in (("new", few[:3]), ("downloaded/00000", few)):
        (root / part).mkdir(parents=True)
        for row in pictures:
            shutil.copy(images / row["file"], root / part / (row["file"] if part == "new" else f"{key(row)}.jpg"))
    (root / "pictures").mkdir()
    (root / "pictures" / "images").symlink_to(images)
    renamed(root / "pictures" / "metadata.csv", rows, {"views": "num_views", "tags": "camera"}, ",")
    unsplash = {"id": "photo_id", "views": "stats_views", "owner": "photographer_username", "uploaded_at": "photo_submitted_at"}
    renamed(root / "photos.tsv", few, unsplash | {"comments": "stats_downloads"}, "\t")
    export = {"views": "count_views", "favorites": "count_faves", "comments": "count_comments", "uploaded_at": "date_imported"}
    lines = [{export.get(name, name): row[name] for name in ("id", "path", *export)} for row in few]
    (root / "metadata.jsonl").write_text("".join(json.dumps(line | {"date_taken": "", "license": "0"}) + "\n" for line in lines))
    failed = {"key": "000009999", "status": "failed_to_download", "num_views": 1}
    found = [{"key": key(row), "status": "success", "num_views": int(row["views"])} for row in few]
    pq.write_table(pa.Table.from_pylist([*found, failed]), root / "downloaded" / "00000.parquet")
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
