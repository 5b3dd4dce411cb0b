"""What each command of the command line does, given its arguments; each returns its exit status, and imports what is heavy itself."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from peoria.borders import complain
from shards.words import counted

if TYPE_CHECKING:
    from peoria.config.sweep import Sweep
    from peoria.on_end import End
    from peoria.sweep.resources import RunOptions


PRICES = Path(__file__).parent / "cluster" / "prices.toml"  # those that come with it, an example


def run_sweep_command(arguments: argparse.Namespace, sweep: "Sweep | None") -> int:
    """Runs a sweep, or what is left of it; 0 when all trials are there."""
    from peoria.on_end import ending, refuse_unknown
    from peoria.records.folder import SweepFolder
    from peoria.records.home import Home
    from peoria.records.trials import read_trials
    from peoria.redact import scrub_text
    from peoria.screens import Events, screen_for
    from peoria.sweep.board import shown_on
    from peoria.sweep.owed import spent
    from peoria.sweep.run import run_sweep

    if arguments.on_end is not None:
        refuse_unknown(arguments.on_end)
    screen = screen_for(plain=arguments.plain, as_json=arguments.json)

    def over(end: "End") -> None:
        screen.erase()
        if isinstance(screen, Events):
            screen.event("end", sweep=end.sweep, state=end.state, exit_code=end.code, why=end.why or None)

    with ending(arguments.on_end, over) as end, screen, shown_on(screen):
        sweep, options = asked(arguments, sweep)
        end.sweep = sweep.name if options.control is None else f"{sweep.name}-{options.control}"
        end.folder = SweepFolder.of(options.home, end.sweep).path
        result = run_sweep(sweep, options)
        counts, home = result.counts, Home(options.home, options.home_url)
        total = counts["finished"] + counts["remaining"]
        ended = ", ".join(f"{counts[name]} {name}" for name in ("done", "pruned", "diverged", "failed", "infeasible") if counts[name])
        screen.say_folded(f"{counts['finished']} of {total} trials{f' ({ended})' if ended else ''}; {result.won}")
        if text := spent(read_trials(result.folder), result.folder.read_definition().pictures):
            screen.say_folded(text)
        if arguments.tracking != "off":
            screen.say(f"curves: peoria ui {result.folder.name}{home.flag}")
        left = "" if result.complete else result.left
        for line in (
            [left, f"the same command goes on: {scrub_text(arguments.given)}"] if left else [f"next: peoria report {result.folder.name}{home.flag}"]
        ):
            screen.say(line)
        end.code, end.why = result.exit_code, left
    return end.code


def asked(arguments: argparse.Namespace, sweep: "Sweep | None") -> "tuple[Sweep, RunOptions]":
    """What the flags of a sweep ask for: the sweep, with the data and the part of them that they name, and how it is run."""
    from peoria.records.home import Home
    from peoria.sweep.asked import asked as asked_for

    given = storage_address(arguments.storage)
    names: tuple[str, ...] = ("shards", "where", "control", "strength", "start_from", "gpus_per_trial", "tracking", "trials", "pictures", "hours")
    names += ("trial_hours", "concurrent")
    how = {name: getattr(arguments, name) for name in (*names, "cpus_per_trial", "local", "cache_bytes", "ray")}
    home = Home(arguments.home, arguments.home_url)
    return asked_for(arguments.file if sweep is None else sweep, home=home, cache=arguments.cache_dir, storage=given, **how)


def storage_address(given: str | None) -> str | None:
    """Of Optuna's database: the flag's, or else that of the environment, which stands in no list of processes."""
    from urllib.parse import urlsplit

    if given is None:
        return os.environ.get("PEORIA_STORAGE") or None
    try:
        password = urlsplit(given).password or "password=" in given
    except ValueError:
        password = "@" in given
    if password:
        complain("warning: --storage: a password on the command line, where everybody on this machine can read it; PEORIA_STORAGE takes the same")
    return given


def verify_command(arguments: argparse.Namespace) -> int:
    """Checks every byte of a packed set; silent when it is whole."""
    from shards.addresses import is_url
    from shards.inspection.verify import unproven, verify
    from shards.upload import verify_stored

    stored = is_url(arguments.shards)
    problems = verify_stored(arguments.shards) if stored else verify(Path(arguments.shards))
    if not problems and not stored:
        for remark in unproven(Path(arguments.shards)):
            print(remark, file=sys.stderr)
    for problem in problems:
        complain(problem)
    return 1 if problems else 0


def describe_command(arguments: argparse.Namespace) -> int:
    """The paper's Tables 1 and 2 and Figure 2 for a packed set, per split."""
    from peoria import api
    from shards.addresses import is_url

    found = api.describe(arguments.shards)
    print(json.dumps(found.found, sort_keys=True, indent=1, allow_nan=False) if arguments.json else found)
    out = arguments.out or (None if is_url(arguments.shards) else arguments.shards)
    for path in [] if out is None else found.write(out):
        if not arguments.json:
            print(path)
    return 0


def report_command(arguments: argparse.Namespace) -> int:
    """Opens the next vault of the test split (recorded, counted) and judges the winners, the paper's settings and every baseline on it."""
    from peoria import api
    from peoria.records.home import Home

    names = ("rest", "tracking", "cache_bytes", "cpus_per_trial", "gpus_per_trial", "ray")
    how = {name: getattr(arguments, name) for name in names}
    api.report(arguments.name, Home(arguments.home, arguments.home_url), cache=arguments.cache_dir, **how)
    return 0


def check_command(arguments: argparse.Namespace) -> int:
    """Checks what a sweep left: settings, curves, ends, models, baselines, and Optuna's study beside them; silent when it is whole."""
    from peoria.sweep.repair import check

    bring(arguments)
    say: Callable[[str], object] = complain if arguments.json else print
    problems = check(
        arguments.home, arguments.name, url=arguments.home_url, storage=storage_address(arguments.storage), repair=arguments.repair, say=say
    )
    if arguments.json:
        print(json.dumps({"sweep": arguments.name, "whole": not problems, "problems": problems}, indent=1))
    for problem in [] if arguments.json else problems:
        complain(problem)
    return 1 if problems else 0


def bring(arguments: argparse.Namespace, models: bool = False) -> None:
    """Of a sweep in a bucket its record, and the winners' models, to this machine."""
    if arguments.home_url is not None:
        from peoria.records.home import Home
        from peoria.sweep.bring import bring as brought

        brought(Home(arguments.home, arguments.home_url), arguments.name, models=models)


def cache_command(arguments: argparse.Namespace) -> int:
    """Lists the files of decoded pictures and what the disk has left; with --clear it removes those that no process uses."""
    from peoria.records.home import Home
    from shards.cache.files import cached_files, clear, render

    folder = arguments.cache or Home(arguments.home, arguments.home_url).cache
    if arguments.clear:
        freed = clear(folder)
        print(f"removed {counted(len(freed), 'file')}, {sum(cached.num_bytes for cached in freed) / 1e9:.2f} GB freed")
    print(render(folder, cached_files(folder)))
    return 0


def plant_command(arguments: argparse.Namespace) -> int:
    """Makes pictures whose popularity is known: so much of it in their colour, so much in their arrangement, the rest noise, owner and age."""
    from peoria import api

    made = api.plant(arguments.out, plant=arguments.plant, pictures=arguments.pictures, seed=arguments.seed)
    print(
        f"{made.table}: {counted(made.num_pictures, 'picture')} of {counted(made.num_owners, 'owner')}; "
        f"a perfect reader would reach ρ {made.oracle_rho:.3f} with views"
    )
    return 0


def demo_command(arguments: argparse.Namespace) -> int:
    """Makes 4,000 pictures with a planted popularity, packs them, sweeps, reports, and says what was found of what was planted."""
    from peoria.demo import demo
    from peoria.errors import ConfigError

    if arguments.home_url is not None:
        raise ConfigError(f"--home: {arguments.home_url}; a folder, for the demo is of this machine alone")
    return demo(arguments.home)
