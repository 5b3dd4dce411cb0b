"""Weights of more than a job may take along, through a bucket to the nodes of a real cluster."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from peoria.cluster.package import MOST_BYTES
from shards.store import open_store
from tests.cluster.test_submit import submit, sweep_file
from tests.helpers.faults import long_count
from tests.helpers.local_cluster import LocalCluster
from tests.helpers.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.slow
WEIGHTS = "data/weights/large.safetensors"


@long_count
def test_weights_of_any_size_reach_the_nodes_through_the_bucket(
    cluster: LocalCluster, planted_shards: Path, weights: Path, s3: S3Server, url: str, env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Put once, got once: head and worker are nodes of one machine, with one cache."""
    path = tmp_path / WEIGHTS
    path.parent.mkdir(parents=True)
    save_file(load_file(weights) | {"unused": torch.zeros(MOST_BYTES // 4)}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    file = sweep_file(tmp_path, "large", shards=str(planted_shards), weights=WEIGHTS)
    refused = submit(cluster, tmp_path, file)  # control: the home is a folder
    assert refused.returncode == 2
    assert "what the job needs: 100." in refused.stderr
    assert "with --home in a bucket, weights of any size go there" in refused.stderr

    given = [file, "--home", url, "--tracking", "off", "--env", "AWS_*"]
    ran = submit(cluster, tmp_path, *given, **s3.environment())
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert f"weights: {WEIGHTS}: 100.2 MB, put: {url}/weights/{sha256}" in ran.stdout
    assert "packed: 0." in ran.stdout
    assert "2 of 2 trials" in ran.stdout
    prefix = f"/{BUCKET}/{url.rpartition('/')[2]}"
    assert len(s3.requests("GET", f"{prefix}/weights/{sha256}")) == 1
    store = open_store(url)
    used = [json.loads(store.get(name))["weights"] for name in store.names("sweeps/large/trials") if name.endswith("/model.json")]
    assert used
    assert {(found["source"], found["sha256"]) for found in used} == {(WEIGHTS, sha256)}

    again = submit(cluster, tmp_path, *given, **s3.environment())
    assert again.returncode == 0
    assert f"weights: {WEIGHTS}: 100.2 MB, there already: " in again.stdout
    assert len(s3.requests("POST", f"{prefix}/weights/{sha256}")) == 2  # the begin and the end of one upload in parts
