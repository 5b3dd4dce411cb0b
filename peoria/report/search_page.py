"""How the search went, as one page of plots that needs no network: history, parallel coordinates, and what mattered within each task."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.files import write_atomic

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

MIN_TRIALS = 8  # finished, of a task; fewer say nothing about what matters
PAGE = "search.html"


def sweep_plots(study: "Study", out: Path) -> list[Path]:
    """Writes ``out/search.html``; returns what was written, nothing if no trial has a value yet.

    Learning rates of different losses do not compare, so importances and coordinates are drawn within a task. The coordinates show pruned
    trials too, at the value they were stopped at; importances and history rest on finished ones. Diverged trials, told to the searcher as
    -1, are left out: their value is a verdict, not a score.
    """
    from optuna.study import create_study
    from optuna.trial import TrialState, create_trial
    from optuna.visualization import plot_optimization_history

    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None and trial.value > -1]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.value is not None]
    if not complete:
        return []
    scored = create_study(direction="maximize")
    scored.add_trials([trial if trial in complete else create_trial(state=TrialState.FAIL) for trial in trials])  # so that numbers stay
    figures = [("Search history", plot_optimization_history(scored, target_name="objective"))]
    notes = []
    for task in sorted({str(trial.params["task"]) for trial in complete if "task" in trial.params}):
        within, stopped = ([_within(trial, task) for trial in some if trial.params.get("task") == task] for some in (complete, pruned))
        figures += _task_figures(task, within, stopped)
        if len(within) < MIN_TRIALS:
            notes.append(f"{task}: {len(within)} finished trials; {MIN_TRIALS} are needed to say what mattered.")
    path = out / PAGE
    write_atomic(path, _page(study.study_name, figures, notes).encode())
    return [path]


def _within(trial: "FrozenTrial", task: str) -> "FrozenTrial":
    """The trial with the parameters of its task alone, under their short names; a threshold of None reads "no cut"."""
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    params: dict[str, Any] = {}
    distributions: dict[str, Any] = {}
    for name, value in trial.params.items():
        short = name.removeprefix(f"{task}/")
        if short == "task":
            continue
        distribution = trial.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            distribution = CategoricalDistribution(["no cut" if choice is None else str(choice) for choice in distribution.choices])
            value = "no cut" if value is None else str(value)
        params[short], distributions[short] = value, distribution
    return create_trial(value=trial.value, params=params, distributions=distributions)


def _task_figures(task: str, finished: list["FrozenTrial"], pruned: list["FrozenTrial"]) -> list[tuple[str, Any]]:
    from optuna.study import create_study
    from optuna.visualization import plot_parallel_coordinate, plot_param_importances

    study, every = create_study(direction="maximize"), create_study(direction="maximize")
    study.add_trials(finished)
    every.add_trials(finished + pruned)
    title = f"{task}: {len(finished)} finished trials" + (f", {len(pruned)} pruned ones at the value they were stopped at" if pruned else "")
    figures = [(title, plot_parallel_coordinate(every, target_name="objective"))]
    if len(finished) >= MIN_TRIALS and len({trial.value for trial in finished}) > 1:  # nothing explains what does not vary
        figures.append((f"{task}: what mattered", plot_param_importances(study, target_name="objective")))
    return figures


def _page(name: str, figures: list[tuple[str, Any]], notes: list[str]) -> str:
    """The figures on one page; plotly's script stands in it once, for the page must open without a network."""
    from html import escape

    parts = []
    for number, (title, figure) in enumerate(figures):
        figure.update_layout(title=title, template="plotly_white", height=420)
        script = number == 0
        parts.append(figure.to_html(full_html=False, include_plotlyjs=script, div_id=f"plot{number}", config={"displaylogo": False}))
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    style = "body{font-family:sans-serif;max-width:1100px;margin:1em auto}"
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(name)}</title><style>{style}</style>"
    return f"{head}<h1>Search of {escape(name)}</h1>{''.join(parts)}</html>\n"
