"""What a submitted job runs. Words and environment lie beside the sweep file, in a file that its owner alone may read: what stands in an entrypoint
or in a job's ``env_vars`` is in lists of processes, in `ray job list` and in Ray's logs, and passes a shell."""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

JOB_FILE = ".peoria-job.json"
ENTRYPOINT = "python -m peoria.cluster.job"
HOOK = "peoria.cluster.job.enter"  # Ray calls it in each process of the job, on every node


def job_bytes(words: list[str], environment: dict[str, str]) -> bytes:
    """Of the file: the words of the command line behind ``peoria``, and what is set in the environment."""
    return json.dumps({"words": words, "environment": environment}, sort_keys=True).encode()


def read_job(folder: Path) -> dict[str, Any]:
    """What `job_bytes` was given."""
    found: dict[str, Any] = json.loads((folder / JOB_FILE).read_bytes())
    return found


def enter() -> None:
    """Takes over the environment that came with the job."""
    os.environ.update(read_job(Path.cwd())["environment"])


def main() -> None:
    """Runs the command, in this process: a list of processes shows its words to all."""
    enter()
    sys.argv = ["peoria", *read_job(Path.cwd())["words"]]
    runpy.run_module("peoria", run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
