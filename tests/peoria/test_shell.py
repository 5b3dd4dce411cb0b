"""Arguments on their way through the shells of Ray: what arrives is what was meant, or it is said how to write it."""

import inspect
import json
import subprocess
import sys

import pytest

from peoria.cli import parser, sweep_parser
from peoria.data.filters import Filter, with_bars


def job_submit(*words: str) -> list[str]:
    """What a command is given by `ray job submit -- …`: ray/dashboard/modules/job/cli.py joins with list2cmdline, the job runs in a shell."""
    return _arrives(subprocess.list2cmdline(words))


def submit(*words: str) -> list[str]:
    """… by `ray submit ray_cluster.yaml sweep.py …`: ray/scripts/scripts.py joins with blanks."""
    return _arrives(" ".join(words))


def _arrives(joined: str) -> list[str]:
    program = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
    ran = subprocess.run(["/bin/sh", "-c", f"{program} {joined}"], capture_output=True, text=True, check=False)
    return json.loads(ran.stdout or "[]")


@pytest.mark.slow
def test_ray_joins_so() -> None:
    import ray.dashboard.modules.job.cli as job
    import ray.scripts.scripts as scripts

    assert "list2cmdline(entrypoint)" in inspect.getsource(job)
    assert '" ".join' in inspect.getsource(scripts.submit.callback)


@pytest.mark.parametrize("way", [job_submit, submit])
def test_a_filter_arrives_whole(way: type) -> None:
    words = way("--where", "tag=beach,ocean", "--home", "/mnt/peoria")
    found = sweep_parser().parse_args(words)
    assert Filter.parse(found.where).values == ("beach", "ocean")
    assert with_bars(found.where) == "tag=beach|ocean"  # the same record as of the other spelling
    assert str(found.home) == "/mnt/peoria"


@pytest.mark.parametrize("way", [job_submit, submit])
def test_control_a_bar_is_the_shells(way: type) -> None:
    """The part of the command that is left is another filter and another home."""
    assert "/mnt/peoria" not in way("--where", "tag=beach|ocean", "--home", "/mnt/peoria")


@pytest.mark.parametrize("home", ["/mnt/my data", "/mnt/it's", "/mnt/ümlaut 猫"])
def test_a_home_with_blanks_arrives_whole_from_a_job(home: str) -> None:
    if "'" in home:
        with pytest.raises(AssertionError):
            assert job_submit("--home", home) == ["--home", home]
        home = home.replace("'", "\\'")  # as docs/data.md says
    assert job_submit("--home", home)[1] == home.replace("\\'", "'")


def test_a_home_with_blanks_is_refused_from_submit_and_the_way_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = submit("--home", "/mnt/my data", "--trials", "3")
    assert words == ["--home", "/mnt/my", "data", "--trials", "3"]
    with pytest.raises(SystemExit) as ended:
        sweep_parser().parse_args(words)
    assert ended.value.code == 2
    assert "a path with a blank needs a second pair of quotes" in capsys.readouterr().err
    assert submit("--home", "'/mnt/my data'") == ["--home", "/mnt/my data"]  # that way


ADDRESS = "postgresql://host/mlflow?sslmode=require&options=a;b"


@pytest.mark.parametrize("way", [job_submit, submit])
def test_an_address_with_signs_of_the_shell_needs_quotes_of_its_own(way: type) -> None:
    assert "/mnt/peoria" not in way("--tracking", ADDRESS, "--home", "/mnt/peoria")  # control: the shell keeps what stands behind the sign
    words = way("--tracking", f"'{ADDRESS}'", "--home", "/mnt/peoria")
    found = parser().parse_args(["sweep", "s.py", *words])
    assert (found.tracking, str(found.home)) == (ADDRESS, "/mnt/peoria")
