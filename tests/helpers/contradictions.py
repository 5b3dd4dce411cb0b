"""What a verdict must not say beside something else that it says."""

import re

from peoria.verdict.schema import Judgement, Line, Target, TargetVerdict
from peoria.verdict.sentences import all_said
from peoria.verdict.words import named

PART = re.compile(r"\bpart of .* is in the picture", re.IGNORECASE)
CAUSED = re.compile(r"\bexplains? it\b")
DOUBLED = re.compile(r"\b([a-z]+) \1\b", re.IGNORECASE)
LITTLE = ("smaller than", "less", "worse", "explains it", "the wrong way round")  # what a line that is marked as small may lead with


def contradictions(judged: Judgement) -> list[str]:
    """Empty, or what is wrong, one line each."""
    found = [f"no sentence: {said!r}" for said in all_said(judged) if not said.strip() or not said.endswith(".")]
    found += [f"written badly: {said}" for said in all_said(judged) if DOUBLED.search(said) or re.search(r"None|nan|inf\b|  | [,.;:]|\.\.|,,", said)]
    for target, of in judged.targets.known:
        found += [f"{target}: {what}" for what in (*_of_lines(target, of, judged), *_of_signs(target, of, judged))]
        said = [line.text for line in of.lines] + ([judged.headline] if target == "views" else [])
        if not of.in_the_picture and any(PART.search(text) for text in said):
            found.append(f"{target}: said to be in the picture: {said}")
        if of.explained_by is None and any(CAUSED.search(text) for text in said):
            found.append(f"{target}: a cause is named: {said}")
        if of.confounded != any(
            "Something that changes within owners" in note and f"score and {_name(target)} alike" in note for note in judged.notes
        ):
            found.append(f"{target}: the control and the notes")
    return found + _of_headline(judged)


def _name(target: Target) -> str:
    return "views" if target == "views" else "favourites"


def _of_lines(target: Target, of: TargetVerdict, judged: Judgement) -> list[str]:
    """Each line against the bounds, and its words against its answer."""
    found = []
    lines = {line.key: line for line in of.lines}
    if not of.enough_owners or not of.enough_seeds:
        return [f"claimed of too few: {line.text}" for line in of.lines if line.answer != "undecided" or "too little to judge" not in line.text]
    shown = [line.key for line in of.lines if line.answer == "shown"]
    if shown and not of.in_the_picture:
        found.append(f"shown {shown}, and not in the picture")
    if (lines["image"].answer == "shown") != of.in_the_picture:
        found.append("the image line is not what is in the picture")
    if of.explained_by is not None and (of.in_the_picture or lines["image"].answer != "smaller"):
        found.append(f"explained by {of.explained_by}, and {lines['image'].answer}")
    return found + [f"{line.answer}: {line.text}" for line in of.lines if not _fits(line)]


def _fits(line: Line) -> bool:
    lead = line.text.partition(": ")[0]
    adds = lead in ("more", "the image adds") or PART.search(lead) is not None
    undecided = "not decided" in line.text.partition(": over all")[0].partition(": ρ")[0].partition(": Gini")[0]
    if line.answer == "shown":
        return adds and not undecided
    if line.answer == "smaller":
        return not adds and not undecided and any(words in line.text for words in LITTLE)
    return not adds and "smaller than" not in lead and "by less than" not in lead


def _of_signs(target: Target, of: TargetVerdict, judged: Judgement) -> list[str]:
    """Negative skill is said, and no skill is said where there is none."""
    if not of.enough_owners or not of.enough_seeds:
        return []
    image, deep, context = (line.text for line in of.lines)
    wrong = {
        "the wrong way round": (of.pooled.high < 0) != ("the wrong way round" in image),
        "correlate": (not of.above_chance.pooled) and "correlate" in image,
        "less": of.deep is not None and (of.deep.difference.high < 0) != deep.startswith("less"),
        "worse": of.context is not None and (of.context.difference.high < 0) != ("rank worse" in context),
    }
    return [f"{words}: {of.lines}" for words, is_wrong in wrong.items() if is_wrong]


def _of_headline(judged: Judgement) -> list[str]:
    """The sentence on top against the lines on views below."""
    of, said = judged.targets.views, judged.headline
    if not of.enough_owners or not of.enough_seeds:
        return [] if said.startswith("Too little to judge") else [f"headline of too few: {said}"]
    found = []
    image, deep, _ = of.lines
    if (PART.search(said) is not None) != of.in_the_picture:
        found.append(f"headline: {said} {image.answer}")
    if ("every baseline" in said) != (of.in_the_picture and bool(of.beats_all_baselines)):
        found.append(f"headline on baselines: {said}")
    if of.pooled.high < 0 and "the wrong way round" not in said:
        found.append(f"headline on the sign: {said}")
    if image.answer == "smaller" and "not decided whether that is in the picture" in said:
        found.append(f"headline undecided: {said}; {image.text}")
    if of.deep is not None and deep.answer == "smaller" and re.search(rf"not decided whether it ranks .*{re.escape(named(of.deep))}", said):
        found.append(f"headline on the cheap model: {said}; {deep.text}")
    if "less than a small effect" in said and any((of.above_chance.given_context, of.above_chance.within_owner, of.above_chance.neighbours)):
        found.append(f"headline on small effects: {said}")
    return found
