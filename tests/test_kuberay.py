"""kuberay/rayjob.yaml: against KubeRay's own definition where that is here, and what keeps strangers and idle costs out; and the Dockerfile."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from peoria.cli import parser

ROOT = Path(__file__).parents[1]
FILE = ROOT / "kuberay" / "rayjob.yaml"
DEFINITION = Path("/work/shared/data/kuberay/ray.io_rayjobs.yaml")  # KubeRay's, Apache-2.0: not in this repository
Job = dict[str, Any]


@pytest.fixture
def job() -> Job:
    found: Job = yaml.safe_load(FILE.read_text())
    return found


def strict(schema: Any) -> Any:
    """The schema as `kubectl apply --validate=strict` takes it: a field that is not in it is refused."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


@pytest.fixture(scope="module")
def schema() -> Any:
    if not DEFINITION.exists():
        pytest.skip(f"KubeRay's definition of a RayJob is not at {DEFINITION}")
    versions = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"]
    (version,) = [version for version in versions if version["name"] == "v1"]
    found = strict(version["schema"]["openAPIV3Schema"])
    found["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own, which the definition leaves open
    return found


def misspelt(job: Job) -> None:
    job["spec"]["shutdownAfterJobFinish"] = True


def misspelt_deep(job: Job) -> None:
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["toleration"] = []


def no_such_version(job: Job) -> None:
    job["spec"]["rayClusterSpec"]["autoscalerOptions"]["version"] = "v3"


def a_number_for_a_text(job: Job) -> None:
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def test_the_definition_takes_it(job: Job, schema: Any) -> None:
    jsonschema.validate(job, schema)


@pytest.mark.parametrize("broken", [misspelt, misspelt_deep, no_such_version, a_number_for_a_text])
def test_control_the_definition_refuses_a_broken_copy(job: Job, schema: Any, broken: Callable[[Job], None]) -> None:
    broken(job)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, schema)


def test_the_head_runs_no_trials_and_workers_come_from_none(job: Job) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    (group,) = cluster["workerGroupSpecs"]
    assert (group["minReplicas"], group["replicas"], group["maxReplicas"]) == (0, 0, 8)
    (container,) = group["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in str(cluster["headGroupSpec"])


def test_the_token_is_a_secret_and_nothing_runs_as_root(job: Job) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "peoria-token"}
    pods = [cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"][0]["template"]["spec"]]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["envFrom"] == [{"secretRef": {"name": "peoria-storage", "optional": True}}]
        assert not [one for one in container["env"] if re.search("TOKEN|KEY|PASSWORD|STORAGE", one["name"])]


def test_the_cache_lies_on_each_nodes_own_disk(job: Job) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    for pod in (cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"][0]["template"]["spec"]):
        (container,) = pod["containers"]
        assert {"name": "PEORIA_CACHE", "value": "/cache"} in container["env"]
        (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/cache"]
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
        assert "emptyDir" in volume


def test_it_goes_on_by_itself_and_ends_by_itself(job: Job) -> None:
    spec = job["spec"]
    assert spec["backoffLimit"] >= 3
    assert spec["shutdownAfterJobFinishes"] is True
    assert "$" not in spec["entrypoint"]  # two shells stand between here and the program
    program, *words = shlex.split(spec["entrypoint"])
    assert program == "peoria"
    asked = parser().parse_args(words)
    group = spec["rayClusterSpec"]["workerGroupSpecs"][0]
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert asked.concurrent * asked.gpus_per_trial == group["maxReplicas"]
    assert asked.cpus_per_trial / asked.gpus_per_trial <= cpus


def test_ray_is_that_of_the_lock(job: Job) -> None:
    assert f"\nray=={job['spec']['rayClusterSpec']['rayVersion']} \\\n" in re.sub(
        r"ray\[[\w,]+\]==", "ray==", (ROOT / "requirements.lock").read_text()
    )


def test_the_image_is_of_the_lock_and_runs_as_nobody_of_weight() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    users = [value for name, value in steps if name == "USER"]
    assert users == ["1000:1000"]
    last_root = next(at for at, (name, _) in enumerate(steps) if name == "USER")
    installs = [(at, value) for at, (name, value) in enumerate(steps) if name == "RUN" and "pip install" in value]
    assert all(at > last_root for at, _ in installs)
    assert ["--require-hashes" in value or "--no-deps" in value for _, value in installs] == [True, True]
    assert not re.search(r"--index-url|--extra-index-url|https?://", "\n".join(value for _, value in steps))
    copied = {word for name, value in steps if name == "COPY" for word in value.split()[:-1] if not word.startswith("--")}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
