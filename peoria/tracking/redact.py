"""No secrets in what is shown to others: values of secret names, and the parts of URLs that carry logins and signatures."""

import re
from typing import Any

HIDDEN = "***"
_SECRET_NAME = re.compile(r"(token|key|password|secret)$", re.IGNORECASE)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s'\"<>?#]*@", re.IGNORECASE)
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s'\"<>?#]*)[?#][^\s'\"<>]*", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
# `key` alone names a picture here ("key: 000123"), so in running text only SOMETHING_KEY is taken for a secret
_ASSIGNED = re.compile(r"([\w-]*(?:token|password|secret)|[\w-]*[_-]key|apikey)(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&)}]+", re.IGNORECASE)
_FLAG = re.compile(r"(--[\w-]*(?:token|key|password|secret))(\s+)[^\s-]\S*", re.IGNORECASE)


def scrub_text(text: str) -> str:
    """``text`` without logins and queries of URLs, bearer tokens, and values given to ``…TOKEN``, ``…_KEY``, ``…PASSWORD``, ``…SECRET``."""
    text = _QUERY.sub(r"\1", _USER_INFO.sub(r"\1", text))
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _FLAG.sub(rf"\1\2{HIDDEN}", _ASSIGNED.sub(rf"\1\2{HIDDEN}", text))


def scrub(value: Any, name: str = "") -> Any:
    """A JSON ``value`` without secrets, by the names inside it and by its own ``name``; the shape stays."""
    if value is not None and _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, dict):
        return {key: scrub(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(inner) for inner in value]
    return scrub_text(value) if isinstance(value, str) else value
