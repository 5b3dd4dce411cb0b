"""What may be fetched and how, and what each failure is called."""

import ipaddress
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.request import getproxies_environment

from shards.errors import PictureError, ShardsError
from shards.words import counted

REASONS = {
    "not_found": "404 or 410, or a stand-in for a picture that is gone",
    "refused_by_server": "401, 403, 451 or another status that asks for something else",
    "opted_out": "its owner asks by a header not to use it so",
    "forbidden_address": "no http(s), a user or a password, another port, a private network, there or where a redirect leads",
    "not_a_picture": "a page or a video, by its type and its first bytes",
    "too_many_bytes": "more than may be fetched",
    "bad_answer": "no HTTP that can be read: endless headers, more than 5 redirects, an unknown encoding",
    "bad_certificate": "the server's certificate is not to be trusted",
    "fetch_timeout": "no answer in time, or too slow a one",
    "fetch_unavailable": "429, 5xx, no such host now, no connection, or one that broke",
}
CAN_HEAL = frozenset({"bad_certificate", "fetch_timeout", "fetch_unavailable"})
"""The reasons that may be gone another day: what ``--retry`` takes up."""
TRIED_AGAIN = frozenset({"fetch_timeout", "fetch_unavailable"})
"""… and that are tried again at once, as often as `FetchRules.attempts` says."""
USUAL_PORTS = (80, 443)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s\[\]:/@?#]+))(?::(?P<port>[0-9]{1,5}))?")


def is_address(path: object) -> bool:
    """Whether a path is an http or https address, to be fetched."""
    return _ADDRESS.match(str(path)) is not None


@dataclass(frozen=True)
class FetchRules:
    """How addresses are fetched. Raises ShardsError for a host that cannot be one."""

    hosts: tuple[str, ...] = ()
    """HOST or HOST:PORT that may be fetched from whatever network it is in; without a port: 80 and 443."""
    ignore_opt_out: bool = False
    """Whether pictures are fetched whose owners ask by a header not to use them so."""
    contact: str = ""
    """An address of a person or a page, told to servers in the user agent."""
    max_bytes: int = 64 * 2**20
    """Of a picture, as sent and unpacked."""
    connections: int = 64
    """At once, in all."""
    connections_per_host: int = 8
    requests_per_second: float | None = None
    """To one host; None: as many as it answers."""
    attempts: int = 3
    """For one picture, where the reason is one of `TRIED_AGAIN`."""
    connect_seconds: float = 10.0
    stall_seconds: float = 15.0
    """Without a byte."""
    request_seconds: float = 120.0
    """For a whole answer."""
    least_bytes_per_second: int = 1024
    """On average, once `stall_seconds` are over."""
    backoff_seconds: float = 1.0
    """Before the second attempt, doubled for each further one; up to half of it less, by a draw from the seed."""
    max_wait_seconds: float = 120.0
    """For a host, that it asks for by Retry-After, or that no connection comes about to."""
    patience_seconds: float = 300.0
    """For a host that no longer answers, a tenth of it for one that never did; then its other pictures are not tried in this run."""
    seed: int = 0

    def __post_init__(self) -> None:
        for host in self.hosts:
            named_host(host)
        if not re.fullmatch(r"[\x20-\x7e]{0,200}", self.contact):
            raise ShardsError(f"--fetch-contact: {self.contact[:200]!a}; at most 200 plain ASCII characters")

    def decisive(self) -> dict[str, Any]:
        """What decides which pictures are got: a pack that goes on has to have the same."""
        return {"hosts": sorted(self.hosts), "ignore_opt_out": self.ignore_opt_out, "max_bytes": self.max_bytes}

    def names(self, host: str, port: int) -> bool:
        """Whether the host, as it stands in an address, was named."""
        return any(name == host.lower().rstrip(".") and port in ports for name, ports in map(named_host, self.hosts))


def named_host(text: str) -> tuple[str, tuple[int, ...]]:
    """The host and the ports of HOST[:PORT], of IPv6 ``[::1]:8080``. Raises ShardsError."""
    match = _HOST.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise ShardsError(f"--fetch-from: {text[:200]!a}; HOST or HOST:PORT, as pictures.lan or 127.0.0.1:8080, without http://")
    name = (match["six"] or match["name"]).lower()
    with suppress(ValueError):
        name = str(ipaddress.ip_address(name))
    return name, USUAL_PORTS if port is None else (port,)


@dataclass
class Account:
    """What was fetched, by this process; `fetched_chunks` fills it as it goes."""

    num_fetched: int = 0
    num_bytes: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by reason
    hosts: set[int] = field(default_factory=set)  # hashes of their names
    num_before: int = 0  # that an earlier run had written

    def add(self, address: str, found: int | PictureError) -> None:
        """The number of bytes of its picture, or why there is none."""
        self.hosts.add(hash(address.partition("//")[2].partition("/")[0].lower()))
        if isinstance(found, PictureError):
            self.failed[found.reason] += 1
        else:
            self.num_fetched += 1
            self.num_bytes += found

    @property
    def num(self) -> int:
        return self.num_fetched + self.failed.total()

    def text(self) -> str:
        """In a line, "" where nothing was asked for."""
        if not self.num:
            return ""
        failed = "".join(f", {num:,} {reason}" for reason, num in self.failed.most_common())
        again = sum(num for reason, num in self.failed.items() if reason in CAN_HEAL)
        heal = f"; {again:,} may be there another day (--retry)" if again else ""
        if again and any(getproxies_environment().get(scheme) for scheme in ("http", "https")):
            heal += "; proxies of the environment are not used"
        before = f" (and {self.num_before:,} before)" if self.num_before else ""
        asked = f"{counted(self.num, 'address', 'addresses')}{before} from {counted(len(self.hosts), 'host')}"
        return f"fetched {self.num_fetched:,} of {asked}, {self.num_bytes / 2**20:,.1f} MiB{failed}{heal}"
