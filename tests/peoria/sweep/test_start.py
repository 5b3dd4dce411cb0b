"""A sweep's start: what each of its processes imports before a trial trains. Times are of no test; what takes them is."""

import subprocess
import sys
from pathlib import Path

from tests.helpers.small import trial_config

UP_TO_RAY = """
import os, sys
from peoria.sweep import ray_process
def start(self):
    print(*sorted({"torch", "ray", "mlflow", "sklearn", "pandas", "matplotlib"} & set(sys.modules)), flush=True)
    os._exit(0)
ray_process.RayProcess._start = start
from peoria.cli import main
main(argv=["sweep", *sys.argv[1:]])
"""
TRIAL = """
import sys
from pathlib import Path
from peoria.config.trial import TrialConfig
from peoria.data.dataset import open_dataset
from peoria.records.folder import TrialFolder
from peoria.training.loop import train
shards, cache, folder, config = sys.argv[1:]
*_, last = train(TrialConfig.model_validate_json(config), open_dataset(Path(shards), Path(cache)), TrialFolder(Path(folder)))
assert last.status == "done"
print(*sorted({"torch._dynamo", "scipy.stats", "sklearn", "ray"} & set(sys.modules)))
"""


def said(code: str, *words: object) -> str:
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_ray_is_started_before_the_sweeps_own_process_imports_what_takes_long(planted_shards: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f'from peoria import Sweep\nSWEEP = Sweep(name="mine", shards={str(planted_shards)!r}, trials=2, shared={{"net": "tiny"}})\n')
    words = (file, "--home", tmp_path / "data", "--ray", "local", "--gpus-per-trial", "0")
    assert said(UP_TO_RAY, *words) == ""
    assert said("import torch\n" + UP_TO_RAY, *words) == "torch"  # the control


def test_the_process_of_ray_is_without_torch() -> None:
    code = "import sys, peoria.sweep.ray_executor\nprint({'torch', 'mlflow', 'optuna', 'sklearn'} & set(sys.modules))"
    assert said(code) == "set()"


def test_a_trial_on_a_cpu_imports_neither_torchs_compiler_nor_scipys_distributions(planted_shards: Path, tmp_path: Path) -> None:
    """Each costs a worker's first trial as long as a short trial takes."""
    config = trial_config(pictures=320).model_dump_json()
    assert said(TRIAL, planted_shards, tmp_path / "cache", tmp_path / "trial", config) == ""
    torchs_own = "import torch\nfrom peoria.training import optim\noptim.PlainSGD, optim._leave_compiler_out = torch.optim.SGD, lambda: None\n"
    assert said(torchs_own + TRIAL, planted_shards, tmp_path / "cache", tmp_path / "other", config) == "torch._dynamo"  # the control
