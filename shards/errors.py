"""What a user of the shards can be told: every text says what was found, what is accepted, and what to do next."""

from pathlib import Path


class UserError(ValueError):
    """Something that the person at the keyboard can mend; the command line prints it without a traceback.

    The text reads ``<field or file>: <what was found>; <what is accepted>``, one line a problem, then ``hint: <next step>``.
    """

    def __init__(self, *problems: str, hint: str = "") -> None:
        self.problems = problems
        self.hint = hint
        super().__init__("\n".join(problems) + (f"\nhint: {hint}" if hint else ""))


class ShardsError(UserError):
    """Something about the table, the pictures or the packed set that its owner can mend."""


class TableError(ShardsError):
    """The table as a whole cannot be read: no rows, a column that is missing, a format that is unknown."""


class DamagedShardError(ShardsError):
    """A file of the packed set is not the one that was packed; the text names it."""


class NoRoomError(ShardsError):
    """A file of the cache does not fit on the disk, or into the budget, even when all that nobody uses has made room."""

    def __init__(self, path: Path, num_bytes: int, free_bytes: int, what: str) -> None:
        self.num_bytes, self.free_bytes = num_bytes, max(free_bytes, 0)
        super().__init__(
            f"{path}: {self.num_bytes:,} bytes are needed for {what}; {self.free_bytes:,} bytes are free",
            hint="name a folder on a larger disk with --cache, or allow more with --cache-gb",
        )


class TestSplitClosedError(ShardsError):
    """Test pictures or labels were asked for without an opening that is on record."""

    __test__ = False  # not a test class, whatever pytest makes of its name


class PictureError(ValueError):
    """A file that gives no picture: the reason for the ledger and the detail, ``<found>; <accepted>``."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")
