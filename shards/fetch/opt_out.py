"""What the owner of a picture says, in the headers that come with it, of its use by programs.

X-Robots-Tag is Google's (developers.google.com/search/docs/crawling-indexing/robots-meta-tag), tdm-reservation of a group at the W3C (TDMRep, 2024).
The directives are those that img2dataset honours, and ``none``, which is short for noindex and nofollow.
"""

from collections.abc import Iterable

DIRECTIVES = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
AGENT = "peoria"
_WITH_VALUES = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")  # their colon names no program


def opted_out(robots: Iterable[str], reservation: Iterable[str]) -> str:
    """The header by which the use is not wanted, "" where it is not said. Takes the values of X-Robots-Tag and of tdm-reservation."""
    for value in robots:
        agent = ""  # all
        for part in value.lower().split(","):
            name, colon, rest = part.partition(":")
            if colon and name.strip() not in _WITH_VALUES:
                agent, part = name.strip(), rest
            if agent in ("", AGENT, "*") and part.strip() in DIRECTIVES:
                return f"X-Robots-Tag: {part.strip()}"
    return "tdm-reservation: 1" if any(value.strip() == "1" for value in reservation) else ""
