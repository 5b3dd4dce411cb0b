"""The process of one candidate: makes it, says that it is ready, and runs a round for each line that it reads."""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def main(make: str, arguments: str, cpu: str | None = None) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes elsewhere
    if cpu is not None:
        os.sched_setaffinity(0, {int(cpu)})
    module, _, name = make.partition(":")
    try:
        made: Callable[..., Callable[[], Any]] = getattr(importlib.import_module(f"benchmarks.{module}"), name)
        run = made(**json.loads(arguments))
    except ImportError as error:
        print(json.dumps({"missing": f"{error} in {sys.executable}"}), file=answers)
        return
    print("{}", file=answers)
    for _ in sys.stdin:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        done = run()
        num, told = done if isinstance(done, tuple) else (done, {})
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        print(json.dumps({"num": num, "cpu_s": cpu_s, "wall_s": wall_s, "told": told}), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
