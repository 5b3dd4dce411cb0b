"""`peoria doctor`: its flags, and what it prints."""

import argparse
import json
from typing import Any

from peoria.arguments import add_home, local_path
from peoria.borders import folded


def add_doctor_command(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="whether this machine can run sweeps", description=doctor_command.__doc__)
    add_home(doctor)
    doctor.add_argument("--cache", type=local_path, metavar="DIR", help="where decoded pictures are kept (default: PEORIA_CACHE, or in --home)")
    doctor.add_argument("--storage", metavar="URL", help="a database for Optuna (default: PEORIA_STORAGE, or a journal)")
    doctor.add_argument("--tracking", metavar="URI", help="MLflow (default: MLFLOW_TRACKING_URI, or a database in --home); 'off': none")
    doctor.add_argument("--json", action="store_true", help="one JSON document, and nothing else, on standard output")
    doctor.set_defaults(run=doctor_command)


def doctor_command(arguments: argparse.Namespace) -> int:
    """Looks at Python, packages, GPU, cores, memory, disks, home, clock, databases, fonts, and starts a Ray; a line each: ok, warn (it will do) or
    fail, with a hint. Status 1 where one fails. `peoria check NAME` looks at a sweep, `peoria cluster check YAML` at a cluster's file."""
    import os
    from pathlib import Path

    from peoria.commands import storage_address
    from peoria.doctor import examine
    from peoria.records.home import Home

    cache = arguments.cache or (Path(os.environ["PEORIA_CACHE"]) if os.environ.get("PEORIA_CACHE") else None)
    found = []
    for check in examine(Home(arguments.home, arguments.home_url), cache, storage_address(arguments.storage), arguments.tracking):
        found.append(check)
        if not arguments.json:
            print(folded(f"  {check.name:<9} {check.result:<5} {check.found}", hang=18), flush=True)
            if check.hint:
                print(folded(f"{'':<18}hint: {check.hint}", hang=18), flush=True)
    fails = sum(check.result == "fail" for check in found)
    if arguments.json:
        checks = [{"name": check.name, "result": check.result, "found": check.found, "hint": check.hint or None} for check in found]
        print(json.dumps({"ok": not fails, "checks": checks}, indent=1))
    else:
        warns = sum(check.result == "warn" for check in found)
        print(f"{len(found) - fails - warns} ok, {warns} warn, {fails} fail")
    return 1 if fails else 0
