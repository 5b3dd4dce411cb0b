"""Owners by a keyed hash in the place of their names: one owner's pictures still belong together; who has not the salt cannot tell whose they are.

HMAC-SHA256 under a salt that never lies in the set. The set holds what tells the right salt from another.
"""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from shards.errors import ShardsError
from shards.files import read_plain, told, write_atomic
from shards.manifest import Source
from shards.sources.rows import PictureRow, Rejection

VARIABLE = "PEORIA_OWNER_SALT"
LEAST_BYTES = 16  # a shorter one can be guessed, and with it every owner
_DIGITS = 32  # 128 bits of the hash


def find_salt(make: bool = False) -> bytes:
    """From the environment, or from a private file of this user's, which is made where there is none and ``make``.

    Raises:
        ShardsError: there is none, it is too short, or others can read the file.
    """
    given = os.environb.get(VARIABLE.encode(), b"").strip()
    if given:
        return _long_enough(given, VARIABLE)
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "peoria" / "owner_salt"
    hint = f"{VARIABLE}=… gives it, the same as at packing"
    with told(path, "the salt of hashed owners", hint=hint):
        if not path.exists():
            if not make:
                raise ShardsError(f"{path}: no such file, and no {VARIABLE}; the salt that the owners were hashed with", hint=hint)
            write_atomic(path, secrets.token_hex(32).encode() + b"\n", mode=0o600)
        if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            raise ShardsError(f"{path}: others can read it (mode {mode:03o}); a private file", hint=f"chmod 600 {path}")
        return _long_enough(read_plain(path, 2**16).strip(), str(path))


def check_of(salt: bytes) -> str:
    """Tells one salt from another."""
    return hmac.new(salt, b"peoria\0the salt itself", hashlib.sha256).hexdigest()[:_DIGITS]


def hashed(owner: str, salt: bytes) -> str:
    """32 hexadecimal digits; an unknown owner stays unknown."""
    return hmac.new(salt, b"owner\0" + owner.encode(), hashlib.sha256).hexdigest()[:_DIGITS] if owner else ""


def refuse_other_salt(packed: Source, salt: bytes | None) -> None:
    """Raises ShardsError where the owners of a set are hashed, and not with this salt."""
    if packed.owners_hashed and (salt is None or check_of(salt) != packed.owners_hashed):
        found = "no salt" if salt is None else f"a salt of check {check_of(salt)[:8]}"
        raise ShardsError(
            f"owners: {found}; the one of check {packed.owners_hashed[:8]}, that the set's owners are hashed with",
            hint=f"{VARIABLE}=…, or its file, as at packing",
        )


def hashed_owners(rows: Iterator[PictureRow | Rejection], packed: Source, salt: bytes | None) -> Iterator[PictureRow | Rejection]:
    """The rows as a set has them whose owners are hashed, or are not. Raises ShardsError as `refuse_other_salt`."""
    refuse_other_salt(packed, salt)
    if not packed.owners_hashed or salt is None:
        return rows
    return (replace(row, owner=hashed(row.owner, salt)) if isinstance(row, PictureRow) else row for row in rows)


def _long_enough(salt: bytes, where: str) -> bytes:
    if len(salt) < LEAST_BYTES:
        raise ShardsError(
            f"{where}: a salt of {len(salt)} bytes; at least {LEAST_BYTES}", hint="python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return salt
