"""A sweep's winners in MLflow's registry: one version a model, loaded and served where peoria is not, and hostile pictures end nothing."""

import base64
import json
import os
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peoria.errors import PeoriaError
from peoria.report.build import report
from peoria.serving.register import register
from shards.errors import PictureError
from shards.images.square import MAX_PIXELS, decode_square
from shards.manifest import PictureRule
from tests.helpers.mlflow_process import free_port

WITHOUT = ("peoria", "shards", "ray", "optuna")
BLOCKED = f"import sys\nfor name in {WITHOUT}: sys.modules[name] = None\n"


def png(width: int, height: int) -> bytes:
    """A grey picture whose pixels take some thousandths of their number."""
    rows = zlib.compress(bytes((width + 1) * height), 1)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


BOMB = png(8001, 8000)


def test_control_without_the_gate_a_bomb_is_decoded() -> None:
    assert len(BOMB) < 1_000_000
    with Image.open(BytesIO(BOMB)) as image:
        image.load()
        assert image.width * image.height > MAX_PIXELS
    with pytest.raises(PictureError, match="too_many_pixels"):
        decode_square(BOMB, PictureRule())


def test_the_same_model_twice_is_one_version_and_an_interrupted_try_goes_on(swept: Path, mlflow_sqlite: str) -> None:
    from mlflow import MlflowClient

    client, artifacts = MlflowClient(tracking_uri=mlflow_sqlite), Path(mlflow_sqlite.removeprefix("sqlite:///")).with_name("mlartifacts")
    artifacts.write_text("in the way: nothing can be uploaded")
    with pytest.raises(PeoriaError, match=r"^MLflow at sqlite:.*; (not all was delivered|a registry that takes models)"):
        register(swept, "small", tracking=mlflow_sqlite, say=lambda text: None)
    artifacts.unlink()
    said: list[str] = []
    first = register(swept, "small", tracking=mlflow_sqlite, say=said.append)
    assert [(one.name, one.version, one.is_new) for one in first] == [("small-views", "1", True), ("small-favorites", "1", True)]
    assert said[0] == "registered: models:/small-views@winner, version 1"
    again = register(swept, "small", tracking=mlflow_sqlite, say=said.append)
    assert [(one.name, one.version, one.is_new) for one in again] == [("small-views", "1", False), ("small-favorites", "1", False)]
    assert len(client.search_model_versions("name = 'small-views'")) == 1
    found = client.get_model_version_by_alias("small-views", "winner")
    assert (found.tags["peoria.trial"], found.tags["target"], found.tags["verdict"]) == ("0000", "views", "not yet judged")
    assert client.get_run(found.run_id).data.tags["peoria.trial"] == "0000"
    assert len(client.search_logged_models([client.get_run(found.run_id).info.experiment_id])) == 2
    assert "not yet judged on a test split" in found.description
    assert "judged" not in client.get_registered_model("small-views").aliases


def test_mlflow_away_is_told_in_a_line(swept: Path) -> None:
    with pytest.raises(PeoriaError, match=r"^MLflow at http://127.0.0.1:\d+: .*; not all was delivered\nhint: peoria register small"):
        register(swept, "small", tracking=f"http://127.0.0.1:{free_port()}", say=lambda text: None)


def test_it_loads_where_peoria_is_not_and_scores_as_the_sweep_did(
    swept: Path, mlflow_sqlite: str, val: tuple[list[Path], np.ndarray], tmp_path: Path
) -> None:
    register(swept, "small", tracking=mlflow_sqlite, say=lambda text: None)
    paths, scores = val
    (tmp_path / "bomb.png").write_bytes(BOMB)
    code = (
        BLOCKED
        + """
import json
import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
uri, bomb, *paths = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model("models:/small-views@winner")
pictures = [open(path, "rb").read() for path in paths]
print(json.dumps(model.predict(pd.DataFrame({"picture": pictures}))["score"].tolist()))
bad = [b"", b"<html>", pictures[0][: len(pictures[0]) // 2], open(bomb, "rb").read(), "no base64!", 5, None, pictures[0], "abc"]
try:
    model.predict(pd.DataFrame({"picture": pd.Series(bad, dtype=object)}))
except MlflowException as error:
    print(error.error_code, error.get_http_status_code())
    print(error.message)
"""
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, mlflow_sqlite, str(tmp_path / "bomb.png"), *map(str, paths)],
        cwd=tmp_path, env=elsewhere(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found, code_and_status, *told = ran.stdout.splitlines()
    np.testing.assert_allclose(json.loads(found), scores, rtol=1e-5, atol=1e-5)
    assert code_and_status == "INVALID_PARAMETER_VALUE 400"
    reasons = ("undecodable: an empty file", "undecodable: text or HTML", "truncated", "too_many_pixels", "text that is no base64", "int", "NoneType")
    wanted = [*zip((0, 1, 2, 3, 4, 5, 6), reasons, strict=True), (8, "base64 that is not whole")]
    assert len(told) == len(wanted), told
    for line, (row, reason) in zip(told, wanted, strict=True):
        assert line.startswith(f"picture {row}: {reason}"), line


def elsewhere(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PEORIA_", "MLFLOW_"))}
    return clean | {"MLFLOW_DISABLE_TELEMETRY": "true"} | more


def ask(url: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers={"Content-Type": kind}), timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_over_http_after_a_report(swept: Path, planted_shards: Path, mlflow_sqlite: str, val: tuple[list[Path], np.ndarray], tmp_path: Path) -> None:
    from mlflow import MlflowClient

    said: list[str] = []
    report(swept, "small", tracking=mlflow_sqlite, say=said.append)
    assert [line.partition(",")[0] for line in said[-2:]] == [f"registered: models:/small-{target}@winner" for target in ("views", "favorites")]
    found = MlflowClient(tracking_uri=mlflow_sqlite).get_model_version_by_alias("small-views", "judged")
    assert "not yet judged" not in found.description + found.tags["verdict"]

    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    port = free_port()
    bin_ = Path(sys.executable).parent
    environment = elsewhere(MLFLOW_TRACKING_URI=mlflow_sqlite, PYTHONPATH=str(tmp_path), PATH=f"{bin_}:{os.environ['PATH']}")
    command = [str(bin_ / "mlflow"), "models", "serve", "-m", "models:/small-views@winner", "--env-manager", "local", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.3)
        url, (paths, scores) = f"http://127.0.0.1:{port}/invocations", val
        whole = [base64.b64encode(path.read_bytes()).decode() for path in paths]

        def records(*pictures: object) -> bytes:
            return json.dumps({"dataframe_records": [{"picture": one} for one in pictures]}).encode()

        bodies = (records(*whole), json.dumps({"inputs": {"picture": whole}}).encode())
        for body in bodies:
            status, text = ask(url, body)
            assert status == 200, text
            np.testing.assert_allclose([row["score"] for row in json.loads(text)["predictions"]], scores, rtol=1e-5, atol=1e-5)
        in_64 = [base64.b64encode(data).decode() for data in (b"hello" * 9, b"<html>", paths[0].read_bytes()[:400], BOMB)]
        bad: list[object] = ["", *in_64, "abc", "%%%", "A" * 30_000_000, 5, None, [1], {"a": 1}]
        for one in bad:
            status, text = ask(url, records(whole[0], one))
            assert 400 <= status < 500, (str(one)[:40], status, text[-300:])
            assert json.loads(text)["message"]
        for body in (b"{", b"[]", b"\xff", b'{"dataframe_records": []}', json.dumps({"dataframe_records": [{"image": whole[0]}]}).encode()):
            status, text = ask(url, body)
            assert 400 <= status < 500, (body[:40], status, text[-300:])
        assert ask(url, b"[" * 100_000)[0] >= 400  # what MLflow's own reader of JSON makes of it
        assert ask(url, b"x", "image/jpeg")[0] == 415
        status, text = ask(url, bodies[0])  # the server is as it was
        assert status == 200, text
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=60)
