"""What may happen to a sweep's journal and folder, and what the sweep then says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.sweep.trial_store import TrialStore
from tests.helpers.played import STEPS, run
from tests.helpers.small import small_sweep
from tests.helpers.sweep_folder import WrittenSweep

Damage = Callable[[SweepFolder, str], object]  # of the trial of that key, where it is of one


def define(folder: SweepFolder, sweep: Sweep, sweep_id: str = "5" * 32) -> None:
    """What `peoria sweep` writes before the first trial."""
    written = WrittenSweep(folder.path, definition=sweep.definition())
    about = SweepRecord.read(written.folder.definition)
    about.model_copy(
        update={"sweep_id": sweep_id, "objective": "rho_views", "trials": sweep.trials, "shards": sweep.shards, "question": sweep.question}
    ).write(written.folder.definition)


def ends(folder: SweepFolder) -> dict[str, object]:
    found = {}
    for trial in folder.trials():
        found[trial.key] = {"curve": trial.points.read_text()}
        for name in ("config.json", "outcome.json"):
            found[trial.key] |= {name: json.loads((trial.path / name).read_text()) | {"started_at": 0, "ended_at": 0}}
    return found


def lines(folder: SweepFolder) -> list[bytes]:
    return folder.journal.read_bytes().splitlines(keepends=True)


def cut(part: float) -> Damage:
    return lambda folder, key: (folder.journal.write_bytes(b"".join(lines(folder)[: int(part * len(lines(folder)))])), None)[1]


def digit(folder: SweepFolder, key: str) -> None:
    changed = lines(folder)
    places = [n for n, line in enumerate(changed) if b'"intermediate_value":' in line]
    number = places[0] if places else len(changed) // 2  # none in a journal that was made again and not gone on with
    entry = json.loads(changed[number])
    entry["intermediate_value"] = entry.get("intermediate_value", 0.0) + 0.1
    changed[number] = json.dumps(entry).encode() + b"\n"
    folder.journal.write_bytes(b"".join(changed))


def without_line(folder: SweepFolder, key: str) -> None:
    changed = lines(folder)
    del changed[len(changed) // 2]
    folder.journal.write_bytes(b"".join(changed))


def foreign_bytes(folder: SweepFolder, key: str) -> None:
    changed = lines(folder)
    folder.journal.write_bytes(b"".join([*changed[:5], b"\xff\xfe\x00not json\n", *changed[5:]]))


def another(folder: SweepFolder, key: str) -> None:
    """The journal of another sweep of the same name."""
    other = SweepFolder(folder.path.with_name("other"))
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    begun = small_sweep(Path("nowhere"), trials=8, paper=True, startup_per_task=2, shared=shared, seed=5)
    define(other, begun, "6" * 32)
    run(TrialStore(other, begun))
    shutil.copy(other.journal, folder.journal)


def edited(name: str, **changes: object) -> Damage:
    def change(folder: SweepFolder, key: str) -> None:
        path = folder.trial(key).path / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def config(folder: SweepFolder, key: str) -> None:
    path = folder.trial(key).start
    found = json.loads(path.read_text())
    found["config"]["learning_rate"] *= 1.5
    path.write_text(json.dumps(found))


def gone(name: str) -> Damage:
    return lambda folder, key: (folder.trial(key).path / name).unlink()


def torn(name: str) -> Damage:
    return lambda folder, key: ((folder.trial(key).path / name).write_text('{"format_ver'), None)[1]


def curve(folder: SweepFolder, key: str) -> None:
    shutil.copy(folder.trial("0003").points, folder.trial(key).points)


def curve_point(folder: SweepFolder, key: str) -> None:
    path = folder.trial(key).points
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))


DAMAGE: list[tuple[Damage, str]] = [
    (lambda folder, key: folder.journal.write_bytes(b""), "a trial that Optuna's storage does not have"),
    (lambda folder, key: folder.journal.unlink(), "a trial that Optuna's storage does not have"),
    (cut(0.5), "a trial that Optuna's storage does not have"),
    (cut(0.9), "a trial that Optuna's storage does not have"),
    (digit, r"study\.journal: line \d+ is not as it was written, or one before it is gone"),
    (without_line, r"study\.journal: line \d+ is not as it was written"),
    (foreign_bytes, r"study\.journal: line 6 is not as it was written"),
    (another, "sweep small: the storage has a study of this name, of the sweep that was begun in .*/sweeps/other on "),
    (edited("outcome.json", objective=0.9), r"outcome\.json says done, 0\.9; Optuna's storage"),
    (edited("outcome.json", status="diverged"), r"outcome\.json says diverged"),
    (edited("outcome.json", settings_sha256="0" * 64), r"outcome\.json is of other settings"),
    (config, r"0001: config\.json has other settings"),
    (gone("outcome.json"), r"0001: no outcome\.json; Optuna's storage says that it ended as done"),
    (gone("config.json"), r"0001: no config\.json"),
    (gone("points.jsonl"), r"0001: points\.jsonl has None at 250; Optuna's storage"),
    (torn("outcome.json"), r"0001/outcome\.json: not JSON"),
    (torn("config.json"), r"0001/config\.json: not JSON"),
    (curve, r"0001: points\.jsonl is a curve of other settings"),
    (curve_point, r"0001: points\.jsonl has None at 250"),
    (edited("outcome.json", val_scores_sha256="0" * 64), r"0001: outcome\.json has the digest of other val scores than Optuna's storage"),
]
