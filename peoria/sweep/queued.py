"""What a sweep puts in the queue of its two studies: points by hand, the start-up, the paper's points, and the follow-ups."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import optuna
from optuna.trial import TrialState

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.sweep.follow_ups import FollowUp

START_UP = "start-up"  # how the origin of such a point begins


def paper_keys(sweep: Sweep) -> list[str]:
    """Of the paper's points, where the sweep runs them."""
    return list(paper_points(sweep.space.task, sweep.shared)) if sweep.paper else []


def enqueue_points(searched: optuna.Study, sweep: Sweep) -> list[tuple[str, str]]:
    """Queues the points given by hand that are not queued yet, each once. Returns what is left of the start-up, a fair number of random points of
    each task: (task, origin)."""
    origins = {t.user_attrs.get("origin") for t in searched.get_trials(deepcopy=False)}
    for point in sweep.queue:
        given = point.given()
        origin = f"queue {json.dumps(given, sort_keys=True)}"
        if origin not in origins:
            searched.enqueue_trial(sweep.space.named(given), user_attrs={"origin": origin})
            origins.add(origin)
    startup = [(task, f"{START_UP} {task} {turn}") for turn in range(sweep.startup_per_task) for task in sweep.space.task]
    return [(task, origin) for task, origin in startup if origin not in origins]


def enqueue_startup(searched: optuna.Study, startup: list[tuple[str, str]]) -> None:
    """Where nothing waits, the next of the start-up, taken from the list: one at a time, so that a point that is queued by hand meanwhile goes
    first."""
    if startup and not searched.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        task, origin = startup.pop(0)
        searched.enqueue_trial({"task": task}, user_attrs={"origin": origin})


def enqueue_paper(unsearched: optuna.Study, sweep: Sweep) -> None:
    """Queues the paper's points that are not queued yet, and those that failed in an earlier run: the same again."""
    last = {t.user_attrs.get("key"): t for t in unsearched.get_trials(deepcopy=False)}
    for key in paper_keys(sweep):
        if key not in last:
            unsearched.enqueue_trial({}, user_attrs={"key": key, "purpose": "paper"})
        elif last[key].state == TrialState.FAIL:
            kept = {name: last[key].user_attrs[name] for name in ("key", "purpose", "config") if name in last[key].user_attrs}
            unsearched.enqueue_trial({}, user_attrs=kept)


def enqueue_follow_ups(
    storage: optuna.storages.BaseStorage, folder: SweepFolder, unsearched: optuna.Study, wanted: Mapping[str, FollowUp], failed_now: set[str]
) -> None:
    """Queues the follow-ups that are not queued yet, and those that failed in an earlier run. What still waits of other trials, for a search that
    goes on may change who is chosen, is dropped, unless the folder has begun with it: what is begun is ended.

    Args:
        failed_now: keys of those that failed in this run.
    """
    study = storage.get_study_id_from_name(unsearched.study_name)
    missing, began = dict(wanted), {}
    for trial in unsearched.get_trials(deepcopy=False):
        key = trial.user_attrs["key"]
        if trial.state == TrialState.WAITING and "of" in trial.user_attrs and key not in wanted and not folder.trial(key).start.exists():
            storage.set_trial_state_values(storage.get_trial_id_from_study_id_trial_number(study, trial.number), TrialState.FAIL)
        elif trial.state != TrialState.FAIL or key in failed_now:
            missing.pop(key, None)
        elif "status" in trial.user_attrs:  # it was tried: with these settings, which may be those of half the batch, its folder is
            began[key] = trial.user_attrs["config"]
    for key, follow_up in missing.items():
        unsearched.enqueue_trial({}, user_attrs={**asdict(follow_up), "config": began.get(key, follow_up.config.model_dump(mode="json"))})


def num_owed(unsearched: optuna.Study, wanted: set[str]) -> int:
    """Trials beyond the search that are not done yet: those ``wanted``, and those that are queued or under way. They are few, whatever the sweep."""
    trials = unsearched.get_trials(deepcopy=False)
    complete = {t.user_attrs["key"] for t in trials if t.state == TrialState.COMPLETE}
    unfinished = {t.user_attrs["key"] for t in trials if not t.state.is_finished()}
    return len((wanted - complete) | unfinished)
