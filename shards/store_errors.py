"""What a store's library says when it fails, in our words: errors of one line with what to do."""

import re

from shards.addresses import ACCEPTED, KEYS
from shards.errors import MissingObjectError, StoreAwayError, StoreError

_MAKE = "make it first, or name one that is there"
_ENDPOINT = "is the network up, and is the endpoint right (AWS_ENDPOINT_URL, with AWS_ALLOW_HTTP=true for http://)?"
# (what the library's text holds, what that means, the hint; "": the variables of its keys). In this order: a text may hold several.
_SAID = (
    (r"NoSuchBucket|ContainerNotFound|specified bucket does not exist", "no such bucket", _MAKE),
    (r"169\.254\.|/latest/(api|meta-data)|/computeMetadata/|token request|MissingAccount|InvalidCredentials", "no credentials were found", ""),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|AuthenticationFailed|status: 401|Unauthenticated", "wrong credentials", ""),
    (r"RequestTimeTooSkewed", "the clock of this machine is wrong", "set it: signatures hold for 15 minutes"),
    (r"status: 403|PermissionDenied", "no right to do this", ""),
    (r"BareRedirect|AuthorizationHeaderMalformed|PermanentRedirect", "the bucket is in another region", "AWS_REGION=…"),
    (r"InvalidUri|BadScheme|RelativeUrlWithoutBase", "AWS_ENDPOINT_URL is no address", "https://HOST:PORT, or http:// with AWS_ALLOW_HTTP=true"),
    (r"NotImplemented|NotSupported|status: 501", "this store cannot do that", "name another store"),
)  # fmt: skip
_AWAY = (
    (r"ConnectionRefused", "connection refused"),
    (r"dns error", "no such host"),
    (r"InvalidMessage|InvalidContentType|[Cc]ertificate|UnknownIssuer", "no TLS, or a certificate that is not trusted"),
    (r"kind: Timeout|TimedOut", "no answer"),
    (r"status: (5\d\d|429)", "the server is busy or fails"),
    (r"kind: (Connect|Request|Interrupted|Body|Decode)|IncompleteMessage|ConnectionReset|BrokenPipe|end of file", "the connection broke"),
)  # fmt: skip


def in_words(said: str, where: str, url: str, absent: bool = False) -> StoreError:
    """What the library says, whose texts run over many lines, as one line with what to do."""
    keys = KEYS[url.partition("://")[0]]
    asked = re.search(r"\b[A-Z]+ (https?://[^/\s]+)", said)
    server = asked[1] if asked else "the store"
    for words, found, hint in _SAID:
        if re.search(words, said):
            return StoreError(f"{url if hint == _MAKE else where}: {found}", hint=hint or keys)
    if absent:
        return MissingObjectError(f"{where}: no such object")
    for words, found in _AWAY:
        if re.search(words, said):
            return StoreAwayError(f"{where}: {server}: {found}; a store that answers", hint=_ENDPOINT)
    return StoreError(f"{where}: {' '.join(said.partition('Debug source')[0].split())[:300]}; {ACCEPTED}", hint=keys)
