"""`peoria predict`: its flags, and what it does given them."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.arguments import add_fetching, add_home, fetch_rules, local_path
from peoria.borders import complain, folded, shown, terminal
from peoria.examples import Help

if TYPE_CHECKING:
    from peoria.serving.predict import Model, Prediction
    from shards.fetch import FetchRules

EXIT_SOME_BAD = 5
EXIT_NONE = 2
MOST_SAID = 20  # bad pictures on standard error, where the output has them all
FORMATS = ("csv", "jsonl", "parquet")
EPILOG = """\
examples:
  peoria predict demo new/                          a folder, with all below
  peoria predict demo 'new/**/*.jpg' --out new.csv  a glob, into a file
  find new -name '*.jpg' -print0 | peoria predict demo - --format jsonl
  peoria predict demo new/a.jpg --explain why/      what moved the score

A value is in the unit of the winner's task: views, a probability, or a bin.
Beside it: the share of val pictures that score lower; how far models of the
same settings with fresh seeds differ; and whether the picture is unlike what
the model learnt from: farther from the sweep's pictures, in what the network
sees or in plain colours and edges, than 99 % of val pictures of other owners
(so that 1 in 100 of these is flagged wrongly), or with a side below 64 px. Of
such a picture the value means little; one without the flag may still be of
another kind.

exit status: 0 all pictures have a value; 5 some have none, which standard
error and the column "error" say; 2 none has.
"""


def add_predict_command(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="score pictures with a sweep's winners",
        description=predict_command.__doc__,
        epilog=EPILOG,
        formatter_class=Help,
    )
    predict.add_argument("name", help="the sweep's name")
    predict.add_argument(
        "pictures", nargs="+", metavar="PICTURE", help="a file, folder, glob in quotes or address, or - for names from standard input"
    )
    add_home(predict)
    add_fetching(predict)
    predict.add_argument("--target", choices=("views", "favorites"), help="whose winner speaks (default: both, where two models won)")
    predict.add_argument("--out", type=local_path, metavar="FILE", help="a file by its ending: .csv, .jsonl or .parquet; whole or not at all")
    predict.add_argument("--format", choices=FORMATS, help="of --out, or of what is printed (default: the ending; else lines for people)")
    predict.add_argument("--no-seeds", action="store_true", help="leave out the models of fresh seeds: as many times faster as there are")
    predict.add_argument("--no-unlike", action="store_true", help="do not look for pictures unlike the sweep's, which needs the packed set once")
    predict.add_argument("--explain", type=local_path, metavar="DIR", help="a PNG for each picture: what in it moved the score; seconds each")
    predict.set_defaults(run=predict_command, then="begins anew")


def predict_command(arguments: argparse.Namespace) -> int:
    """Scores pictures with the models of a sweep's winners. A picture that cannot be read is a line, and ends nothing."""
    from peoria.commands import bring
    from peoria.records.home import Home
    from peoria.serving.predict import load_models, predictions

    kind = kind_of(arguments)
    fetch = fetch_rules(arguments)
    bring(arguments, models=True)
    cache = Path(os.environ.get("PEORIA_CACHE") or Home(arguments.home, arguments.home_url).cache)
    models = load_models(
        arguments.home, arguments.name, arguments.target, seeds=not arguments.no_seeds, unlike=not arguments.no_unlike, cache=cache, say=complain
    )
    tally = Tally(len(models), most=MOST_SAID if kind or not sys.stdout.isatty() else None)
    found_all = tally.counted(predictions(models, arguments.pictures, sys.stdin.buffer, fetch=fetch))
    if arguments.explain is not None:
        found_all = explained(models, found_all, arguments.explain, fetch)
    if kind is None:
        print_lines(models, found_all)
    elif arguments.out is None:
        print_blocks(kind, found_all)
    else:
        write_out(kind, found_all, arguments.out)
    return tally.end(arguments.out)


def kind_of(arguments: argparse.Namespace) -> str | None:
    """Of a file, csv, jsonl or parquet; None for lines. Raises ConfigError where an ending, a format and a place do not go together."""
    from peoria.errors import ConfigError
    from peoria.serving.inputs import ENDINGS
    from peoria.serving.output import FORMATS as BY_ENDING

    out: Path | None = arguments.out
    if out is None:
        if arguments.format == "parquet":
            raise ConfigError("--format: parquet without --out; a file, for it is no text")
        return str(arguments.format) if arguments.format else None
    by_ending = BY_ENDING.get(out.suffix.lower())
    if arguments.format is None and by_ending is None:
        raise ConfigError(f"--out: {out}; a file that ends in {', '.join(BY_ENDING)}", hint="or --format says what it is")
    if arguments.format is not None and (out.suffix.lower() in ENDINGS or by_ending not in (None, arguments.format)):
        raise ConfigError(f"--out: {out} with --format {arguments.format}; a name that ends as what it is")
    if out.exists() and not out.is_file():
        raise ConfigError(f"--out: {out}: a folder or a device; a file")
    return str(arguments.format or by_ending)


class Tally:
    """Counts pictures, and says of each without a value why, as it passes."""

    def __init__(self, per_picture: int, most: int | None) -> None:
        self._per_picture, self._most = per_picture, most
        self.num = self.bad = self.unlike = 0

    def counted(self, found: "Iterable[Prediction]") -> "Iterator[Prediction]":
        for number, one in enumerate(found):
            if number % self._per_picture == 0:
                self.num += 1
                self.unlike += bool(one.unlike)
                if one.error is not None:
                    self.bad += 1
                    if self._most is None or self.bad <= self._most:
                        complain(f"{shown(one.picture, lines=False)}: {one.error}")
            yield one

    def end(self, out: Path | None) -> int:
        """Says how many there were, and gives the exit status."""
        if self.bad:
            more = f"; {self.bad - self._most:,} of them not named here" if self._most is not None and self.bad > self._most else ""
            complain(f"{self.num - self.bad:,} of {self.num:,} pictures have a value, {self.bad:,} {'have' if self.bad > 1 else 'has'} none{more}")
        if not self.num:
            complain("pictures: none were named; at least one")
        if out is not None:
            unlike = f", {self.unlike:,} unlike what the model learnt from" if self.unlike else ""
            print(f"{out}: {self.num:,} picture{'s' if self.num != 1 else ''}{unlike}")
        return EXIT_NONE if self.bad == self.num else EXIT_SOME_BAD if self.bad else 0


def print_lines(models: "list[Model]", found: "Iterable[Prediction]") -> None:
    """A table on a terminal, else a line with tabs a prediction; until nobody reads them any more."""
    from peoria.serving.output import line, table

    if not sys.stdout.isatty():
        written(("\t".join(shown(part, lines=False) for part in line(one)) for one in found), flush=False)
        return
    for model in models:
        print(folded(model.said()))
    written(table(found, shutil.get_terminal_size().columns, lambda name: shown(name, lines=False)), flush=True)


def print_blocks(kind: str, found: "Iterable[Prediction]") -> None:
    from peoria.serving.output import blocks

    written((block.decode().removesuffix("\n") for block in blocks(kind, found) if block), flush=True)


def written(lines: Iterable[str], *, flush: bool) -> None:
    for text in lines:
        print(text, flush=flush)
        if getattr(terminal(), "lost", None):
            return


def write_out(kind: str, found: "Iterable[Prediction]", out: Path) -> None:
    from peoria.serving.output import blocks
    from shards.files import remove_stale, write_blocks

    if out.parent.is_dir():
        remove_stale(out.parent, below=False, of=out.name)
    write_blocks(out, blocks(kind, found))


def explained(models: "list[Model]", found: "Iterable[Prediction]", folder: Path, fetch: "FetchRules") -> "Iterator[Prediction]":
    """The same predictions, each with its picture in ``folder`` by the time that it comes."""
    from peoria.serving.explain import Explainer

    explainer = Explainer(models, folder, fetch)
    for one in found:
        if one.value is not None:
            explainer.draw(one)
        yield one
