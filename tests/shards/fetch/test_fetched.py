"""Whatever a server does, each row is a picture or a reason, and nothing is asked of a host that was not named."""

import pickle
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.errors import PictureError
from shards.fetch import CAN_HEAL, Account, FetchRules, fetched_chunks, guard
from shards.fetch.hosts import retry_after_seconds
from shards.fetch.rules import REASONS
from tests.helpers.fetching import chunks_of, fetched, kinds_of, rows_of, rules_of
from tests.helpers.mlflow_process import free_port
from tests.helpers.picture_server import EITHER, KEPT, KINDS, SLOW, PictureServer, picture, picture_server
from tests.helpers.studies import sampled

INTO_PRIVATE = [kind for kind, reason in KINDS.items() if reason == "forbidden_address"]


@pytest.fixture(scope="module")
def other() -> Iterator[PictureServer]:
    """One that is not named."""
    with picture_server() as server:
        yield server


@pytest.fixture(scope="module")
def server(other: PictureServer) -> Iterator[PictureServer]:
    with picture_server(other.port) as server:
        yield server


def reason_of(found: bytes | PictureError) -> str:
    return found.reason if isinstance(found, PictureError) else KEPT


def test_every_row_is_accounted_for_and_nothing_forbidden_is_fetched(tmp_path: Path, server: PictureServer, other: PictureServer) -> None:
    num = sampled(20_000, 400)
    rows, account = rows_of(server.port, num), Account()
    assert {*kinds_of(num)} == {*KINDS, *SLOW}
    found = fetched(tmp_path, rows, rules_of(server.host), account)
    assert sorted(found) == list(range(num))
    wanted = {row: (KINDS | SLOW)[kind] for row, kind in enumerate(kinds_of(num))}
    assert {row: (wanted[row], found[row]) for row in wanted if reason_of(found[row]) != wanted[row]} == {}
    for row, given in found.items():
        if isinstance(given, PictureError):
            assert re.fullmatch(r"[^;]+; [^;]+", given.detail)
            assert not re.search(r"127\.0|169\.254|::1|localhost|secret|\d\d:\d\d", given.detail), given
        else:
            assert given == picture(row)
    counts = Counter(wanted.values())
    assert (account.num, account.num_fetched, len(account.hosts)) == (num, counts.pop(KEPT), 1)
    assert account.failed == counts
    assert set(account.failed) <= set(REASONS)
    assert set(REASONS) >= CAN_HEAL
    assert account.text().startswith(f"fetched {account.num_fetched:,} of {num:,} addresses from 1 host, ")
    assert sum(other.hits.values()) == 0
    heads = {name.lower() for request in server.requests for name in re.findall(rb"^([^:\r\n ]+):", request, re.MULTILINE)}
    assert heads == {b"host", b"user-agent", b"accept", b"accept-encoding"}  # no cookie, though the server sets one


def test_control_a_host_that_is_named_is_fetched_from(tmp_path: Path, server: PictureServer, other: PictureServer) -> None:
    rows = [(number, server.address(kind, number)) for number, kind in enumerate(INTO_PRIVATE)]
    there = [f"{host}:{other.port}" for host in ("127.0.0.1", "localhost", "0.0.0.0")]
    found = fetched(tmp_path, rows, rules_of(server.host, *there))
    reached = {kind for kind, given in zip(INTO_PRIVATE, (found[row] for row in sorted(found)), strict=True) if reason_of(given) == "not_found"}
    assert {"to-other-port", "to-localhost", "to-any", "to-same-scheme"} <= reached
    assert sum(other.hits.values()) == len(reached)
    other.hits.clear()


def test_a_redirect_to_a_usual_port_of_a_private_network_is_refused_for_the_network(
    tmp_path: Path, server: PictureServer, other: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "USUAL_PORTS", (80, 443, other.port))
    rows = [(number, server.address(kind, number)) for number, kind in enumerate(INTO_PRIVATE)]
    found = fetched(tmp_path / "a", rows, rules_of(server.host))
    assert {*told_of(found)} == {"forbidden_address"}
    assert not [given for given in found.values() if isinstance(given, PictureError) and " port " in given.detail]
    assert sum(other.hits.values()) == 0
    monkeypatch.setattr(guard, "is_public", lambda address: True)  # control: without the guard
    rows = [(number, server.address(kind, number)) for number, kind in enumerate(INTO_PRIVATE) if kind != "to-metadata"]
    fetched(tmp_path / "b", rows, rules_of(server.host))
    assert sum(other.hits.values()) >= 4
    other.hits.clear()


def test_a_name_that_leads_into_a_private_network_is_refused_where_it_is_connected(
    tmp_path: Path, other: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "USUAL_PORTS", (other.port,))
    rows = [(0, f"http://localhost:{other.port}/ok/0")]
    assert told_of(fetched(tmp_path / "a", rows, rules_of())) == ["forbidden_address"]
    looked_up = []

    def rebound(host: str, port: int, *words: object, **named: object) -> list[object]:
        looked_up.append(host)
        public, local = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, port)) for number in ("93.184.216.34", "127.0.0.1")]
        return [public, local] if len(looked_up) == 1 else [local]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", rebound)
        rows = [(0, f"http://rebound.example:{other.port}/ok/0")]
        assert told_of(fetched(tmp_path / "b", rows, rules_of())) == ["forbidden_address"]  # of all answers, not of the first
        assert len(looked_up) == 1
    assert sum(other.hits.values()) == 0
    monkeypatch.setattr(guard, "is_public", lambda address: True)  # control: without the guard
    assert told_of(fetched(tmp_path / "c", [(0, f"http://localhost:{other.port}/ok/0")], rules_of())) == [KEPT]
    assert sum(other.hits.values()) == 1
    other.hits.clear()


def told_of(found: dict[int, bytes | PictureError]) -> list[str]:
    return [reason_of(found[row]) for row in sorted(found)]


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("http://127.0.0.1/a.jpg", "private or reserved network"),
        ("http://127.1/a.jpg", "private or reserved network"),
        ("http://2130706433/a.jpg", "private or reserved network"),
        ("http://0x7f000001/a.jpg", "private or reserved network"),
        ("http://0177.0.0.1/a.jpg", "private or reserved network"),
        ("http://１２７.0.0.1/a.jpg", "private or reserved network"),
        ("http://127.0.0.1./a.jpg", "private or reserved network"),
        ("http://134744072/a.jpg", "private or reserved network"),  # a public one, written so that readers differ
        ("http://0/a.jpg", "private or reserved network"),
        ("http://169.254.169.254/latest/meta-data/", "private or reserved network"),
        ("http://10.1.2.3/", "private or reserved network"),
        ("https://[::1]/", "private or reserved network"),
        ("https://[::ffff:10.0.0.1]/", "private or reserved network"),
        ("https://[64:ff9b::a00:1]/", "private or reserved network"),
        ("http://[fe80::1%25eth0]/", "without a host"),
        ("http://93.184.216.34:22/", "port 22; ports 80 and 443"),
        ("http://example.org:8080/", "port 8080; ports 80 and 443"),
        ("http://example.org:0/", "port 0; ports 80 and 443"),
        ("http://ann:hunter2@example.org/", "an address with a user or a password; one without"),
        ("http://example.org\\@127.0.0.1/", "cannot be read"),
        ("http://exa%6dple.org/", "without a host"),
        ("http:///a.jpg", "without a host"),
        ("ftp://example.org/a.jpg", "ftp: is not http"),
        ("file:///etc/passwd", "file: is not http"),
        ("//example.org/a.jpg", "no: is not http"),
        ("http://example.org/a\r\nHost: b", "a control character"),
        ("http://example.org/" + "a" * 9000, "characters; at most 8,192"),
    ],
)
def test_an_address_is_refused_by_its_text(address: str, detail: str) -> None:
    with pytest.raises(PictureError, match=re.escape(detail)) as told:
        guard.allowed(address, FetchRules())
    assert told.value.reason == "forbidden_address"
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    "address", ["http://example.org/a.jpg", "HTTPS://Example.org:443/a b.jpg?c=d#e", "http://8.8.8.8/", "https://[2606:4700::1]:80/"]
)
def test_control_a_public_address_is_allowed(address: str) -> None:
    assert guard.allowed(address, FetchRules()).host


def test_public_is_what_the_registries_call_so() -> None:
    private = """0.0.0.1 10.0.0.1 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.8 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1
        203.0.113.1 224.0.0.1 239.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:8.8.8.8 ::8.8.8.8 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1
        2001:20::1 2001:db8::1 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2606:4700::1%eth0 example.org"""
    assert [address for address in private.split() if guard.is_public(address)] == []
    public = "1.1.1.1 8.8.8.8 93.184.216.34 172.15.0.1 172.32.0.1 100.128.0.1 2606:4700::1 2a00:1450::1 2001:4860::8888 64:ff9b::808:808"
    assert [address for address in public.split() if not guard.is_public(address)] == []


def test_headers_by_which_owners_opt_out_are_honoured_unless_it_is_said_otherwise(tmp_path: Path, server: PictureServer) -> None:
    rows = [(number, server.address(kind, number)) for number, kind in enumerate(("no-ai", "no-index-for-all", "tdm"))]
    assert told_of(fetched(tmp_path / "a", rows, rules_of(server.host))) == ["opted_out"] * 3
    assert told_of(fetched(tmp_path / "b", rows, rules_of(server.host, ignore_opt_out=True))) == [KEPT] * 3


def test_a_length_that_is_too_short_gives_what_it_says_or_a_reason(tmp_path: Path, server: PictureServer) -> None:
    rows = [(number, server.address("too-short-length", number)) for number in range(10)]
    found = fetched(tmp_path, rows, rules_of(server.host))
    assert {*told_of(found)} <= {*EITHER["too-short-length"]}
    assert all(given == picture(0)[:1000] for given in found.values() if isinstance(given, bytes))


def test_whatever_bytes_a_server_sends_are_a_picture_or_a_reason(tmp_path: Path, server: PictureServer) -> None:
    num = sampled(5000, 200)
    rows = [(number, server.address("mutant", number)) for number in range(num)]
    found = fetched(tmp_path, rows, rules_of(server.host, attempts=1, stall_seconds=1, max_wait_seconds=0.01))
    reasons = Counter(told_of(found))
    assert reasons.total() == num
    assert set(reasons) <= {KEPT, *REASONS}
    assert min(reasons[KEPT], reasons["bad_answer"], reasons["fetch_unavailable"]) > num // 100, reasons


def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, server: PictureServer, other: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{other.port}")
    monkeypatch.setenv("no_proxy", "")
    assert told_of(fetched(tmp_path, [(0, server.address("ok"))], rules_of(server.host))) == [KEPT]
    assert sum(other.hits.values()) == 0


@pytest.mark.parametrize("limit", [3, 12])
def test_a_host_has_at_most_so_many_connections(tmp_path: Path, limit: int) -> None:
    with picture_server() as own:
        rows = [(number, own.address("ok", number)) for number in range(200)]
        fetched(tmp_path, rows, rules_of(own.host, connections_per_host=limit))
        assert 1 <= own.most_open <= limit
        assert limit == 3 or own.most_open > 3  # control: they would be more


def test_a_server_is_left_alone_as_long_as_it_asks_but_not_for_ever(tmp_path: Path, server: PictureServer) -> None:
    assert retry_after_seconds("7") == 7
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == retry_after_seconds("soon") == retry_after_seconds(None) == 0
    assert retry_after_seconds("Fri, 01 Jan 2100 00:00:00 GMT") > 10**9
    rows = [(0, server.address("busy-for-ever", 0)), (1, server.address("ok", 1))]
    found = fetched(tmp_path, rows, rules_of(server.host, max_wait_seconds=0.3))  # and not the 10^9 seconds that are asked for
    assert told_of(found) == ["fetch_unavailable", KEPT]
    first, second = server.times["/busy-for-ever/0"]
    assert second - first >= 0.3


def test_a_host_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """By name and by number; and what is said of a row does not tell whether it was tried."""
    port = free_port()
    rows = [(row, f"http://127.0.0.1:{port}/{row}") for row in range(100)] + [(100, "http://no-such-host.invalid/a.jpg")]
    found = fetched(tmp_path, rows, rules_of(f"127.0.0.1:{port}", connections_per_host=8, patience_seconds=1))
    assert {(given.reason, given.detail) for given in found.values() if isinstance(given, PictureError)} == {
        ("fetch_unavailable", "no connection; a server that answers")
    }
    assert len(found) == 101


def test_whoever_stops_leaves_no_thread(tmp_path: Path, server: PictureServer) -> None:
    before = threading.active_count()
    rows = [(row, server.address("silent" if row < 50 else "ok", row)) for row in range(150)]
    logs = fetched_chunks(chunks_of(tmp_path, rows), rules_of(server.host))
    next(logs)
    logs.close()
    assert threading.active_count() <= before + 1  # of a name that is looked up


def test_rules_are_sent_to_other_processes() -> None:
    rules = rules_of("[::0001]:8080", "Pictures.LAN")
    assert pickle.loads(pickle.dumps(rules)) == rules
    assert rules.names("::1", 8080)
    assert rules.names("pictures.lan.", 443)
    assert not rules.names("pictures.lan", 8080)
    error = pickle.loads(pickle.dumps(PictureError("not_found", "status 404; a picture")))
    assert (error.reason, error.detail) == ("not_found", "status 404; a picture")
    for bad in ("http://a/", "a:0", "a:99999", "a b", "", "u@h", "::1"):
        with pytest.raises(ValueError, match=r"--fetch-from: .*; HOST or HOST:PORT"):
            FetchRules(hosts=(bad,))
    with pytest.raises(ValueError, match="--fetch-contact: "):
        FetchRules(contact="a\r\nHost: b")
