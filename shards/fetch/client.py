"""One picture by its address: redirects, attempts, waits, and limits on everything that a server decides.

Proxies, netrc and cookies are not used: a proxy would look names up itself, past the guard.
"""

import asyncio
import errno
import hashlib
import random
import re
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from shards.errors import FileError, PictureError, ShardsError
from shards.fetch.guard import allowed, guarded_resolver
from shards.fetch.hosts import Failed, Host, retry_after_seconds
from shards.fetch.opt_out import AGENT, opted_out
from shards.fetch.rules import FetchRules
from shards.files import told

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

MOST_REDIRECTS = 5
_HEAD_BYTES = 64  # by which a page is told from a picture
_UNREACHED = "no connection; a server that answers"
IN_MEMORY_BYTES = 2**20  # of a picture; more goes to a file without a name
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)
_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)  # and no word about a picture
_MOST_HOSTS = 4096  # that are remembered
_GONE = re.compile(r"photo_unavailable")  # what Flickr sends in the place of a picture that was taken back
_OTHER_KIND = re.compile(r"(text|video|audio|font)/|application/(json|xml|xhtml|pdf|javascript|zip)")
_STARTS = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF|II[*+]\0|MM\0[*+]|BM|....ftyp|\0\0\0\x0cjP|\xff\x0a", re.DOTALL)  # of pictures
Kept = TypeVar("Kept")


class Body(NamedTuple):
    """The bytes of a picture, in memory or in a file without a name."""

    file: IO[bytes]
    num_bytes: int
    sha256: str


class Client:
    """``async with Client(rules, folder) as client``; large pictures pass through ``folder``, where nothing of them stays."""

    def __init__(self, rules: FetchRules, folder: Path) -> None:
        self._rules, self._folder = rules, folder
        self._hosts: OrderedDict[tuple[str, int], Host] = OrderedDict()

    async def __aenter__(self) -> "Client":
        import aiohttp

        self._all = asyncio.Semaphore(self._rules.connections)
        self._time = asyncio.get_running_loop().time
        self._session: ClientSession = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=guarded_resolver(self._rules)),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._rules.connect_seconds, sock_read=self._rules.stall_seconds),
            headers={"User-Agent": self._agent(), "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    def _agent(self) -> str:
        return f"{AGENT} ({self._rules.contact})" if self._rules.contact else AGENT

    async def get(self, address: str, keep: Callable[[Body], Awaitable[Kept]]) -> Kept:
        """What ``keep`` makes of the picture, which is gone afterwards.

        Raises PictureError with one of `shards.fetch.rules.REASONS`, whose detail holds neither a time nor where a name leads; FileError and
        ShardsError where this machine is at its limits.
        """
        for attempt in range(1, self._rules.attempts + 1):
            try:
                return await self._followed(address, keep)
            except Failed as failed:
                if failed.is_last or attempt == self._rules.attempts:
                    raise PictureError(failed.reason, failed.detail) from None
                await asyncio.sleep(self._backoff(address, attempt))
        raise AssertionError("attempts are at least 1")

    def _backoff(self, address: str, attempt: int) -> float:
        draw = random.Random(f"{self._rules.seed}/{attempt}/{address}").random()
        return float(self._rules.backoff_seconds * 2 ** (attempt - 1) * (1 - draw / 2))

    async def _followed(self, address: str, keep: Callable[[Body], Awaitable[Kept]]) -> Kept:
        url = allowed(address, self._rules)
        for _ in range(MOST_REDIRECTS + 1):
            async with self._answer(url) as response:
                if response.status not in _REDIRECTS:
                    self._judge(response)
                    async with asyncio.timeout(self._rules.request_seconds):
                        body = await self._body(response)
                    with body.file:
                        return await self._kept(body, keep)
                url = self._next(url, response)
        raise Failed("bad_answer", f"more than {MOST_REDIRECTS} redirects; the address of a picture")

    async def _kept(self, body: Body, keep: Callable[[Body], Awaitable[Kept]]) -> Kept:
        try:
            return await keep(body)
        except (ValueError, LookupError) as error:  # ours, and no word about the answer
            if isinstance(error, ShardsError):
                raise
            raise RuntimeError("what was fetched could not be kept") from error

    def _next(self, url: "URL", response: "ClientResponse") -> "URL":
        """Where a redirect leads, judged like an address of the table."""
        from yarl import URL

        location = response.headers.get("Location", "").strip()
        if not location:
            raise Failed("bad_answer", f"status {response.status} that leads nowhere; a picture")
        try:
            there = str(url.join(URL(location)))
        except (ValueError, TypeError):
            raise Failed("forbidden_address", "a redirect to an address that cannot be read; a public http or https address") from None
        found = allowed(there, self._rules, redirect=True)
        if _GONE.search(found.raw_path):
            raise Failed("not_found", "a redirect to the stand-in for a picture that is gone; a picture")
        return found

    @asynccontextmanager
    async def _answer(self, url: "URL") -> AsyncIterator["ClientResponse"]:
        """The headers of an answer, in the host's turn; what goes wrong from asking to the last byte in our words."""
        host = self._host(url)
        host.users += 1
        try:
            async with host.slots:
                await self._turn(host)
                async with self._all:
                    try:
                        async with asyncio.timeout(self._rules.request_seconds):
                            response = await self._session.get(url, allow_redirects=False)
                        host.answered()
                        async with response:
                            yield response
                    except Exception as error:  # noqa: BLE001 - what it does not know it raises again
                        raise self._noted(host, _in_words(error, self._rules)) from None
        finally:
            host.users -= 1

    def _host(self, url: "URL") -> Host:
        name = url.raw_host or "", url.port or 0
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(asyncio.Semaphore(self._rules.connections_per_host))
            while len(self._hosts) > _MOST_HOSTS and not next(iter(self._hosts.values())).users:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(name)
        return host

    async def _turn(self, host: Host) -> None:
        """Waits as long as the host asks for, and for its share of the rate."""
        while True:
            if why := host.given_up(now := self._time(), self._rules.patience_seconds):
                raise Failed(why.reason, why.detail, is_last=True)
            if host.not_before <= now:
                break
            await asyncio.sleep(host.not_before - now)
        if self._rules.requests_per_second:
            host.not_before = self._time() + 1 / self._rules.requests_per_second

    def _noted(self, host: Host, failed: Failed) -> Failed:
        """What a failure means for the host's other pictures: all wait."""
        now, most = self._time(), self._rules.max_wait_seconds
        if failed.after:
            host.not_before = max(host.not_before, now + min(failed.after, most))
        elif failed.unanswered:
            host.unanswered(failed, now, self._rules.backoff_seconds, most / 4)
        return failed

    def _judge(self, response: "ClientResponse") -> None:
        """Raises PictureError for an answer that holds no picture, or not for us, before a byte of it is read."""
        status = response.status
        if status in (404, 410):
            raise Failed("not_found", f"status {status}; a picture")
        if status in _PASSING or status >= 500:
            raise Failed("fetch_unavailable", f"status {status}; a picture", after=retry_after_seconds(response.headers.get("Retry-After")))
        if status not in (200, 203):
            raise Failed("refused_by_server", f"status {status}; a picture")
        if not self._rules.ignore_opt_out and (header := opted_out(*map(_all_of(response), ("X-Robots-Tag", "tdm-reservation")))):
            raise Failed("opted_out", f"{header}; a picture that may be used so, or --ignore-opt-out")
        if (response.content_length or 0) > self._rules.max_bytes:
            raise self._too_many()
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", "", "gzip", "x-gzip"):
            raise Failed("bad_answer", "bytes that are packed in a way that was not asked for; plain ones or gzip")

    def _too_many(self) -> Failed:
        return Failed("too_many_bytes", f"more than {self._rules.max_bytes:,} bytes; at most so many")

    async def _body(self, response: "ClientResponse") -> Body:
        rules, started = self._rules, self._time()
        packed = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
        plain, num_sent, num_bytes = zlib.decompressobj(31), 0, 0
        digest, head, is_judged = hashlib.sha256(), b"", False
        with told(self._folder, "a folder with room"):
            file: Any = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(self._folder))  # noqa: SIM115 - given to the caller
        try:
            async for data in response.content.iter_any():
                num_sent += len(data)
                if packed:
                    data = plain.decompress(data, rules.max_bytes + 1 - num_bytes)
                num_bytes += len(data)
                if max(num_sent, num_bytes) > rules.max_bytes:
                    raise self._too_many()
                head += data[: _HEAD_BYTES - len(head)]
                if not is_judged and len(head) == _HEAD_BYTES:  # however they come
                    _check_kind(response, head)
                    is_judged = True
                spent = self._time() - started
                if spent > rules.stall_seconds and num_sent < rules.least_bytes_per_second * spent:
                    raise Failed("fetch_timeout", f"slower than {rules.least_bytes_per_second:,} bytes a second; a picture at that speed")
                digest.update(data)
                with told(self._folder, "a folder with room"):
                    file.write(data)
            if not num_bytes:
                raise Failed("not_a_picture", "an answer without a byte; a picture")
            if not is_judged:
                _check_kind(response, head)
            if packed and not plain.eof:
                raise Failed("fetch_unavailable", "the packed bytes end too early; a picture")
        except BaseException:
            file.close()
            raise
        return Body(file, num_bytes, digest.hexdigest())


def _all_of(response: "ClientResponse") -> Callable[[str], list[str]]:
    return lambda name: list(response.headers.getall(name, []))


def _check_kind(response: "ClientResponse", head: bytes) -> None:
    """By what the server says it is, where the first bytes do not say otherwise."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_page = head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg"))
    is_other = _OTHER_KIND.match(kind) and not _STARTS.match(head)
    if is_page or is_other:
        said = kind if is_other and re.fullmatch(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}", kind) else "a page"
        raise Failed("not_a_picture", f"{said}; a picture")


def _in_words(error: Exception, rules: FetchRules) -> Failed:
    """What aiohttp raises, as a reason. Raises ShardsError where it is this machine that is at its limits, and again what it does not know."""
    import aiohttp

    if isinstance(error, Failed):
        return error
    if isinstance(error, PictureError):
        return Failed(error.reason, error.detail)
    if isinstance(error, ShardsError):
        raise error
    code = getattr(getattr(error, "os_error", error), "errno", None)
    if code in _OF_THE_MACHINE:
        raise FileError(
            f"network: {errno.errorcode[code]}; a machine with room for {rules.connections} connections",
            hint="the same command goes on; ulimit -n says how many files may be open",
            code=code,
        ) from None
    match error:
        case aiohttp.ConnectionTimeoutError():
            return Failed("fetch_unavailable", _UNREACHED, unreached=True)
        case aiohttp.SocketTimeoutError():
            return Failed("fetch_timeout", f"nothing for {rules.stall_seconds:g} s; a picture")
        case TimeoutError():
            return Failed("fetch_timeout", f"not whole within {rules.request_seconds:g} s; a picture")
        case aiohttp.ClientConnectorDNSError():
            return Failed("fetch_unavailable", _UNREACHED, unreached=True)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return Failed("bad_certificate", "a certificate that is not to be trusted, or no TLS; a server that can be trusted")
        case aiohttp.ClientConnectorError():
            return Failed("fetch_unavailable", _UNREACHED, unreached=True)
        case aiohttp.InvalidURL() | UnicodeError():
            return Failed("forbidden_address", "an address that cannot be read; a public http or https address")
        case aiohttp.ClientResponseError() | ValueError() | LookupError():  # of a parser
            return Failed("bad_answer", "no HTTP that can be read; a picture")
        case zlib.error():
            return Failed("bad_answer", "bytes that are said to be gzip and are not; a picture")
        case aiohttp.ClientError() | OSError() | asyncio.IncompleteReadError():
            return Failed("fetch_unavailable", "the connection broke; a picture, whole")
    raise error
