"""The manual as a site: the pages of this folder, those of the checkout's root, and the public names with their docstrings. `make docs` builds it."""

import importlib
import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx

import peoria

DOCS = Path(__file__).parent
ROOT = DOCS.parent
OF_THE_ROOT = {"README.md": "start", "CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changes"}  # file → its page here
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project, release = PROJECT["name"], PROJECT["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext", ".ipynb": "notebook"}
exclude_patterns = ["**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"peoria {release}"
html_copy_source = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Settings", "params_style")]
nitpicky = True


class NotebookParser(MystParser):
    """A notebook as a page: its text, its code, and what the code printed."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        super().parse(text_of_notebook(json.loads(inputstring)), document)


def text_of_notebook(notebook: dict[str, Any]) -> str:
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```" if source.strip() else "")
        for output in cell.get("outputs", ()):
            printed = "".join(output.get("text", output.get("data", {}).get("text/plain", ())))
            parts.append(f"```text\n{printed.rstrip()}\n```" if printed.strip() else "")
    return "\n\n".join(part for part in parts if part) + "\n"


def of_the_root(text: str) -> str:
    """A page of the checkout's root as a page of this folder: its links lead from here."""

    def led(link: re.Match[str]) -> str:
        target, hash_, anchor = link["target"].partition("#")
        if not target or re.match(r"\w+:", target):
            return link[0]
        here = (
            f"{OF_THE_ROOT[target]}.md" if target in OF_THE_ROOT else target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
        )
        return f"]({here}{hash_}{anchor})"

    return re.sub(r"\]\((?P<target>[^)\s]+)\)", led, text)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """What a page's text is, where its file has only a part of it."""
    for name, stub in OF_THE_ROOT.items():
        if page == stub:
            source[0] = of_the_root((ROOT / name).read_text())
        source[0] = source[0].replace(f"](../{name}", f"]({stub}.md")
    if page == "index":  # a page that another change brings is listed once it is there
        source[0] = re.sub(r"^(\w+)\n", lambda line: line[0] if line[1] in app.env.found_docs else "", source[0], flags=re.MULTILINE)
    if page == "reference":
        source[0] = source[0].replace(".. the public names\n", public_names())


def public_names() -> str:
    """Directives for all that ``from peoria import`` gives."""
    parts = []
    for name in peoria.__all__:
        found = getattr(peoria, name)
        kind = "autoclass" if isinstance(found, type) else "autofunction" if callable(found) else "autodata"
        parts.append(f".. {kind}:: peoria.{name}\n")
    return "\n".join(parts)


def plain(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Docstrings are text with names in backticks: a lone asterisk or bar in them is itself."""
    lines[:] = [re.sub(r"(``.*?``|`.*?`)|([*|])", lambda found: found[1] or f"\\{found[2]}", line) for line in lines]


def unlinked(app: Sphinx, env: object, node: addnodes.pending_xref, text: nodes.TextElement) -> nodes.TextElement | None:
    """A type in a signature, or in a list of errors, is a link where the site has it, else text; a name in a sentence has to be in the code."""
    parent: nodes.Node | None = node
    if node.get("refdomain") == "py" and in_the_code(node["reftarget"]):
        return text
    while parent is not None:
        if isinstance(parent, (addnodes.desc_signature, nodes.field)):
            return text
        parent = parent.parent
    return None


def in_the_code(name: str) -> bool:
    """Whether a dotted name is a module, or what a module holds."""
    for cut in range(name.count(".") + 1, 0, -1):
        parts = name.split(".")
        with suppress(ModuleNotFoundError):
            found: Any = importlib.import_module(".".join(parts[:cut]))
            return all((found := getattr(found, part, None)) is not None for part in parts[cut:])
    return False


def setup(app: Sphinx) -> None:
    app.add_source_parser(NotebookParser)
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", plain, priority=400)
    app.connect("missing-reference", unlinked)
