"""The commands about a cluster: `peoria cluster …`."""

import argparse
from pathlib import Path
from typing import Any

from peoria.borders import complain


def add_cluster_commands(commands: Any) -> None:
    """Adds `peoria cluster` and its own commands to those of the command line."""
    cluster = commands.add_parser("cluster", help="the machines that a sweep runs on")
    own = cluster.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = own.add_parser("check", help="what is wrong with a Ray cluster file", description=check_cluster_command.__doc__)
    check.add_argument("file", type=Path, metavar="YAML", help="the file that `ray up` takes")
    check.set_defaults(run=check_cluster_command)


def check_cluster_command(arguments: argparse.Namespace) -> int:
    """Checks a Ray cluster file before machines are paid for, from the folder that `ray up` is run in; silent when nothing is wrong."""
    from peoria.cluster.check import check_cluster_file

    problems = check_cluster_file(arguments.file)
    for problem in problems:
        complain(problem)
    return 1 if problems else 0
