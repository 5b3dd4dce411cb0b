"""`peoria completion`: what a shell needs to complete commands, flags, files, and the names of sweeps."""

import argparse
from collections.abc import Callable
from typing import Any

# Names that a sweep can have, and no others: a shell expands what it completes, $(…) too, and a folder may come from anybody.
_LISTED = "ls -1 data/sweeps 2>/dev/null | grep -xE '[A-Za-z0-9][A-Za-z0-9._-]*'"
_PREAMBLE = {
    "bash": f'_peoria_sweeps() {{ compgen -W "$({_LISTED})" -- "$1"; }}',
    "zsh": f'_peoria_sweeps() {{ local -a names; names=(${{(f)"$({_LISTED})"}}); compadd -a names }}',
    "tcsh": "",
}
_SWEEPS = {"bash": "_peoria_sweeps", "zsh": "_peoria_sweeps", "tcsh": "`ls -1 data/sweeps | grep -xE '[A-Za-z0-9][A-Za-z0-9._-]*'`"}
_FILES, _FOLDERS = ("file", "table", "pictures", "prices"), ("shards", "out", "home", "cache", "cache_dir")


def add_completion_command(commands: Any, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """
    Args:
        parser: makes the whole command line.
    """
    completion = commands.add_parser("completion", help="completion for your shell", description=completion_command.__doc__)
    completion.add_argument("shell", choices=tuple(_PREAMBLE))
    completion.set_defaults(run=lambda arguments: completion_command(arguments, parser()))


def completion_command(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Prints what a shell needs to complete commands, flags, files and the names of the sweeps in data/."""
    import shtab

    from peoria.examples import commands_of

    for name, command in commands_of(parser).items():
        command.epilog = None
        for action in command._actions:
            if action.dest == "name" and not name.startswith("cluster"):
                action.complete = _SWEEPS  # type: ignore[attr-defined]
            elif action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.dest in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell, preamble=_PREAMBLE[arguments.shell]))
    return 0
