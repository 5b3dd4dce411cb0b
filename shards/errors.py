"""What a user of the shards can be told: every text says what was found, what is accepted, and what to do next."""

import errno
from pathlib import Path
from typing import Any


class UserError(ValueError):
    """Something that the person at the keyboard can mend; the command line prints it without a traceback.

    The text reads ``<field or file>: <what was found>; <what is accepted>``, one line a problem, then ``hint: <next step>``.
    """

    def __init__(self, *problems: str, hint: str = "") -> None:
        self.problems = problems
        self.hint = hint
        super().__init__("\n".join(problems) + (f"\nhint: {hint}" if hint else ""))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the lines above, without the way that led there."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[Any, ...]:  # whatever a subclass is made of: what a worker raises reaches its parent as it is
        return _unpickled, (type(self), self.args, vars(self))


def _unpickled(kind: type[UserError], args: tuple[Any, ...], state: dict[str, Any]) -> UserError:
    error: UserError = (OSError if issubclass(kind, OSError) else ValueError).__new__(kind)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


class ShardsError(UserError):
    """Something about the table, the pictures or the packed set that its owner can mend."""


class TableError(ShardsError):
    """The table as a whole cannot be read: no rows, a column that is missing, a format that is unknown."""


class DamagedShardError(ShardsError):
    """A file of the packed set is not the one that was packed; the text names it."""


class FileError(ShardsError, OSError):
    """What the system says of a file or a folder: no right to write, an error of the disk, a name too long. An OSError too, with its errno."""

    def __init__(self, *problems: str, hint: str = "", code: int | None = None, said: str = "") -> None:
        super().__init__(*problems, hint=hint)
        self.errno, self.strerror = code, said or problems[0]

    def __str__(self) -> str:  # not OSError's, which would show the errno
        return ValueError.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args, vars(self) | {"errno": self.errno, "strerror": self.strerror})


class NoRoomError(FileError):
    """What is to be written does not fit: on the disk, into the quota or the limit of a file, or into the budget of a cache, even when all that
    nobody uses has made room."""

    def __init__(self, path: Path, num_bytes: int, free_bytes: int, what: str, *, limit: str = "", hint: str = "", code: int = errno.ENOSPC) -> None:
        self.num_bytes, self.free_bytes = num_bytes, max(free_bytes, 0)
        needed = f"{num_bytes:,} bytes are" if num_bytes else "room is"
        super().__init__(
            f"{path}: {needed} needed for {what}; {limit or f'{self.free_bytes:,} bytes are free'}",
            hint=hint or "make room there, and the same command goes on",
            code=code,
            said="no room",
        )


class StoreError(ShardsError):
    """What a store of objects says: no right, no credentials, no such bucket; the text names the address."""


class MissingObjectError(StoreError):
    """No object of that name is in the store, or no bucket."""


class StoreAwayError(StoreError):
    """The store did not answer, or cannot for now: the same may succeed a little later."""


class TestSplitClosedError(ShardsError):
    """Test pictures or labels were asked for without an opening that is on record."""

    __test__ = False  # not a test class, whatever pytest makes of its name


class NothingSealedError(ShardsError):
    """An opening was asked for where every vault of the test split was opened before."""


class PictureError(ValueError):
    """A file that gives no picture: the reason for the ledger and the detail, ``<found>; <accepted>``."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)
