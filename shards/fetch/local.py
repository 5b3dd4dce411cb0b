"""The bytes of a picture: the one place where they are got."""

import errno
import os
import stat
from pathlib import Path

from shards.errors import PictureError
from shards.files import told

MAX_FILE_BYTES = 256 * 2**20
PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)  # of the machine, and no word about the picture


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises PictureError, without the folder in its text: the ledger is the same wherever the set is packed; and FileError
    where the machine is at its limits, so that a picture is not left out for ever because of it."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe would never end, a folder has no bytes
            raise PictureError("not_a_file", "a folder or a device; a file")
        if found.st_size > MAX_FILE_BYTES:
            raise PictureError("too_many_bytes", f"{found.st_size} bytes; at most {MAX_FILE_BYTES}")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError("missing_file", "no such file; a file in the folder of the pictures") from None
    except OSError as error:
        if error.errno in PASSING:
            with told(path, "a picture that can be read now"):
                raise
        raise PictureError("unreadable_file", f"{error.strerror}; a file that can be read") from None
