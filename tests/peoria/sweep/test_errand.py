"""Work that a node does beside trials: what becomes of what goes wrong there."""

from pathlib import Path
from typing import Any

import pytest

from peoria.errors import ConfigError, SweepError
from peoria.sweep.errand import Errand, carry_out
from peoria.sweep.preflight import Probe
from shards.errors import DamagedShardError, StoreAwayError

PROBE = Probe(gpus=0)


def fails(given: str, say: Any) -> bytes:
    say("begun")
    kinds = {
        "user": ConfigError("x", hint="y"),
        "damaged": DamagedShardError("y"),
        "away": StoreAwayError("z"),
        "disk": OSError(28, "w"),
    }
    if given in kinds:
        raise kinds[given]
    if given == "bug":
        raise KeyError(given)
    return given.encode()


def done(given: str, probe: Probe = PROBE) -> Any:
    return carry_out(f"{__name__}:fails", given, probe.model_dump_json(), "n1", "id1", 0.0)


@pytest.mark.parametrize(("given", "again"), [("user", False), ("damaged", False), ("away", True), ("disk", True)])
def test_what_may_be_of_the_node_or_of_the_moment_is_tried_again(given: str, again: bool) -> None:
    answer, made = done(given)
    assert (answer.again, answer.said, made) == (again, ("begun",), b"")
    assert answer.problems


def test_a_bug_is_raised_and_what_is_made_is_handed_back() -> None:
    with pytest.raises(KeyError):
        done("bug")
    answer, made = done("well")
    assert (answer.problems, answer.refused, answer.node_id, made) == ((), (), "id1", b"well")


def test_nothing_is_done_on_a_node_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.training.gpu.gpu_trouble", lambda: "none")
    monkeypatch.setattr("peoria.sweep.preflight.gpu_trouble", lambda: "none")
    answer, made = done("well", Probe(gpus=1))
    assert (made, answer.said) == (b"", ())
    assert answer.refused[0].startswith("--gpus-per-trial: 1: on node n1 torch sees no GPU (none")


def test_the_result_comes_in_a_file_which_is_gone_afterwards() -> None:
    taken: list[bytes] = []
    said: list[str] = []
    errand = Errand("the baselines", "m:f", "given", said.append, taken.append)
    asked = errand.message()
    assert asked["errand"] == "m:f"
    assert errand.message()["out"] == asked["out"]  # the same where Ray is started again
    errand.hear({"errand": "begun"})
    assert errand.begun
    errand.hear({"errand": "note", "text": "its worker died"})
    assert (errand.begun, errand.over, said) == (False, False, ["  the baselines: its worker died"])
    Path(asked["out"]).write_bytes(b"made")
    errand.hear({"errand": "done", "said": ["a line"], "node_id": "id1"})
    assert (errand.over, errand.result, taken, errand.node_id, said[-1]) == (True, b"made", [b"made"], "id1", "a line")
    assert not Path(asked["out"]).parent.exists()


def test_what_can_not_be_done_is_an_error_and_what_was_given_up_is_owed() -> None:
    errand = Errand("the baselines", "m:f", "given", print)
    with pytest.raises(SweepError, match="x: 1; 2\nhint: mend it"):
        errand.hear({"errand": "failed", "problems": ["x: 1; 2"], "hint": "mend it"})
    assert not errand.over
    errand.hear({"errand": "lost", "text": "given up"})
    assert (errand.over, errand.result, errand.lost) == (True, None, "the baselines: given up")
