"""Machines that are taken away in the middle of trials: with a word before, or without one."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peoria.sweep.spot_notice import ADDRESS
from tests.helpers.faults import FULL, SWEEP, Command, digests, long_count, sample
from tests.helpers.local_cluster import LocalCluster
from tests.helpers.metadata_server import Metadata

pytestmark = pytest.mark.slow

BATCHES = 1000 if FULL else 125  # of each trial, of 32 pictures
END_S = 3000 if FULL else 400
EVALUATIONS = 20 if FULL else 8
EVALUATION = BATCHES // EVALUATIONS + 1  # batches between two
TRIALS = 4
COUNTED = "import peoria.sweep.place as place; place.TRIAL_ACTOR = 'tests.helpers.spot_actor:CountedActor'"
OLD_WAY = """
import peoria.sweep.ray_process as ray_process
ray_process.CODE = ray_process.CODE.replace("serve(int", "import peoria.sweep.ray_start as e; e.CLUSTER_ENV = {}; serve(int")
"""


class Spot:
    """A sweep of four trials at a time on a cluster with one node for them, which is another one again and again."""

    def __init__(self, folder: Path, shards: Path, *, batch_s: float = 0.1, before: str = "", **environment: str) -> None:
        self.batches = folder / "batches"
        self.batches.mkdir(parents=True)
        self.cluster = LocalCluster(folder, cpus=TRIALS, gpus=0)
        root = str(Path(__file__).parents[2])
        mine = {"PEORIA_TEST_BATCHES": str(self.batches), "PEORIA_TEST_BATCH_S": str(batch_s), "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
        self.cluster.environment |= mine | environment
        driver = {name: value for name, value in self.cluster.environment.items() if name.startswith(("RAY_", "PYTHONPATH", "PEORIA_"))}
        flags = ("--concurrent", str(TRIALS))
        self.run = Command(folder / "run", shards, *flags, before=f"{COUNTED}\n{before}", RAY_ADDRESS=self.cluster.address, **driver)
        file = self.run.home.parent / "faults.py"
        file.write_text(SWEEP.replace("seeds=3", "prune=False, seeds=0").replace("startup_per_task=1", "startup_per_task=2"))
        file.write_text(file.read_text().replace('"pictures": 4000', f'"evaluations": {EVALUATIONS}, "pictures": {BATCHES * 32}'))
        self.node = 1

    def start(self) -> Any:
        self.cluster.start()
        return self.run.start()

    def trained(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self.batches.iterdir()}

    def goes_on(self, by: int, process: Any) -> None:
        """Waits until each trial has trained so many batches more, or has ended."""
        before = self.trained()
        ended = self.run.folder.path

        def all_went_on() -> bool:
            now = self.trained()
            keys = [f"{number:04}" for number in range(TRIALS)]
            return all((ended / "trials" / key / "outcome.json").exists() or now.get(key, 0) >= before.get(key, 0) + by for key in keys)

        self.run.wait_until(all_went_on, process)

    def taken_away(self, number: signal.Signals) -> None:
        """The node, as another one comes."""
        gone, self.node = self.node, self.cluster.add_node()
        self.cluster.end_node(gone, number, whole=number == signal.SIGKILL)

    def repeated(self) -> int:
        return sum(self.trained().values()) - TRIALS * BATCHES


@pytest.fixture
def spot(planted_shards: Path, tmp_path: Path) -> Iterator[Callable[..., Spot]]:
    made: list[Spot] = []

    def make(**given: Any) -> Spot:
        made.append(Spot(tmp_path / f"spot{len(made)}", planted_shards, **given))
        return made[-1]

    yield make
    for one in made:
        one.run.clean()
        one.cluster.stop()


@pytest.fixture(scope="module")
def whole(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """The sweep that nobody disturbed, one trial at a time and without a cluster."""
    one = Spot(tmp_path_factory.mktemp("whole"), planted_shards, batch_s=0.0)
    one.run.environment.pop("RAY_ADDRESS")
    one.run.finish()
    assert one.repeated() == 0
    return digests(one.run.folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=long_count)])
def test_a_node_is_taken_away_again_and_again(number: signal.Signals, spot: Any, whole: dict[str, Any]) -> None:
    one, times = spot(), sample(10, 2)
    process = one.start()
    for _ in range(times):
        # without a word nothing is written but at evaluations, and three nodes without one give a trial up
        one.goes_on(8 if number == signal.SIGTERM else EVALUATION, process)
        assert process.poll() is None
        one.taken_away(number)
    assert process.wait(timeout=END_S) == 0, one.run.said()[-3000:]
    assert digests(one.run.folder) == whole  # all of them done: none failed
    print(f"{number.name}: {one.repeated()} batches of {TRIALS * BATCHES} trained again in {times} times")
    assert one.repeated() <= times * TRIALS * (1 if number == signal.SIGTERM else EVALUATION)
    if number == signal.SIGTERM:
        assert "is being taken away: trial" in one.run.said(), one.run.said()[-3000:]  # of the last node the trials may have ended before


@long_count
def test_control_a_worker_that_is_told_nothing_trains_again_from_the_last_evaluation(spot: Any, whole: dict[str, Any]) -> None:
    one = spot(before=OLD_WAY, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S="1")
    process = one.start()
    one.goes_on(EVALUATION // 2, process)
    one.taken_away(signal.SIGTERM)
    assert process.wait(timeout=END_S) == 0, one.run.said()[-3000:]
    assert one.repeated() > TRIALS
    assert digests(one.run.folder) == whole


@long_count
def test_a_clouds_notice_empties_the_node(spot: Any, whole: dict[str, Any]) -> None:
    """No signal: the node's own workers ask, leave, and tell Ray to place nothing more there."""
    cloud = Metadata("aws")
    threading.Thread(target=cloud.serve_forever, daemon=True).start()
    one = spot(**{ADDRESS: f"http://127.0.0.1:{cloud.server_port}"})
    process = one.start()
    one.goes_on(8, process)
    cloud.taken = True
    one.run.wait_until(lambda: "is being taken away" in one.run.said(), process)
    cloud.taken = False  # of the next machine
    one.cluster.add_node()
    assert process.wait(timeout=END_S) == 0, one.run.said()[-3000:]
    cloud.shutdown()
    cloud.server_close()
    assert one.repeated() <= TRIALS
    assert len(cloud.tokens) <= 4  # one asked for a node, not each worker
    assert digests(one.run.folder) == whole


@long_count
def test_a_trial_that_kills_its_own_worker_at_one_step_is_given_up(planted_shards: Path, tmp_path: Path) -> None:
    one = Spot(tmp_path, planted_shards, batch_s=0.0)
    one.run.environment |= {"PEORIA_TEST_KILL": "3", "PYTHONWARNINGS": "ignore"}
    del one.run.environment["RAY_ADDRESS"]
    try:
        assert one.run.start().wait(timeout=END_S) == 3
        assert "0000: its worker died; set aside, for it made no step in so many tries while others did" in one.run.said()
    finally:
        one.run.clean()
