"""`peoria status` and `peoria list`: how far sweeps are, for people and as JSON."""

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from peoria.arguments import add_home
from peoria.borders import folded
from peoria.commands import bring

if TYPE_CHECKING:
    from peoria.records.schema import Holder
    from peoria.sweep.overview import Overview


def add_sweep_commands(commands: Any) -> None:
    status = commands.add_parser("status", help="how far a sweep is", description=status_command.__doc__)
    status.add_argument("name", nargs="?", help="the sweep's name (default: the one that runs, or the only one; of several the list)")
    status.set_defaults(run=status_command)
    listed = commands.add_parser("list", help="the sweeps of a home", description=list_command.__doc__)
    listed.set_defaults(run=list_command)
    for command in (status, listed):
        add_home(command)
        command.add_argument("--json", action="store_true", help="one JSON document, and nothing else, on standard output")


def status_command(arguments: argparse.Namespace) -> int:
    """How many trials are there and how many are owed, the winners, the time left, and who runs it or how the last run ended."""
    from peoria.records.home import Home
    from peoria.sweep.overview import overview
    from peoria.sweep.status import status

    if arguments.name is None:
        found = all_of(arguments)
        running = [sweep.name for sweep in found if sweep.state == "running"]
        chosen = running if len(running) == 1 else [sweep.name for sweep in found] if len(found) == 1 else []
        if arguments.json or not chosen:
            return tell_all(found, arguments.json)
        arguments.name = chosen[0]
    bring(arguments)
    held = held_elsewhere(arguments)
    if arguments.json:
        print(json.dumps(overview(arguments.home, arguments.name, held).facts, indent=1))
    else:
        print(folded(status(arguments.home, arguments.name, held)))
        if os.environ.get("MLFLOW_TRACKING_URI") or (arguments.home / "mlflow.db").exists():
            print(f"  curves: peoria ui {arguments.name}{Home(arguments.home, arguments.home_url).flag}")
    return 0


def list_command(arguments: argparse.Namespace) -> int:
    """The sweeps of a home: state, trials that have ended, the best of them, the time that all trials took together, and when something was written
    last."""
    return tell_all(all_of(arguments), arguments.json)


def held_elsewhere(arguments: argparse.Namespace) -> "Holder | None":
    """Who holds a sweep in a bucket, by what is there."""
    from peoria.records.home import Home
    from peoria.sweep.store_lease import held
    from shards.store import open_store

    url = Home(arguments.home, arguments.home_url).sweep_url(arguments.name)
    return None if url is None else held(open_store(url))


def tell_all(found: "list[Overview]", as_json: bool) -> int:
    from peoria.sweep.overview import table

    print(json.dumps({"sweeps": [sweep.facts for sweep in found]}, indent=1) if as_json else folded(table(found)))
    return 0


def all_of(arguments: argparse.Namespace) -> "list[Overview]":
    """Those that wrote something last come first. One that cannot be read is told as damaged, and hides no other."""
    from peoria.records.home import Home
    from peoria.sweep.overview import damaged, names_in, overview
    from shards.errors import UserError
    from shards.store import open_store

    home = Home(arguments.home, arguments.home_url)
    if home.url is None:
        names = names_in(home.path)
    else:  # the record of each is a chain of steps below its name
        names = sorted({name.split("/")[1] for name in open_store(home.url).names("sweeps") if name.count("/") > 1})
    found = []
    for name in names:
        one = argparse.Namespace(home=home.path, home_url=home.url, name=name)
        try:
            bring(one)
            found.append(overview(home.path, name, held_elsewhere(one)))
        except UserError as error:
            found.append(damaged(name, error))
    return sorted(found, key=lambda sweep: -sweep.facts.get("last_activity_at", 0.0))
