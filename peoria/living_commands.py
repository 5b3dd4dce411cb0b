"""`peoria recount`, `remove`, `compact` and `add`: their flags, and what they do given them."""

import argparse
import csv
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from peoria.arguments import add_fetching, address, fetch_rules, local_path, whole
from peoria.borders import folded


def add_living_commands(commands: Any) -> None:
    recount = commands.add_parser("recount", help="new counts of the pictures of a packed set, by their ids", description=recount_command.__doc__)
    recount.add_argument("shards", type=address, help="the folder of the packed set")
    recount.add_argument("table", help="ids and counts, of any kind that pack reads; paths are not needed")
    recount.add_argument("--column", action="append", default=[], metavar="FIELD=COLUMN", help="where a field is in the table, as in views=num_views")
    recount.add_argument("--as", dest="kind", metavar="KIND", help="what the table is (default: found by its suffix and by what lies there)")
    recount.add_argument("--missing", choices=("keep",), default="refuse", help="pictures that the table lacks keep their counts (default: refused)")
    recount.add_argument("--drop", action="append", default=[], metavar="FIELD", help="a count that the table lacks, and the set is to lose")
    recount.add_argument("--ledger", type=local_path, metavar="FILE", help="CSV of the rows that gave nothing, each with its reason")
    recount.set_defaults(run=recount_command)

    add = commands.add_parser("add", help="new pictures to a packed set", description=add_command.__doc__)
    add.add_argument("shards", type=address, help="the folder of the packed set")
    add.add_argument("table", help="pictures and counts, of any kind that pack reads; rows that the set has are left out")
    add.add_argument(
        "--column", action="append", default=[], metavar="FIELD=COLUMN", help="where a field is in the table (default: as it was packed)"
    )
    add.add_argument("--as", dest="kind", metavar="KIND", help="what the table is (default: found by its suffix and by what lies there)")
    add.add_argument("--path", dest="path_pattern", metavar="PATTERN", help="the path made of columns, as img/{id}.jpg")
    add.add_argument("--drop", action="append", default=[], metavar="FIELD", help="a field of the table that is not read")
    add.add_argument("--pictures", metavar="DIR", help="where paths start from (default: the table's folder)")
    add.add_argument("--processes", type=whole, help="how many prepare pictures at once (default: one a core)")
    add.add_argument("--accept-losses", action="store_true", help="leave out rows whose views cannot be read, however many they are")
    add_fetching(add)
    _add_cache(add)
    add.set_defaults(run=add_command)

    remove = commands.add_parser("remove", help="take pictures out of a packed set", description=remove_command.__doc__)
    remove.add_argument("shards", type=address, help="the folder of the packed set")
    remove.add_argument("ids", nargs="*", metavar="ID", help="of pictures; after -- where one begins with a dash")
    remove.add_argument("--owner", action="append", default=[], metavar="OWNER", help="all that is known to be of this owner; may be given again")
    remove.add_argument("--from", dest="file", type=local_path, metavar="FILE", help="ids, a line each")
    remove.add_argument("--forget", action="store_true", help="keep not even their ids in the ledger; add would then take them for new")
    _add_cache(remove)
    remove.set_defaults(run=remove_command)

    compact = commands.add_parser("compact", help="take the bytes of removed pictures off the disk", description=compact_command.__doc__)
    compact.add_argument("shards", type=address, help="the folder of the packed set")
    _add_cache(compact)
    compact.set_defaults(run=compact_command)


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        type=local_path,
        action="append",
        metavar="DIR",
        help="where decoded copies of the set lie, which go too; may be given again (default: PEORIA_CACHE, or data/cache)",
    )


def recount_command(arguments: argparse.Namespace) -> int:
    """Gives the pictures of a packed set new counts, by their ids: no shard is written, and the set has another identity. Of test vaults those that
    were opened stay opened."""
    from peoria.pack_command import mapping
    from shards.files import write_atomic
    from shards.living.recount import recount
    from shards.sources.opened import open_source

    lines = StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("row", "id", "reason", "detail"))
    root, source = _folder(arguments), open_source(arguments.table, arguments.kind)
    try:
        how = {"missing": arguments.missing, "drop": arguments.drop, "note": lambda *line: writer.writerow(line)}
        found = recount(root, source, mapping(arguments.column), **how)
    finally:
        if arguments.ledger is not None:
            write_atomic(arguments.ledger, lines.getvalue().encode())
    print(folded(found.text()))
    return 0


def add_command(arguments: argparse.Namespace) -> int:
    """Adds new pictures to a packed set by the rules that it was packed by: owners keep their splits, no shard that is there is written, and the set
    has another identity. Interrupted and started again it goes on."""
    from peoria.pack_command import bar, mapping
    from shards.living.add import add
    from shards.sources.opened import open_source

    source = open_source(arguments.table, arguments.kind, arguments.pictures)
    how = {name: getattr(arguments, name) for name in ("path_pattern", "drop", "processes", "accept_losses")}
    root = _folder(arguments)
    with bar() as progress:
        found = add(
            root,
            source,
            mapping(arguments.column),
            salt=_salt(root),
            fetch=fetch_rules(arguments),
            caches=_caches(arguments),
            progress=progress,
            **how,
        )
    print(folded(found.text()))
    return 0


def remove_command(arguments: argparse.Namespace) -> int:
    """Takes pictures out of a packed set: no reader gives them any more, the ledger says "removed" and no more of them, and the set has another
    identity. Their bytes leave the disk by peoria compact."""
    from shards.errors import ShardsError
    from shards.living.remove import remove

    root, ids = _folder(arguments), [*arguments.ids, *_ids_in(arguments.file)]
    if not ids and not arguments.owner:
        raise ShardsError("remove: no id; ids of pictures, --owner OWNER, or --from FILE")
    owners = _owners(root, arguments.owner)
    print(folded(remove(root, ids, owners, forget=arguments.forget, caches=_caches(arguments)).text()))
    return 0


def compact_command(arguments: argparse.Namespace) -> int:
    """Writes the shards that hold removed pictures anew without them, and removes the old ones, and what an interrupted change left."""
    from shards.living.remove import compact

    print(folded(compact(_folder(arguments), _caches(arguments)).text()))
    return 0


def _salt(root: Path) -> bytes | None:
    """Of a set whose owners are hashed."""
    from shards.manifest import Manifest
    from shards.pack.owners import find_salt

    return find_salt() if Manifest.load(root).source.owners_hashed else None


def _owners(root: Path, names: list[str]) -> list[str]:
    """As the set has them. Raises ShardsError where they are hashed with another salt."""
    from shards.manifest import Manifest
    from shards.pack.owners import hashed, refuse_other_salt

    salt = _salt(root) if names else None
    if salt is None:
        return names
    refuse_other_salt(Manifest.load(root).source, salt)
    return [hashed(name, salt) for name in names]


def _ids_in(file: Path | None) -> list[str]:
    from shards.files import read_plain, told

    if file is None:
        return []
    accepted = "a file of ids, a line each, in UTF-8"
    with told(file, accepted):
        data = read_plain(file)
    try:
        return [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        from shards.errors import ShardsError

        raise ShardsError(f"{file}: no UTF-8 at byte {error.start}; {accepted}") from None


def _caches(arguments: argparse.Namespace) -> Sequence[Path]:
    return arguments.cache or [Path(os.environ.get("PEORIA_CACHE") or "data/cache")]


def _folder(arguments: argparse.Namespace) -> Path:
    """Raises ShardsError for a set in a store, whose objects are never replaced: who reads them meanwhile counts on that."""
    from shards.addresses import is_url
    from shards.errors import ShardsError

    if not is_url(arguments.shards):
        return Path(arguments.shards)
    raise ShardsError(
        f"{arguments.shards}: a set in a store, which never changes; a folder",
        hint="copy its objects to a folder with the store's own tool, change that, and copy it to another address; or pack again to one",
    )
