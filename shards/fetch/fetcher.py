"""The client in a thread of its own, so that pictures come while the caller works."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from shards.errors import PictureError
from shards.fetch.client import Body, Client
from shards.fetch.log import Log
from shards.fetch.rules import Account, FetchRules

LOOK_UPS = 32  # of names at once; each holds a thread until the system answers
Made = TypeVar("Made")


class Fetcher:
    """``with Fetcher(rules, folder) as fetcher``: what was begun and is not done is given up at the end of the block."""

    def __init__(self, rules: FetchRules, folder: Path, account: Account | None = None) -> None:
        self.account = account or Account()
        self._client = Client(rules, folder)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(LOOK_UPS, "look-up"))
        self._writer = ThreadPoolExecutor(1, "fetched")
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)
        self._ended: asyncio.Event | None = None
        self._began: Future[None] = Future()

    def __enter__(self) -> "Fetcher":
        self._thread.start()
        self._began.result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._ended is not None
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._writer.shutdown()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()  # does not wait for names that are looked up

    async def _serve(self) -> None:
        try:
            self._ended = asyncio.Event()
            async with self._client:
                self._began.set_result(None)
                await self._ended.wait()
                others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
        except BaseException as error:
            if self._began.done():
                raise
            self._began.set_exception(error)

    def get(self, address: str) -> Future[bytes]:
        """The bytes of one picture. The future raises as `Client.get`."""

        async def read(body: Body) -> bytes:
            body.file.seek(0)
            return body.file.read()

        return self._begin(self._counted(address, read, len))

    def chunk(self, log: Path, rows: Sequence[tuple[int, str]]) -> Future[Path]:
        """``log``, once it holds every row. The future raises FileError and NoRoomError."""
        return self._begin(self._chunk(log, rows))

    def _begin(self, work: Coroutine[Any, Any, Made]) -> Future[Made]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _counted(self, address: str, keep: Callable[[Body], Any], size: Callable[[Any], int]) -> Any:
        try:
            kept = await self._client.get(address, keep)
        except PictureError as error:
            self.account.add(address, error)
            raise
        self.account.add(address, size(kept))
        return kept

    async def _chunk(self, path: Path, rows: Sequence[tuple[int, str]]) -> Path:
        log = Log(path)
        try:
            await self._write(log.open)
            owed = [(row, address) for row, address in rows if log.held.get(row) != address]
            self.account.num_before += len(rows) - len(owed)
            async with asyncio.TaskGroup() as group:
                for row, address in owed:
                    group.create_task(self._row(log, row, address))
            await self._write(log.sync)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._write(log.close)
        return path

    async def _row(self, log: Log, row: int, address: str) -> None:
        async def keep(body: Body) -> int:
            await self._write(log.append, row, address, body)
            return body.num_bytes

        try:
            await self._counted(address, keep, int)
        except PictureError as error:
            await self._write(log.append, row, address, error)

    async def _write(self, function: Callable[..., Made], *arguments: Any) -> Made:
        """In the one thread that writes: the loop does not wait for the disk."""
        return await self._loop.run_in_executor(self._writer, function, *arguments)
