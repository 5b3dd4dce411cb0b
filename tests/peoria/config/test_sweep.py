"""Everything wrong with a sweep file is said at once, before anything runs."""

from pathlib import Path

import pytest

from peoria.config.paper_recipe import PAPER, paper_points
from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Point, Sweep, load_sweep
from peoria.config.trial import TrialConfig, trial_label
from peoria.errors import ConfigError
from tests.helpers.small import trial_config

GOOD = {"name": "a", "shards": "data/shards/a"}


def load(kind: str, values: dict[str, object], folder: Path) -> None:
    """What a user meets who writes this into a sweep file."""
    path = folder / "sweep.py"
    path.write_text(f"from peoria import LogUniform, Space, Sweep\nSWEEP = {kind}(**{values!r})\n")
    load_sweep(path)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"trails": 5}, r"sweep.py: trails: unknown key"),
        ({"trials": "many"}, r"sweep.py: trials: 'many'; Input should be a valid integer"),
        ({"trials": 0}, r"trials: 0; Input should be greater than or equal to 1"),
        ({"name": "../x"}, r"name: '../x'; String should match pattern"),
        ({"shared": {"net": 7}}, r"shared.net: 7; Input should be a valid string"),
        ({"shared": {"lr": 0.1}}, r"shared.lr: unknown key"),
        ({"shared": {"learning_rate": 0.1}}, r"shared: learning_rate; what is searched or drawn"),
        ({"shared": {"evaluations": 7}}, r"curve_points: 40; a multiple of evaluations \(7\)"),
        ({"shared": {"pictures": 100}}, r"pictures: 100; at least 2000, a batch for each of the 40 curve_points"),
        ({"shared": {"trunk": "frozen"}}, r"trunk: 'frozen' with no weights"),
        (
            {"shared": {"frozen_crops": 4}},
            r"frozen_crops: 4 with trunk 'trained'; a trunk that is trained sees a new crop each time, only a frozen one keeps some",
        ),
        (
            {"shared": {"trunk": "frozen", "weights": "w.pth", "frozen_crops": 0}},
            r"shared.frozen_crops: 0; Input should be greater than or equal to 1",
        ),
        ({"shared": {"subset": "owners:2"}}, r"shared.subset: 'owners:2'; owners:SHARE, pictures:SHARE .* or before:YYYY-MM-DD"),
        ({"shared": {"order": "sorted"}}, r"shared.order: 'sorted'; Input should be 'shuffled' or 'fixed'"),
        ({"where": "beach"}, r"sweep.py: where: 'beach'; COLUMN=VALUE or COLUMN=VALUE\|VALUE, as in tag=beach\|ocean"),
        ({"shared": {"pictures": 1600, "batch_size": 16}, "paper": True}, r"paper-regression: pictures: 1600; at least 2000"),
    ],
)
def test_each_error_has_its_text(values: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        load("Sweep", GOOD | values, tmp_path)


def test_all_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("Sweep", {"name": "A B", "trails": 5, "trials": 1.5, "shards": None}, tmp_path)
    assert len(caught.value.problems) == 4
    assert "trails: unknown key; the keys are name, question, shards, where, trials" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"task": ("regression", "ranking")}, "one or more of classification, hybrid, regression"),
        ({"task": ()}, "one or more of"),
        (
            {"learning_rate": {"hybrid": LogUniform(1e-4, 1e-2)}},
            "learning_rate: ranges for hybrid; one for each of regression, classification, hybrid",
        ),
        ({"outlier_sd": ()}, "no threshold; at least one"),
        ({"outlier_sd": (-1.0,)}, "greater than 0"),
    ],
)
def test_spaces(values: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        load("Space", values, tmp_path)


def test_a_range_the_wrong_way_round() -> None:
    with pytest.raises(ValueError, match=r"low 0.1 is above high 0.01; low <= high is needed"):
        LogUniform(0.1, 0.01)


def test_sweep_files(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    with pytest.raises(ConfigError, match="no such file; a sweep file is Python"):
        load_sweep(path)
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match="no SWEEP; a sweep file ends with"):
        load_sweep(path)
    path.write_text("SWEEP = (\n")
    with pytest.raises(ConfigError, match=r"line 1: .*; a sweep file is Python"):
        load_sweep(path)
    path.write_text("from peoria import Sweep\nSWEEP = Sweep(name='a', shards='b', trails=3, trials='x')\n")
    with pytest.raises(ConfigError, match=r"(?s)trails: unknown key.*trials: 'x'|trials: 'x'.*trails: unknown key"):
        load_sweep(path)
    path.write_text("from peoria import Sweep\nSWEEP = Sweep(name='a', shards='b')\n")
    assert load_sweep(path).trials == 60


def test_the_example_that_an_error_shows_is_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(tmp_path / "nowhere.py")
    (tmp_path / "least.py").write_text(str(caught.value).split("the least is: ")[1])
    assert load_sweep(tmp_path / "least.py").name == "mine"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "sweeps").glob("*.py")), ids=lambda path: path.stem)
def test_the_sweeps_that_come_with_it(path: Path) -> None:
    sweep = load_sweep(path)
    assert sweep.name == path.stem
    assert all(word in path.read_text() for word in ("Question", "Command", "Cost", "Result"))


def test_set_points() -> None:
    config = trial_config()
    assert config.set_points()[-1] == 640
    assert len(config.set_points()) == 20
    assert config.evaluation_points() == (160, 320, 480, 640)
    gaps = [b - a for a, b in zip((0, *config.set_points()), config.set_points(), strict=False)]
    assert min(gaps) >= config.batch_size  # so that every point has a batch


def test_points_leave_the_rest_to_the_searcher() -> None:
    assert Point(task="hybrid").given() == {"task": "hybrid"}
    assert Point(task="hybrid", outlier_sd=None).given() == {"task": "hybrid", "outlier_sd": None}
    assert Space().named({"task": "hybrid", "learning_rate": 0.1}) == {"task": "hybrid", "hybrid/learning_rate": 0.1}


def test_the_papers_settings_are_valid_trials_and_marked() -> None:
    for task, settings in PAPER.items():
        config = TrialConfig.model_validate({"task": task, **{name: setting.value for name, setting in settings.items()}})
        assert config.head_multiplier == 20
        assert all(setting.where for setting in settings.values())
    assert PAPER["regression"]["learning_rate"].value == 1e-8
    assert PAPER["regression"]["learning_rate"].stated
    assert not PAPER["hybrid"]["learning_rate"].stated
    assert not PAPER["hybrid"]["batch_size"].stated


def test_a_shorter_paper_run_drops_its_rate_at_the_papers_places_and_is_not_called_the_papers() -> None:
    short = paper_points(("regression", "hybrid"), {"pictures": 20_000, "net": "tiny"})
    assert set(short) == {"paper-regression", "paper-hybrid"}
    assert short["paper-regression"]["schedule_pictures"] == 20_000  # the one drop is at the end of 20,000 iterations
    assert short["paper-hybrid"]["schedule_pictures"] == 20_000 * 20_000 // 97_000
    named = TrialConfig.model_validate({**short["paper-hybrid"], "net": "tiny"})
    assert trial_label("paper-hybrid", named) == "the paper's hyper-parameters on tiny (hybrid)"
    whole = {**paper_points(("hybrid",), {})["paper-hybrid"], "net": "caffenet", "weights": "w.caffemodel"}
    assert trial_label("paper-hybrid", TrialConfig.model_validate(whole)) == "the paper's hybrid"
    assert trial_label("paper-hybrid", TrialConfig.model_validate({**whole, "weights": None})) != "the paper's hybrid"
    frozen = TrialConfig.model_validate({**whole, "trunk": "frozen"})
    assert trial_label("paper-hybrid", frozen) == "the paper's hyper-parameters on caffenet (hybrid), frozen trunk"


def test_views_are_of_a_frozen_trunk() -> None:
    assert trial_config(trunk="frozen", weights="w.pth").num_frozen_crops == 2
    assert trial_config(trunk="frozen", weights="w.pth", frozen_crops=5).num_frozen_crops == 5
    assert TrialConfig.model_validate(trial_config().model_dump()) == trial_config()  # as the record of a sweep reads it again


def test_which_pictures_and_their_order_make_another_sweep() -> None:
    plain, view = Sweep(name="a", shards="b"), Sweep(name="a", shards="b", where="tag=beach")
    part = Sweep(name="a", shards="b", shared={"subset": "owners:0.5", "order": "fixed"})
    assert plain.definition()["where"] is None
    assert len({str(sweep.definition()) for sweep in (plain, view, part)}) == 3
    config = part.trial({"task": "hybrid", "learning_rate": 1e-3}, seed=0, threads=1)
    assert (config.subset, config.order) == ("owners:0.5", "fixed")
    assert (trial_config().subset, trial_config().order) == (None, "shuffled")
