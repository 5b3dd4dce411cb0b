"""Nets and tasks from files and packages outside: found by digest, run once, refused in a line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from peoria.cluster.package import pack_job
from peoria.config.sweep import RECORDED, Sweep, load_sweep
from peoria.config.trial import TrialConfig
from peoria.errors import ConfigError
from peoria.models import build, precision
from peoria.plugins import digest, find_plugin, load, offered, remember, texts_of
from peoria.sweep.definition import refuse_another
from peoria.tasks import get_task
from peoria.tasks.check import try_task
from peoria.training.messages import TrialSpec
from tests.helpers.plugin_files import NET, TASK
from tests.helpers.small import small_sweep, trial_config
from tests.helpers.sweep_folder import IDENTITY, WrittenSweep

VIEWS = np.random.default_rng(0).lognormal(4, 1.4, 400).astype(np.int64).astype(float)


def plugin(folder: Path, text: str, name: str = "mine.py") -> dict[str, str]:
    (folder / name).write_text(text)
    return dict([find_plugin(str(folder / name))])


def test_a_task_of_a_few_lines_is_whole(tmp_path: Path) -> None:
    task = get_task("poisson", plugin(tmp_path, TASK))
    try_task(task, VIEWS, "standard", "views")
    fitted = task.fit(VIEWS, VIEWS, "standard", "views")
    assert fitted.loss(torch.tensor([[0.5]]), torch.tensor([2.0])).item() == pytest.approx(np.exp(0.5) - 2 * 0.5)
    assert fitted.predict(np.zeros((2, 1))) == pytest.approx(VIEWS.mean())
    assert task.restore(fitted.state()) == fitted
    with pytest.raises(ConfigError, match="'poisson'; one of classification, hybrid, regression"):  # control
        get_task("poisson")


def test_a_net_is_built_like_any_other(tmp_path: Path) -> None:
    plugins = plugin(tmp_path, NET)
    before = torch.get_rng_state()
    one, again, other = (build("small", num_outputs=2, seed=seed, plugins=plugins)[0] for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one.trunk[0].weight, other.trunk[0].weight)  # type: ignore[index]
    assert one(one.preprocess(torch.zeros(3, 227, 227, 3, dtype=torch.uint8))).shape == (3, 2)
    with pytest.raises(ConfigError, match="net: 'smal'; caffenet, tiny, small of its plugins, timm:NAME"):
        build("smal", num_outputs=2, seed=1, plugins=plugins)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name\n", "mine.py: line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'; a file that runs"),
        ("x = 1\n\n1 / 0\n", "mine.py: line 3: ZeroDivisionError: division by zero; a file that runs by itself\n  1 / 0"),
        ("raise SystemExit(3)\n", r"mine.py: line 1: it ends the program \(3\)"),
        ("NETS = (\n", "mine.py: line 1: .*never closed; a file that runs"),
        ("x = 1\n", "mine.py: it offers nothing; NETS = "),
        ("NETS = {}\n", "mine.py: it offers nothing"),
        ("NETS = [1]\n", "mine.py: NETS is a list; a dict"),
        ("NETS = {'My Net': 1}\n", "mine.py: a net 'My Net'; a name of"),
        ("NETS = {'timm:x': 1}\n", "mine.py: a net 'timm:x'; a name of"),
        ("NETS = {'tiny': 1}\n", "mine.py: a net 'tiny'; another name, for peoria has one"),
        ("NETS = {'resnet18': 1}\n", "mine.py: a net 'resnet18'; another name"),
        ("NETS = {'n': 1}\n", "net 'n': TypeError: 'int' object is not callable; a function of the head"),
        ("NETS = {'n': lambda head: 1}\n", "net 'n': its function gives a int; a peoria.models.Trunk"),
        ("def n():\n    pass\nNETS = {'n': n}\n", "net 'n': TypeError: .*takes 0 positional"),
        (
            NET.replace("num_features=16", "num_features=17").replace("'small'", "'n'").replace('"small"', '"n"'),
            r"trunk gives float32 \[2, 16\]; \[2, 17\]",
        ),
        (NET.replace("Pixels(64)", "nn.Flatten()").replace('"small"', '"n"'), r"Trunk.pixels: without a description"),
        (NET.replace("GlobalAverage()", "nn.Linear(3, 3)").replace('"small"', '"n"'), "its trunk: RuntimeError: "),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        build("n", num_outputs=1, seed=0, plugins=plugin(tmp_path, text))
    assert len(caught.value.problems) == 1
    assert len(str(caught.value).splitlines()) <= 2  # the user's own line below it


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("self.mean", "self.nothing", r"encode: line \d+: AttributeError: .*'nothing'"),
        (".astype(np.float32)", "[:3].astype(np.float32)", r"encode: float32 \[3\]; \[400\]"),
        (".astype(np.float32)", ".tolist()", r"encode: list; \[400\]"),
        ("y / self.mean", "y / 0", "encode: not finite for some counts of train"),
        ("poisson_nll_loss(outputs[:, 0], encoded)", "outputs[:, 0] - encoded", r"loss: float32 \[400\]; a scalar tensor"),
        ("poisson_nll_loss(outputs[:, 0], encoded)", "1.0", "loss: float; a scalar"),
        ("poisson_nll_loss(outputs[:, 0], encoded)", "outputs.sum() / 0", "loss: nan where all outputs are 0"),
        ("np.exp(outputs[:, 0])", "np.exp(outputs)", r"predict: float64 \[400, 1\]; \[400\]"),
        ("class Poisson(CountTask):", "class Poisson(CountTask):\n    reference = 'x'", "reference: 'x'; one of its constants \\(mean, median\\)"),
        ("class Poisson(CountTask):", "class Poisson(CountTask):\n    num_outputs = 0", "num_outputs: 0; a whole number"),
        ("class Poisson(CountTask):", "class Poisson(CountTask):\n    state = lambda self: {}", "state and restore: KeyError"),
        ('{"poisson": Poisson}', '{"regression": Poisson}', "a task 'regression'; another name"),
        ('{"poisson": Poisson}', '{"poisson": Poisson()}', "TypeError"),
        ('{"poisson": Poisson}', '{"poisson": 3}', "task 'poisson': 3; a subclass of CountTask"),
    ],
)
def test_a_task_that_is_not_what_it_says_is_one_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in TASK
    with np.errstate(all="ignore"), pytest.raises(ConfigError, match=said) as caught:
        try_task(get_task("poisson", plugin(tmp_path, TASK.replace(old, new, 1))), VIEWS, "standard", "views")
    assert len(caught.value.problems) == 1


def test_each_content_runs_once_and_never_for_another(tmp_path: Path) -> None:
    count = f"with open({str(tmp_path / 'ran')!r}, 'a') as file:\n    file.write('x')\n"
    first, second = plugin(tmp_path, NET + count), plugin(tmp_path, NET.replace("16", "24") + count)
    sizes = [build("small", num_outputs=1, seed=0, plugins=plugins)[0].num_features for plugins in (first, second, first, second)]
    assert sizes == [16, 24, 16, 24]
    assert (tmp_path / "ran").read_text() == "xx"


def test_two_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    plugins = plugin(tmp_path, NET) | plugin(tmp_path, NET + "# another\n", "other.py")
    with pytest.raises(ConfigError, match=r"mine.py and other.py: a net 'small' in each"):
        offered("net", plugins)
    (tmp_path / "below").mkdir()
    plugin(tmp_path / "below", TASK)
    with pytest.raises(ValueError, match=r"mine.py; each name once"):
        Sweep(name="a", shards="b", plugins=(str(tmp_path / "mine.py"), str(tmp_path / "below" / "mine.py")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.py", "plugins: 'nowhere.py': no such file; the path of a Python file"),
        ("no-package-of-this-name", "plugins: 'no-package-of-this-name': no installed package"),
        ("numpy", "plugins: 'numpy': an installed package that offers nothing"),
        ("", "plugins: '': no installed package"),
    ],
)
def test_what_is_no_plugin_is_said_of_the_sweep(given: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.py"
    path.write_text(f"from peoria import Sweep\nSWEEP = Sweep(name='a', shards='b', plugins=({given!r},))\n")
    with pytest.raises(ConfigError, match=said):
        load_sweep(path)


def test_files_that_are_no_text_or_too_large(tmp_path: Path) -> None:
    for data, said in ((b"\xff", "a Python file in UTF-8"), (b"#" * 200_001, "200,001 bytes; at most 200,000")):
        (tmp_path / "mine.py").write_bytes(data)
        with pytest.raises(ConfigError, match=said):
            find_plugin(str(tmp_path / "mine.py"))


def test_a_sweep_knows_its_plugins_by_digest_alone(tmp_path: Path) -> None:
    plugin(tmp_path, TASK)
    given = {"space": {"task": ("poisson",)}}
    sweep = Sweep(name="a", shards="b", plugins=(str(tmp_path / "mine.py"),), **given)
    assert sweep.definition()["plugins"] == {"mine.py": digest(TASK)}
    config = sweep.trial({"task": "poisson", "learning_rate": 1e-3}, seed=0, threads=1)
    assert texts_of(config.plugins) == (TASK,)
    fields = sweep.definition() | {"shards": "b"}
    assert Sweep.model_validate(fields, context={RECORDED: True}, strict=False).digests == sweep.digests
    with pytest.raises(ValueError, match="task: 'poisson'; one or more of classification"):  # control
        Sweep(name="a", shards="b", **given)


def test_without_plugins_nothing_is_called_otherwise_than_before() -> None:
    assert "plugins" not in Sweep(name="a", shards="b").definition()
    assert "plugins" not in trial_config().model_dump(mode="json")
    assert trial_config(plugins={"mine.py": "0" * 64}).sha256 != trial_config().sha256  # control


def test_a_record_is_read_without_running_anything(tmp_path: Path) -> None:
    text = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n" + TASK
    remember((text,))
    config = TrialConfig.model_validate(trial_config().model_dump() | {"task": "poisson", "plugins": {"mine.py": digest(text)}})
    assert config.sha256
    assert not (tmp_path / "ran").exists()
    get_task(config.task, config.plugins)  # control
    assert (tmp_path / "ran").exists()


def test_a_copy_that_is_not_the_recorded_one_does_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = TASK + "# of a record\n"
    with pytest.raises(ConfigError, match=r"mine.py: no text with sha256 .* beside the settings"):
        load("mine.py", digest(text))
    remember((text + "# edited\n",))
    with pytest.raises(ConfigError, match="no text with sha256"):
        load("mine.py", digest(text))
    remember((text,))
    load("mine.py", digest(text))  # control
    assert "plugin: mine.py (sha256 " in capfd.readouterr().err


def test_another_text_of_a_plugin_is_another_sweep(tmp_path: Path) -> None:
    plugin(tmp_path, TASK)
    sweeps = {}
    for name, text in (("before", TASK), ("now", TASK + "# changed\n")):
        (tmp_path / "mine.py").write_text(text)
        sweeps[name] = small_sweep(Path("nowhere"), plugins=(str(tmp_path / "mine.py"),))
    folder = WrittenSweep(tmp_path / "small", definition=sweeps["before"].definition()).folder
    refuse_another(folder, sweeps["before"], IDENTITY, None)  # control
    with pytest.raises(ValueError, match=r'small: plugins.mine.py: "[0-9a-f]+" before, "[0-9a-f]+" now; a sweep goes on as it was defined'):
        refuse_another(folder, sweeps["now"], IDENTITY, None)


def test_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "own_nets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-nets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[peoria.nets]\nsmall = own_nets_package:small\n")
    (tmp_path / "own_nets_package.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = dict([find_plugin("own-nets")])
    (tmp_path / "own_nets_package.py").write_text(NET + "# another version\n")
    with pytest.raises(ConfigError, match=r"own-nets: its code has sha256 .* as where the sweep was begun"):
        build("small", num_outputs=1, seed=0, plugins=plugins)
    (tmp_path / "own_nets_package.py").write_text(NET)
    assert build("small", num_outputs=1, seed=0, plugins=plugins)[0].num_features == 16


def test_a_net_of_another_package_is_not_taken_for_one_that_was_measured() -> None:
    assert precision("timm:resnet18", "cpu")[0] is precision("resnet_of_mine", "cpu")[0] is None


def test_peoria_itself_loads_no_timm() -> None:
    code = "import sys, peoria.models as m; m.build('tiny', num_outputs=1, seed=0); assert not {'timm', 'open_clip'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_worker_gets_the_text_with_its_trial(tmp_path: Path) -> None:
    plugins = plugin(tmp_path, TASK + "# for a worker\n")
    config = trial_config(task="poisson", plugins=plugins)
    spec = TrialSpec(
        key="0000",
        folder=tmp_path,
        config=config,
        plugin_texts=texts_of(plugins),
        shards=tmp_path,
        cache=tmp_path,
        cache_bytes=None,
        control=None,
        where=None,
    )
    code = "import sys; from peoria.training.messages import TrialSpec; c = TrialSpec.model_validate_json(sys.argv[1]).config; print(c.target_name)"
    ran = subprocess.run([sys.executable, "-c", code, spec.model_dump_json()], check=True, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("views\n", "")  # nothing of a record: it was sent
    lost = spec.model_copy(update={"plugin_texts": ()}).model_dump_json()  # control
    assert "no text with sha256" in subprocess.run([sys.executable, "-c", code, lost], capture_output=True, text=True, check=False).stderr


def test_a_job_takes_its_plugins_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    plugin(tmp_path / "own", TASK)
    sweep = Sweep(name="a", shards="b", plugins=("own/mine.py",))
    (tmp_path / "sweep.py").touch()
    assert set(pack_job(Path("sweep.py"), sweep, b"").files) == {"sweep.py", "own/mine.py"}
    above = Sweep(name="a", shards="b", plugins=(str(tmp_path / "own" / "mine.py"),))
    with pytest.raises(ConfigError, match=r"plugins: /.*; a path below the folder that the command is given in"):
        pack_job(Path("sweep.py"), above, b"")
