"""What a sweep is, on disk: its definition and data once begun, and the refusal to go on as anything else."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable

from peoria.config.sweep import Sweep
from peoria.data.filters import filtered_identity, filtered_labels
from peoria.errors import SweepError
from peoria.plugins import texts_of
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.redact import scrub
from peoria.sweep.plan import Plan
from peoria.sweep.provenance import environment
from peoria.sweep.storage import open_storage
from peoria.sweep.study import Mark, definition_sha256, foreign, read_mark
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


def write_definition(
    folder: SweepFolder,
    sweep: Sweep,
    shard_set: ShardSet,
    plan: Plan,
    *,
    control: str | None,
    storage: str | None,
    cutoff: str | None,
    say: Callable[[str], object],
) -> None:
    """
    Args:
        cutoff: of the question ``time``, where it is asked.

    Raises:
        SweepError: the folder or the storage has trials of this name, and nothing says that they are of this sweep.
    """
    before = SweepRecord.read_if_there(folder.definition)
    here = environment()
    seen = () if before is None else before.environments
    keys = filtered_labels(shard_set, "val", sweep.where).keys
    identity = filtered_identity(shard_set.manifest.identity, sweep.where)
    begun = (uuid.uuid4().hex, time.time()) if before is None else (before.sweep_id, before.started_at)
    if before is None and (mark := _mark(folder, sweep.name, storage)) is not None:
        if not any(folder.path.glob("trials/*")):
            raise foreign(sweep.name, mark)
        if (mark.definition_sha256, mark.identity) != (definition_sha256(sweep.definition()), identity):
            raise SweepError(
                f"{folder.definition}: not there, and the trials beside it are of another definition or of other data; those of this sweep",
                hint=f"give the sweep another name, or move {folder.path} away",
            )
        begun = (mark.sweep_id, mark.started_at)
        say(f"  {folder.definition} was gone; the trials are of this sweep, so it is written again")
    SweepRecord(
        sweep_id=begun[0],
        name=sweep.name,
        question=sweep.question,
        definition=sweep.definition(),
        trials=sweep.trials,
        pictures=sweep.pictures,
        shards=sweep.shards,
        identity=identity,
        control=control,
        where=sweep.where,
        storage=storage_name(storage),
        environment=here,
        environments=seen if here in seen else (*seen, here),
        started_at=begun[1],
        tasks=sweep.space.task,
        objective=plan.objective,
        se_objective=plan.standard_error,
        val_keys_sha256=hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        num_train=plan.num_train,
        num_val=len(keys),
        picture_rule=shard_set.manifest.picture_rule.version,
        time_cutoff=cutoff,
        plugin_texts=texts_of(sweep.digests),
    ).write(folder.definition)


def _mark(folder: SweepFolder, name: str, storage: str | None) -> Mark | None:
    """Of the study of this name that is there already."""
    if storage is None and not folder.journal.exists():
        return None
    return read_mark(open_storage(folder.journal, storage)[0], name)
