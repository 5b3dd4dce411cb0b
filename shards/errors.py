"""What a user of the shards can be told: every text says what was found, what is accepted, and what to do next."""


class ShardsError(ValueError):
    """Something about the table, the pictures or the packed set that its owner can mend.

    The text reads ``<field or file>: <what was found>; <what is accepted>``, one line a problem, then ``hint: <next step>``.
    """

    def __init__(self, *problems: str, hint: str = "") -> None:
        self.problems = problems
        self.hint = hint
        super().__init__("\n".join(problems) + (f"\nhint: {hint}" if hint else ""))


class TableError(ShardsError):
    """The table as a whole cannot be read: no rows, a column that is missing, a format that is unknown."""


class DamagedShardError(ShardsError):
    """A file of the packed set is not the one that was packed; the text names it."""


class TestSplitClosedError(ShardsError):
    """Test pictures or labels were asked for without an opening that is on record."""

    __test__ = False  # not a test class, whatever pytest makes of its name
