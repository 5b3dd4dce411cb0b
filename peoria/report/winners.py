"""How the page and the terminal call the winners: by what they are, not by the key and settings of a trial."""

from peoria.verdict.schema import ChosenTrial, Kind, Predictor, Target, TargetVerdict, Verdict
from peoria.verdict.words import TARGETS


def winner_names(verdict: Verdict) -> Verdict:
    """The verdict with its judged networks under names that a reader who was not there understands; tables of trials keep a trial's label."""
    names: dict[str, str] = {}
    for name, key, whose in _winners(verdict):
        judged = verdict.predictor(name)
        again = 0 if judged is None or judged.kind != "recipe" else judged.num_seeds
        shipped = f"{whose} as shipped (trial {key})" if again else f"{whose} (trial {key})"
        names |= {f"trial-{key}": shipped} | ({name: f"{whose}, {again} fresh seeds"} if again else {})
    predictors = tuple(p.model_copy(update={"label": names.get(p.name, p.label)}) for p in verdict.predictors)
    targets: dict[str, TargetVerdict] = {}
    for target, found in verdict.targets.known:
        told = tuple(d.model_copy(update={"label": names.get(d.name, d.label)}) for d in found.differences)
        targets[target] = found.model_copy(update={"differences": told})
    return verdict.model_copy(update={"predictors": predictors, "targets": verdict.targets.model_copy(update=targets)})


def stories(verdict: Verdict) -> dict[Target, str]:
    """Of each target what the winner is, and how it came to be judged."""
    found: dict[Target, str] = {}
    for target, of in verdict.targets.known:
        trial = verdict.winners.views if target == "views" else verdict.winners.favorites
        judged = verdict.predictor(of.predictor)
        if trial is not None and judged is not None:
            found[target] = story(trial, verdict.num_trials, judged)
    return found


def story(trial: ChosenTrial, num_trials: int, judged: Predictor) -> str:
    """``The winner: a regression network (tiny), learning rate 1.6e-3, …, chosen of 14 trials by fresh seeds; …``"""
    config = trial.config
    what = f"{_article(config.task)} {config.task} network ({config.net}{', frozen trunk' if config.trunk == 'frozen' else ''})"
    cut = "no outlier cut" if config.outlier_sd is None else f"outlier cut at {config.outlier_sd:g} sd"
    settings = f"learning rate {rate(config.learning_rate)}, last layer {config.head_multiplier:.3g} times as fast, {cut}"
    by = "by fresh seeds" if trial.fresh is not None else f"for the highest last {trial.measure}"
    kind: Kind = judged.kind
    how = f"judged by the mean of {judged.num_seeds} fresh seeds" if kind == "recipe" else "judged as it was trained, once"
    return f"The winner: {what}, {settings}; chosen of {num_trials} trial{'s' if num_trials != 1 else ''} {by}, {how}."


def rate(value: float) -> str:
    """A learning rate: 1.6e-3."""
    return f"{value:.1e}".replace("e-0", "e-").replace("e+00", "").replace("e-", "e−")


def _winners(verdict: Verdict) -> list[tuple[str, str, str]]:
    """(name of the judged predictor, key of its trial, how it is called), each once."""
    views, favorites = verdict.winners.views, verdict.winners.favorites
    named = f"the winner for {TARGETS['views'].popularity}"
    if favorites is None or verdict.targets.favorites is None or favorites.key == views.key:
        return [(verdict.targets.views.predictor, views.key, "the winner")]
    other = (verdict.targets.favorites.predictor, favorites.key, f"the winner for {TARGETS['favorites'].popularity}")
    return [(verdict.targets.views.predictor, views.key, named), other]


def _article(word: str) -> str:
    return "an" if word[:1] in "aeiou" else "a"
