"""`peoria submit`: its flags, and what it does given them."""

import argparse
import contextlib
import fnmatch
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.arguments import Parser, amount
from peoria.borders import complain
from peoria.commands import PRICES

if TYPE_CHECKING:
    from peoria.config.sweep import Sweep
    from shards.store import Store

OWN: dict[str, dict[str, Any]] = {
    "--cluster": {"type": Path, "metavar": "YAML", "help": "the file that `ray up` was given; over ssh, as Ray does it"},
    "--address": {"metavar": "URL", "help": "of the head's jobs API, as http://127.0.0.1:8265"},
    "--env": {"action": "append", "default": [], "metavar": "NAME", "help": "pass this variable on to the job, as AWS_PROFILE or 'AWS_*'"},
    "--with-code": {"action": "store_true", "help": "take along this checkout of peoria (default: what the nodes have installed runs)"},
    "--again": {"type": int, "default": 10, "metavar": "N", "help": "submit so often again while trials are owed (default: %(default)s)"},
    "--max-money": {"type": amount, "metavar": "M", "help": "plan first, on this machine, and submit nothing where even the cheapest costs more"},
    "--prices": {
        "type": Path,
        "default": PRICES,
        "metavar": "FILE",
        "help": "TOML with the prices of node types, for --max-money (default: an example)",
    },
    "--storage": {"metavar": "URL"},  # a flag of the sweep that goes the environment's way
}
ON_NODES = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:/")  # an absolute path, or a URL


def add_submit_command(commands: Any, sweep_flags: argparse.ArgumentParser) -> None:
    """
    Args:
        sweep_flags: those of `peoria sweep`, which are passed on.
    """
    submit = commands.add_parser(
        "submit", parents=[sweep_flags], help="run a sweep file on a cluster, from here", description=submit_command.__doc__, allow_abbrev=False
    )
    submit.add_argument("file", type=Path, help="Python with one SWEEP value")
    where = submit.add_mutually_exclusive_group(required=True)
    for flag, given in OWN.items():
        if flag != "--storage":
            (where if flag in ("--cluster", "--address") else submit).add_argument(flag, **given)
    submit.set_defaults(run=submit_command)


def submit_command(arguments: argparse.Namespace) -> int:
    """Runs a sweep as a job of a cluster and follows it. Ctrl-C leaves it running; the same command joins it again, and submits it again while trials
    are owed."""
    from peoria.cluster.job import job_bytes
    from peoria.cluster.jobs import use_token
    from peoria.cluster.package import named_weights, pack_job, size
    from peoria.cluster.submit import FIRST_WAIT_S, Submission
    from peoria.config.sweep import load_sweep
    from peoria.errors import ConfigError
    from peoria.models.stored_weights import VARIABLE, leave, told_to_nodes
    from peoria.redact import scrub_text

    if arguments.local or getattr(arguments, "ray", None) is not None:
        raise ConfigError("--local, --ray: with peoria submit; the cluster that it is submitted to is used")
    if arguments.again < 0:
        raise ConfigError(f"--again: {arguments.again}; 0 or more")
    sweep = load_sweep(arguments.file)
    name = name_of(sweep, arguments)
    home = refuse_here(sweep, arguments)
    words = words_of_the_sweep(arguments.words)
    environment, weights, store = passed_on(arguments), named_weights(sweep), store_of(sweep, arguments)
    stored = ""
    if weights is not None and store is not None:
        environment[VARIABLE], stored = told_to_nodes(weights, store, str(arguments.cache_dir) if cache_named(arguments) else None)
    package = pack_job(arguments.file, sweep, job_bytes(words, environment), with_weights=not stored, with_code=arguments.with_code)
    package.refuse_large()
    use_token()
    if arguments.cluster is not None:
        stop = f"ray exec {shlex.quote(str(arguments.cluster))} 'ray job stop {{job}}'"
    else:
        stop = "RAY_AUTH_MODE=token ray job stop --address {address} {job}"
        warn_of_plain_http(arguments.address)
    if arguments.max_money is not None:
        refuse_dear(arguments)
    if weights is not None and store is not None:
        print(
            f"weights: {weights}: {size(Path(weights).stat().st_size)}, {'put' if leave(Path(weights), store, stored) else 'there already'}: "
            f"{store.address(stored)}",
            flush=True,
        )
    print(package.text(), flush=True)
    return Submission(
        name,
        scrub_text(home),
        scrub_text(shlex.join(["peoria", *words])),
        package,
        connector(arguments),
        stop,
        0 if arguments.hours is not None else arguments.again,  # its hours are over, and not to begin anew
        say=written_line,
        log=written,
        first_wait_s=float(os.environ.get("PEORIA_SUBMIT_WAIT_S", FIRST_WAIT_S)),
    ).run()


def written_line(text: str) -> None:
    print(text, flush=True)


def written(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def connector(arguments: argparse.Namespace) -> Callable[[], contextlib.AbstractContextManager[str]]:
    from peoria.cluster.tunnel import tunnel

    @contextlib.contextmanager
    def given() -> Iterator[str]:
        yield arguments.address.rstrip("/")

    return given if arguments.cluster is None else lambda: tunnel(arguments.cluster)


def name_of(sweep: "Sweep", arguments: argparse.Namespace) -> str:
    """Of the sweep as its flags make it. Raises ConfigError, as the sweep itself would."""
    from peoria.data.controls import control_name
    from peoria.data.filters import name_of_view, with_bars
    from peoria.errors import ConfigError

    if arguments.where is not None:
        sweep = sweep.model_copy(update={"where": with_bars(arguments.where), "name": name_of_view(sweep.name, arguments.where)})
    if arguments.strength is not None and arguments.control is None:
        raise ConfigError(f"--strength: {arguments.strength:g} without --control; only what a control plants has a strength")
    return sweep.name if arguments.control is None else f"{sweep.name}-{control_name(arguments.control, arguments.strength)}"


def refuse_here(sweep: "Sweep", arguments: argparse.Namespace) -> str:
    """The home. Raises ConfigError where a place is one of this machine: a job's relative paths start in a folder that Ray removes."""
    from peoria.errors import ConfigError

    places = {
        "--home": getattr(arguments, "home_url", None) or str(arguments.home),
        "--shards": sweep.shards if arguments.shards is None else str(arguments.shards),
    }
    places |= {"--cache": str(arguments.cache_dir)} if cache_named(arguments) else {}
    problems = [
        f"{flag}: {place!r}; an absolute path on the cluster's nodes{'' if flag == '--cache' else ', or a URL'}"
        for flag, place in places.items()
        if not ON_NODES.match(place)
    ]
    if problems:
        raise ConfigError(*problems, hint="as --home /mnt/peoria --shards /mnt/peoria/shards/photos, on a disk that all nodes share")
    return places["--home"]


def refuse_dear(arguments: argparse.Namespace) -> None:
    """Plans as `peoria plan`, for the types of node that the cluster's file has. Raises ConfigError above ``--max-money``."""
    from peoria.cluster.clouds import priced
    from peoria.cluster.cluster_file import read_cluster_file
    from peoria.cluster.plan import keep, plan_money
    from peoria.cluster.prices import read_prices
    from peoria.commands import asked
    from peoria.models.stored_weights import node_cache

    prices = read_prices(arguments.prices)
    types = set() if arguments.cluster is None else priced(read_cluster_file(arguments.cluster)[0])
    # what is named for the nodes is not of this machine, and the database was told already
    here = {"cache_dir": node_cache(None), "storage": None}
    sweep, options = asked(argparse.Namespace(**vars(arguments) | here), None)
    found = plan_money(
        sweep, options, prices, arguments.prices, arguments.max_money, written_line, lambda offer: not types or (offer.type.name, offer.spot) in types
    )
    if options.home_url is not None:  # where it runs it is found
        keep(found, options, workers=1)


def cache_named(arguments: argparse.Namespace) -> bool:
    """And not by this machine's PEORIA_CACHE."""
    return any(word == "--cache" or word.startswith("--cache=") for word in arguments.words)


def store_of(sweep: "Sweep", arguments: argparse.Namespace) -> "Store | None":
    """Where weights go that all nodes need: the home in a bucket, or else the packed set's; None where both are folders."""
    from shards.addresses import is_url
    from shards.store import open_store

    places = [arguments.home_url, sweep.shards if arguments.shards is None else arguments.shards]
    return next((open_store(str(place)) for place in places if place is not None and is_url(place)), None)


def words_of_the_sweep(words: list[str]) -> list[str]:
    """The words of `peoria sweep` that those of `peoria submit` come to."""
    own = Parser(add_help=False, allow_abbrev=False)
    for flag, given in OWN.items():
        own.add_argument(flag, **given)
    return ["sweep", *own.parse_known_args(words[1:])[1]]


def passed_on(arguments: argparse.Namespace) -> dict[str, str]:
    """The variables that go to the job: those named by ``--env``, and the address of Optuna's database.

    Raises:
        ConfigError: one is not set here, or is Ray's own.
    """
    from peoria.commands import storage_address
    from peoria.errors import ConfigError

    found: dict[str, str] = {}
    for pattern in arguments.env:
        names = [name for name in os.environ if fnmatch.fnmatchcase(name, pattern)]
        if not names:
            raise ConfigError(
                f"--env: {pattern!r}; the name of a variable that is set here", hint="its value comes from the environment, not from here"
            )
        found |= {name: os.environ[name] for name in names}
    if rays := sorted(name for name in found if name.startswith("RAY_")):
        raise ConfigError(f"--env: {', '.join(rays)}; none of Ray's own, which the cluster sets")
    if (storage := storage_address(arguments.storage)) is not None:
        found["PEORIA_STORAGE"] = storage
    return found


def warn_of_plain_http(address: str) -> None:
    from urllib.parse import urlsplit

    given = urlsplit(address)
    if given.scheme == "http" and given.hostname not in ("127.0.0.1", "localhost", "::1"):
        complain(f"warning: --address: {address} sends the token unencrypted; --cluster goes over ssh")
