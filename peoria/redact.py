"""No secrets in what is shown to others: values of secret names, tokens that tell themselves, and the parts of addresses that carry logins and
signatures. What the user wrote stays as it is on the user's own disk."""

import html
import json
import re
from collections.abc import Callable
from typing import Any

HIDDEN = "***"
# The last word of a name whose value is a secret. `key` alone names a picture or a trial here ("key: 000123"), so only SOMETHING_KEY is one.
_WORDS = (
    r"token|passwords?|passwd|passphrase|pass(?:word)?_?phrase|pwd|secrets?|credentials?|api_?key|access_?key(?:_?id)?|private_?key|account_?key"
    r"|secret_?key|auth_?key|signing_?key|shared_?key|cookies?|signature|x-amz-signature|x-amz-credential|x-amz-security-token"
)
_NAME = rf"(?:[\w.-]*(?:{_WORDS})|[\w-]+[_-]key|sig|pass)"
_SECRET_NAME = re.compile(rf"(?:^|[^a-z])(?:key)$|(?:^|.*?)(?:{_WORDS})$|.*[_-]key$|^(?:sig|auth|authorization)$", re.IGNORECASE)
_SCHEME = r"\b[a-z][a-z0-9+.-]*://"
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)", re.DOTALL)
_USER_INFO = re.compile(rf"({_SCHEME})[^\s'\"<>?#]*@", re.IGNORECASE)
_QUERY = re.compile(rf"({_SCHEME}[^\s'\"<>?#]*)[?#][^\s'\"<>]*", re.IGNORECASE)
# `ann:hunter2@host` without a scheme: where the host has a point, a port or a path, or the password a digit
_LOGIN = re.compile(
    r"(?<![\w/@:.])[a-z_][\w.+-]*:(?:[^\s:@/'\"<>]+@(?=(?:[\w-]+\.[\w-]|[\w-]+:\d|[\w-]+/|localhost\b))|[^\s:@/'\"<>]*\d[^\s:@/'\"<>]*@(?=[a-z]))",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b((?:proxy-)?authorization|x-api-key|x-auth-token|(?:set-)?cookie)(['\"]?\s*[:=]\s*['\"]?)([^\r\n'\"]+)", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic|digest)\s+(?=[\w.~+/=-]*[\d.~+/=_-])[\w.~+/=-]{8,}", re.IGNORECASE)
_QUOTED = rf"({_NAME})(\\?['\"]?\s*(?:=|:|=>)\s*)(?:\\?\"(?:[^\"\\]|\\.)*\\?\"|\\?'(?:[^'\\]|\\.)*\\?')"
_ASSIGNED_QUOTED = re.compile(rf"(?<![\w.-]){_QUOTED}", re.IGNORECASE)
_ASSIGNED = re.compile(rf"(?<![\w.-])({_NAME})(\\?['\"]?\s*(?:=|:)\s*)(?!\s)[^\s'\",;&)}}<>\]]+", re.IGNORECASE)
_FLAG = re.compile(rf"(--?[\w-]*(?:{_WORDS}|-key))(\s+)(?!-)\S+", re.IGNORECASE)
_TOKEN = re.compile(  # what issuers of tokens begin them with, so that leaks can be found
    r"(?<![\w])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{16,}|glpat-[\w-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}"
    r"|sk-(?:[a-z]+-)*[\w-]{16,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|dapi[0-9a-f]{32}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)(?![\w])"
)


def scrub_text(text: str) -> str:
    """``text`` without logins and queries of addresses, headers and tokens that let somebody in, private keys, and values given to names such as
    ``…TOKEN``, ``…_KEY``, ``…PASSWORD``, ``PASSWD``, ``pwd``, ``credentials``, ``sig``."""
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _QUERY.sub(r"\1", _USER_INFO.sub(r"\1", text))
    text = _HEADER.sub(_header, text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _FLAG.sub(rf"\1\2{HIDDEN}", text)
    text = _ASSIGNED.sub(rf"\1\2{HIDDEN}", _ASSIGNED_QUOTED.sub(_quoted, text))
    return _LOGIN.sub("", _TOKEN.sub(HIDDEN, text))


def _header(found: re.Match[str]) -> str:
    kind = re.match(r"(?:bearer|basic|digest|token)\s+(?=\S)", found[3], re.IGNORECASE)
    return f"{found[1]}{found[2]}{kind[0] if kind else ''}{HIDDEN}"


def _quoted(found: re.Match[str]) -> str:
    quote = re.search(r"\\?['\"]$", found[0])
    assert quote is not None
    return f"{found[1]}{found[2]}{quote[0]}{HIDDEN}{quote[0]}"


def is_secret(name: str) -> bool:
    """Whether what stands under this name is a secret."""
    return _SECRET_NAME.search(name) is not None


def scrub(value: Any, name: str = "") -> Any:
    """A JSON ``value`` without secrets, by the names inside it and by its own ``name``; the shape stays."""
    if value is not None and is_secret(name):
        return HIDDEN
    if isinstance(value, dict):
        return {key: scrub(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(inner) for inner in value]
    return scrub_text(value) if isinstance(value, str) else value


def scrub_file(name: str, data: bytes) -> bytes:
    """The bytes of a JSON or HTML file without secrets; the same bytes where it holds none.

    Of JSON the texts are scrubbed, not what stands under a name: a trial's ``key`` is none of these. Pictures in a page are left alone.
    """
    text = data.decode("utf-8", "backslashreplace")
    if name.endswith(".json"):
        value = json.loads(text)
        scrubbed = _texts(value, scrub_text)
        return data if scrubbed == value else (json.dumps(scrubbed, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
    if name.endswith((".html", ".htm")):
        # attributes first, for there a sign such as > may stand; then what is between the tags
        shown = re.sub(r'(?<==")(?!data:image/)[^"]*(?=")', _in_page, text)
        shown = re.sub(r"(?<=>)[^<>]+(?=<|\Z)", _in_page, shown)
    else:
        shown = scrub_text(text)
    return data if shown == text else shown.encode()


def _in_page(found: re.Match[str]) -> str:
    plain = html.unescape(found[0])
    scrubbed = scrub_text(plain)
    return found[0] if scrubbed == plain else html.escape(scrubbed)


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {change(key): _texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value
