"""`peoria plan` and `peoria rehearse`: their flags, and what they do given them."""

import argparse
from pathlib import Path
from typing import Any

from peoria.arguments import Parser, amount, whole
from peoria.commands import PRICES, asked


def number(text: str) -> int:
    """0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text}; 0 or more")
    return value


def add_commands(commands: Any, sweep_flags: argparse.ArgumentParser) -> None:
    """
    Args:
        sweep_flags: those of `peoria sweep`, which both commands take.
    """
    plan = commands.add_parser("plan", parents=[sweep_flags], help="what a sweep will take: pictures, hours, money", description=plan_command.__doc__)
    plan.add_argument("file", type=Path, help="Python with one SWEEP value")
    plan.add_argument("--prices", type=Path, default=PRICES, metavar="FILE", help="TOML with the prices of node types (default: an example)")
    plan.add_argument("--max-money", type=amount, metavar="M", help="refuse, with status 2, where even the cheapest costs more")
    plan.set_defaults(run=plan_command)

    rehearse = commands.add_parser(
        "rehearse", allow_abbrev=False, parents=[sweep_flags], help="a sweep on a cluster of this machine alone", description=rehearse_command.__doc__
    )
    rehearse.add_argument("file", type=Path, help="Python with one SWEEP value")
    for flags, words in OWN.items():
        rehearse.add_argument(flags, **words)
    rehearse.set_defaults(run=rehearse_command)


OWN: dict[str, dict[str, Any]] = {
    "--nodes": {"type": whole, "required": True, "metavar": "N", "help": "at most, each a process group of this machine with a pretended GPU"},
    "--kill": {"type": number, "default": 1, "metavar": "K", "help": "nodes killed in mid-trial, one after another (default: %(default)s)"},
    "--price": {"type": amount, "default": 1.0, "metavar": "P", "help": "of a node, an hour, for the cost over time (default: %(default)s)"},
}


def plan_command(arguments: argparse.Namespace) -> int:
    """Counts what a sweep will train, probes this device for some seconds, and tells hours and money by node type and number. Trains nothing."""
    from peoria.cluster.plan import keep, plan_money
    from peoria.cluster.prices import read_prices

    prices = read_prices(arguments.prices)
    sweep, options = asked(arguments, None)
    found = plan_money(sweep, options, prices, arguments.prices, arguments.max_money, print)
    keep(found, options, workers=1)
    return 0


def rehearse_command(arguments: argparse.Namespace) -> int:
    """Runs a sweep on a cluster of this machine: Ray's own autoscaler starts and ends nodes that pretend to have a GPU, and one is killed on the way.
    Trains for real, on this machine's CPUs; its record lies in rehearsals/NAME of --home, apart from the sweep's own."""
    from dataclasses import replace

    from peoria.cluster.plan import keep, name_of, plan_sweep
    from peoria.cluster.rehearsal import rehearse
    from peoria.errors import ConfigError
    from peoria.sweep.resources import gpus_here

    for flag, given in (("--local", arguments.local), ("--ray", arguments.ray), ("--storage", arguments.storage)):
        if given:
            raise ConfigError(f"{flag}: not for a rehearsal, which has a cluster, a home and a record of its own")
    if gpus_here():
        raise ConfigError("this machine has a GPU, and a rehearsal's nodes pretend to have one each; a machine without, or CUDA_VISIBLE_DEVICES=-1")
    sweep, options = asked(arguments, None)
    share = 1.0 if arguments.gpus_per_trial is None else arguments.gpus_per_trial
    if not 0 < share <= 1:
        raise ConfigError(f"--gpus-per-trial: {share:g}; a rehearsal's nodes have one GPU each, of which a trial takes a part or all")
    name = name_of(sweep, options)
    home = options.home / "rehearsals" / name
    per_node = int(1 / share + 1e-9)
    rehearsed = replace(options, home=home, home_url=None, cache_dir=options.cache.resolve(), gpus_per_trial=share, local=False)
    workers = (arguments.nodes + arguments.kill) * per_node  # a node in the place of each that is killed
    found = plan_sweep(sweep, rehearsed, copies=arguments.nodes * per_node)
    keep(found, rehearsed, workers=workers)
    tracking = [] if arguments.tracking is None else ["--tracking", "off"]  # its curves are of no sweep
    words = [*of_the_sweep(arguments.words), *tracking, "--home", str(home), "--cache", str(rehearsed.cache), "--gpus-per-trial", f"{share:g}"]
    return rehearse(
        words,
        name,
        home,
        nodes=arguments.nodes,
        kills=arguments.kill,
        price=arguments.price,
        cpus_per_node=per_node * options.cpus_per_trial,
        planned=(found.estimate.device_s(workers), found.cpu.trials_s + workers * found.cpu.probe.cold_s),
        say=lambda text: print(text, flush=True),
    )


def of_the_sweep(words: list[str]) -> list[str]:
    """The words of `peoria rehearse` that are the sweep's: all but its name and its own flags."""
    own = Parser(add_help=False, allow_abbrev=False)
    for flags, about in OWN.items():
        own.add_argument(flags, **about)
    return own.parse_known_args(words[1:])[1]
