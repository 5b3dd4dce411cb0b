"""A sweep's trials in this process: what `--local` runs, for a debugger."""

import functools
import time

from peoria.sweep.dispatch import Dispatch
from peoria.training.gpu import release_memory
from peoria.training.trial import run_trial


def run_here(dispatch: Dispatch, gpu_share: float) -> None:
    """Trials in this process, one after another, with ``gpu_share`` of a GPU. One that takes too long, or has to end, is asked to between two
    batches: nothing else can end it."""
    while (spec := dispatch.ask()) is not None or dispatch.wait_s is not None:
        if spec is None:
            time.sleep(dispatch.wait_s or 0.0)
            continue
        dispatch.started(spec.key)
        running = run_trial(spec, gpu_share=gpu_share, stop=functools.partial(dispatch.must_end, spec.key))
        for report in running:
            if report.status == "interrupted" and not dispatch.stopping and dispatch.overdue(spec.key):
                dispatch.fail_overdue(spec.key)
                break
            if not dispatch.report(spec.key, report):
                break
        running.close()
        release_memory()
