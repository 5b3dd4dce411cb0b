"""Pictures fetched from a server of this machine and packed, against img2dataset, which fetches and resizes them."""

import asyncio
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cpu import cpu_s
from benchmarks.figures import Figure, Measured, NotRunError, Setting, not_run
from benchmarks.pictures import jpegs
from benchmarks.rounds import ROOT, Candidate, Process, alternate, wall_rate

NUM = 1000
FETCH = Figure("fetch_1024x768_vs_img2dataset", "pictures fetched from this machine and packed, against img2dataset", 2.0, 2.5)


def fetching(setting: Setting) -> Iterator[Measured]:
    """The server works on the same CPUs, for both alike."""
    jpegs(setting.work / "fetched", "medium", NUM)
    try:
        with served(setting.work / "fetched") as port, ExitStack() as stack:
            of = {"port": port, "num": NUM, "work": str(setting.work)}
            candidates = {
                "peoria": Candidate("fetching:fetched_and_packed", of, pinned=False),
                "img2dataset": Candidate("peers:img2dataset_fetching", of, setting.peers, pinned=False),
            }
            rounds = alternate({name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}, setting.rounds)
    except NotRunError as error:
        yield from not_run([FETCH], str(error))
        return
    rates = {name: wall_rate(found) for name, found in rounds.items()}
    detail = {name: round(rate, 1) for name, rate in rates.items()} | {"pictures": NUM}
    detail |= {f"{name}_cpu_s": round(statistics.median(one.told["cpu_s"] for one in found), 2) for name, found in rounds.items()}
    yield Measured(FETCH, rates["peoria"] / rates["img2dataset"], detail=detail)


def fetched_and_packed(port: int, num: int, work: str) -> Callable[[], tuple[int, dict[str, Any]]]:
    """All of it: a table in, a packed set out."""
    from shards.fetch import FetchRules
    from shards.pack.pack import pack

    def run() -> tuple[int, dict[str, Any]]:
        folder, before = Path(tempfile.mkdtemp(dir=work)), cpu_s()
        with open(folder / "table.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("id", "path", "views"), *((row, f"http://127.0.0.1:{port}/{row:06d}.jpg", row) for row in range(num))])
        result = pack(folder / "table.csv", folder / "out", processes=os.cpu_count(), fetch=FetchRules(hosts=(f"127.0.0.1:{port}",)))
        assert result.manifest.num_kept > 0.9 * num, result.rejected
        shutil.rmtree(folder)
        return num, {"cpu_s": cpu_s() - before}

    return run


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of a server, a process of its own, that has the files of ``folder`` in memory."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.fetching", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


async def serve(folder: Path) -> None:
    files = {f"/{path.name}".encode(): path.read_bytes() for path in folder.glob("*.jpg")}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                data, close = files[request.split(b" ", 2)[1]], b"connection: close" in request.lower()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
                await writer.drain()
                if close:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
