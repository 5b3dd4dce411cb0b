"""Everything wrong with a sweep file is said at once, before anything runs."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from peoria.config.paper_recipe import PAPER, paper_points
from peoria.config.space import LogUniform, Space
from peoria.config.sweep import RECORDED, Point, Sweep, load_sweep
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
        ({"trials": "many"}, r"sweep.py: trials: 'many'; a valid integer"),
        ({"trials": 0}, r"trials: 0; greater than or equal to 1"),
        ({"name": "../x"}, r"name: '../x'; String should match pattern"),
        ({"shared": {"net": 7}}, r"shared.net: 7; a valid string"),
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
            r"shared.frozen_crops: 0; greater than or equal to 1",
        ),
        ({"shared": {"subset": "owners:2"}}, r"shared.subset: 'owners:2'; owners:SHARE, pictures:SHARE .* or matched:YYYY-MM-DD/DRAW"),
        ({"shared": {"rungs": (0.5,)}}, r"shared: rungs; the sweep's own, as in Sweep\(.*rungs=\(0.125, 0.5\)\)"),
        ({"rungs": (0.04, 0.5)}, r"rungs: \(0.04, 0.5\); one or more shares of the length, ascending, each at least 0.05 and below 1"),
        ({"rungs": (0.5, 0.25)}, r"rungs: \(0.5, 0.25\); one or more shares"),
        ({"rungs": (0.5, 1.0)}, r"rungs: \(0.5, 1.0\); one or more shares"),
        ({"rungs": ()}, r"rungs: \(\); one or more shares of the length, .*; prune=False: none"),
        ({"shared": {"order": "sorted"}}, r"shared.order: 'sorted'; 'shuffled' or 'fixed'"),
        ({"where": "beach"}, r"sweep.py: where: 'beach'; COLUMN=VALUE or COLUMN=VALUE,VALUE, as in tag=beach,ocean"),
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
    assert "trails: unknown key; the keys are name, question, shards, plugins, where, trials" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"task": ()}, "one or more of"),
        ({"task": ["hybrid"]}, r"task: \['hybrid'\]; a tuple, as in"),
        ({"learning_rate": (1e-4, 1e-2)}, r"sweep.py: learning_rate: \(0.0001, 0.01\); LogUniform\(low, high\) or a dict"),
        ({"learning_rate": 0.1}, r"learning_rate: 0.1; LogUniform\(low, high\) or a dict, as in"),
        ({"learning_rate": {"hybrid": (1e-4, 1e-2)}}, r"sweep.py: learning_rate.hybrid: \(0.0001, 0.01\); LogUniform\(low, high\)$"),
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


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("LogUniform(1e-4)", "s.py: high: not given; it is needed"),
        ("LogUniform('a', 1)", "s.py: low: 'a'; a valid number"),
        ("LogUniform(low=1, hihg=2)", "s.py: hihg: unknown key; the keys are low, high, typical, width"),
        ("LogUniform(1, 2, typical=3)", r"typical 3.0 is outside 1.0 to 2.0; low <= typical <= high is needed"),
        ("LogUniform(1, 2, typical=0)", "s.py: typical: 0; greater than 0"),
        ("LogUniform(1, 2, typical=1.5, width=0)", "s.py: width: 0; greater than 0"),
        ("LogUniform(1, 2, typical=float('nan'))", "s.py: typical: nan"),
        ("LogUniform(1, 2, 3)", "one value too many; low, high"),
        ("Point(task='hybrid', outlier_sd='none')", "s.py: outlier_sd: 'none'; a valid number or 'drawn'"),
        ("Sweep(name='a', shards='b', space={'task': ('hybrid',)}, queue=(1,))", r"queue.0: 1; Point\(…\)"),
        ("Sweep(name='a', shards='b', queue=(Point(task='ranking'),))", "queue.0: task 'ranking'; one of"),
        ("Sweep(name='a', shards='b', queue=(Point(task='hybrid'), Point(task='hybrid', outlier_sd=5.5)))", "queue.1: outlier_sd 5.5; one of"),
        ("Sweep(name='a', shards='b', queue=(Point(task='x'), Point(task='y')))", r"(?s)queue.0: task 'x'.*queue.1: task 'y'"),
        ("Sweep(name='a', shards='b', queue=(Point(task='hybrid', learning_rate=2.0),))", "queue.0: learning_rate 2; 1e-06 to 0.01, the range"),
        ("Sweep(name='a', shards='b', space=3)", r"space: 3; Space\(…\)"),
        ("Sweep(name='a', shards='b', space=Space(task=('ranking',)))", "task: 'ranking'; one or more of classification, hybrid, regression"),
        ("Sweep(name='a', shards='b', plugins='mine.py')", "plugins: 'mine.py'; a tuple of paths"),
        ("Sweep(name='a', shards='b', shared={'plugins': {}})", "shared: plugins; the sweep's own"),
    ],
)
def test_no_word_of_the_checker_shows_through(code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(f"from peoria import LogUniform, Point, Space, Sweep\nSWEEP = {code}\n")
    with pytest.raises(ConfigError, match=said) as caught:
        load_sweep(tmp_path / "s.py")
    assert not any(word in str(caught.value) for word in ("function-after", "constrained", "literal[", "Input should", "ArgsKwargs", "dict["))


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"x = 1\n1 / 0\n", r"line 2: ZeroDivisionError: division by zero; a sweep file runs .*\n  1 / 0\n"),
        (b"import sys\nsys.exit(3)\n", r"line 2: it ends the program \(3\); a sweep file holds one SWEEP value"),
        (b"raise SystemExit\n", r"line 1: it ends the program \(None\)"),
        (b"import nothing_of_this_name\n", r"line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        (b"open('/nowhere/x')\n", r"line 1: FileNotFoundError: .*/nowhere/x"),
        (b"raise MemoryError\n", r"line 1: MemoryError: no text"),
        (b"raise GeneratorExit\n", r"line 1: GeneratorExit: no text"),
        (b"def f():\n    f()\nf()\n", r"line 2: RecursionError: maximum recursion"),
        (b"import json\n\njson.loads('{')\n", r"line 3: JSONDecodeError: "),
        (b"class E(Exception):\n  def __str__(self): raise KeyError\nraise E\n", r"line 3: E: \(its text raises KeyError\)"),
        ("x = '\xe9'\n".encode("latin-1"), r"s.py: .*can't decode byte 0xe9.*; a sweep file is Python"),
        (b"\x00\x01\x02", r"s.py: .*null bytes; a sweep file is Python"),
        (b"\xff\xfe", r"s.py: .*can't decode byte 0xff.*; a sweep file is Python"),
        (b"# -*- coding: nothing -*-\n", r"s.py: .*unknown encoding: nothing; a sweep file is Python"),
        (b"(" * 100_000, r"s.py: line 1: .*; a sweep file is Python"),
        (b"", "no SWEEP"),
    ],
)
def test_what_a_sweep_file_does_is_said_with_its_line(text: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_bytes(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_sweep(tmp_path / "s.py")
    assert len(str(caught.value).splitlines()) <= 3  # a line, the user's own, a hint


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # would be waited for
    for path, said in ((tmp_path, "a folder"), (tmp_path / "fifo", "no regular file"), (Path("/dev/null"), "no regular file")):
        with pytest.raises(ConfigError, match=f"{path}: {said}; a sweep file is Python"):
            load_sweep(path)


def test_control_a_user_who_interrupts_is_heard(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_sweep(tmp_path / "s.py")


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


def test_a_sweep_that_was_begun_with_two_seeds_can_still_be_read() -> None:
    """The rule is for what is defined now: the record of an older sweep is not lost by it."""
    given = {"name": "older", "shards": "nowhere", "seeds": 2}
    assert Sweep.model_validate(given, context={RECORDED: True}).seeds == 2
    with pytest.raises(ValidationError, match=r"2; 0 .* or at least 3"):  # control
        Sweep.model_validate(given)
