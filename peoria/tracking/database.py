"""Where MLflow keeps what it is sent: a server that somebody named, or a SQLite file, made whole; and whether it can be there at all."""

import hashlib
import logging
import os
import tempfile
import uuid
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peoria.errors import ConfigError
from peoria.redact import scrub_text

MOST_PATH_BYTES = 450  # of a database's path: SQLite takes 512, with the names of the files beside it
_PLAIN = set(" !#$&'()*+,-./:;=@[]^_{}~|<>\"`\n\t") | set("\\")  # beside letters and digits: SQLAlchemy reads ? and % of an address otherwise
_ENVIRONMENT = {  # set before mlflow is first imported, where the user has not
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing goes to another host than the one that was named
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial otherwise
    # MLflow itself tries seven times, for minutes, posts of new runs too (which then exist twice). The projector has its own back-off.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
SCHEMES = ("http", "https", "file", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc")


def default_tracking_uri(home: Path) -> str:
    """MLFLOW_TRACKING_URI, or a database in ``home``; its artifacts lie beside it in ``mlartifacts``.

    Raises:
        ConfigError: no database can be there.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_address(home.absolute() / "mlflow.db")


def refuse_tracking(uri: str) -> None:
    """
    Raises:
        ConfigError: it is no address that MLflow could ever be at.
    """
    wanted = "http://HOST:PORT, https://HOST, a database such as sqlite:////PATH/mlflow.db, or 'off'"
    problem = None
    try:
        parts = urlsplit(uri)
        scheme = parts.scheme.partition("+")[0]
        plugins = {entry.name for entry in entry_points(group="mlflow.tracking_store")}
        if "://" in uri and scheme not in {*SCHEMES, *plugins}:
            problem = f"no such kind of address {scheme!r}"
        elif scheme in ("http", "https") and not parts.hostname:
            problem = "no host"
        elif scheme in ("http", "https") and (parts.query or parts.fragment):
            problem = "a query, which MLflow would take for a part of its path"
        elif "://" not in uri and not Path(uri).is_dir() and uri not in SCHEMES and scheme not in plugins and not uri.startswith("file:"):
            problem = "no address, and no such folder"
        _ = parts.port  # raises ValueError
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        raise ConfigError(
            f"--tracking: {scrub_text(uri)!r}: {problem}; {wanted}", hint="without --tracking it is MLFLOW_TRACKING_URI, or a database in --home"
        )


def sqlite_address(path: Path) -> str:
    """The address of the SQLite file at ``path``, absolute.

    An address cannot hold every name that a folder can have. Where it cannot, it goes through a link of a plain name in the folder for temporary
    files, made here; SQLite itself follows it, so that everybody writes the same file and the same journal.

    Raises:
        ConfigError: the path is longer than SQLite takes.
    """
    length = len(os.fsencode(path.parent.resolve() / path.name))
    if length > MOST_PATH_BYTES:
        raise ConfigError(
            f"{path}: {length} bytes; SQLite takes a path of {MOST_PATH_BYTES}",
            hint="name a shorter --home, a server with --tracking, or --tracking off",
        )
    if all(letter.isalnum() or letter in _PLAIN for letter in str(path)):
        return f"sqlite:///{path}"
    return f"sqlite:///{_plain_link(path.parent)}/{path.name}"


def _plain_link(folder: Path) -> Path:
    """A link to ``folder`` whose own path is plain, the same each time; nobody else can have put it there."""
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if not all(letter.isalnum() or letter in _PLAIN for letter in parent) or len(parent) > 100:
            continue
        ours = Path(parent) / f"peoria-{os.getuid()}"
        try:
            ours.mkdir(mode=0o700, exist_ok=True)
            about = ours.lstat()
            if ours.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o022:
                continue  # somebody else's
            link = ours / name
            if not link.is_symlink() or link.readlink() != folder:
                fresh = ours / uuid.uuid4().hex
                fresh.symlink_to(folder)
                fresh.replace(link)
        except OSError:
            continue
        return link
    raise ConfigError(
        f"{folder}: a name that no address of a database can hold; letters, digits and blanks",
        hint="name another --home, a server with --tracking, or --tracking off",
    )


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite address, or None."""
    if not uri.startswith("sqlite:///") or "?" in uri:
        return None
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    return Path(database).absolute() if database and database != ":memory:" else None


def artifacts_beside(database: Path) -> str:
    """Where the artifacts of a database's runs are kept, as an address: the folder ``mlartifacts`` beside it, of which it names the true place."""
    folder = database.parent.resolve()
    if any("\ud800" <= letter <= "\udfff" for letter in str(folder)):  # MLflow would make another name of it
        folder = database.parent
    return (folder / "mlartifacts").as_uri()


def set_environment() -> None:
    """What MLflow reads of the environment when it is first imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def quiet() -> None:
    """MLflow and what it stands on log their errors, with 60 lines of traceback, and raise them too: what is raised is told by us, in one line."""
    for name, level in {"alembic": logging.WARNING, "mlflow": logging.CRITICAL, "sqlalchemy": logging.CRITICAL, "urllib3": logging.ERROR}.items():
        logging.getLogger(name).setLevel(level)
    for name in ("mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def prepare_sqlite(path: Path) -> None:
    """Makes MLflow's database at ``path`` whole or not at all. Its migrations take about 10 s, and one killed among them leaves a database
    that MLflow refuses for good ("out-of-date database schema"); two at once break each other."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    quiet()
    # a name of its own for each try: SqlAlchemyStore keeps an engine a name, and that of a failed try holds a file that is gone
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    make: Any = SqlAlchemyStore  # untyped
    try:
        make(sqlite_address(temporary), artifacts_beside(path)).engine.dispose()
        os.link(temporary, path)
    except FileExistsError:
        pass  # another sweep was faster
    finally:
        temporary.unlink(missing_ok=True)
