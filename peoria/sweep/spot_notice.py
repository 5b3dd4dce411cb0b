"""What a cloud says of a machine that it is about to take away: its metadata service, asked on the machine itself. Never an error: a service that
does not answer says nothing, and is asked again."""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

ADDRESS = "PEORIA_METADATA_URL"  # the service's, in tests
LINK_LOCAL = "http://169.254.169.254"  # of AWS, GCP and Azure alike
TIMEOUT_S = 1.0
TOKEN_S = 21_600
LONGEST_BYTES = 1 << 16
Notice = Callable[[], str]
_AZURE = {"Metadata": "true"}
_GCP = {"Metadata-Flavor": "Google"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy would answer for another machine


class _Away(Exception):
    """Nobody answers."""


def find_notice() -> Notice | None:
    """Asks once who answers, within about a second where nobody does. What is returned gives the notice in words, "" where there is none yet."""
    base = os.environ.get(ADDRESS, LINK_LOCAL).rstrip("/")
    try:
        if token := _token(base):
            return _Aws(base, token)
        if _ask(base, "/computeMetadata/v1/instance/preempted", _GCP) is not None:
            return lambda: _quiet(lambda: _gcp(base))
        if (name := _ask(base, "/metadata/instance/compute/name?api-version=2021-02-01&format=text", _AZURE)) is not None:
            return lambda: _quiet(lambda: _azure(base, name))
    except _Away:
        pass
    return None


class _Aws:
    """IMDSv2: a token first, which runs out."""

    def __init__(self, base: str, token: str) -> None:
        self._base, self._token = base, token

    def __call__(self) -> str:
        return _quiet(self._asked)

    def _asked(self) -> str:
        for _ in range(2):
            try:
                found = _ask(self._base, "/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": self._token}, refused=True)
                break
            except PermissionError:
                self._token = _token(self._base) or ""
        else:
            return ""
        if found is None:
            return ""
        action = _json(found)
        return f"AWS will {action.get('action', 'take')} it at {action.get('time', 'once')}"


def _token(base: str) -> str | None:
    return _ask(base, "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}, method="PUT")


def _gcp(base: str) -> str:
    return "GCP preempts it" if (_ask(base, "/computeMetadata/v1/instance/preempted", _GCP) or "").strip().upper() == "TRUE" else ""


def _azure(base: str, name: str) -> str:
    events = _json(_ask(base, "/metadata/scheduledevents?api-version=2020-07-01", _AZURE) or "{}").get("Events")
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict) and event.get("EventType") == "Preempt" and name in (event.get("Resources") or [name]):
            return f"Azure preempts it at {event.get('NotBefore') or 'once'}"
    return ""


def _quiet(ask: Notice) -> str:
    try:
        return ask()
    except _Away:
        return ""


def _ask(base: str, path: str, headers: dict[str, str], *, method: str = "GET", refused: bool = False) -> str | None:
    """What is said there; None where that is another status than 200.

    Raises:
        _Away: nobody answers.
        PermissionError: 401, with ``refused``.
    """
    request = urllib.request.Request(base + path, headers=headers, method=method)
    try:
        with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
            text = answer.read(LONGEST_BYTES).decode("utf-8", "replace")
            return text if answer.status == 200 else None
    except urllib.error.HTTPError as error:
        error.close()
        if refused and error.code == 401:
            raise PermissionError(path) from None
        return None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Away(str(error)) from None


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
