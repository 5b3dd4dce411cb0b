"""A throwaway PostgreSQL server on loopback, for tests that talk to one, restart it, stop it or take it away."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.helpers.mlflow_process import free_port

PASSWORD = "se cret/@{x}"  # as awkward as a password may be


def programs() -> Path:
    """The folder with initdb and postgres; skips aloud where there is none."""
    found = [Path(path).resolve().parent for path in (shutil.which("initdb"), shutil.which("postgres")) if path]
    for folder in [*found, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("no PostgreSQL server: apt-get install postgresql")


class Postgres:
    """A cluster in a folder of its own. The server refuses root: there it runs as the user postgres, or as nobody."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="peoria-postgres-"))  # not pytest's folder, which is closed to every other user
        self.folder, self.programs, self.port = folder, programs(), free_port()
        self.data, self.log = folder / "data", folder / "log"
        users = {user.pw_name: user for user in pwd.getpwall()}
        self._user = None if os.geteuid() else users.get("postgres") or users["nobody"]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self.log.touch()
        if self._user is not None:
            for path in (folder, self.log, secret):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", "-D", str(self.data), "-U", "peoria", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        self.start()
        self.make("work")

    def url(self, database: str = "work", *, user: str = "peoria", password: str = PASSWORD, port: int | None = None) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port or self.port}/{database}"

    def execute(self, *statements: str, database: str = "work") -> list[tuple[object, ...]]:
        """Runs each statement; the rows of the last."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def make(self, database: str) -> str:
        """An empty database; its address."""
        self.execute(f'CREATE DATABASE "{database}"', database="postgres")
        return self.url(database)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c max_connections=150"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-t", "60", "stop")

    def away(self, seconds: float, gone: Callable[[], object] = lambda: None) -> None:
        self.stop()
        gone()
        time.sleep(seconds)
        self.start()

    def signal(self, number: int) -> None:
        """To the server and every process that serves a connection: SIGSTOP leaves a server that accepts and never answers."""
        server = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        serving = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for pid in (server, *map(int, serving)):
            os.kill(pid, number)

    def kill_connections(self, database: str = "work") -> int:
        """Ends every connection to ``database`` as an administrator, or a gateway, does."""
        ended = self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()", database="postgres"
        )
        return len(ended)

    def close(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.signal(signal.SIGCONT)
            self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *words: str) -> None:
        options = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            done = subprocess.run(
                [self.programs / program, *words],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                timeout=120,
                check=False,
                **options,  # type: ignore[call-overload]
            )
        assert done.returncode == 0, self.log.read_text()[-3000:]


class Gateway:
    """Between a client and the server, as a proxy of a cloud is: it can lose the answer to a COMMIT of a write
    that the server has carried out."""

    def __init__(self, server: Postgres) -> None:
        self._server, self._listening = server, socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.lose = 0  # how many answers to a COMMIT are still to be lost
        self.lost = 0
        self.starting = 0  # how many connections are still told that the server is starting up
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            if self.starting:
                self.starting -= 1
                while client.recv(65536)[4:] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # whether TLS or GSS is to be had: no
                    client.sendall(b"N")
                fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
                client.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server.port))
            except OSError:
                client.close()
                continue
            wire = _Wire()
            threading.Thread(target=self._pass, args=(client, server, wire, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, wire, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, wire: "_Wire", asking: bool) -> None:
        try:
            while data := source.recv(65536):
                if asking and b"COMMIT" in data and wire.wrote and self.lose:
                    self.lose -= 1
                    wire.losing = True
                if not asking and wire.losing:  # this is the answer: the server has committed
                    self.lost += 1
                    break
                if not asking:
                    wire.wrote = b"COMMIT\0" not in data and (wire.wrote or b"INSERT 0 1" in data or b"UPDATE 1" in data)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@dataclass
class _Wire:
    wrote: bool = False  # in this transaction; readers commit too
    losing: bool = False
