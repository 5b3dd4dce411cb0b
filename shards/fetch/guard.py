"""Which addresses may be asked at all: judged by their text, then by where their names lead, in the very answer that is connected to."""

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from shards.errors import PictureError
from shards.fetch.rules import USUAL_PORTS, FetchRules

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver
    from yarl import URL

LONGEST = 8192  # characters of an address
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)  # what C libraries take for IPv4, in any notation
_NOT_PUBLIC = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is given out
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # what a network of IPv6 alone makes of an IPv4 address
_ACCEPTED = "a public http or https address"
_PRIVATE = f"{_ACCEPTED}, or its host named by --fetch-from"


def is_public(address: str) -> bool:
    """Whether a numeric IPv4 or IPv6 address is one of the public internet: not this machine, a private or link-local network, multicast, or any
    range that is kept for another use; nor one of IPv6 that stands for such a one of IPv4."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.version == 6:
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in _UNICAST or getattr(ip, "scope_id", None):
            return False
    kept = any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not kept


def checked(address: str) -> "URL":
    """Of an address of a table: what can be said of it without rules. Raises PictureError, which never repeats a password."""
    return _well_formed(address, "")


def allowed(address: str, rules: FetchRules, *, redirect: bool = False) -> "URL":
    """Of an address, or of where a redirect leads: what can be said of it before its name is looked up. Raises PictureError."""
    where = "a redirect to " if redirect else ""
    url = _well_formed(address, where)
    host, port = url.raw_host or "", url.port or 0
    if rules.names(host, port):
        return url
    if port not in USUAL_PORTS:
        raise PictureError("forbidden_address", f"{where}port {port}; ports 80 and 443, or its host and port named by --fetch-from")
    bare = host.rstrip(".")
    if (":" in bare or _NUMERIC.fullmatch(bare)) and not is_public(bare):
        raise PictureError("forbidden_address", f"{where}an address of a private or reserved network; {_PRIVATE}")
    return url


def _well_formed(address: str, where: str) -> "URL":
    from yarl import URL

    if len(address) > LONGEST:
        raise PictureError("forbidden_address", f"{where}{len(address):,} characters; at most {LONGEST:,}")
    if re.search(r"[\x00-\x1f\x7f]", address):
        raise PictureError("forbidden_address", f"{where}an address with a control character; {_ACCEPTED}")
    try:
        url = URL(address.strip(" "))
        host, port = url.raw_host, url.port
    except (ValueError, TypeError):  # also of what no name of a host can be made
        raise PictureError("forbidden_address", f"{where}an address that cannot be read; {_ACCEPTED}") from None
    if url.scheme not in ("http", "https"):
        scheme = url.scheme if re.fullmatch(r"[a-z0-9+.-]{1,20}", url.scheme) else "no"
        raise PictureError("forbidden_address", f"{where}{scheme}: is not http; {_ACCEPTED}")
    if url.raw_user is not None or url.raw_password is not None:
        raise PictureError("forbidden_address", f"{where}an address with a user or a password; one without")
    if not host or port is None or re.search("[% ]", host):
        raise PictureError("forbidden_address", f"{where}an address without a host; {_ACCEPTED}")
    return url


def guarded_resolver(rules: FetchRules) -> "AbstractResolver":
    """Names to numbers, all of which have to be public ones; what is connected to is what was judged. Belongs to a running event loop."""
    from aiohttp.abc import ResolveResult
    from aiohttp.resolver import ThreadedResolver

    class Guarded(ThreadedResolver):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            if not rules.names(host, port) and not all(is_public(one["host"]) for one in found):
                raise PictureError("forbidden_address", f"a host in a private or reserved network; {_PRIVATE}")
            return found

    return Guarded()
