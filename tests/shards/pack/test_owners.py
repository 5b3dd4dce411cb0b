"""Owners by a keyed hash: who they are is not in the set, what belongs together still is."""

from pathlib import Path

import pytest

from shards.errors import ShardsError
from shards.inspection.verify import verify
from shards.living.add import add
from shards.living.remove import remove
from shards.pack.owners import check_of, find_salt, hashed
from shards.pack.pack import pack
from shards.read.shard_set import ShardSet
from tests.helpers.living import everywhere, manifest, new_pictures

SALT, OTHER = b"a salt of sixteen bytes", b"another salt, as long"


def test_no_owner_is_named_and_each_is_one_still(tmp_path: Path) -> None:
    owners = {n: f"owner-{n // 3}" if n < 81 else "" for n in range(60, 84)}
    table = new_pictures(tmp_path, owners, {70: 60})
    plain, root = tmp_path / "plain", tmp_path / "set"
    pack(table.path, plain, processes=1)
    pack(table.path, root, processes=1, owner_salt=SALT)
    assert everywhere(plain, "owner-")  # control
    assert everywhere(root, "owner-") == []
    assert everywhere(root, SALT.decode()) == []
    rows = {row["id"]: row["owner"] for row in ShardSet(root).table.to_pylist()}
    assert rows == {one: hashed(owners[int(one[1:])], SALT) for one in rows}
    assert "" in rows.values()
    assert verify(root) == []
    assert manifest(root).source.owners_hashed == check_of(SALT)
    assert manifest(plain).source.owners_hashed == ""
    with pytest.raises(ShardsError, match=r"packed with another source\.owners_hashed"):
        pack(table.path, root, processes=1, owner_salt=OTHER)
    with pytest.raises(ShardsError, match=r"packed with another source\.owners_hashed"):
        pack(table.path, root, processes=1)
    assert pack(table.path, root, processes=1, owner_salt=SALT).already_packed

    more = new_pictures(tmp_path, {84: "owner-20", 85: "owner-99"}, name="more.csv")
    for salt in (None, OTHER):
        with pytest.raises(ShardsError, match=r"owners: .*; the one of check"):
            add(root, more, processes=1, salt=salt)
    add(root, more, processes=1, salt=SALT)
    split_of = {row["owner"]: row["split"] for row in ShardSet(root).table.to_pylist() if row["id"] != "n84"}
    new = {row["id"]: row for row in ShardSet(root).table.to_pylist()}
    assert new["n84"]["split"] == split_of[hashed("owner-20", SALT)]
    assert everywhere(root, "owner-") == []
    assert remove(root, owners=[hashed("owner-20", SALT)]).num_pictures >= 3


def test_the_salt_is_found_or_made_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEORIA_OWNER_SALT", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "peoria/owner_salt"
    with pytest.raises(ShardsError, match="owner_salt: no such file, and no PEORIA_OWNER_SALT"):
        find_salt()
    made = find_salt(make=True)
    assert len(made) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert find_salt() == find_salt(make=True) == made
    path.chmod(0o644)
    with pytest.raises(ShardsError, match=r"others can read it \(mode 644\); a private file\nhint: chmod 600"):
        find_salt()
    monkeypatch.setenv("PEORIA_OWNER_SALT", "short")
    with pytest.raises(ShardsError, match="PEORIA_OWNER_SALT: a salt of 5 bytes; at least 16"):
        find_salt()
    monkeypatch.setenv("PEORIA_OWNER_SALT", OTHER.decode())
    assert find_salt() == OTHER


def test_a_hash_is_of_salt_and_owner() -> None:
    found = {hashed(owner, salt) for owner in ("ann", "bob", "Ann", "ann ") for salt in (SALT, OTHER)}
    assert len(found) == 8
    assert all(len(one) == 32 for one in found)
    assert hashed("", SALT) == ""
    assert check_of(SALT) not in (check_of(OTHER), hashed("peoria\0the salt itself", SALT))
    assert hashed("ann", b"k" * 16) == "12326ed7dd3cd300f19cdffc541c2a52"  # as openssl has it
