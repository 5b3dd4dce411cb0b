"""The command line. Everything heavy is imported by the command that needs it."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peoria.config.sweep import Sweep

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(sweep: "Sweep | None" = None, argv: Sequence[str] | None = None) -> None:
    """Runs a command; with ``sweep`` (the last line of a sweep file) that sweep, with the flags of ``peoria sweep``."""
    from shards.errors import UserError

    words = list(sys.argv[1:] if argv is None else argv)
    arguments = (sweep_parser() if sweep is not None else parser()).parse_args(words)
    try:
        code = run_sweep_command(arguments, sweep) if sweep is not None else arguments.run(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        code = EXIT_USER_ERROR
    except BrokenPipeError:  # the reader of our output, as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="peoria", description="How much of a picture's popularity is in the picture itself?")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    pack = commands.add_parser("pack", help="a table of pictures and counts into shards", description=pack_command.__doc__)
    pack.add_argument("table", type=Path, help="CSV, TSV, Parquet or JSON lines; one row a picture")
    pack.add_argument("--out", type=Path, help="the folder of the packed set (default: data/shards/ and the name of the table's folder)")
    pack.add_argument("--column", action="append", default=[], metavar="FIELD=COLUMN", help="where a field is in the table, as in views=num_views")
    pack.add_argument("--keep", action="append", default=[], metavar="COLUMN", help="keep this column of the table too")
    pack.add_argument("--pictures", type=Path, metavar="DIR", help="the folder that paths start from (default: the table's)")
    pack.add_argument("--processes", type=whole, help="how many prepare pictures at once (default: one a core)")
    pack.add_argument("--shard-size", type=whole, default=1000, metavar="N", help="pictures a shard (default: %(default)s)")
    pack.set_defaults(run=pack_command)

    verify = commands.add_parser("verify", help="check every byte of a packed set", description=verify_command.__doc__)
    verify.add_argument("shards", type=Path, help="the folder of the packed set")
    verify.set_defaults(run=verify_command)

    describe = commands.add_parser("describe", help="counts, shares and tails of a packed set", description=describe_command.__doc__)
    describe.add_argument("shards", type=Path, help="the folder of the packed set")
    describe.add_argument("--out", type=Path, help="where describe.txt, .json and .png go (default: the packed set)")
    describe.set_defaults(run=describe_command)

    sweep = commands.add_parser(
        "sweep", parents=[sweep_parser(add_help=False)], help="run a sweep file, or go on with it", description="Runs a sweep, or what is left of it."
    )
    sweep.add_argument("file", type=Path, help="Python with one SWEEP value")
    sweep.set_defaults(run=lambda arguments: run_sweep_command(arguments, None))

    status = commands.add_parser("status", help="how far a sweep is", description=status_command.__doc__)
    report = commands.add_parser("report", help="open the test split and judge", description=report_command.__doc__)
    predict = commands.add_parser("predict", help="score pictures with a sweep's winner for views", description=predict_command.__doc__)
    export = commands.add_parser("export", help="the model of a sweep's winner for views and its card", description=export_command.__doc__)
    for command, run in ((status, status_command), (report, report_command), (predict, predict_command), (export, export_command)):
        command.add_argument("name", help="the sweep's name")
        add_home(command)
        command.set_defaults(run=run)
    add_cache(report)
    report.add_argument("--tracking", metavar="URI", help="where MLflow is (default: as the sweep); 'off': nowhere")
    predict.add_argument("pictures", type=Path, nargs="+", help="files of pictures")
    export.add_argument("--out", type=Path, help="folder for the model (default: models/NAME in --home)")

    cache = commands.add_parser("cache", help="the decoded pictures on this disk", description=cache_command.__doc__)
    add_home(cache)
    cache.add_argument("--cache", type=Path, metavar="DIR", help="the folder (default: cache in --home)")
    cache.add_argument("--clear", action="store_true", help="remove the files that no process uses; they are made again when needed")
    cache.set_defaults(run=cache_command)

    plant = commands.add_parser("plant", help="make pictures with a popularity of known strength", description=plant_command.__doc__)
    plant.add_argument("out", type=Path, help="the folder that the pictures and metadata.csv go into")
    plant.add_argument("--plant", default="both", help="both, colour, arrangement, owner, age or none (default: %(default)s)")
    plant.add_argument("--pictures", type=whole, default=3000, metavar="N", help="how many (default: %(default)s)")
    plant.add_argument("--seed", type=int, default=0, help="other pictures and counts (default: %(default)s)")
    plant.set_defaults(run=plant_command)

    demo = commands.add_parser("demo", help="the whole study on planted pictures, in minutes", description=demo_command.__doc__)
    add_home(demo)
    demo.set_defaults(run=demo_command)
    return top


def add_home(command: argparse.ArgumentParser) -> None:
    command.add_argument("--home", type=Path, default=Path("data"), metavar="DIR", help="where sweeps are kept (default: %(default)s)")


def add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache", type=Path, dest="cache_dir", metavar="DIR", help="where each node keeps its decoded pictures (default: cache in --home)"
    )
    command.add_argument(
        "--cache-gb", type=gigabytes, dest="cache_bytes", metavar="GB", help="what they may take (default: all but a tenth of the disk)"
    )


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


def sweep_parser(add_help: bool = True) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=add_help, description="Runs a sweep, or what is left of it.")
    add_home(flags)
    add_cache(flags)
    flags.add_argument("--shards", metavar="DIR", help="another packed set than the sweep file names")
    flags.add_argument("--trials", type=whole, metavar="N", help="trials of the searched space that end as done, pruned or diverged")
    flags.add_argument("--hours", type=positive, metavar="H", help="stop after so long; the same command goes on")
    flags.add_argument("--concurrent", type=whole, metavar="K", help="trials at a time (default: what the machine carries)")
    flags.add_argument("--cpus-per-trial", type=whole, default=1, metavar="X", help="threads of each trial (default: %(default)s)")
    flags.add_argument("--gpus-per-trial", type=gpu_fraction, metavar="X", help="a fraction shares a GPU (default: 1 where this machine has one)")
    flags.add_argument("--local", action="store_true", help="in this process, one after another, for a debugger")
    flags.add_argument("--where", metavar="COLUMN=VALUE", help="only these pictures, as in tag=beach or 'tag=beach|ocean': a sweep of its own")
    flags.add_argument(
        "--control",
        metavar="KIND",
        help="reassign the counts: shuffle, plant-colour, plant-arrangement, plant-owner or plant-age; a sweep of its own",
    )
    flags.add_argument("--strength", type=float, metavar="R", help="of what a control plants, 0 to 1 (default: 0.45)")
    flags.add_argument("--tracking", metavar="URI", help="MLflow (default: MLFLOW_TRACKING_URI, or a database in --home); 'off': none")
    flags.add_argument("--storage", metavar="URL", help="a database for Optuna (default: a journal in the sweep's folder)")
    return flags


def run_sweep_command(arguments: argparse.Namespace, sweep: "Sweep | None") -> int:
    """Runs a sweep, or what is left of it; 0 when all trials are there."""
    from peoria.config.sweep import load_sweep
    from peoria.data.controls import control_name
    from peoria.data.filters import filter_slug
    from peoria.errors import ConfigError
    from peoria.sweep.resources import RunOptions, default_gpus
    from peoria.sweep.run import run_sweep

    if arguments.strength is not None and arguments.control is None:
        raise ConfigError(f"--strength: {arguments.strength:g} without --control; only what a control plants has a strength")
    control = None if arguments.control is None else control_name(arguments.control, arguments.strength)
    sweep = load_sweep(arguments.file) if sweep is None else sweep
    if arguments.shards is not None:
        sweep = sweep.model_copy(update={"shards": arguments.shards})
    if arguments.where is not None:
        sweep = sweep.model_copy(update={"where": arguments.where, "name": f"{sweep.name}-{filter_slug(arguments.where)}"})
    gpus = default_gpus() if arguments.gpus_per_trial is None else arguments.gpus_per_trial
    given = {field.name: getattr(arguments, field.name) for field in fields(RunOptions)}
    result = run_sweep(sweep, RunOptions(**given | {"control": control, "gpus_per_trial": gpus}))
    counts = result.counts
    total = counts["finished"] + counts["remaining"]
    ended = ", ".join(f"{counts[name]} {name}" for name in ("done", "pruned", "diverged", "failed") if counts[name])
    print(f"{counts['finished']} of {total} trials ({ended}); {result.won}")
    name = result.folder.name
    print(f"next: peoria report {name}" if result.complete else "not all trials are there; the same command goes on")
    return result.exit_code


def pack_command(arguments: argparse.Namespace) -> int:
    """Packs pictures and counts into verified shards; interrupted and started again it goes on."""
    from rich.progress import Progress

    from shards.errors import TableError
    from shards.pack.pack import pack

    columns = {}
    for word in arguments.column:
        field, equals, column = word.partition("=")
        if not equals or not field or not column:
            raise TableError(f"--column: {word!r}; FIELD=COLUMN is needed, as in views=num_views")
        columns[field] = column
    out = arguments.out or Path("data/shards") / arguments.table.resolve().parent.name
    with Progress(transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        result = pack(
            arguments.table,
            out,
            columns=columns,
            keep=arguments.keep,
            pictures=arguments.pictures,
            processes=arguments.processes,
            shard_size=arguments.shard_size,
            progress=show,
        )
    print(result.text())
    return 0


def verify_command(arguments: argparse.Namespace) -> int:
    """Checks every byte of a packed set; silent when it is whole."""
    from shards.inspection.verify import verify

    problems = verify(arguments.shards)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def describe_command(arguments: argparse.Namespace) -> int:
    """The paper's Tables 1 and 2 and Figure 2 for a packed set, per split."""
    from shards.inspection.describe import describe, render_text, write_description

    found = describe(arguments.shards)
    print(render_text(found))
    for path in write_description(arguments.shards, found, arguments.out or arguments.shards):
        print(path)
    return 0


def status_command(arguments: argparse.Namespace) -> int:
    """How many trials are there, the winners, the follow-ups, the time left, and who runs it."""
    from peoria.sweep.status import status

    print(status(arguments.home, arguments.name))
    return 0


def report_command(arguments: argparse.Namespace) -> int:
    """Opens the test split (recorded, counted) and judges the winners, the paper's settings and every baseline on it."""
    from peoria.report.build import report

    report(arguments.home, arguments.name, tracking=arguments.tracking, cache=arguments.cache_dir, cache_bytes=arguments.cache_bytes)
    return 0


def predict_command(arguments: argparse.Namespace) -> int:
    """Scores pictures with the model of a sweep's winner for views: its finished trial with the highest last val rho_views."""
    from peoria.serving.predict import predict

    for path, text in predict(arguments.home, arguments.name, arguments.pictures):
        print(f"{path}\t{text}")
    return 0


def export_command(arguments: argparse.Namespace) -> int:
    """Writes the model of a sweep's winner for views as safetensors with a card: units, preprocessing, identity, limits."""
    from peoria.serving.export import export

    for path in export(arguments.home, arguments.name, arguments.out or arguments.home / "models" / arguments.name):
        print(path)
    return 0


def cache_command(arguments: argparse.Namespace) -> int:
    """Lists the files of decoded pictures and what the disk has left; with --clear it removes those that no process uses."""
    from shards.cache.files import cached_files, clear, render

    folder = arguments.cache or arguments.home / "cache"
    if arguments.clear:
        freed = clear(folder)
        print(f"removed {len(freed)} files, {sum(cached.num_bytes for cached in freed) / 1e9:.2f} GB freed")
    print(render(folder, cached_files(folder)))
    return 0


def plant_command(arguments: argparse.Namespace) -> int:
    """Makes pictures whose popularity is known: so much of it in their colour, so much in their arrangement, the rest noise, owner and age."""
    from peoria.data.synthetic import EFFECT_WEIGHTS, plant
    from peoria.errors import ConfigError

    if arguments.plant not in EFFECT_WEIGHTS:
        raise ConfigError(f"--plant: {arguments.plant!r}; one of {', '.join(EFFECT_WEIGHTS)}")
    made = plant(arguments.out, num_pictures=arguments.pictures, seed=arguments.seed, **EFFECT_WEIGHTS[arguments.plant])
    print(
        f"{made.table}: {made.num_pictures:,} pictures of {made.num_owners:,} owners; a perfect reader would reach ρ {made.oracle_rho:.3f} with views"
    )
    return 0


def demo_command(arguments: argparse.Namespace) -> int:
    """Makes 3,000 pictures with a planted popularity, packs them, sweeps, reports, and says what was found of what was planted."""
    from peoria.demo import demo

    return demo(arguments.home)
