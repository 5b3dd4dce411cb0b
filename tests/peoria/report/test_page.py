import functools
import io
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from rich.console import Console

from peoria.report.leaderboard import p_text
from peoria.report.page import plain, render_report, render_table, settings, tied
from peoria.verdict.schema import Judgement, Verdict
from peoria.verdict.tables import PackedSet
from peoria.verdict.values import Interval
from peoria.verdict.words import estimate, number, percent
from tests.helpers.changed import changed
from tests.helpers.pages import Page, section, text_of
from tests.helpers.report_parts import parts

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&[red]x[/red]"
made = functools.cache(parts)


@pytest.fixture
def arguments() -> dict[str, Any]:
    return dict(made())


def test_the_verdict_comes_first_and_whole(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    text = Page(render_report(**arguments)).text
    lines = [line.text for _, found in verdict.targets.known for line in found.lines]
    places = [text.index(sentence) for sentence in [verdict.headline, *lines, *verdict.notes]]
    assert places == sorted(places)
    assert places[-1] < text.index("test pictures of")
    assert text.index("opening 3 of this test set") < places[0]
    assert any("a chance of up to 7.5 %" in note for note in verdict.notes)


def test_an_answer_is_told_without_colour(arguments: dict[str, Any]) -> None:
    for k, answer in enumerate(("shown", "smaller", "undecided")):
        arguments = changed(
            arguments, **{f"verdict__targets__views__lines__{k}__answer": answer, f"verdict__targets__views__lines__{k}__text": "So."}
        )
    source = re.findall(r"<article.*?</article>", render_report(**arguments), re.DOTALL)[0]
    card = Page(source).text
    assert [card.count(word) for word in ("✓", "✗", "?", "yes", "small", "not decided")] == [1, 1, 1, 1, 1, 1]
    assert re.findall(r'<div class="line ([a-z-]+)">', source) == ["yes", "small", "not-decided"]


def test_the_page_needs_nothing_else(arguments: dict[str, Any]) -> None:
    source = render_report(**arguments)
    page = Page(source)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not {"srcset", "xlink:href", "action", "data", "poster"} & {name for name, _ in page.attributes}
    assert all(value and value.startswith("data:image/jpeg;base64,") for name, value in page.attributes if name == "src")
    assert all(value and re.fullmatch("#[a-z]+", value) for name, value in page.attributes if name == "href")
    assert not re.search(r"https?:|//\w|url\(|@import", re.sub("base64,[A-Za-z0-9+/=]+", "", source))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in source


def test_a_picture_from_elsewhere_is_refused(arguments: dict[str, Any]) -> None:
    arguments = changed(arguments, contact__0__pictures__0__image="data:image/svg+xml,<svg/>")
    with pytest.raises(AssertionError):
        render_report(**arguments)


def test_the_contents_lead_to_every_section(arguments: dict[str, Any]) -> None:
    page = Page(render_report(**arguments))
    ids = [value for name, value in page.attributes if name == "id"]
    links = [value.removeprefix("#") for name, value in page.attributes if name == "href" and value]
    assert len(links) == 11
    assert len(set(ids)) == len(ids)
    assert set(links) <= set(ids)


def test_all_numbers_of_the_verdict_appear(arguments: dict[str, Any]) -> None:
    losses = {"log_loss_fav": 0.345678, "half_mse_views": 52352.123456}
    arguments = changed(arguments, verdict__predictors__1__losses=losses)
    verdict = arguments["verdict"]
    source = render_report(**arguments)
    text = Page(source).text
    board = text_of(source, "board")
    for predictor in verdict.predictors:
        for key, found in predictor:
            if isinstance(found, Interval):
                assert (percent if "pair" in key else estimate)(found) in board
        for loss in predictor.losses.values():
            assert plain(loss) in text
    for _, found in verdict.targets.known:
        for other in found.differences:
            assert estimate(other.difference, sign=True) in board
            assert f"p {p_text(other.p, other.p_is_floor)}" in board
        for single in found.single_trials:
            assert f"p {p_text(single.p_holm, single.p_is_floor)} (Holm)" in board
    test = verdict.test
    for count in (test.num_pictures, test.num_owners, test.num_units, test.num_dated, test.pairs_views.num):
        assert f"{count:,}" in text
    for share in (test.unknown_owner_share, test.favorited_share):
        assert f"{100 * share:.1f} %" in text
    for value in (test.standard_error, test.detectable_rho):
        assert number(value) in text
    assert "52,352.1" in text


def test_the_winners_curse_is_shown(arguments: dict[str, Any]) -> None:
    found = arguments["verdict"].questions.selection
    text = text_of(render_report(**arguments), "curse")
    for value in (found.val, found.test, found.luck, found.curve[0], found.curve[-1], *found.seeds):
        assert number(value) in text
    arguments = changed(arguments, verdict__questions__selection=None)
    assert "Not known here." in text_of(render_report(**arguments), "curse")


def test_curves_of_every_trial_and_lines_of_every_baseline(arguments: dict[str, Any]) -> None:
    source = render_report(**arguments)
    figure = source[source.index("val/rank_mean of every trial") : source.index("Training loss")]
    curves = [curve for curve in arguments["curves"] if not curve.is_follow_up]
    evaluated = [curve for curve in curves if curve.last("val/rank_mean") is not None]
    paths = re.findall(r'<path class="(\w+) (\w+)" d="M[^"]+"><title>', figure)
    assert len(paths) == len(evaluated)
    assert [role for role, _ in paths].count("winner") == 1
    assert [role for role, _ in paths].count("paper") == 3
    assert paths[-1][0] == "winner"  # on top
    assert {status for _, status in paths} >= {"done", "pruned"}
    assert figure.count('class="reference') == 5  # constants of three tasks are one line, and luck is one
    for text in ("colour ridge 0.187", "random score −0.012", "luck: the best of 24 trials without skill, on average 0.0"):
        assert text in figure
    losses = source[source.index("Training loss") : source.index("How much each setting mattered")]
    assert [name in losses for name in ("classification", "hybrid", "regression")] == [True] * 3
    assert losses.count("<title>") == len(curves)
    assert len(arguments["curves"]) == len(curves) + 15  # follow-ups stand in the table only
    assert f"Table of {len(arguments['curves'])} trials" in source


def test_contact_sheets_tell_the_truth(arguments: dict[str, Any]) -> None:
    source = section(render_report(**arguments), "pictures")
    assert source.count("<img ") == 48
    text = Page(f"<section {source}</section>").text
    assert [text.index(sheet.title) for sheet in arguments["contact"]] == sorted(text.index(sheet.title) for sheet in arguments["contact"])
    shown = re.findall(r"(\d[\d,]*) views?\s*(\d+) favourites?\s*score ([\d.]+)\s*views ([\d.]+)", text.replace("\n", " "))
    pictures = [picture for sheet in arguments["contact"] for picture in sheet.pictures]
    assert shown == [(f"{p.views:,}", str(p.favorites), str(p.by_score), str(p.by_views)) for p in pictures]
    assert "None were kept." in render_report(**arguments | {"contact": []})
    assert "what moved the score" not in source
    moved = changed(arguments, contact__0__pictures__0__moved=pictures[0].image)
    again = section(render_report(**moved), "pictures")
    assert again.count("<img ") == 49
    assert again.count('alt="what moved the score of picture') == 1
    assert "not why people looked" in again


def test_settings_identities_and_versions_appear(arguments: dict[str, Any]) -> None:
    text = Page(render_report(**arguments)).text
    rate = str(arguments["verdict"].winners.views.config.learning_rate)
    for word in ("learning_rate", rate, "ab" * 32, "c0ffee", "2.14.1", "Linux x86_64, 2 cores, no GPU", "2026-01-02 03:04:05", "8,400", "1,200"):
        assert word in text


def test_two_winners_have_their_settings_beside_each_other(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    assert settings(verdict).columns == ("trial 0007, winner for views and favourites",)
    other = changed(verdict.winners.views, key="0004", config__learning_rate=0.5)
    found = settings(changed(verdict, winners__favorites=other))
    assert found.columns == ("trial 0007, winner for views", "trial 0004, winner for favourites")
    assert dict(found.rows)["learning_rate"] == (verdict.winners.views.config.learning_rate, 0.5)


def test_the_data_card_says_what_was_left_out_or_that_it_does_not_know(arguments: dict[str, Any]) -> None:
    assert "not known to this page" in text_of(render_report(**arguments), "data")
    part: dict[str, Any] = {"num_pictures": 7, "share": 0.7, "num_owners": 5, "num_unknown_owners": 1, "largest_owner_share": 0.25}
    part |= {"counts": {"views": {"mean": 3.25, "sd": 1.0, "max": 1234, "share_zero": 0.125}}, "correlations": {}}
    data = {"table": HOSTILE, "num_rows": 4321, "num_kept": 4000, "num_rejected": 321, "rejected": {"too small": 21, "no file": 300}}
    data |= {"uploaded_at": ["2014-01-01", "2014-12-31"], "observed_at": None, "parts": {"total": part}}
    data |= {"identity": "ab", "num_shards": 1, "num_bytes": 1, "near_duplicates": None}
    arguments = changed(arguments, verdict__data=PackedSet.model_validate(data))
    text = text_of(render_report(**arguments), "data")
    for word in ("4,321 rows", "321 left out", "2014-01-01 to 2014-12-31", "at times unknown", "25.00%", "1,234", "12.5%", "too small", HOSTILE):
        assert word in text
    assert text.index("no file") < text.index("too small")  # the most frequent first


def hostile(arguments: dict[str, Any]) -> dict[str, Any]:
    verdict = arguments["verdict"]
    for path in (
        "predictors__0__label",
        "targets__views__differences__0__label",
        "targets__views__lines__0__text",
        "targets__views__lines__0__title",
        "targets__views__deep__label",
        "where",
        "control",
        "winners__views__config__weights",
        "winners__views__label",
        "winners__objective__measure",
        "questions__noise__statement",
        "paper__headline__0__ours__0__label",
    ):
        verdict = changed(verdict, **{path: HOSTILE})
    verdict = changed(verdict, notes=(*verdict.notes, HOSTILE), predictors__0__losses={HOSTILE: 1.0})
    arguments = arguments | {"verdict": verdict, "baselines": arguments["baselines"]}
    for path in (
        "curves__0__label",
        "curves__0__task",
        "curves__1__status",
        "baselines__0__label",
        "sweep__question",
        "contact__0__pictures__0__id",
        "run__host",
    ):
        arguments = changed(arguments, **{path: HOSTILE})
    return changed(arguments, sweep__environment__machine=HOSTILE)


def test_hostile_names_stay_text(arguments: dict[str, Any]) -> None:
    page = Page(render_report(**hostile(arguments)))
    assert "script" not in page.tags
    assert page.tags.count("img") == 48
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert page.text.count(HOSTILE) >= 20


def test_without_escaping_hostile_names_would_run(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: real(**options | {"autoescape": False}))
    source = render_report(**hostile(arguments))
    assert source.count("<script>alert(1)</script>") >= 20


def test_the_same_arguments_give_the_same_bytes(arguments: dict[str, Any], tmp_path: Path) -> None:
    arguments["verdict"].write(tmp_path / "verdict.json")
    read = Verdict.read(tmp_path / "verdict.json")
    assert read == arguments["verdict"]
    assert render_report(**arguments | {"verdict": read}) == render_report(**arguments)
    assert render_report(**changed(arguments, run__host="elsewhere")) != render_report(**arguments)


def test_controls_and_parts_of_the_pictures_say_so(arguments: dict[str, Any]) -> None:
    assert "Control run" not in render_report(**arguments)
    arguments = changed(arguments, verdict__control="shuffle")
    assert "Control run (shuffle). The counts of all pictures were permuted within each split" in " ".join(
        Page(render_report(**arguments)).text.split()
    )
    arguments = changed(arguments, verdict__control="plant-age-0.45", verdict__where="tag=beach")
    text = Page(render_report(**arguments)).text
    assert "Control run (plant-age-0.45)." in text
    assert "it was planted" in text
    assert "A part of the pictures: tag=beach." in text


def test_planted_popularity_is_said_above_the_verdict(arguments: dict[str, Any]) -> None:
    oracle = arguments["verdict"].predictors[0].model_copy(update={"name": "oracle", "kind": "oracle"})
    real = tuple(one for one in arguments["verdict"].predictors if one.name != "oracle")
    planted = Page(render_report(**changed(arguments, verdict__predictors=(*real, oracle)))).text
    assert planted.index("Made-up popularity.") < planted.index(arguments["verdict"].headline[:20])
    assert "Made-up popularity." not in Page(render_report(**changed(arguments, verdict__predictors=real))).text


def test_a_poor_sweep_renders_too() -> None:
    """Owners, dates and favourites unknown, nothing asked, no curve, no baseline, no picture."""
    poor = changed(made(owners_known=False, dates_known=False, favorites_known=False, asked=False), sweep__objective="rho_views")
    text = Page(render_report(**poor | {"curves": [], "baselines": [], "contact": []})).text
    assert "No trial was evaluated on val." in text
    assert "Owners unknown: intervals are per picture" in text
    assert "owners unknown: each picture is one" in text
    assert "Gini favourites" not in text
    assert text.count("Not asked of this sweep") == 3


def test_figures_are_told_in_words(arguments: dict[str, Any]) -> None:
    labels = [value or "" for name, value in Page(render_report(**arguments)).attributes if name == "aria-label"]
    ridge = next(p for p in arguments["verdict"].targets.views.differences if p.name == "colour-ridge")
    assert any("colour ridge" in label and estimate(ridge.difference, sign=True) in label for label in labels)
    assert any(label.startswith("val/rank_mean of 2") and "the winner for views ending at 0." in label for label in labels)
    assert any(arguments["verdict"].questions.learning_curve.statement in label for label in labels)
    assert len(labels) > 30


def test_tied_keeps_numbers_whole() -> None:
    text = tied("ρ = 0.651 [0.625, 0.677]; 69.2 % [67.3, 70.6] of pairs, ρ +0.1 [−0.2, +0.3]")
    assert text == "ρ\xa0=\xa00.651\xa0[0.625,\xa00.677]; 69.2\xa0%\xa0[67.3,\xa070.6] of pairs, ρ\xa0+0.1\xa0[−0.2,\xa0+0.3]"


def test_plain_numbers() -> None:
    assert [plain(value) for value in (0.345678, 52352.123456, 1.5e9, 2.5e13, 0.0)] == ["0.345678", "52,352.1", "1,500,000,000", "2.5e+13", "0"]


def printed(verdict: Judgement, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render_table(verdict, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_for_the_terminal(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    sorted_ = sorted(verdict.predictors, key=lambda predictor: predictor.label)
    renamed = (changed(p, label="[red]x[/red] [/]") if p.name == "colour-ridge" else p for p in sorted_)
    verdict = changed(verdict, predictors=tuple(renamed))
    text = printed(verdict)
    assert "[red]x[/red] [/]" in text  # no markup
    assert "constants" not in text  # they rank nothing
    recipe = next(p for p in verdict.predictors if p.kind == "recipe")
    assert all(text.index(estimate(recipe.rho_views)) <= text.index(estimate(p.rho_views)) for p in verdict.predictors if p.rho_views)
    for predictor in verdict.predictors:
        if predictor.rho_views:
            assert estimate(predictor.rho_views) in text
            assert percent(predictor.pair_share) in text
    narrow = printed(verdict, 80)
    assert all(estimate(p.rho_views) in narrow for p in verdict.predictors if p.rho_views)  # what fits is whole, the rest is left out
    assert "…" not in narrow
    wide = printed(verdict, 300)
    assert estimate(recipe.fav_given_context) in wide
    assert estimate(recipe.fav_given_context) not in narrow
