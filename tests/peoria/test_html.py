import copy
import io
import re
from html.parser import HTMLParser
from typing import Any

import jinja2
import pytest
from report_parts import parts
from rich.console import Console

from peoria.html import loss_table, plain, render_report, render_table, tied, trial_rows
from peoria.statements import estimate, percent

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&[red]x[/red]"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return parts()


@pytest.fixture
def arguments(made: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(made)


class Page(HTMLParser):
    """Text, tags and attributes of a page; fails where tags do not close."""

    VOID = ("meta", "br", "path", "circle", "img", "link")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes, self.open = "", [], [], []  # type: str, list[str], list[tuple[str, str | None]], list[str]
        self.feed(source)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data.replace("\u00a0", " ")


def test_headline_and_statements_come_first_and_whole(arguments: dict[str, Any]) -> None:
    text = Page(render_report(**arguments)).text
    said = [arguments["verdict"]["headline"], *arguments["verdict"]["statements"]]
    places = [text.index(sentence) for sentence in said]
    assert places == sorted(places)
    assert places[-1] < text.index("Test split")


def test_the_page_needs_nothing_else(arguments: dict[str, Any]) -> None:
    source = render_report(**arguments)
    page = Page(source)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not {"src", "href", "srcset", "xlink:href", "action", "data", "poster"} & {name for name, _ in page.attributes}
    assert not re.search(r"https?:|//\w|url\(|@import", source)
    assert "default-src 'none'" in source


def test_all_numbers_of_the_verdict_appear(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    verdict["predictors"][0]["losses"] |= {"log_loss_fav": 0.345678, "half_mse_views": 52352.123456}
    text = Page(render_report(**arguments)).text
    for predictor in verdict["predictors"]:
        for key, found in predictor.items():
            if isinstance(found, dict) and "low" in found:
                assert (percent if key == "pair_accuracy" else estimate)(found) in text
        for loss in predictor["losses"].values():
            assert plain(loss) in text
    for difference in verdict["differences"]:
        for key in ("rho_views", "gini_fav"):
            assert estimate(difference[key], sign=True) in text
    test = verdict["test"]
    for count in ("num_pictures", "num_owners", "num_units", "num_dated", "num_pairs", "num_pair_owners"):
        assert f"{test[count]:,}" in text
    for share in ("unknown_owner_share", "favorited_share"):
        assert f"{100 * test[share]:.1f} %" in text
    for value in ("standard_error", "detectable_rho"):
        assert f"{test[value]:.3f}" in text
    assert f"{verdict['num_resamples']} resamples" in text
    assert "opening 3 of this test set" in text
    assert "52,352.1" in text


def test_settings_identities_and_versions_appear(arguments: dict[str, Any]) -> None:
    text = Page(render_report(**arguments)).text
    for word in ("learning_rate", "0.0012", "ab" * 32, "c0ffee", "2.14.1", "Linux x86_64, 2 cores, no GPU", "2026-01-02 03:04:05", "8,400", "1,200"):
        assert word in text


def test_curves_of_every_trial_and_lines_of_every_baseline(arguments: dict[str, Any]) -> None:
    source = render_report(**arguments)
    figure = source[source.index("val/rank_mean over pictures seen") : source.index("Training loss")]
    curves = arguments["curves"]
    evaluated = {key for key, curve in curves.items() if any("val/rank_mean" in point["metrics"] for point in curve["points"])}
    paths = re.findall(r'<path class="(\w+) (\w+)" d="M[^"]+"><title>', figure)
    assert len(paths) == len(evaluated)
    assert [role for role, _ in paths].count("best") == 1
    assert paths[-1][0] == "best"  # on top
    assert {status for _, status in paths} >= {"done", "pruned"}
    assert figure.count('class="reference') == 5  # constants of three tasks are one line, and luck is one
    for text in ("colour ridge 0.187", "random score −0.012", "luck: the best of 24 trials without skill, on average 0.0"):
        assert text in figure
    losses = source[source.index("Training loss") : source.index("<summary>27 trials")]
    assert [name in losses for name in ("classification", "hybrid", "regression")] == [True] * 3
    assert losses.count("<title>") == len(curves)


def hostile(arguments: dict[str, Any]) -> dict[str, Any]:
    arguments["verdict"]["predictors"][1]["label"] = HOSTILE
    arguments["verdict"]["differences"][0]["label"] = HOSTILE
    arguments["verdict"]["statements"].append(HOSTILE)
    arguments["verdict"]["predictors"][0]["losses"][HOSTILE] = 1.0
    arguments["curves"]["0000"]["label"] = HOSTILE
    arguments["curves"]["0001"]["status"] = HOSTILE
    arguments["baselines"][0]["label"] = HOSTILE
    arguments["sweep"]["question"] = HOSTILE
    arguments["sweep"]["environment"]["machine"] = HOSTILE
    arguments["verdict"]["best"]["config"]["weights"] = HOSTILE
    arguments["run"]["host"] = HOSTILE
    return arguments


def test_hostile_names_stay_text(arguments: dict[str, Any]) -> None:
    page = Page(render_report(**hostile(arguments)))
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert page.text.count(HOSTILE) >= 8


def test_without_escaping_hostile_names_would_run(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: real(**options | {"autoescape": False}))
    source = render_report(**hostile(arguments))
    assert source.count("<script>alert(1)</script>") >= 8


def test_the_same_arguments_give_the_same_bytes(arguments: dict[str, Any]) -> None:
    assert render_report(**parts()) == render_report(**arguments)
    assert render_report(**arguments | {"run": {"host": "elsewhere"}}) != render_report(**arguments)


def test_a_control_run_says_so(arguments: dict[str, Any]) -> None:
    assert "Control run" not in render_report(**arguments)
    arguments["verdict"]["control"] = "shuffle"
    assert "Control run (shuffle)." in Page(render_report(**arguments)).text


def test_a_poor_sweep_renders_too(arguments: dict[str, Any]) -> None:
    """Owners, dates and favourites unknown, no curve, no baseline, nothing of the best trial."""
    poor = parts(owners_known=False, dates_known=False, favorites_known=False)
    poor["sweep"]["objective"] = "rho_views"
    poor["verdict"].pop("best")
    text = Page(render_report(**poor | {"curves": {}, "baselines": []})).text
    assert "No trial was evaluated on val." in text
    assert "Owners unknown: intervals are per picture" in text
    assert "Gini" not in text


def test_figures_are_told_in_words(arguments: dict[str, Any]) -> None:
    labels = [value or "" for name, value in Page(render_report(**arguments)).attributes if name == "aria-label"]
    assert len(labels) == 8  # two boards, two of differences, val, three of train
    assert any("colour ridge" in label and estimate(arguments["verdict"]["predictors"][2]["rho_views"]) in label for label in labels)
    assert any("val/rank_mean of 2" in label and "the best ending at 0.419" in label for label in labels)


def test_losses_stand_beside_the_constants_once() -> None:
    predictors: list[dict[str, Any]] = [
        {"label": "net", "kind": "best", "losses": {"half_mse_views": 3.0, "half_mse_views_train_mean": 4.0, "d2": 0.25}},
        {
            "label": "constants",
            "kind": "trivial",
            "losses": {"half_mse_views": 4.0, "half_mse_views (train mean)": 4.0, "half_mse_views (train median)": 5.0},
        },
    ]
    table = loss_table(predictors)
    assert table["columns"] == ["d2", "half_mse_views"]
    assert [(row["label"], row["losses"]) for row in table["rows"]] == [
        ("net", {"half_mse_views": 3.0, "d2": 0.25}),
        ("constant: train mean", {"half_mse_views": 4.0}),
        ("constant: train median", {"half_mse_views": 5.0}),
    ]
    predictors[0]["losses"]["half_mse_views_train_mean"] = 4.5  # says something else: stays
    assert "half_mse_views_train_mean" in loss_table(predictors)["columns"]


def test_a_trial_that_did_not_finish_is_never_listed_above_one_that_did(arguments: dict[str, Any]) -> None:
    arguments["curves"]["0000"]["points"][-1]["metrics"]["val/rank_mean"] = 0.9  # pruned
    rows = trial_rows(arguments["sweep"], arguments["curves"])
    done = [row["last"] for row in rows if row["status"] == "done"]
    assert [row["status"] for row in rows[: len(done)]] == ["done"] * len(done)
    assert done == sorted(done, reverse=True)
    assert len(rows) == len(arguments["curves"])


def test_tied_keeps_numbers_whole() -> None:
    text = tied("ρ = 0.651 [0.625, 0.677]; 69.2 % [67.3, 70.6] of pairs, ρ +0.1 [−0.2, +0.3]")
    assert text == "ρ\xa0=\xa00.651\xa0[0.625,\xa00.677]; 69.2\xa0%\xa0[67.3,\xa070.6] of pairs, ρ\xa0+0.1\xa0[−0.2,\xa0+0.3]"


def test_plain_numbers() -> None:
    assert [plain(value) for value in (0.345678, 52352.123456, 1.5e9, 2.5e13, 0.0)] == ["0.345678", "52,352.1", "1,500,000,000", "2.5e+13", "0"]


def printed(verdict: dict[str, Any], width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render_table(verdict, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_for_the_terminal(arguments: dict[str, Any]) -> None:
    verdict = arguments["verdict"]
    verdict["predictors"][1]["label"] = "[red]x[/red] [/]"
    text = printed(verdict)
    assert "[red]x[/red] [/]" in text  # no markup
    assert "constants" not in text  # they rank nothing
    for predictor in verdict["predictors"]:
        if "rho_views" in predictor:
            assert estimate(predictor["rho_views"]) in text
            assert percent(predictor["pair_accuracy"]) in text
    narrow = printed(verdict, 80)
    assert all(estimate(p["rho_views"]) in narrow for p in verdict["predictors"] if "rho_views" in p)  # what fits is whole, the rest is left out
    assert "…" not in narrow
