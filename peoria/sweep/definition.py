"""What a sweep is, on disk: its definition and data once begun, and the refusal to go on as anything else."""

import hashlib
import json
import time

from peoria.config.sweep import Sweep
from peoria.data.filters import filtered_identity, filtered_labels
from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.sweep.plan import Plan
from peoria.sweep.provenance import environment
from peoria.tracking.redact import scrub
from shards.manifest import differences
from shards.read.shard_set import ShardSet


def refuse_another(folder: SweepFolder, sweep: Sweep, identity: str, storage: str | None) -> None:
    """
    Raises:
        SweepError: the folder holds a sweep of this name with another definition, other data or another storage; names each difference.
        RecordError: what it holds is of another format.
    """
    before = SweepRecord.read_if_there(folder.definition)
    if before is None:
        return
    problems = [
        f"{sweep.name}: {name}: {json.dumps(was)} before, {json.dumps(now)} now; a sweep goes on as it was defined"
        for name, was, now in differences(before.definition, sweep.definition())
    ]
    if before.identity != identity:
        problems.append(f"{sweep.name}: data {before.identity[:12]} before, {identity[:12]} now; a sweep goes on with the pictures it began with")
    if before.storage != storage_name(storage):
        problems.append(f"{sweep.name}: storage {before.storage} before, {storage_name(storage)} now; its trials are in the first one")
    if problems:
        raise SweepError(*problems, hint=f"give the sweep another name, or remove {folder.path}")


def storage_name(url: str | None) -> str:
    return "journal" if url is None else str(scrub(url))


def write_definition(folder: SweepFolder, sweep: Sweep, shard_set: ShardSet, plan: Plan, *, control: str | None, storage: str | None) -> None:
    before = SweepRecord.read_if_there(folder.definition)
    here = environment()
    seen = () if before is None else before.environments
    keys = filtered_labels(shard_set, "val", sweep.where).keys
    SweepRecord(
        name=sweep.name,
        question=sweep.question,
        definition=sweep.definition(),
        trials=sweep.trials,
        shards=sweep.shards,
        identity=filtered_identity(shard_set.manifest.identity, sweep.where),
        control=control,
        where=sweep.where,
        storage=storage_name(storage),
        environment=here,
        environments=seen if here in seen else (*seen, here),
        started_at=time.time() if before is None else before.started_at,
        tasks=sweep.space.task,
        objective=plan.objective,
        se_objective=plan.standard_error,
        val_keys_sha256=hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        num_train=plan.num_train,
        num_val=len(keys),
    ).write(folder.definition)
