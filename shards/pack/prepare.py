"""Pictures made ready, chunk by chunk, in this process, in others or on other machines, whatever a picture does to its decoder.

Whatever a decoder raises is a line of the ledger. A worker that dies costs nothing: the pictures of its chunk are done one by one in a process of
their own, and only the one that kills it each time, alone, is left out.
"""

import hashlib
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shards.errors import PictureError, ShardsError, UserError
from shards.fetch import CAN_HEAL, Account, FetchRules, fetched_chunks, is_address, read_fetched
from shards.files import told
from shards.manifest import PictureRule
from shards.pack import staging
from shards.pack.rowfile import RowFile
from shards.pack.staging import Progress
from shards.pack.workers import Units, WorkerDiedError, Workers
from shards.sources.source import Pictures

CPU_SECONDS = 60.0  # for one picture; the slowest of nine thousand took two
DEATHS = 3  # of a worker alone with a picture
HEALS = CAN_HEAL | {"missing_file", "unreadable_file", "out_of_memory", "kills_the_decoder"}
"""Reasons that may be gone another day, or on another machine: what ``retry`` takes up."""
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_FOLDERS = re.compile(r"(/[^\s/'\"]+)+/")


@dataclass(frozen=True)
class Job:
    """Some pictures of a chunk, all that a worker needs to know of them."""

    number: int
    rows: tuple[tuple[int, str], ...]  # row and path
    pictures: Pictures
    rule: PictureRule
    log: Path | None = None  # what was fetched for them
    fetched: Mapping[int, bytes | PictureError] | None = None  # likewise, for a worker that does not see the log
    cpu_seconds: float | None = None


Made = tuple[list[dict[str, Any]], list[bytes]]
"""A line of `staging.LINES` for each picture, and the JPEGs of the good ones, one after another; offsets are into these."""


def make_ready(job: Job) -> Made:
    """What an error says of the machine stops it; all else is a line: a picture or the reason why it is none."""
    from shards.images.square import prepare  # OpenCV and Pillow: only where pictures are made

    fetched = job.fetched if job.fetched is not None else {} if job.log is None else read_fetched(job.log)
    lines: list[dict[str, Any]] = []
    jpegs: list[bytes] = []
    offset = 0
    for row, path in job.rows:
        try:
            with _limit(job.cpu_seconds):
                data = _fetched(fetched, row) if is_address(path) else job.pictures.read(path)
                made = prepare(data, job.rule)
        except PictureError as error:
            lines.append(refused(row, error.reason, f"{path}: {error.detail}"))
        except UserError:  # of the machine, the store or what was staged
            raise
        except MemoryError:
            lines.append(refused(row, "out_of_memory", f"{path}: there was not the memory to decode it; a picture that fits"))
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises, it is one picture's
            lines.append(refused(row, "undecodable", f"{path}: {_said(error)}; a picture that can be decoded"))
        else:
            lines.append(
                {
                    "row": row,
                    "width": made.width,
                    "height": made.height,
                    "pdq": made.pdq,
                    "quality": made.quality,
                    "original_sha256": hashlib.sha256(data).digest(),
                    "jpeg_sha256": hashlib.sha256(made.jpeg).digest(),
                    "offset": offset,
                    "bytes": len(made.jpeg),
                }
            )
            jpegs.append(made.jpeg)
            offset += len(made.jpeg)
    return lines, jpegs


def make_and_write(job: tuple[Path, Job]) -> None:
    """Where the worker sees the staging folder."""
    staging.write_chunk(job[0], job[1].number, *make_ready(job[1]))


def prepare_all(
    work: Path,
    rows: RowFile,
    pictures: Pictures,
    rule: PictureRule,
    progress: Progress,
    *,
    processes: int = 1,
    units: Units | None = None,
    fetch: FetchRules | None = None,
    retry: bool = False,
) -> str:
    """Makes every picture ready that is not yet, on ``units``, by default as many ``processes``; with ``retry`` also those that failed for a reason
    that can heal. Returns what was fetched, in a line. Raises FileError and StoreError where the machine is at its limits, ShardsError where it can
    decode nothing at all."""
    preparation = _Preparation(work, rows, pictures, rule, progress, fetch or FetchRules(), retry)
    preparation.run(processes, units)
    return preparation.account.text()


class _Preparation:
    def __init__(self, work: Path, rows: RowFile, pictures: Pictures, rule: PictureRule, progress: Progress, fetch: FetchRules, retry: bool) -> None:
        self.work, self.rows, self.pictures, self.rule, self.fetch, self.retry = work, rows, pictures, rule, fetch, retry
        self.account = Account()
        self._progress = progress
        self._there = staging.restored(work, len(rows))
        self._total = int((rows.is_null("reason") & ~self._there).sum())
        chunks = range(-(-len(rows) // staging.CHUNK_ROWS))
        self._num_owed = {number: num for number in chunks if (num := len(self._owed(number)))}
        self._done = self._total - sum(self._num_owed.values())

    def run(self, processes: int, units: Units | None) -> None:
        self._progress("pictures", self._done, self._total)
        tried = {number for number in self._num_owed if staging.path_of(self.work, number, "trying").exists()}  # and ended with the process
        jobs = self._jobs([number for number in self._num_owed if number not in tried])
        if units is not None:
            died = self._on(units, jobs)
        elif processes == 1 or len(self._num_owed) < 2:
            died = self._here(jobs)
        else:
            with Workers(min(processes, len(self._num_owed))) as workers:
                died = self._on(workers, jobs)
        for number in sorted({*tried, *died}):
            self._one_by_one(number)

    def _owed(self, number: int) -> list[tuple[int, str]]:
        """Row and path of the pictures that are to be made ready."""
        part = self.rows.table.slice(number * staging.CHUNK_ROWS, staging.CHUNK_ROWS).select(["row", "path", "reason"])
        owed = [(line["row"], line["path"]) for line in part.to_pylist() if line["reason"] is None and not self._there[line["row"]]]
        if owed and staging.is_done(self.work, number):
            lines = staging.read_lines(self.work, number).select(["row", "reason"]).to_pylist() if self.retry else []
            again = {line["row"] for line in lines if line["reason"] in HEALS}
            return [pair for pair in owed if pair[0] in again]
        return owed

    def _jobs(self, numbers: list[int]) -> Iterator[Job]:
        """Chunks on the disk first; those with addresses as they are fetched."""
        addressed: list[int] = []
        for number in numbers:
            job = self._job(number)
            if any(is_address(path) for _, path in job.rows):
                addressed.append(number)
            else:
                yield job
        logs = ((self._log(number), [pair for pair in self._job(number).rows if is_address(pair[1])]) for number in addressed)
        total = sum(self._num_owed[number] for number in addressed)
        for log in (
            fetched_chunks(logs, self.fetch, self.account, lambda done: self._progress("fetched", min(done, total), total)) if addressed else ()
        ):
            yield replace(self._job(int(log.name.split(".")[0])), log=log)

    def _job(self, number: int) -> Job:
        return Job(number, tuple(self._owed(number)), self.pictures, self.rule, cpu_seconds=CPU_SECONDS)

    def _log(self, number: int) -> Path:
        return staging.path_of(self.work, number, "fetched")

    def _here(self, jobs: Iterator[Job]) -> list[int]:
        for job in jobs:
            with told(self.work, "a folder that can be written to"):
                staging.path_of(self.work, job.number, "trying").touch()
            try:
                made = make_ready(replace(job, cpu_seconds=None))
            finally:  # a process that dies leaves it
                staging.remove(self.work, job.number, "trying")
            staging.write_chunk(self.work, job.number, *made)
            self._count(job.number)
        return []

    def _on(self, units: Units, jobs: Iterator[Job]) -> list[int]:
        """Returns the chunks whose worker has gone."""
        died = []
        if units.shares_disk:
            for (_, job), outcome in units.each(make_and_write, ((self.work, job) for job in jobs)):
                if isinstance(outcome, WorkerDiedError):
                    died.append(job.number)
                else:
                    self._count(job.number)
            return died
        sent = (job if job.log is None else replace(job, log=None, fetched=dict(read_fetched(job.log))) for job in jobs)
        for job, outcome in units.each(make_ready, sent):
            if isinstance(outcome, WorkerDiedError):
                died.append(job.number)
            else:
                staging.write_chunk(self.work, job.number, *outcome)
                self._count(job.number)
        return died

    def _one_by_one(self, number: int) -> None:
        [job] = self._jobs([number])
        lines: list[dict[str, Any]] = []
        jpegs: list[bytes] = []
        with Workers(1) as alone:
            for row, path in job.rows:
                new, jpeg = self._alone(alone, replace(job, rows=((row, path),)))
                offset = sum(map(len, jpegs))
                lines += [line if line.get("offset") is None else line | {"offset": offset} for line in new]
                jpegs += jpeg
        staging.write_chunk(self.work, number, lines, jpegs)
        staging.remove(self.work, number, "trying")
        self._count(number)

    def _alone(self, worker: Workers, job: Job) -> Made:
        """One picture; left out where its worker dies each time, though it can decode another."""
        [(row, path)] = job.rows
        for _ in range(DEATHS):
            [(_, made)] = worker.each(make_ready, [job])
            if not isinstance(made, WorkerDiedError):
                found: Made = made
                return found
            code = made.code
            if code == -signal.SIGPROF:
                detail = f"{path}: not decoded within {CPU_SECONDS:g} seconds of a CPU; a picture that can be"
                return [refused(row, "too_slow", detail)], []
        [(_, sound)] = worker.each(decode_one, [job.rule])
        if isinstance(sound, WorkerDiedError):
            raise ShardsError(
                f"{self.work.parent}: worker processes die while preparing pictures, also of a sound one; they are killed, or memory runs out",
                hint="the same command goes on where this stopped; --processes 1 needs the least memory",
            )
        died = f"signal {-code}" if code < 0 else f"exit status {code}"
        detail = f"{path}: its decoder died {DEATHS} times, alone with it ({died}); a picture that can be decoded with the memory there is"
        return [refused(row, "kills_the_decoder", detail)], []

    def _count(self, number: int) -> None:
        staging.remove(self.work, number, "fetched")
        self._done += self._num_owed[number]
        self._progress("pictures", self._done, self._total)


def refused(row: int, reason: str, detail: str) -> dict[str, Any]:
    return {"row": row, "reason": reason, "detail": detail.encode(errors="replace").decode()}


def decode_one(rule: PictureRule) -> None:
    """A sound picture, as large as many: can this machine decode any?"""
    import numpy as np

    from shards.images.square import encode_square, prepare

    pixels = np.arange(1000 * 1000 * 3, dtype=np.uint32).reshape(1000, 1000, 3).astype(np.uint8)
    prepare(encode_square(pixels, rule), rule)


def _fetched(fetched: Mapping[int, bytes | PictureError], row: int) -> bytes:
    found = fetched[row]
    if isinstance(found, PictureError):
        raise found
    return found


@contextmanager
def _limit(cpu_seconds: float | None) -> Iterator[None]:
    """The system ends this process where it takes longer: a decoder that hangs may never come back to Python."""
    if cpu_seconds is None or os.name != "posix" or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _said(error: Exception) -> str:
    """The same on every machine and each time: no places in memory, no folders."""
    text = _FOLDERS.sub("", _ADDRESS.sub("0x…", str(error).split("\n")[0]))[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
