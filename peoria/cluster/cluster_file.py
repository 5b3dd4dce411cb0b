"""A Ray cluster file as plain values: whatever the file holds, reading it ends, in little memory, and runs nothing."""

import os
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from peoria.errors import ConfigError
from shards.files import read_plain, told

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000  # with every alias written out
# What an example leaves to be edited.
PLACEHOLDER = re.compile(
    r"(?<![\w${%-])(?:FILE_SYSTEM_ID|SUBNET(?:_\w+)?|SECURITY_GROUP(?:_\w+)?|BUCKET(?:_NAME)?|ACCOUNT_ID|PROJECT_ID|REGION"
    r"|REPLACE[_-]?(?:ME|THIS)?|CHANGE[_-]?(?:ME|THIS)|TODO|FIXME|XXX+|<[A-Za-z][\w .-]*>|\{\{[^}]*\}\}"
    r"|(?:ami|sg|subnet|vpc|fs|key|i)-(?:[xX]{3,}|…|\.\.\.)|(?i:your[_-][\w-]+))(?![\w=-])"
)
_ACCEPTED = "a Ray cluster file (YAML, a mapping)"
_HINT = "ray_cluster.yaml of peoria is one; docs/cluster.md leads through it"


@dataclass(frozen=True)
class Problem:
    """What is wrong at ``where`` (a path of keys): what was found, what is accepted, and what to do."""

    where: str
    found: str
    accepted: str
    hint: str = ""

    def text(self, path: Path) -> str:
        """``<file>: <key path>: <found>; <accepted>``, and the hint in a line of its own."""
        return f"{path}: {self.where}: {self.found}; {self.accepted}" + (f"\nhint: {self.hint}" if self.hint else "")


def read_cluster_file(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """The file's mapping, its keys as text; and what YAML lets pass: keys given twice, and keys that are no text.

    Raises:
        FileError: there is no such file, or it cannot be read.
        ConfigError: it is too large, not YAML, no mapping, or an object of Kubernetes.
    """
    with told(path, _ACCEPTED):
        data = read_plain(Path(os.path.realpath(path)), MOST_BYTES)
    try:
        loader = yaml.SafeLoader(data.decode("utf-8-sig"))
        node = loader.get_single_node()
        _refuse_bombs(node, path)
        problems = list(_twice(node, ""))
        value = None if node is None else loader.construct_document(node)
    except ConfigError:
        raise
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"no UTF-8 at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _unreadable(path, f"no YAML{f' at line {mark.line + 1}' if mark else ''}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise _unreadable(path, f"no YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise _unreadable(path, "values nested too deep to be read") from None
    except (ValueError, OverflowError) as error:  # a date that is none, a number too long
        raise _unreadable(path, f"a value that is none: {error}") from None
    if not isinstance(value, dict):
        raise _unreadable(path, "nothing" if value is None else f"a {type(value).__name__}")
    if "apiVersion" in value:
        raise ConfigError(
            f"{path}: an object of Kubernetes (kind: {value.get('kind')}); {_ACCEPTED}", hint="`kubectl apply --dry-run=server -f` checks this one"
        )
    return _with_text_keys(value, "", problems), problems


def _unreadable(path: Path, found: str) -> ConfigError:
    return ConfigError(f"{path}: {found}; {_ACCEPTED}", hint=_HINT)


def _refuse_bombs(node: yaml.Node | None, path: Path) -> None:
    """Raises ConfigError where aliases, written out, make more values than a cluster file has, or hold themselves."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(here: yaml.Node) -> int:
        if id(here) in open_nodes:
            raise _unreadable(path, f"a value that holds itself, at line {here.start_mark.line + 1}")
        if id(here) not in sizes:
            open_nodes.add(id(here))
            sizes[id(here)] = 1 + sum(size(part) for part in _parts(here))
            open_nodes.remove(id(here))
        return sizes[id(here)]

    if node is not None and (total := size(node)) > MOST_VALUES:
        raise _unreadable(path, f"{total:,} values with its aliases written out" if total < 10**15 else "aliases without end")


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _twice(node: yaml.Node | None, where: str) -> Iterator[Problem]:
    """Keys that a mapping has twice: YAML keeps the last and says nothing."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen:
                yield Problem(
                    joined(where, name), f"given again at line {key.start_mark.line + 1}", "once", "only the last one counts; remove the other"
                )
            seen.add(name)
            yield from _twice(value, joined(where, name))
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield from _twice(value, f"{where}[{at}]")


def _with_text_keys(value: Any, where: str, problems: list[Problem]) -> Any:
    """A copy whose keys are text; each that was none is a problem."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, part in value.items():
            if not isinstance(key, str):
                problems.append(Problem(joined(where, str(key)), f"the key {_kind(key)}", "a text", "write it in quotes"))
            found[str(key)] = _with_text_keys(part, joined(where, str(key)), problems)
        return found
    if isinstance(value, list):
        return [_with_text_keys(part, f"{where}[{at}]", problems) for at, part in enumerate(value)]
    return value


def _kind(key: Hashable) -> str:
    return f"{key!r} ({type(key).__name__})"


def joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def walk(value: Any, where: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path of keys, last key, value) of every value below, leaves and inner ones."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield joined(where, key), key, part
            yield from walk(part, joined(where, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield f"{where}[{at}]", "", part
            yield from walk(part, f"{where}[{at}]")


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping, else an empty one: that it is none is said by the schema."""
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """The value where it is a number; true and false are none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def short(value: Any) -> str:
    """The value in a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
