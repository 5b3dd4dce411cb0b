"""What the pages say of files, names, versions and speeds is so."""

import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TAGS = {"peoria.nets", "peoria.sweep", "peoria.identity", "peoria.started_ms", "peoria.trial"}  # of MLflow's runs
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 300_000


def found(name: str) -> bool:
    """Whether a dotted name is there, whatever of it is a module."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            here: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(here, part):
                return False
            here = getattr(here, part)
        return True
    return False


def test_control_a_name_that_is_gone_is_not_found() -> None:
    assert found("peoria.sweep.trial_store.TrialStore.ask")
    assert not found("peoria.sweep.trial_store.TrialBook.next")
    assert not found("peoria.sweep.book.TrialBook")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Dotted names, files and links."""
    text = page.read_text()
    names = set(re.findall(r"`((?:peoria|shards)(?:\.\w+)+)`", text)) - TAGS
    assert [name for name in sorted(names) if not found(name)] == []
    paths = [path for path in re.findall(r"`((?:peoria|shards|tests|docs|benchmarks|sweeps)/[\w./]+)(?:::\w+)?`", text) if "NAME" not in path]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith(("http", "#"))]
    assert [link for link in links if not (page.parent / link).exists()] == []
    tests = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert [name for name in re.findall(r"[`:](test_\w+)`", text) if name not in tests] == []


def test_how_to_cite_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {name: cited[name] for name in ("cff-version", "version", "license")} == {
        "cff-version": "1.2.0",
        "version": project["version"],
        "license": project["license"],
    }
    assert cited["references"][0]["title"].split("?")[0] in (ROOT / "docs" / "paper.md").read_text()


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


def test_the_map_is_in_the_order_of_the_layers() -> None:
    """What comes later may know what came before."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["peoria"])
    level = {name: -at for at, row in enumerate(layers) for name in row.split(" | ")}
    block = (ROOT / "README.md").read_text().partition("\npeoria/")[2].partition("```")[0]
    wings = [line.split("/")[0].strip() for line in block.splitlines()[1:]]
    assert [level[wing] for wing in wings] == sorted(level[wing] for wing in wings)


def test_no_file_is_long() -> None:
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout.split()
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in files if (ROOT / name).is_file()}
    assert {name: length for name, length in lengths.items() if length > 350} == {}
    assert len(lengths) > 200


def test_the_speeds_are_those_of_the_results_that_are_named() -> None:
    """Not of the newest: those of a user's own `make bench` are no page's."""
    from benchmarks.readme import PAGE, README, few_rows, filled, named, whole_table

    subprocess.run(["git", "-C", str(ROOT), "ls-files", "--error-unmatch", str(named())], capture_output=True, check=True)
    for page, table in ((PAGE, whole_table(named())), (README, few_rows(named()))):
        assert table in page.read_text(), page
        assert filled(page.read_text(), table) == page.read_text(), page


def test_nothing_names_a_package_index() -> None:
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    named = [name for name in files if Path(ROOT / name).is_file() and re.search(rb"https?://[^\s\"']*(pypi|simple/)", (ROOT / name).read_bytes())]
    assert named == []
