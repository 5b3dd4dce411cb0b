"""Every command on a page is run as it is written, from where a user stands: beside sweeps/, with .venv/bin on the path and a home of their own.

What is replaced: the user's pictures are made ones, `sweeps/paper.py` trains six small nets for seconds instead of 60 CaffeNets for hours, and
MLflow's port is a free one. What cannot run here stands in `NOT_RUN` with its reason, so that a new command without a test fails.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from peoria.cli import parser
from shards.sources.rows import read_table
from tests.helpers.local_cluster import BIN, free_ports
from tests.helpers.read_rows import rejections_of, rows_of
from tests.helpers.s3_server import s3_server
from tests.helpers.user_folder import user_folder

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS, OTHERS = ("console", "sh"), ("text", "csv", "python")
RUN_ELSEWHERE = "sources.md"  # by tests/end_to_end/test_flickr_chain.py, with a Flickr of its own
PROGRAMS = ("peoria", "make", "python", "mlflow", "ray", "pip", ".ci/run", ".venv/bin/", "aws", "kubectl", "docker")
NOT_RUN = {
    "make demo": "CI runs it; it installs from a package index",
    "make test": "this is it",
    "make lint test test-slow": "CI runs them; this is one of them",
    "make test-other-cpu": "CI runs it: these tests as on another CPU",
    ".ci/run": "CI itself",
    "ray up ray_cluster.yaml": "starts machines; tests/cluster/test_ray_up.py gives it to two on this machine, over ssh",
    "make dist": "builds with pip from the checkout; tests/test_wheel.py builds the same wheel",
    "pip install 'boto3>=1.35'": "installs from a package index",
    "peoria cluster check ray_cluster.yaml": "of a file that is edited; tests/cluster/test_ray_up.py and tests/cluster/test_aws.py give it",
    "aws/setup.sh …": "makes things at a cloud; tests/cluster/test_aws.py runs it against a server that answers as AWS",
    "aws/remove.sh …": "removes things at a cloud; tests/cluster/test_aws.py runs it against a server that answers as AWS",
    "aws …": "needs an account at a cloud",
    'eval "$(aws …': "needs an account at a cloud",
    "ray up …": "with another provider, or an edited file; starts machines",
    "make dist && peoria cluster check ray_cluster.yaml && ray up ray_cluster.yaml": "starts machines; each of the three has tests of its own",
    "peoria submit …": "needs that cluster; tests/cluster/test_ray_up.py gives it to one of two machines on this one",
    "peoria rehearse …": "a cluster of nodes on this machine; tests/cluster/test_rehearsal.py runs it on fewer pictures",
    "ray submit …": "needs that cluster; tests/cluster/test_ray_up.py gives it there",
    "ray dashboard …": "needs that cluster, a way to its dashboard; tests/cluster/test_ray_up.py opens it there",
    "ray down …": "needs that cluster, and stops it; tests/cluster/test_ray_up.py gives it there",
    "RAY_AUTH_MODE=token ray job submit …": "needs that cluster; tests/cluster/test_ray_up.py gives it there",
    "peoria doctor --tracking off": "starts a Ray; tests/peoria/test_doctor.py runs it",
    "peoria sweep sweeps/demo.py --trials 2 --on-end …": "trains for minutes; tests/peoria/test_terminal.py runs it on smaller trials",
    "ray stop": "would end every Ray of this machine",
    "RAY_AUTH_MODE=token …": "a cluster of several machines; tests/end_to_end/test_cluster_job.py starts and asks one in the same way",
    "RAY_UP_enable_autoscaler_v2=0 ray up local.yaml": "starts Ray on other machines",
    "peoria predict demo …": "of a sweep of another page; tests/peoria/serving/test_predict.py gives each form",
    "find new …": "as `peoria predict demo …`; the test there pipes names too",
    "peoria pack pictures/addresses.csv …": "fetches from other machines; tests/shards/fetch does it from this one",
    "peoria ui": "stays until Ctrl-C; tests/browser opens it, tests/peoria/tracking/test_ui.py ends it",
    "peoria ui …": "stays until Ctrl-C; tests/browser opens it, tests/peoria/tracking/test_ui.py ends it",
    "peoria pack unsplash-lite …": "fetches from the web; tests/shards/sources/test_unsplash.py reads the data set",
    "peoria pack pictures/metadata.csv --out data/shards/stored …": "of pictures in a bucket; tests/shards/sources/test_stored.py packs them",
    "peoria pack s3://my-bucket/pictures/metadata.csv …": "of pictures in a bucket; tests/shards/sources/test_stored.py packs them",
    "docker …": "needs a daemon that builds images",
    "kubectl …": "needs a Kubernetes",
}


@dataclass(frozen=True)
class Step:
    """A command of a page, or Python that it shows."""

    language: str
    text: str
    says: str | None = None  # the first line of its output, where the page prints it

    @property
    def reason(self) -> str | None:
        """Why it is not run here; None where it is."""
        words = re.sub(r"\s+#.*", "", self.text)
        return next((why for name, why in NOT_RUN.items() if words == name or (name.endswith(" …") and words.startswith(name[:-1]))), None)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\S*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def steps(page: Path) -> Iterator[Step]:
    for language, text in blocks(page):
        if language == "python":
            yield Step(language, text)
        elif language == "sh":
            yield from (Step(language, line) for line in text.replace("\\\n", "").splitlines())
        elif language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, says = part.partition("\n")
                yield Step(language, command, says.splitlines()[0])


def varying(line: str) -> str:
    """The line with N for each number."""
    return re.sub(r"[-+−]?\d[\d,]*(\.\d+)?", "N", line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides(page: Path) -> None:
    """Every block says what it is, and no other block holds a command."""
    for language, text in blocks(page):
        assert language in COMMANDS + OTHERS, text
        if language not in COMMANDS:
            assert not [line for line in text.splitlines() if line.removeprefix("$ ").startswith(tuple(f"{name} " for name in PROGRAMS))], text
    assert page.read_text().count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_a_line_of_text_are_understood(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for command in re.findall(r"`peoria ([^`]+)`", text):
        if command.split()[0] == "--help":
            continue
        parser().parse_args(shlex.split(command.replace("\n", " ").replace("…", "")) + missing(command))


def missing(command: str) -> list[str]:
    """What a mention such as `peoria pack` leaves out."""
    word, *rest = command.split()
    if word == "flickr" and len(rest) == 1:
        return ["X", "--out", "X"]
    ones = ("pack", "verify", "describe", "sweep", "check", "report", "export", "register", "plant", "ledger", "remove", "compact")
    wanted = dict.fromkeys(ones, 1) | {"predict": 2, "recount": 2, "add": 2}
    return ["X"] * wanted.get(word, 0) if not rest or rest[0].startswith("-") else []


def test_what_is_not_run_is_on_a_page() -> None:
    reasons = [step.reason for page in PAGES for step in steps(page)]
    assert {why for why in reasons if why} == set(NOT_RUN.values())


def test_control_a_new_command_would_be_run() -> None:
    assert Step("sh", "make bench").reason is None
    assert Step("sh", "make demo    # with a remark").reason is not None
    assert Step("sh", "make demo test").reason is None


def test_a_row_of_the_page_is_one(tmp_path: Path) -> None:
    ((_, text),) = [block for block in blocks(ROOT / "docs" / "data.md") if block[0] == "csv"]
    (tmp_path / "table.csv").write_text(text)
    table = read_table(tmp_path / "table.csv")
    assert (len(rows_of(table)), rejections_of(table)) == (1, [])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != RUN_ELSEWHERE and any(not step.reason for step in steps(page))], ids=lambda page: page.name
)
def test_a_page_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    folder = user_folder(tmp_path / "user")
    (tmp_path / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    environment |= {"HOME": str(tmp_path / "home"), "PATH": f"{BIN}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with ExitStack() as stack:
        if "s3://my-bucket" in page.read_text():
            s3 = stack.enter_context(s3_server(tmp_path))
            s3.request("PUT", "/my-bucket")
            environment |= s3.environment()
        for step in steps(page):
            if step.reason:
                continue
            if step.text.startswith("mlflow server "):
                serves(step.text, folder, environment)
                continue
            words = [sys.executable, "-c", step.text] if step.language == "python" else ["bash", "-c", step.text]
            ran = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600)
            assert ran.returncode == 0, f"{step.text}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
            if step.says is not None:
                assert varying(ran.stdout.strip().splitlines()[0].rstrip()) == varying(step.says), step.text


def serves(command: str, folder: Path, environment: dict[str, str]) -> None:
    """The server answers with the experiment of the sweep; then it is ended."""
    (port,) = free_ports(1)
    assert "--port 5000" in command
    server = subprocess.Popen(["bash", "-c", command.replace("--port 5000", f"--port {port}")], cwd=folder, env=environment, start_new_session=True)
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=peoria", headers={"Host": f"127.0.0.1:{port}"}
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    assert json.load(answer)["experiment"]["name"] == "peoria"
                return
            except urllib.error.HTTPError:  # it answers, but not with the experiment
                raise
            except (urllib.error.URLError, TimeoutError):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)
