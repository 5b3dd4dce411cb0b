"""What the README says of the files is so."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_map_has_every_wing() -> None:
    block = re.search(r"## Where things are\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    folder, named = "", set()
    for line in block.group(1).splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        named.add(folder + name)
        folder = name if not line.startswith(" ") else folder
    there = {f"{path.parent.relative_to(ROOT)}/" for package in ("peoria", "shards") for path in (ROOT / package).rglob("__init__.py")}
    assert there <= named
    assert all((ROOT / name).is_dir() for name in named)


def test_the_speeds_are_the_newest_results() -> None:
    from benchmarks.readme import PAGE, README, few_rows, filled, whole_table

    for page, table in ((PAGE, whole_table()), (README, few_rows())):
        assert table in page.read_text(), page
        assert filled(page.read_text(), table) == page.read_text(), page


def test_nothing_names_a_package_index() -> None:
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    named = [name for name in files if Path(ROOT / name).is_file() and re.search(rb"https?://[^\s\"']*(pypi|simple/)", (ROOT / name).read_bytes())]
    assert named == []
