"""Addresses of stores, and names in them: what is one, and what is not."""

import os
import re

from shards.errors import StoreError

SCHEMES = ("s3", "gs", "az", "memory")
ACCEPTED = "a path, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(.*)", re.DOTALL)  # "s3:/bucket" is what a Path makes of a URL
_PART = re.compile(r"[A-Za-z0-9._=+@-]+")
KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a machine whose role may use the bucket (list, get, put, delete); profiles are not read",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS=FILE, or a machine whose service account may use the bucket",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, or a machine whose identity may use the container",
    "memory": "",
}


def is_url(text: object) -> bool:
    """Whether it is meant as a URL, of any kind; also what is left of one that was made a path (``s3:/bucket``)."""
    match = _URL.fullmatch(os.fspath(text) if isinstance(text, os.PathLike) else str(text))
    return match is not None and (len(match[1]) > 1 or match[2].startswith("/"))


def checked_url(url: str) -> str:
    """``scheme://bucket/prefix``, without a slash at its end. Raises StoreError, which never repeats what may be a password."""
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark and is_url(url):
        raise StoreError(f"{without_user(url)}: one slash; {ACCEPTED}")
    if scheme not in SCHEMES:
        raise StoreError(f"{without_user(url)}: no kind of store that is known; {ACCEPTED}", hint="a folder is named by its path alone")
    if "@" in rest.partition("/")[0]:
        raise StoreError(f"{without_user(url)}: a user or a password in an address; {ACCEPTED}", hint=KEYS[scheme])
    if "?" in rest or "#" in rest:
        raise StoreError(f"{without_user(url)}: a ? or # in an address; {ACCEPTED}", hint=KEYS[scheme])
    rest = rest.rstrip("/")
    checked_name(rest, without_user(url))
    return f"{scheme}://{rest}"


def checked_name(name: str, where: object) -> str:
    """``name``, of an object at ``where``. Raises StoreError for one that not every store takes, or that leaves it (``..``)."""
    if all(_PART.fullmatch(part) and part not in (".", "..") for part in name.split("/")):
        return name
    raise StoreError(f"{where}: name {name[:200]!r}; parts of letters, digits and ._=+@- with a / between them")


def without_user(url: str) -> str:
    """For messages: without user, password and query."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
