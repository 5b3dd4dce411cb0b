"""Nets and tasks from outside the package: a Python file that a sweep names, or an installed package that offers them.

A plugin is code. It runs only where a sweep, or the record of one, names it by its name and the sha256 of its bytes, and only those bytes run: what a
process knows of files it knows by digest, and each digest is run once. A definition holds names and digests; records, and what is told to other
processes, hold the texts beside them, so that a sweep goes on and a model is used without the file.
"""

import hashlib
import importlib.metadata
import importlib.util
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator

from peoria.borders import complain
from peoria.errors import ConfigError, interruption

Kind = Literal["net", "task"]
Plugins = dict[str, str]
"""Name, of a file or an installed package, to the sha256 of its bytes, hex."""
NONE: Mapping[str, str] = {}
GROUPS: dict[Kind, str] = {"net": "peoria.nets", "task": "peoria.tasks"}  # of entry points
TABLES: dict[Kind, str] = {"net": "NETS", "task": "TASKS"}  # of a file
NAMES: dict[Kind, str] = {"net": r"[a-z0-9][a-z0-9_.-]{0,63}", "task": r"[a-z][a-z0-9_]{0,31}"}
FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.py"
SOFTWARE = {"timm:": ("timm",), "open_clip:": ("open_clip_torch", "timm")}  # distributions, by what names of their nets begin with
MOST_BYTES = 200_000  # of a file: it lies in the card of each model
ACCEPTED = "the path of a Python file (NAME.py), or an installed package with entry points in peoria.nets or peoria.tasks"

_texts: dict[str, str] = {}  # by digest; of files
_named: set[str] = set()  # digests of files that this process, or the one that started it, was asked to run by a sweep file
_loaded: dict[str, "Loaded"] = {}  # by digest
_files: set[str] = set()  # as the frames of a traceback call them


class Loaded(NamedTuple):
    """What a plugin offers, by name."""

    net: dict[str, Any]
    task: dict[str, Any]


def remember(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts of a record."""
    _texts.update({digest(text): text for text in texts})
    return texts


def know(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts that a sweep file named, here or in the process that sent them."""
    _named.update(map(digest, texts))
    return remember(texts)


Recorded = Annotated[tuple[str, ...], AfterValidator(remember)]
"""Texts of a record: known from then on, and run where its settings name their digests; that this happens is said once."""
Sent = Annotated[tuple[str, ...], AfterValidator(know)]
"""Texts that another process of the same sweep sends."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def texts_of(plugins: Mapping[str, str]) -> tuple[str, ...]:
    """Of those that are files, to go wherever their digests go.

    Raises:
        ConfigError: this process does not know one.
    """
    return tuple(_text(name, sha256) for name, sha256 in sorted(plugins.items()) if name.endswith(".py"))


def packages_of(net: str, plugins: Mapping[str, str]) -> tuple[str, ...]:
    """Distributions beside torch's own whose versions decide what a net computes, or whose code a plugin is."""
    own = next((names for prefix, names in SOFTWARE.items() if net.startswith(prefix)), ())
    return (*own, *(name for name in sorted(plugins) if not name.endswith(".py")))


def find_plugin(given: str) -> tuple[str, str]:
    """Name and sha256 of a file, which is known from then on, or of an installed package. Nothing of it is run.

    Raises:
        ConfigError: there is none.
    """
    if not given.endswith(".py"):
        return given, _package(given)[0]
    path = Path(given)
    if not re.fullmatch(FILE_NAME, path.name):
        raise ConfigError(f"{given!r}; a file name of letters, digits, '_', '-' and '.'")
    if not path.is_file():
        there = "a folder" if path.is_dir() else "no regular file" if path.exists() else "no such file"
        raise ConfigError(f"{given!r}: {there}; {ACCEPTED}, from the folder that the command is given in")
    try:
        data = path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given!r}: {getattr(error, 'strerror', None) or error}; a Python file in UTF-8") from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{given!r}: {len(data):,} bytes; at most {MOST_BYTES:,}: it goes into each model's card (a package may be larger)")
    know((text,))
    return path.name, digest(text)


def offered(kind: Kind, plugins: Mapping[str, str], own: Collection[str] = ()) -> dict[str, Any]:
    """All nets, or tasks, of these plugins by their name; runs those that have not run yet.

    Args:
        own: names that peoria gives itself, which no plugin may take.

    Raises:
        ConfigError: a plugin is not there or not the one that is meant, it raises, it offers nothing, or a name is taken.
    """
    found: dict[str, Any] = {}
    by: dict[str, str] = {}
    for plugin, sha256 in sorted(plugins.items()):
        for name, value in getattr(load(plugin, sha256), kind).items():
            if name in own:
                raise ConfigError(f"plugins: {plugin}: a {kind} {name!r}; another name, for peoria has one of that name")
            if name in found:
                raise ConfigError(f"plugins: {by[name]} and {plugin}: a {kind} {name!r} in each; one of that name")
            found[name], by[name] = value, plugin
    return found


def load(name: str, sha256: str) -> Loaded:
    """Raises ConfigError as `offered`."""
    if sha256 not in _loaded:
        _loaded[sha256] = _run_file(name, sha256) if name.endswith(".py") else _import_package(name, sha256)
    return _loaded[sha256]


def _text(name: str, sha256: str) -> str:
    if sha256 not in _texts:
        raise ConfigError(f"plugins: {name}: no text with sha256 {sha256[:12]}… beside the settings that name it; the file that the sweep began with")
    return _texts[sha256]


def _run_file(name: str, sha256: str) -> Loaded:
    text = _text(name, sha256)
    if sha256 not in _named:
        complain(f"plugin: {name} (sha256 {sha256[:12]}…), a copy in the record, is run")
    module = ModuleType(f"peoria_plugin_{sha256[:16]}")
    module.__file__ = f"{name} [{sha256[:12]}]"
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)  # for tracebacks
    _files.add(module.__file__)
    sys.modules[module.__name__] = module  # dataclasses look there
    try:
        with users_code(f"plugins: {name}", "a file that runs by itself", all_ends=True):
            exec(compile(text.encode(), module.__file__, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what a plugin is
        return _checked(name, {kind: getattr(module, table, {}) for kind, table in TABLES.items()})
    except BaseException:
        del sys.modules[module.__name__]
        raise


def _checked(name: str, tables: Mapping[Kind, Any]) -> Loaded:
    if not any(tables.values()):
        raise ConfigError(f'plugins: {name}: it offers nothing; NETS = {{"name": function}}, or TASKS = {{"name": task}}')
    for kind, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"plugins: {name}: {TABLES[kind]} is a {type(table).__name__}; a dict of name to {kind}")
        for found in table:
            if not isinstance(found, str) or not re.fullmatch(NAMES[kind], found):
                raise ConfigError(f"plugins: {name}: a {kind} {found!r}; a name of small letters, digits and '_', that begins with a letter")
    return Loaded(tables["net"], tables["task"])


def _package(name: str) -> tuple[str, dict[Kind, list[importlib.metadata.EntryPoint]]]:
    """The digest over the code of the modules that its entry points name, each with the whole package around it; and those entry points."""
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise ConfigError(f"{name!r}: no installed package; {ACCEPTED}") from None
    points = {kind: list(distribution.entry_points.select(group=group)) for kind, group in GROUPS.items()}
    if not any(points.values()):
        raise ConfigError(f"{name!r}: an installed package that offers nothing; {ACCEPTED}")
    found = hashlib.sha256()
    for top in sorted({point.module.partition(".")[0] for of_kind in points.values() for point in of_kind}):
        spec = importlib.util.find_spec(top)
        if spec is None:
            raise ConfigError(f"{name!r}: its module {top} is not installed; the whole package")
        roots = [Path(root) for root in spec.submodule_search_locations or ()]
        files = [(path.relative_to(root).as_posix(), path) for root in roots for path in root.rglob("*")] or [("", Path(str(spec.origin)))]
        for inside, path in sorted(files):
            if path.name.endswith((*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)) and path.is_file():
                found.update(f"{top}/{inside}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest(), points


def _import_package(name: str, sha256: str) -> Loaded:
    try:
        here, points = _package(name)
    except ConfigError as error:
        raise ConfigError(*(f"plugins: {problem}" for problem in error.problems)) from None
    if here != sha256:
        raise ConfigError(f"plugins: {name}: its code has sha256 {here[:12]}…; {sha256[:12]}…, as where the sweep was begun")
    tables: dict[Kind, dict[str, Any]] = {}
    for kind, of_kind in points.items():
        with users_code(f"plugins: {name}", "a package whose entry points can be imported", all_ends=True):
            tables[kind] = {point.name: point.load() for point in of_kind}
    return _checked(name, tables)


@contextmanager
def users_code(what: str, accepted: str, *, all_ends: bool = False) -> Iterator[None]:
    """Around code that is the user's: what it raises becomes a ConfigError with the line of the plugin where it was.

    Args:
        all_ends: also an end of the program, as of a file that is run.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if (came := interruption(error)) is not None:
            raise came from None
        if not all_ends and (not isinstance(error, Exception) or isinstance(error, ConfigError)):
            raise
        raise ConfigError(f"{what}: {told(error, lambda file: file in _files, accepted)}") from None


def told(error: BaseException, is_users: Callable[[str], bool], accepted: str) -> str:
    """What went wrong in code that is the user's, with the line of it: shorter than a traceback, and as much of it as is the user's."""
    if isinstance(error, SyntaxError) and (error.filename in (None, "<string>", "<unknown>") or is_users(str(error.filename))):
        return f"{f'line {error.lineno}: ' if error.lineno else ''}{error.msg}; {accepted}"
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    where = f"line {lines[-1].lineno}: " if lines else ""
    if isinstance(error, SystemExit):
        return f"{where}it ends the program ({error.code!r}); {accepted}"
    source = f"\n  {lines[-1].line}" if lines and lines[-1].line else ""
    return f"{where}{type(error).__name__}: {first_line(error)}; {accepted}{source}"


def first_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as other:  # noqa: BLE001 - the class is the user's, and so is its __str__
        text = f"(its text raises {type(other).__name__})"
    return (text.strip().splitlines() or ["no text"])[0][:300]
