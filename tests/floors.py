"""For `make test-floors`, in its venv: whether every direct dependency is installed at the floor that pyproject.toml gives it."""

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

AS_LOCKED = ("torch", "torchvision")


def untried(lines: list[str]) -> list[str]:
    """The requirements whose floor is not the version that is installed."""
    found = []
    for requirement in map(Requirement, lines):
        floors = [Version(bound.version) for bound in requirement.specifier if bound.operator == ">="]
        if requirement.name not in AS_LOCKED and floors != [Version(version(requirement.name))]:
            found.append(f"{requirement}: {version(requirement.name)} is installed")
    return found


if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    all_extras = [line for lines in extras.values() for line in lines if not line.startswith(f"{project['name']}[")]
    found = untried([*project["dependencies"], *all_extras])
    sys.exit("\n".join(["floors that are not tried; raise them to what is installed", *found]) if found else 0)
