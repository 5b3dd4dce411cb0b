"""Ray's jobs API: the only place that asks a cluster for jobs, with all that it can answer."""

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peoria.errors import PeoriaError, SweepError
from peoria.redact import scrub_text
from shards.files import read_plain, told

CONNECT_S, ANSWER_S = 10.0, 30.0
STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STOP_S = 15  # from `ray job stop` until Ray kills what has not ended; its own 3 are less than a sweep takes to write where it is
POLL_S = 10.0  # of a silent log: whether the head still answers
TOKEN_HINT = "`ray get-auth-token --generate` makes one, `ray up` brings it to the nodes; RAY_AUTH_TOKEN_PATH names another file"
_API = "http://HOST:PORT of the head's dashboard"
_RUNNING = ("PENDING", "RUNNING")


class ClusterAwayError(SweepError):
    """A cluster that does not answer, or not yet."""

    exit_code = 3


@dataclass
class Log:
    """What a job has printed, each character said once, however often it is sent."""

    say: Callable[[str], object]
    shown: int = 0

    def take(self, start: int, text: str) -> None:
        """``start``: characters that came before the text."""
        if (end := start + len(text)) > self.shown:
            self.say(text[max(0, self.shown - start) :])
            self.shown = end


@dataclass(frozen=True)
class JobState:
    job_id: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    exit_code: int | None
    """None while it runs, and where its process was lost."""
    metadata: dict[str, str]
    message: str

    @property
    def runs(self) -> bool:
        return self.status in _RUNNING


def use_token() -> None:
    """Makes Ray's client show the cluster's token: without the mode it does not, although the file is there.

    Raises:
        SweepError: there is none.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    with told(path, "the file with the cluster's token", hint=TOKEN_HINT):
        if not read_plain(path, 10_000).strip():
            raise SweepError(f"{path}: empty; the file with the cluster's token", hint=TOKEN_HINT)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


class Jobs:
    """The jobs of one cluster.

    Raises:
        SweepError: what answers at the address is no Ray, or refuses the token.
        ClusterAwayError: nobody answers.
    """

    def __init__(self, address: str) -> None:
        given = urlsplit(address)
        if given.scheme not in ("http", "https") or not given.hostname:
            raise SweepError(f"--address: {scrub_text(address)!r}; http://HOST:PORT of the head's jobs API, as http://127.0.0.1:8265 is needed")
        self.address = address
        for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):  # Ray's client takes these for the address, whatever it is given
            os.environ.pop(name, None)
        from ray.job_submission import JobSubmissionClient

        class Client(JobSubmissionClient):  # Ray's own waits for an answer for ever
            def _do_request(self, *given: Any, **more: Any) -> Any:
                return super()._do_request(*given, **{"timeout": (CONNECT_S, ANSWER_S)} | more)

        for handler in logging.getLogger("ray").handlers:
            handler.setLevel(logging.WARNING)  # or it says what it does in the middle of the job's log
        with self._answering():
            self._client = Client(address)

    def of(self, name: str) -> list[JobState]:
        """The jobs of a sweep, in the order in which they were submitted."""
        with self._answering():
            states = [_state(job) for job in self._client.list_jobs() if _number(job.submission_id, name)]
        return sorted(states, key=lambda state: _number(state.job_id, name))

    def state(self, job_id: str) -> JobState | None:
        """None where the cluster does not know it: the head is another one."""
        try:
            with self._answering():
                return _state(self._client.get_job_info(job_id))
        except _UnknownJobError:
            return None

    def submit(self, job_id: str, entrypoint: str, package: Path, *, hook: str, environment: dict[str, str], metadata: dict[str, str]) -> bool:
        """False where another has just submitted a job of this id."""
        runtime = {"working_dir": str(package), "worker_process_setup_hook": hook, "env_vars": environment | {STOP_WAIT: str(STOP_S)}}
        try:
            with self._answering():
                self._client.submit_job(entrypoint=entrypoint, submission_id=job_id, runtime_env=runtime, metadata=metadata)
        except _TakenError:
            return False
        return True

    def follow(self, job_id: str, log: "Log") -> JobState | None:
        """Says what the job prints until it has ended; its last state, None where the cluster knows it no more."""
        while True:
            asyncio.run(self._tail(job_id, log))
            if (state := self.state(job_id)) is None or not state.runs:
                return state
            time.sleep(1)

    async def _tail(self, job_id: str, log: "Log") -> None:
        """Says what comes, while the head answers: a connection whose other end is gone may stay silent for ever."""
        lines, seen, ended = self._client.tail_job_logs(job_id), 0, False
        pending = asyncio.ensure_future(anext(lines))
        try:
            while True:
                if not (await asyncio.wait({pending}, timeout=POLL_S))[0]:
                    if ended:
                        return
                    ended = (state := self.state(job_id)) is None or not state.runs  # its last lines may be on their way
                    continue
                with self._answering():
                    try:
                        text = pending.result()
                    except StopAsyncIteration:
                        return
                log.take(seen, text)
                seen += len(text)
                pending = asyncio.ensure_future(anext(lines))
        finally:
            pending.cancel()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        import aiohttp
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            what = "without one" if "required" in str(error).partition(":")[0] else "this one"
            raise SweepError(
                f"token: {self.address} refuses {what}; the token that the cluster was started with is needed", hint=TOKEN_HINT
            ) from None
        except PeoriaError:
            raise
        except requests.exceptions.HTTPError as error:
            status = "an error" if error.response is None else error.response.status_code
            raise SweepError(f"{self.address}: it answers {status}; {_API}") from None
        except (KeyError, TypeError, ValueError):  # what it answers is not what Ray answers
            raise SweepError(f"{self.address}: no jobs API of Ray; {_API}") from None
        except (requests.exceptions.RequestException, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterAwayError(f"{self.address}: {_why(error)}; the head of a running cluster", hint="is the cluster up?") from None
        except RuntimeError as error:  # Ray's own for all the rest
            text = scrub_text(str(error))
            code = re.search(r"status code (\d+)", text)
            if "already exists" in text:
                raise _TakenError(text) from None
            if code and code[1] == "404" and "does not exist" in text:
                raise _UnknownJobError(text) from None
            if (code and code[1].startswith("5")) or "closed unexpectedly" in text:
                raise ClusterAwayError(f"{self.address}: {_first(text)}; a head that takes jobs") from None
            raise SweepError(f"{self.address}: {_first(text)}; the jobs API of a Ray of this version") from None


class _TakenError(SweepError):
    pass


class _UnknownJobError(SweepError):
    pass


def job_id(name: str, number: int) -> str:
    """Of the ``number``-th job of a sweep: Ray gives no id twice."""
    return f"peoria-{name}-{number}"


def next_number(jobs: list[JobState], name: str) -> int:
    return 1 + max((_number(job.job_id, name) for job in jobs), default=0)


def _number(submission_id: str | None, name: str) -> int:
    found = re.fullmatch(rf"peoria-{re.escape(name)}-(\d+)", submission_id or "")
    return int(found[1]) if found else 0


def _state(job: Any) -> JobState:
    return JobState(job.submission_id, str(job.status.value), job.driver_exit_code, job.metadata or {}, scrub_text(job.message or ""))


def _why(error: Exception) -> str:
    return "no answer in time" if "timed out" in str(error).lower() or isinstance(error, TimeoutError) else "nobody answers there"


def _first(text: str) -> str:
    return (text.strip().splitlines() or ["no text"])[-1][:300]
