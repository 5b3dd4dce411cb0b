"""What is wrong with a node, all of it at once and each with the node's name."""

import shutil
from pathlib import Path

import pytest

from peoria.sweep import preflight
from peoria.sweep.mirror import Mirror
from peoria.sweep.preflight import Found, Probe, clock_trouble, forget, look, look_again, make_probe, problems, unanswered
from shards.read.shard_set import ShardSet

NODE = ("worker1 abcdef12", "abcdef12" * 7)


@pytest.fixture
def probe(planted_shards: Path, tmp_path: Path) -> Probe:
    (tmp_path / "weights.pth").write_bytes(b"numbers")
    folder = tmp_path / "home" / "sweeps" / "small"
    folder.mkdir(parents=True)
    bare = Probe(gpus=0.5, pretend=True)
    return make_probe(
        bare,
        folder,
        Mirror(),
        str(planted_shards),
        ShardSet(planted_shards).manifest.identity,
        tmp_path / "cache",
        None,
        str(tmp_path / "weights.pth"),
    )


def test_a_node_that_lacks_nothing(probe: Probe) -> None:
    found = look(probe, *NODE)
    assert problems(probe, found) == unanswered(probe, found) == []
    assert look_again(probe.model_dump_json(), *NODE) == ()
    assert probe.home is not None
    forget(probe.home, Mirror())
    assert not (probe.home / "shared").exists()


def test_everything_that_is_wrong_is_told_at_once(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    there = probe.model_copy(
        update={
            "home": tmp_path / "elsewhere" / "sweeps" / "small",
            "shards": tmp_path / "elsewhere" / "shards",
            "cache": tmp_path / "file" / "cache",
            "weights": str(tmp_path / "none.pth"),
            "pretend": False,
        }
    )
    found = look(there, *NODE).model_copy(update={"versions": probe.versions | {"torch": "1.0", "code of peoria": "0" * 12}})
    lines = problems(there, found)
    assert [line.partition(":")[0] for line in lines] == [
        "--home",
        "--shards",
        "--cache",
        "weights",
        "torch",
        "code of peoria",
        "--gpus-per-trial",
    ]
    assert all("node worker1 abcdef12" in line and "; " in line for line in lines)
    assert not (tmp_path / "elsewhere").exists()  # a node that does not share the home leaves nothing


def test_another_packed_set_another_file_of_weights_and_a_nonce_of_another_run(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"others")
    assert probe.home is not None
    (probe.home / "shared" / probe.nonce).write_text("0")
    lines = problems(probe, look(probe, *NODE).model_copy(update={"identity": "f" * 64}))
    assert [line.partition(":")[0] for line in lines] == ["--home", "--shards", "weights"]
    assert "another file" in lines[0]
    assert f"the packed set is {'f' * 12}, on " in lines[1]


def test_what_the_node_wrote_has_to_be_seen_here(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "VISIBLE_S", 0.3)
    found = look(probe, *NODE)
    assert unanswered(probe, found) == []  # the control
    assert probe.home is not None
    shutil.rmtree(probe.home / "shared")
    (line,) = unanswered(probe, found)
    assert line.startswith("--home: ")
    assert "what node worker1 abcdef12 wrote there is not seen" in line


def test_a_cache_without_room_is_told_and_refuses_nothing(probe: Probe) -> None:
    small = probe.model_copy(update={"cache_bytes": 1000})
    found = look(small, *NODE)
    assert problems(small, found) == []
    assert "train" in found.room
    assert look(probe, *NODE).room == ""


def test_on_this_machine_alone_only_cuda_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "gpu_trouble", lambda: "the driver is too old")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    for probe, seen in ((Probe(gpus=1), 1), (Probe(gpus=0), 0), (Probe(gpus=1, pretend=True), 0)):
        assert len(problems(probe, look(probe, *NODE))) == seen
    look_again.cache_clear()
    (line,) = look_again(Probe(gpus=1).model_dump_json(), *NODE)
    assert line == (
        "--gpus-per-trial: 1: on node worker1 abcdef12 torch sees no GPU (the driver is too old; CUDA_VISIBLE_DEVICES=3); "
        "a GPU and a driver that this torch can use"
    )


def test_clocks() -> None:
    assert clock_trouble("n", 9.0) == clock_trouble("n", -9.0) == []
    assert clock_trouble("n", -3600.0) == ["clock: node n is 3,600 s behind; within 10 s of this machine's"]


def test_the_digest_is_of_the_code_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = preflight.code_digest()
    copy = tmp_path / "copy"
    root = Path(preflight.__file__).parents[1]
    shutil.copytree(root, copy / "peoria", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(preflight, "__file__", str(copy / "peoria" / "sweep" / "preflight.py"))
    preflight.code_digest.cache_clear()
    assert preflight.code_digest() == before  # wherever it lies
    (copy / "peoria" / "sweep" / "pruner.py").write_text("# changed")
    preflight.code_digest.cache_clear()
    assert preflight.code_digest() != before
    preflight.code_digest.cache_clear()


def test_found_is_sent_as_text() -> None:
    found = Found(node="n", node_id="i")
    assert Found.model_validate_json(found.model_dump_json()) == found
