"""Pictures that a larger file holds: what is said of one where that file cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shards.errors import PictureError
from shards.fetch import MAX_FILE_BYTES, PASSING
from shards.files import told

SUFFIXES = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "tif", "tiff", "bmp", "avif")  # names that pictures have


def refuse_large(num_bytes: int) -> None:
    """Raises PictureError: too_many_bytes."""
    if num_bytes > MAX_FILE_BYTES:
        raise PictureError("too_many_bytes", f"{num_bytes} bytes; at most {MAX_FILE_BYTES}")


@contextmanager
def judged(file: Path) -> Iterator[None]:
    """What the system says of a file that holds many pictures: of one of them, PictureError without the folder in its text; FileError where the
    machine is at its limits."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError("missing_file", f"no file {file.name!r}; the one that the rows were read from") from None
    except OSError as error:
        if error.errno in PASSING:
            with told(file, "a file that can be read now"):
                raise
        raise PictureError("unreadable_file", f"{file.name!r}: {said(error)}; a file that can be read") from None


def said(error: Exception) -> str:
    """In one short line, without a path, and without the bytes that a parser may show of what it could not read."""
    return printable((getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0])


def printable(text: str) -> str:
    """For a message, of what others have written: nothing that steers a terminal or is no text, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:500])


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, so that a table can hold it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
