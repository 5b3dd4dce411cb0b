"""What the flags of the command line take, and what is said of others."""

import argparse
import difflib
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from peoria.borders import shown
from peoria.records.home import Home
from shards.addresses import checked_url, is_url, without_user
from shards.errors import StoreError

if TYPE_CHECKING:
    from shards.fetch.rules import FetchRules


class Parser(argparse.ArgumentParser):
    """What it repeats of the arguments cannot move the cursor; what was meant by an unknown word is asked; and what a shell may have done to the
    arguments is said."""

    _words: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = tuple(map(str, sys.argv[1:] if args is None else args))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if (choice := re.search(r"invalid choice: '([^']*)'", message)) is not None:
            names = [str(name) for action in self._actions for name in action.choices or ()]
            message += _meant([choice[1]], names)
        elif message.startswith("unrecognized arguments"):
            flags = [word.partition("=")[0] for word in message.partition(": ")[2].split() if word.startswith("--")]
            message += _meant(flags, self._options()) or (
                f"\nhint: `{' '.join((self.prog, *self._words[: self._subparsers is not None]))} --help` says what it takes; "
                "under `ray submit` a path with a blank needs a second pair of quotes"
            )
        super().error(message)

    def _options(self) -> list[str]:
        """Of the command that was given."""
        here: argparse.ArgumentParser = self
        for word in self._words:
            for action in here._actions:
                if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                    here = action.choices[word]
        return list(here._option_string_actions)

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(shown(message) if message else message, file)


def _meant(words: list[str], known: list[str]) -> str:
    """A hint that asks whether the nearest of those known was meant; "" where none is near."""
    near = [close[0] for word in words if (close := difflib.get_close_matches(word, known, n=1))]
    return f"\nhint: did you mean {', '.join(near)}?" if near else ""


def local_path(text: str) -> Path:
    """A path of this machine: of an address, a folder of that name would be made."""
    if is_url(text):
        raise argparse.ArgumentTypeError(f"{without_user(text)}: the address of a store; a path of this machine")
    return Path(text)


def add_home(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--home", type=home_address, default="data", metavar="DIR|URL", help="where sweeps are kept: a folder, or a bucket (default: %(default)s)"
    )


def add_fetching(command: argparse.ArgumentParser) -> None:
    """Of a command that takes addresses of pictures."""
    command.add_argument(
        "--fetch-from", action="append", default=[], metavar="HOST[:PORT]", help="fetch addresses of this host too, though it is in a private network"
    )
    command.add_argument("--ignore-opt-out", action="store_true", help="fetch pictures too whose owners ask by a header not to use them so")


def fetch_rules(arguments: argparse.Namespace) -> "FetchRules":
    """Raises ShardsError for a host that cannot be one."""
    from shards.fetch.rules import FetchRules

    rate, contact = getattr(arguments, "fetch_rate", None), getattr(arguments, "fetch_contact", "")
    return FetchRules(tuple(arguments.fetch_from), arguments.ignore_opt_out, contact, requests_per_second=rate)


def home_address(text: str) -> Home:
    """A folder, or the URL of a bucket."""
    try:
        return Home.of(text)
    except StoreError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def address(text: str) -> str:
    """A path, or the address of a store (`shards.addresses`)."""
    try:
        return checked_url(text) if is_url(text) else text
    except StoreError as error:
        raise argparse.ArgumentTypeError(" ".join(str(error).split("\n"))) from None


def whole(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}; at least 1")
    return value


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; more than 0")
    return value


def amount(text: str) -> float:
    """Of money."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; 0 or more")
    return value


def gigabytes(text: str) -> int:
    """In bytes; 0 for none."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; 0 or more")
    return int(value * 1e9)


def gpu_fraction(text: str) -> float:
    """0, a fraction below 1, or a whole number: what Ray can place."""
    value = float(text)
    if not (0 <= value < 1 or value.is_integer()) or value < 0:
        raise argparse.ArgumentTypeError(f"{text}; 0, a fraction below 1, or a whole number")
    return value


def words_of_a_command(text: str) -> list[str]:
    """A command as a shell parts it into words; no shell runs it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {str(error).lower()}; a command as in \"notify-send 'the sweep has ended'\"") from None
    if not words:
        raise argparse.ArgumentTypeError("no command; one as in \"sh -c 'echo $PEORIA_SWEEP $PEORIA_STATE | mail me'\"")
    return words
