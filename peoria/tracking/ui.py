"""MLflow's own page, looked at from this machine: which experiment holds a sweep, and a server on loopback for as long as somebody looks."""

import contextlib
import difflib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from peoria.databases import address, is_database, refuse_unreachable
from peoria.errors import ConfigError, PeoriaError
from peoria.redact import scrub_text
from peoria.tracking.database import artifacts_beside, quiet, set_environment, sqlite_file
from peoria.tracking.views import comparison_view, run_link, sweep_view, write_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from peoria.records.schema import SweepRecord

EXPERIMENT = "peoria"
# Of loopback in every browser (RFC 6761). At 127.0.0.1 and localhost MLflow's page covers a quarter of itself with an assistant at the first visit.
HOST = "peoria.localhost"
UP_S = 120.0  # that a server may take to answer, on a busy machine
END_S = 3.0  # that it has to end by itself
# Ends the server with us, however we end: whoever holds the other end of standard input is gone then.
_WITH_US = '("$@" < /dev/null; kill $$) & read -r _; trap "" TERM; kill 0'


def find_page(uri: str, sweep: str | None) -> str:
    """The id of the experiment that holds the sweep (None: any), with the saved view written, so that sweeps of an older peoria have one too.

    Raises:
        ConfigError: there is no such sweep, no MLflow, or one of another version.
        MlflowException, SQLAlchemyError, OSError: the server is away or refuses.
    """
    client = _client(uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None or found.lifecycle_stage != "active":
        raise ConfigError(
            f"MLflow at {scrub_text(uri)}: no experiment {EXPERIMENT!r}; one that a sweep has written",
            hint="run `peoria sweep` first, or name its --home",
        )
    experiment = str(found.experiment_id)
    if sweep is None:
        write_view(client, experiment, None, comparison_view())
        return experiment
    sweeps = _sweeps(client, experiment)
    parents = [run for run in sweeps if run.data.tags.get("peoria.sweep") == sweep]
    if not parents:
        names = sorted({run.data.tags["peoria.sweep"] for run in sweeps})
        near = difflib.get_close_matches(sweep, names, 3)
        listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise ConfigError(
            f"{sweep}: no such sweep in MLflow at {scrub_text(uri)}; one of {listed or 'none yet'}",
            hint=f"did you mean {' or '.join(near)}?" if near else "",
        )
    newest = max(parents, key=lambda run: int(run.info.start_time))
    write_view(client, experiment, sweep, sweep_view(sweep, newest.info.run_id, newest.data.params))
    return experiment


def run_links(uri: str, sweep: "SweepRecord") -> dict[str, str]:
    """Where the server at ``uri`` shows the runs of a sweep: by the key of the trial, "" of the sweep's own.

    Raises:
        PeoriaError, OSError: the server is away or refuses.
    """
    from mlflow.exceptions import MlflowException

    try:
        return _run_links(uri, sweep)
    except MlflowException as error:
        raise PeoriaError(f"MLflow at {scrub_text(uri)}: {scrub_text(str(error).splitlines()[0])[:200]}; a server that answers") from None


def _run_links(uri: str, sweep: "SweepRecord") -> dict[str, str]:
    client = _client(uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return {}
    experiment, started = str(found.experiment_id), int(sweep.started_at * 1000)
    condition = f"tags.`peoria.sweep` = '{sweep.name}' and tags.`peoria.started_ms` = '{started}'"
    links: dict[str, str] = {}
    for run in _all_runs(client, experiment, condition):
        tags = run.data.tags
        if "peoria.trial" in tags or "mlflow.parentRunId" not in tags:
            links[tags.get("peoria.trial", "")] = run_link(scrub_text(uri), experiment, run.info.run_id)
    return links


def _client(uri: str) -> "MlflowClient":
    set_environment()
    quiet()
    database = sqlite_file(uri)
    if database is not None:
        if not database.is_file():
            raise ConfigError(f"{database}: no MLflow there; the database that a sweep writes", hint="run `peoria sweep` first, or name its --home")
    elif is_database(uri):
        refuse_unreachable(uri)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(tracking_uri=address(uri))
        client.get_experiment_by_name(EXPERIMENT)
    except MlflowException as error:
        found = re.search(r"database schema \(found version (\w+)", str(error))
        if found is None:
            raise
        raise ConfigError(f"{scrub_text(uri)}: a database of {_other_version(found[1])}; one of this version", hint=_remedy(found[1], uri)) from None
    return client


def _is_older(revision: str) -> bool:
    import mlflow

    return any((Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions").glob(f"{revision}_*.py"))


def _other_version(revision: str) -> str:
    import mlflow

    return f"an {'older' if _is_older(revision) else 'unknown, newer'} MLflow than {mlflow.__version__}"


def _remedy(revision: str, uri: str) -> str:
    return (
        f"back it up, then: mlflow db upgrade '{scrub_text(uri)}'"
        if _is_older(revision)
        else "the MLflow that wrote it last: pip install --upgrade mlflow"
    )


def _sweeps(client: "MlflowClient", experiment: str) -> list[Any]:
    """The runs of sweeps themselves, with and without the tag of their role: an older peoria gave none."""
    return [run for run in _all_runs(client, experiment, "tags.`peoria.sweep` LIKE '%'") if "mlflow.parentRunId" not in run.data.tags]


def _all_runs(client: "MlflowClient", experiment: str, condition: str) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment], condition, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


class Server:
    """``with Server(uri, log) as server``: MLflow's server over a database, on loopback, in a process group of its own that ends with the block."""

    def __init__(self, uri: str, log: Path, *, port: int | None = None, host: str = HOST, up_s: float = UP_S) -> None:
        """
        Args:
            uri: of the database; it is handed on in the environment, for it may hold a password.
            log: the file that gets what the server says, anew each time.
            port: None: a free one.

        Raises:
            ConfigError: the port is taken.
        """
        self.uri, self.log, self.host, self.port, self._up_s = uri, log, host, _free(port), up_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        """
        Raises:
            PeoriaError: it ended at once, or does not answer in time.
        """
        words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        hosts = [f"{host}:{self.port}" for host in (self.host, "127.0.0.1", "localhost")]
        words += ["--allowed-hosts", ",".join(hosts), "--cors-allowed-origins", ",".join(f"http://{host}" for host in hosts)]
        database = sqlite_file(self.uri)
        if database is not None:
            words += ["--artifacts-destination", artifacts_beside(database)]
        # without its jobs: processes that judge traces of language models, each minute
        environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": address(self.uri), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    ["sh", "-c", _WITH_US, "sh", *words], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
                )
            self._wait_until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def wait(self) -> None:
        """Until the server ends, which it does when it is asked to.

        Raises:
            PeoriaError: it ended by itself.
        """
        assert self._process is not None
        self._process.wait()
        raise PeoriaError(f"MLflow's server: ended, {self._last_line()}; one that stays", hint=f"its log: {self.log}")

    def close(self) -> None:
        """Ends the group, and waits for it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            deadline = time.monotonic() + END_S
            while _group_lives(process) and time.monotonic() < deadline:
                time.sleep(0.05)
        process.stdin.close()
        process.wait()

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._up_s
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        how = f"no answer within {self._up_s:g} s" if self._process.poll() is None else self._last_line()
        raise PeoriaError(f"MLflow's server: {how}; one that starts", hint=f"its log: {self.log}")

    def _last_line(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return scrub_text(lines[-1])[:300] if lines else "without a word"


def _group_lives(process: "subprocess.Popen[bytes]") -> bool:
    process.poll()  # a child that has ended is a member until it is waited for
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _free(port: int | None) -> int:
    """``port``, or one that is free.

    Raises:
        ConfigError: another process listens at it, or it is not for everybody.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise ConfigError(
                f"--port: {port}: {(error.strerror or str(error)).lower()}; a free port", hint="without --port a free one is chosen"
            ) from None
        return int(held.getsockname()[1])
