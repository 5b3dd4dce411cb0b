"""The test split scored on a node of a cluster, in two errands: all that can be missing is looked through first; then, once the opening is on record
here, test is scored. Whatever happens to the node, it is the same opening that is scored on another one."""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import SweepRecord
from peoria.records.trials import read_trials
from peoria.sweep.bring import bring
from peoria.sweep.errand import Errand
from peoria.sweep.mirror import Mirror
from peoria.sweep.place import joined
from peoria.sweep.ray_process import RayLost
from peoria.sweep.resources import RunOptions, Say
from peoria.sweep.signals import handled
from peoria.training.checkpoint import load_model
from peoria.training.messages import Address, AnyPath
from peoria.verdict.judged import Judged, signature
from peoria.verdict.open_test import Ready, get_ready, score_test
from peoria.verdict.opening import closed, opened
from peoria.verdict.scores import TestScores
from peoria.verdict.vaults import NextVaults
from shards.addresses import is_url
from shards.files import write_atomic
from shards.read.openings import TestOpening


class ScoringWork(BaseModel):
    """What a node needs to know to score test."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Of the sweep."""
    home: AnyPath
    """The folder that all nodes share; where the home is a bucket, its place on the machine that asks."""
    home_url: str | None
    shards: Address
    """The packed set: an absolute path, or a URL."""
    cache: AnyPath
    cache_bytes: int | None
    opening: TestOpening | None = None
    """On record; None: test stays closed."""


def open_and_score_away(options: RunOptions, folder: SweepFolder, judged: Judged, choice: NextVaults, say: Say, mirror: Mirror) -> TestScores:
    """As `open_and_score`, with nothing but labels and records on this machine.

    Raises:
        ReportError: Ray, or one node after another, was lost; test may be open by then, and the same command takes that opening up.
    """
    sweep, shard_set = choice.sweep, choice.shard_set
    work = ScoringWork(
        name=folder.name,
        home=options.home.resolve(),
        home_url=options.home_url,
        shards=sweep.shards if is_url(sweep.shards) else Path(sweep.shards).resolve(),
        cache=options.cache.resolve(),
        cache_bytes=options.cache_bytes,
    )
    weights = judged.winners["views"].config.weights
    try:
        with (
            handled() as signals,
            joined(folder, options, mirror, sweep.shards, shard_set.manifest.identity, weights, say, signals) as (ray_aside, watcher),
        ):

            def done(what: str, function: str, given: ScoringWork, node_id: str = "") -> Errand:
                errand = Errand(what, f"{__name__}:{function}", given.model_dump_json(), say, node_id=node_id)
                ray_aside.do(errand, signals, watcher)
                signals.check()
                if errand.result is None:
                    raise ReportError(errand.lost, hint="the same command goes on")
                return errand

            looked = done("what the report needs", "get_ready_away", work)
            opening = opened(choice, folder, judged, say, mirror)
            scored = done("the scoring of test", "score_away", work.model_copy(update={"opening": opening}), looked.node_id)
    except RayLost as lost:
        raise ReportError(str(lost), hint="the same command goes on") from None
    assert scored.result is not None
    write_atomic(folder.test_scores, scored.result)
    mirror.flush()
    closed(folder)
    found = TestScores.read(folder, signature(sweep, judged))
    assert found is not None
    return found


def get_ready_away(given: str, say: Say) -> bytes:
    """On a node: whether all is there and whole."""
    work = ScoringWork.model_validate_json(given)
    _, _, judged, _ = _ready(work, say)
    for trial in (*judged.winners.values(), *judged.paper, *(trial for again in judged.seeds.values() for trial in again), *judged.subsets):
        if trial.status == "done":
            load_model(trial.folder)
    return b""


def score_away(given: str, say: Say) -> bytes:
    """On a node: the file of scores of an opening."""
    work = ScoringWork.model_validate_json(given)
    assert work.opening is not None
    folder, sweep, judged, ready = _ready(work, say)
    return score_test(ready, work.cache, folder, sweep, judged, work.opening).packed(signature(sweep, judged))


def _ready(work: ScoringWork, say: Say) -> tuple[SweepFolder, SweepRecord, Judged, Ready]:
    folder = SweepFolder.of(work.home, work.name)
    if work.home_url is not None:
        own = Home(work.cache / "records" / hashlib.sha256(work.home_url.encode()).hexdigest()[:16], work.home_url)
        bring(own, work.name, models=True)
        folder = SweepFolder.of(own.path, work.name)
    sweep = folder.read_definition()
    ready = get_ready(work.shards, work.cache, work.cache_bytes, sweep, say)
    return folder, sweep, Judged.of(sweep, read_trials(folder)), ready
