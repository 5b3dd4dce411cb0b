"""Counts in words, of files and of people's tables: ``1 picture``, ``2,000 pictures``."""


def counted(num: float, what: str, plural: str = "") -> str:
    """``num`` with thousands parted, and ``what`` in singular or plural.

    Args:
        plural: where it is not ``what`` and an s.
    """
    return f"{num:,} {what if num == 1 else plural or f'{what}s'}"


def times(num: int) -> str:
    """``once``, ``2 times``."""
    return "once" if num == 1 else f"{num:,} times"
