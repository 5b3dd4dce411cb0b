"""The Flickr API, as far as counts need it: two questions about a photo, and everything that may come instead of an answer.

Documented at www.flickr.com/services/api (flickr.photos.getInfo, flickr.photos.getFavorites). Questions go by POST, so that the key is in no address.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shards.errors import ShardsError
from shards.fetch.hosts import retry_after_seconds

if TYPE_CHECKING:
    import aiohttp

KEYS = ("PEORIA_FLICKR_KEY", "FLICKR_API_KEY")
ELSEWHERE = "PEORIA_FLICKR_URL"  # a stand-in for tests: it answers as Flickr does, and has the pictures as well
API, PICTURES = "https://www.flickr.com/services/rest/", "https://live.staticflickr.com"
QUESTIONS = {
    "info": {"method": "flickr.photos.getInfo"},
    "favorites": {"method": "flickr.photos.getFavorites", "per_page": "1"},  # the total is wanted, and nobody's name
}
TIMEOUT_S = 60
MAX_ANSWER_BYTES = 2**21
MAX_RETRY_AFTER_S = 3600.0
GONE = {1: "not_found", 2: "no_permission"}
_WRONG_KEY = 100
_WRONG_QUESTION = (95, 96, 97, 98, 99, 111, 112, 114, 115, 116)
# flickr.photos.licenses.getInfo, with the names that YFCC100M has
LICENCES = {
    "0": "All Rights Reserved",
    "1": "Attribution-NonCommercial-ShareAlike License",
    "2": "Attribution-NonCommercial License",
    "3": "Attribution-NonCommercial-NoDerivs License",
    "4": "Attribution License",
    "5": "Attribution-ShareAlike License",
    "6": "Attribution-NoDerivs License",
    "7": "No known copyright restrictions",
    "8": "United States Government Work",
    "9": "Public Domain Dedication (CC0)",
    "10": "Public Domain Mark",
}
_KEY_HINT = f"a key is had at www.flickr.com/services/api; give it as {KEYS[0]} in the environment"


class FlickrError(ShardsError):
    """Flickr does not answer, or not such as it documents, and trying again does not help."""


class Unavailable(Exception):
    """No answer now; the same question may have one later."""

    def __init__(self, said: str, retry_after_s: float = 0.0) -> None:
        self.said, self.retry_after_s = said, retry_after_s
        super().__init__(said)


def key_of(environment: Mapping[str, str]) -> str:
    """The API key. Raises FlickrError, which does not repeat it."""
    for name in KEYS:
        if key := environment.get(name, "").strip():
            if not re.fullmatch(r"[0-9A-Za-z]{16,64}", key):
                raise FlickrError(f"{name}: {len(key)} characters that are no key; 32 of 0-9 and a-f", hint=_KEY_HINT)
            return key
    raise FlickrError(f"{KEYS[0]}: not in the environment, nor {KEYS[1]}; the key of a Flickr API application", hint=_KEY_HINT)


def elsewhere(environment: Mapping[str, str]) -> str | None:
    """The address of a stand-in on this machine. Raises FlickrError for another: it would be given the key."""
    url = environment.get(ELSEWHERE, "").rstrip("/")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1") and parts.port and not (parts.path or parts.query or parts.username)
    except ValueError:
        fits = False
    if not fits:
        raise FlickrError(f"{ELSEWHERE}: an address that is not http://127.0.0.1:PORT; a stand-in on this machine, or nothing: Flickr itself")
    return url


class FlickrApi:
    """Asks, one question at a time; closed by its context.

    Args:
        key: of an API application.
        url: a stand-in (`elsewhere`).
    """

    def __init__(self, key: str, url: str | None = None) -> None:
        self._key, self._api = key, f"{url}/services/rest/" if url else API
        self._through_proxies = url is None
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> "FlickrApi":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self._runner.run(self._close())
        finally:
            self._runner.close()

    def ask(self, ask: str, identity: str) -> dict[str, Any]:
        """What is kept of the answer to a question of `QUESTIONS` about a photo, or ``{"gone": why, "said": …}`` where it is gone for good.

        Raises:
            Unavailable: limits, outages, answers that cannot be read, codes that are not documented.
            FlickrError: the key or the question is refused.
        """
        status, retry_after_s, text = self._runner.run(self._post({**QUESTIONS[ask], "photo_id": identity}))
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and answer.get("stat") == "fail":
            return self._failed(answer, retry_after_s)
        if status != 200:
            raise Unavailable(f"HTTP {status}", retry_after_s)
        if not isinstance(answer, dict) or answer.get("stat") != "ok":
            kind = "HTML" if text.lstrip()[:1] == "<" else "an empty answer" if not text.strip() else "JSON that is cut off, or none"
            raise Unavailable(f"{kind}, where JSON was asked for")
        try:
            return _info(answer["photo"], identity) if ask == "info" else {"total": _count(answer["photo"]["total"])}
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise Unavailable(f"an answer that is not as documented ({type(error).__name__}: {error})") from None

    def _failed(self, answer: dict[str, Any], retry_after_s: float) -> dict[str, Any]:
        try:
            code = int(answer.get("code", -1))
        except (TypeError, ValueError):
            code = -1
        said = " ".join(str(answer.get("message", "")).split())[:200]
        if code in GONE:
            return {"gone": GONE[code], "said": said}
        if code == _WRONG_KEY:
            raise FlickrError(f"{KEYS[0]}: Flickr refuses this key ({said}); one that is valid", hint=_KEY_HINT)
        if code in _WRONG_QUESTION:
            raise FlickrError(f"Flickr: code {code} ({said}); the API as it was documented in 2026", hint="a later version of peoria may know it")
        raise Unavailable(f"code {code} ({said})", retry_after_s)

    async def _post(self, question: dict[str, str]) -> tuple[int, float, str]:
        import aiohttp

        form = {**question, "api_key": self._key, "format": "json", "nojsoncallback": "1"}
        try:
            if self._session is None:
                self._session = aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=self._through_proxies, headers={"User-Agent": "peoria"}
                )
            async with self._session.post(self._api, data=form, allow_redirects=False) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise Unavailable(f"more than {MAX_ANSWER_BYTES:,} bytes")
                text = body.decode(errors="replace").replace(self._key, "***")  # whoever repeats the key, it is written nowhere
                after = retry_after_seconds(response.headers.get("Retry-After"))
                return response.status, min(after, MAX_RETRY_AFTER_S), text
        except TimeoutError:
            raise Unavailable(f"no answer in {TIMEOUT_S} s") from None
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            said = " ".join(str(error).split())[:200].replace(self._key, "***")
            raise Unavailable(f"no connection ({said or type(error).__name__})") from None

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _count(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,18}", str(value)):
        raise ValueError(f"{str(value)[:40]!a} is no count")
    return int(value)


def _info(photo: dict[str, Any], identity: str) -> dict[str, Any]:
    """Counts have to be there; what else there is, is taken."""
    if str(photo["id"]) != identity:
        raise ValueError(f"an answer about photo {str(photo['id'])[:40]!a}")
    dates, urls = photo.get("dates") or {}, (photo.get("urls") or {}).get("url") or [{}]
    tags = (photo.get("tags") or {}).get("tag") or []
    return {
        "views": _count(photo["views"]),
        "comments": _count(photo["comments"]["_content"]),
        "owner": str((photo.get("owner") or {}).get("nsid") or ""),
        "uploaded_at": str(dates.get("posted") or ""),
        "taken_at": str(dates.get("taken") or ""),
        "licence": str(photo.get("license") or ""),
        "tags": [str(tag.get("raw") or tag.get("_content") or "") for tag in tags],
        "page": str(urls[0].get("_content") or ""),
        "media": str(photo.get("media") or "photo"),
        "server": str(photo.get("server") or ""),
        "secret": str(photo.get("secret") or ""),
    }


def address_of(info: dict[str, Any], url: str | None = None) -> str:
    """Of a picture of 500 px, as YFCC100M names it too; "" where the answer tells none."""
    server, identity, secret = (str(info.get(name, "")) for name in ("server", "id", "secret"))
    if not all(re.fullmatch(r"[0-9A-Za-z]+", part) for part in (server, identity, secret)):
        return ""
    return f"{url or PICTURES}/{server}/{identity}_{secret}.jpg"


def licence_of(number: str) -> str:
    return LICENCES.get(number, f"Flickr licence {number}" if number else "")
