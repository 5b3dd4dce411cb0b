"""Files by name in a folder and in a bucket: the same operations, the same results, and every error in a line."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.addresses import is_url
from shards.errors import MissingObjectError, ShardsError, StoreAwayError, StoreError
from shards.store import PART_BYTES, TOLD_WITHIN_S, Store, open_store, refuse_unfit
from tests.helpers.answering import answering, saying_nothing
from tests.helpers.s3_server import BUCKET, Gate, S3Server, free_port, s3_server

NAMES = ("a", "b/c", "b/d.json", "b-c/e", "deep/er/f")
DATA = st.binary(max_size=40)
OPERATION = st.one_of(
    st.tuples(st.sampled_from(["put", "put_if_absent", "put_file", "replace_read", "replace_stale"]), st.sampled_from(NAMES), DATA),
    st.tuples(st.sampled_from(["get", "stream", "delete", "read"]), st.sampled_from(NAMES), st.just(b"")),
    st.tuples(st.just("names"), st.sampled_from(["", "b", "b/c", "deep", "none"]), st.just(b"")),
)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def env(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, env: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    return open_store({"folder": tmp_path / "store", "memory": f"memory://{uuid.uuid4()}", "s3": f"s3://{BUCKET}/{uuid.uuid4()}"}[request.param])


def done(store: Store, versions: dict[str, list[str]], kind: str, name: str, data: bytes, file: Path) -> object:
    """What an operation answers, versions aside."""
    if kind == "names":
        return store.names(name)
    seen = versions.setdefault(name, [])
    try:
        if kind == "put":
            return store.put(name, data)
        if kind == "put_file":
            file.write_bytes(data)
            return store.put(name, file)
        if kind == "put_if_absent":
            return store.put_if_absent(name, data) is not None
        if kind == "delete":
            return store.delete(name)
        if kind == "get":
            return store.get(name)
        if kind == "stream":
            return b"".join(store.stream(name))
        if kind == "read":
            found, version = store.read_versioned(name)
            seen.append(version)
            return found
        if kind == "replace_read":
            now = store.read_versioned(name)[1]
            return store.replace(name, data, now) is not None
        old, now = seen[0] if seen else "none", store.read_versioned(name)[1]
        return None if old == now else store.replace(name, data, old)
    except MissingObjectError:
        return "missing"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OPERATION, max_size=14))
def test_a_folder_and_a_bucket_behave_the_same(
    env: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("same")
    stores = [open_store(folder / "set"), open_store(f"memory://{uuid.uuid4()}"), open_store(f"s3://{BUCKET}/{uuid.uuid4()}")]
    versions: list[dict[str, list[str]]] = [{}, {}, {}]
    for kind, name, data in operations:
        answers = [done(store, seen, kind, name, data, folder / "file") for store, seen in zip(stores, versions, strict=True)]
        assert answers[0] == answers[1] == answers[2], (kind, name, data)
    assert stores[0].names() == stores[1].names() == stores[2].names()


def test_what_is_large_goes_in_parts_and_comes_in_blocks(store: Store, tmp_path: Path) -> None:
    data = os.urandom(2 * PART_BYTES + 5)
    (tmp_path / "large").write_bytes(data)
    store.put("x/large", tmp_path / "large")
    blocks = list(store.stream("x/large"))
    assert b"".join(blocks) == data
    store.put("x/bytes", data)
    assert store.get("x/bytes") == data
    if "s3" in store.address():
        assert len(blocks) > 2


def test_of_many_writers_at_once_one_gets_a_version(store: Store) -> None:
    """Of a name that is not there, and of a version; control: a plain put lets all of them through."""

    def all_at_once(do: Callable[[int], object]) -> list[object]:
        results, begin = list[object](), threading.Barrier(8)

        def one(number: int) -> None:
            begin.wait()
            results.append(do(number))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    won = [version for version in all_at_once(lambda i: store.put_if_absent("lease", f"of {i}".encode())) if version is not None]
    assert len(won) == 1
    data, version = store.read_versioned("lease")
    assert version == won[0]
    again = [new for new in all_at_once(lambda i: store.replace("lease", f"again {i}".encode(), version)) if new is not None]
    assert len(again) == 1
    assert store.read_versioned("lease")[1] == again[0]
    assert store.get("lease") != data
    assert all_at_once(lambda i: store.put("lease", str(i).encode())) == [None] * 8


def test_a_store_that_only_says_that_it_is_conditional_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unfit(store)
    assert store.names() == {}
    plain = store.put

    def overwrites(name: str, data: bytes) -> str | None:  # as servers do that leave If-None-Match out
        plain(name, data)
        return store.read_versioned(name)[1]

    monkeypatch.setattr(store, "put_if_absent", overwrites)
    with pytest.raises(StoreError, match="puts what it was to put only if absent; a store with conditional writes"):
        refuse_unfit(store)
    assert store.names() == {}


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("s3:/bucket/set", "s3:/bucket/set: one slash"),
        ("ftp://host/set", "ftp://host/set: no kind of store that is known"),
        ("https://u:hunter2@host/x?sig=hunter2", "https://host/x: no kind of store that is known"),
        ("s3://key:hunter2@bucket/set", "s3://bucket/set: a user or a password in an address"),
        ("s3://bucket/set?X-Amz-Signature=hunter2", r"s3://bucket/set: a \? or # in an address"),
        ("s3://", "s3://: name ''"),
        ("s3://bucket/../other", "name 'bucket/../other'"),
    ],
)
def test_an_address_of_another_form_is_refused_in_a_line(address: str, found: str) -> None:
    with pytest.raises(StoreError, match=found) as caught:
        open_store(address)
    assert len(caught.value.problems) == 1
    assert "hunter2" not in str(caught.value)
    assert is_url(address)


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "", "a/./b", "a\nb", "ä", "a b"])
def test_a_name_that_not_every_store_takes_is_refused(store: Store, name: str) -> None:
    for do in (store.get, store.delete, lambda n: store.put(n, b""), lambda n: store.put_if_absent(n, b""), lambda n: list(store.stream(n))):
        with pytest.raises(StoreError, match="parts of letters, digits"):
            do(name)


def every_operation(store: Store, tmp_path: Path) -> Iterator[Callable[[], object]]:
    (tmp_path / "small").write_bytes(b"1")
    yield lambda: store.get("a")
    yield lambda: list(store.stream("a"))
    yield lambda: store.put("a", b"1")
    yield lambda: store.put("a", tmp_path / "small")
    yield lambda: store.put_if_absent("a", b"1")
    yield lambda: store.read_versioned("a")
    yield lambda: store.replace("a", b"1", '{"e_tag": "x"}')
    yield lambda: store.names()
    yield lambda: store.delete("a")


@pytest.mark.parametrize(
    ("code", "body", "found"),
    [
        (401, b"", "wrong credentials"),
        (403, b"<Error><Code>AccessDenied</Code></Error>", "no right to do this"),
        (403, b"<Error><Code>InvalidAccessKeyId</Code></Error>", "wrong credentials"),
        (403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "wrong credentials"),
        (403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", "the clock of this machine is wrong"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", "no such bucket"),
        (301, b"", "the bucket is in another region"),
        (400, b"<html>what?</html>", "400 Bad Request"),
        (200, b"no XML", ""),
    ],
)
def test_what_a_server_refuses_is_told_in_a_line(env: pytest.MonkeyPatch, tmp_path: Path, code: int, body: bytes, found: str) -> None:
    with answering(code, body) as url:
        env.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://bucket/set")
        errors = [error for operation in every_operation(store, tmp_path) if (error := raised(operation)) is not None]
    assert len(errors) >= (8 if found else 3)  # no object to delete is no error
    for error in errors:
        assert not isinstance(error, StoreAwayError)
        assert len(error.problems) == 1
        assert "\n" not in error.problems[0]
        assert error.problems[0].startswith("s3://bucket")
        assert found in error.problems[0]


def raised(operation: Callable[[], object]) -> StoreError | None:
    try:
        operation()
    except StoreError as error:
        return error
    return None


def test_wrong_credentials_no_bucket_and_no_credentials_on_a_real_server(s3: S3Server, env: pytest.MonkeyPatch) -> None:
    open_store(f"s3://{BUCKET}/control").put("a", b"1")
    with pytest.raises(StoreError, match="s3://no-such-bucket/x: no such bucket"):
        open_store("s3://no-such-bucket/x").get("a")
    with pytest.raises(StoreError, match="s3://no-such-bucket/x: no such bucket"):
        open_store("s3://no-such-bucket/x").put("a", b"")
    s3.demand_credentials(True)
    try:
        with pytest.raises(StoreError, match=f"s3://{BUCKET}/control/a: wrong credentials.*\nhint: AWS_ACCESS_KEY_ID"):
            open_store(f"s3://{BUCKET}/control").get("a")
    finally:
        s3.demand_credentials(False)
    with answering(403) as metadata:  # what a machine without a role answers
        env.delenv("AWS_ACCESS_KEY_ID")
        env.delenv("AWS_SECRET_ACCESS_KEY")
        env.setenv("AWS_METADATA_ENDPOINT", metadata)
        with pytest.raises(StoreError, match=f"s3://{BUCKET}/control/a: no credentials were found"):
            open_store(f"s3://{BUCKET}/control").get("a")


def test_no_address_of_a_server_and_plain_http_that_is_not_allowed(env: pytest.MonkeyPatch) -> None:
    for endpoint, allowed in (("nonsense", "true"), ("http://127.0.0.1:1", "")):
        env.setenv("AWS_ENDPOINT_URL", endpoint)
        env.setenv("AWS_ALLOW_HTTP", allowed)
        with pytest.raises(StoreError, match="AWS_ENDPOINT_URL is no address") as caught:
            open_store(f"s3://{BUCKET}/x").get("a")
        assert not isinstance(caught.value, StoreAwayError)


WAIT = """
import sys, time
from shards.errors import StoreAwayError
from shards.store import open_store
begun = time.monotonic()
try:
    open_store("s3://bucket/set").get("a")
except StoreAwayError as error:
    print(f"{time.monotonic() - begun:.1f} {error}")
"""


@pytest.mark.slow
def test_a_store_that_is_away_is_told_in_time(s3: S3Server) -> None:
    """All at once, each in a process of its own: refused, no such host, silent, no TLS, failing for ever."""
    with saying_nothing() as silent, answering(503) as failing:
        cases = {
            f"http://127.0.0.1:{free_port()}": "connection refused",
            "http://no-such-host.invalid": "no such host",
            silent: "no answer",
            s3.url.replace("http", "https"): "no TLS",
            failing: "the server is busy or fails",
        }
        running = {
            url: subprocess.Popen([sys.executable, "-c", WAIT], env={**os.environ, **s3.environment(url)}, stdout=subprocess.PIPE, text=True)
            for url in cases
        }
        for url, process in running.items():
            seconds, _, text = process.communicate(timeout=3 * TOLD_WITHIN_S)[0].partition(" ")
            assert float(seconds) < TOLD_WITHIN_S, (url, seconds)
            assert text.startswith(f"s3://bucket/set/a: {url}: {cases[url]}"), text


def test_a_connection_that_breaks_in_the_midst_is_made_again(s3: S3Server, env: pytest.MonkeyPatch) -> None:
    """The server is away for a second in the midst of an object; control: it was, once."""
    data = os.urandom(8_000_000)
    open_store(f"s3://{BUCKET}/broken").put("large", data)
    gate = Gate(s3.port, break_after=3_000_000)
    env.setenv("AWS_ENDPOINT_URL", gate.url)

    def back() -> None:
        assert gate.broken.wait(30)
        time.sleep(1)
        gate.mend()

    mender = threading.Thread(target=back)
    mender.start()
    try:
        found = b"".join(open_store(f"s3://{BUCKET}/broken").stream("large"))
    finally:
        mender.join()
        gate.close()
    assert found == data
    assert gate.times_broken == 1


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(tmp_path / "file")
    for do in (lambda: store.put("a", b""), lambda: store.put_if_absent("a", b"")):
        with pytest.raises(ShardsError, match="a folder that can be written to"):
            do()
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "link").symlink_to(tmp_path / "file")
    with pytest.raises(ShardsError, match="a link; a file that can be read"):
        open_store(tmp_path / "dir").get("link")
