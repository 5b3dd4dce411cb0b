"""The command line. Everything heavy is imported by the command that needs it."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from peoria.arguments import Parser, add_home, address, gigabytes, gpu_fraction, local_path, positive, whole, words_of_a_command
from peoria.borders import EXIT_HUNG_UP, EXIT_USER_ERROR, WHOLE, Output, complain, exit_code, legible_streams, told
from peoria.cluster_commands import add_cluster_commands
from peoria.commands import (
    cache_command,
    check_command,
    demo_command,
    describe_command,
    plant_command,
    report_command,
    run_sweep_command,
    verify_command,
)
from peoria.completion_command import add_completion_command
from peoria.doctor_command import add_doctor_command
from peoria.examples import add_examples
from peoria.export_command import add_export_commands
from peoria.flickr_command import add_flickr_commands
from peoria.ledger_command import add_ledger_command
from peoria.living_commands import add_living_commands
from peoria.pack_command import add_pack_command
from peoria.plan_commands import add_commands
from peoria.predict_command import add_predict_command
from peoria.submit_command import add_submit_command
from peoria.sweep_commands import add_sweep_commands
from peoria.ui_command import add_ui_command

if TYPE_CHECKING:
    from peoria.config.sweep import Sweep

EXIT_BROKEN_PIPE = 141


def main(sweep: "Sweep | None" = None, argv: Sequence[str] | None = None) -> None:
    """Runs a command; with ``sweep`` (the last line of a sweep file) that sweep, with the flags of ``peoria sweep``."""
    legible_streams()
    stdout, output = sys.stdout, Output(sys.stdout)
    sys.stdout = cast(TextIO, output)
    try:
        code = run_command(sweep, list(sys.argv[1:] if argv is None else argv), for_good=argv is None)
        output.flush()
    finally:
        sys.stdout = stdout
    if output.lost:  # the work is done, and what it had to say has reached nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        if isinstance(output.lost[0], BrokenPipeError):  # the reader of our output, as `head`, has what it wanted
            code = EXIT_BROKEN_PIPE
        else:
            complain(f"standard output: {output.lost[0].strerror}; a place that takes what is printed")
            code = code or EXIT_USER_ERROR
    sys.exit(code)


def run_command(sweep: "Sweep | None", words: list[str], for_good: bool) -> int:
    """Its exit status. What a user or the world caused is told in a line; an error of ours goes on, with its traceback."""
    from peoria.aloud import mute
    from peoria.errors import Interrupted, interruption
    from peoria.sweep.signals import handled, say_last

    then = "goes on from here"
    try:
        arguments = (sweep_parser() if sweep is not None else parser()).parse_args(words)
        arguments.given = shlex.join([*(("python", sys.argv[0]) if sweep is not None else ("peoria",)), *words])
        if hasattr(arguments, "home"):
            arguments.home, arguments.home_url = arguments.home.path, arguments.home.url
        arguments.words = words
        then = getattr(arguments, "then", then)
        with handled(for_good=for_good):
            refuse_no_folder()
            return run_sweep_command(arguments, sweep) if sweep is not None else int(arguments.run(arguments))
    except (KeyboardInterrupt, Exception) as error:
        if (came := interruption(error)) is not None:
            say_last(f"interrupted{f' by {came}' if isinstance(came, Interrupted) else ''}; the same command {then}")
            return exit_code(error)
        if exit_code(error) == EXIT_HUNG_UP:
            mute()  # the terminal was closed
            return EXIT_HUNG_UP
        text = told(error)
        if text is None or os.environ.get(WHOLE):
            raise
        complain(text)
        return exit_code(error)


def refuse_no_folder() -> None:
    """What we build on (MKL, Ray) ends the process where the working directory has been removed."""
    from peoria.errors import ConfigError

    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError(
            "the folder that the command was given in: no longer there; one that is", hint="cd to a folder that exists, and give it again"
        ) from None


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="peoria", description="How much of a picture's popularity is in the picture itself?")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add_pack_command(commands)
    add_flickr_commands(commands)

    verify = commands.add_parser("verify", help="check every byte of a packed set", description=verify_command.__doc__)
    verify.add_argument("shards", type=address, help="the folder, or the address, of the packed set")
    verify.set_defaults(run=verify_command)

    describe = commands.add_parser("describe", help="counts, shares and tails of a packed set", description=describe_command.__doc__)
    describe.add_argument("shards", type=address, help="the folder, or the address, of the packed set")
    describe.add_argument("--out", type=local_path, help="where describe.txt, .json and .png go (default: the folder of the packed set)")
    describe.add_argument("--json", action="store_true", help="what describe.json holds, and nothing else, on standard output")
    describe.set_defaults(run=describe_command)

    add_ledger_command(commands)
    add_living_commands(commands)

    sweep = commands.add_parser(
        "sweep", parents=[sweep_parser(add_help=False)], help="run a sweep file, or go on with it", description="Runs a sweep, or what is left of it."
    )
    sweep.add_argument("file", type=local_path, help="Python with one SWEEP value")
    sweep.set_defaults(run=lambda arguments: run_sweep_command(arguments, None))

    add_commands(commands, sweep_parser(add_help=False))
    add_submit_command(commands, sweep_parser(add_help=False))

    add_sweep_commands(commands)
    report = commands.add_parser("report", help="open the test split and judge", description=report_command.__doc__)
    report.add_argument("name", help="the sweep's name")
    add_home(report)
    report.set_defaults(run=report_command)
    add_cache(report)
    add_size(report)
    add_ray(report)
    report.add_argument(
        "--all", action="store_true", dest="rest", help="open all of test that nobody has looked at, as the last opening (default: the next vault)"
    )
    report.add_argument("--tracking", metavar="URI", help="where MLflow is (default: as the sweep); 'off': nowhere")
    add_export_commands(commands)

    add_predict_command(commands)

    check = commands.add_parser("check", help="whether all of a sweep is there and whole", description=check_command.__doc__)
    check.add_argument("name", help="the sweep's name")
    add_home(check)
    check.add_argument("--repair", action="store_true", help="mend what can be mended; what is replaced is moved aside, never removed")
    check.add_argument("--storage", metavar="URL", help="the database that the sweep ran with (default: PEORIA_STORAGE, or its journal)")
    check.add_argument("--json", action="store_true", help="one JSON document, and nothing else, on standard output")
    check.set_defaults(run=check_command)

    cache = commands.add_parser("cache", help="the decoded pictures on this disk", description=cache_command.__doc__)
    add_home(cache)
    cache.add_argument(
        "--cache", type=local_path, metavar="DIR", default=default_cache(), help="the folder (default: PEORIA_CACHE, or cache in --home)"
    )
    cache.add_argument("--clear", action="store_true", help="remove the files that no process uses; they are made again when needed")
    cache.set_defaults(run=cache_command)

    plant = commands.add_parser("plant", help="make pictures with a popularity of known strength", description=plant_command.__doc__)
    plant.add_argument("out", type=local_path, help="the folder that the pictures and metadata.csv go into")
    plant.add_argument("--plant", default="both", help="both, colour, arrangement, owner, age or none (default: %(default)s)")
    plant.add_argument("--pictures", type=whole, default=3000, metavar="N", help="how many (default: %(default)s)")
    plant.add_argument("--seed", type=int, default=0, help="other pictures and counts (default: %(default)s)")
    plant.set_defaults(run=plant_command)

    add_cluster_commands(commands)
    add_doctor_command(commands)
    add_ui_command(commands)

    demo = commands.add_parser("demo", help="the whole study on planted pictures, in minutes", description=demo_command.__doc__)
    add_home(demo)
    demo.set_defaults(run=demo_command)
    add_completion_command(commands, parser)
    add_examples(top)
    return top


def default_cache() -> str | None:
    return os.environ.get("PEORIA_CACHE") or None


def add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        type=local_path,
        dest="cache_dir",
        metavar="DIR",
        default=default_cache(),
        help="where each node keeps its decoded pictures (default: PEORIA_CACHE, or cache in --home)",
    )
    command.add_argument(
        "--cache-gb", type=gigabytes, dest="cache_bytes", metavar="GB", help="what they may take (default: all but a tenth of the disk, or 5 GB)"
    )


def add_size(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cpus-per-trial", type=whole, default=1, metavar="X", help="threads of each trial (default: %(default)s)")
    command.add_argument(
        "--gpus-per-trial", type=gpu_fraction, metavar="X", help="a fraction shares a GPU (default: 1 where there is one, 0 for tiny)"
    )


def add_ray(command: Any) -> None:
    command.add_argument(
        "--ray",
        metavar="WHERE",
        help="local: this machine alone; auto: the cluster that it is a node of; or HOST:PORT of one (default: RAY_ADDRESS, or auto, or local)",
    )


def add_screen(command: argparse.ArgumentParser) -> None:
    how = command.add_mutually_exclusive_group()
    how.add_argument("--plain", action="store_true", help="plain lines on a terminal too")
    how.add_argument("--json", action="store_true", help="lines of JSON, nothing else, on standard output")
    command.add_argument(
        "--on-end",
        type=words_of_a_command,
        metavar="COMMAND",
        help="run this when the sweep ends, in whatever way; its environment has PEORIA_SWEEP, PEORIA_STATE and PEORIA_EXIT_CODE",
    )


def sweep_parser(add_help: bool = True) -> "Parser":
    flags = Parser(add_help=add_help, description="Runs a sweep, or what is left of it.")
    add_home(flags)
    add_cache(flags)
    flags.add_argument("--shards", type=address, metavar="DIR|URL", help="another packed set than the sweep file names")
    flags.add_argument("--trials", type=whole, metavar="N", help="trials of the searched space that end as done, pruned or diverged")
    flags.add_argument("--pictures", type=whole, metavar="N", help="train pictures that these may see in all; then no further one is begun")
    flags.add_argument("--hours", type=positive, metavar="H", help="stop after so long; the same command goes on")
    flags.add_argument("--trial-hours", type=positive, metavar="H", help="end a trial that runs longer, with its process; it counts as failed")
    flags.add_argument("--concurrent", type=whole, metavar="K", help="trials at a time (default: what the machine carries)")
    add_size(flags)
    place = flags.add_mutually_exclusive_group()
    place.add_argument("--local", action="store_true", help="in this process, one after another, for a debugger")
    add_ray(place)
    flags.add_argument("--where", metavar="COLUMN=VALUE", help="only these pictures, as in tag=beach or tag=beach,ocean: a sweep of its own")
    flags.add_argument(
        "--control",
        metavar="KIND",
        help="reassign the counts: shuffle, plant-colour, plant-arrangement, plant-owner, plant-age or plant-hour; a sweep of its own",
    )
    flags.add_argument("--from", dest="start_from", metavar="SWEEP", help="begin with the best points of another sweep of this home")
    flags.add_argument("--strength", type=float, metavar="R", help="of what a control plants, 0 to 1 (default: 0.45)")
    flags.add_argument("--tracking", metavar="URI", help="MLflow (default: MLFLOW_TRACKING_URI, or a database in --home); 'off': none")
    add_screen(flags)
    flags.add_argument("--storage", metavar="URL", help="a database for Optuna (default: PEORIA_STORAGE, or a journal in the sweep's folder)")
    return flags
