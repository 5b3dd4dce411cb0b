"""A sweep's model as files for others: weights, a program that is whole, and their cards."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from peoria.errors import PeoriaError, RecordError
from peoria.serving.card import Described, ExportedModel
from peoria.serving.scorer import WinnerTarget
from peoria.training.checkpoint import load_model
from shards.files import write_atomic

FILES = {"safetensors": "model.safetensors", "torch": "model.pt2", "onnx": "model.onnx"}
EXACT_AND_CHEAP = ("safetensors", "torch")
CARD, README = "model.json", "README.md"


def export(home: Path, name: str, out: Path, target: WinnerTarget = "views", formats: Sequence[str] = EXACT_AND_CHEAP) -> list[Path]:
    """The winner for a target in some of `FILES`, each compared with the net's own scores, its card for machines (model.json) and for people
    (README.md).

    Raises:
        ReportError: no such sweep, or it has no winner for this target, or none yet.
        RecordError: its model or its scores are not there, or damaged.
        PeoriaError: a format that is not known, that this net cannot have, or that would not be exact.
    """
    if not formats or (unknown := [form for form in formats if form not in FILES]):
        raise PeoriaError(f"--format: {', '.join(map(repr, unknown)) if formats else 'none'}; {', '.join(FILES)}")
    formats = tuple(form for form in FILES if form in formats)
    described = Described.of(home, name, target)
    data = written(described, formats)
    files = {FILES[form]: hashlib.sha256(content).hexdigest() for form, content in data.items()}
    _remove_others(out, described.card)
    for form, content in data.items():
        write_atomic(out / FILES[form], content)
    import torch

    described.card.model_copy(update={"files": files, "torch": torch.__version__}).write(out / CARD)
    write_atomic(out / README, described.readme(formats).encode())
    return [*(out / FILES[form] for form in formats), out / CARD, out / README]


def written(described: Described, formats: Sequence[str]) -> dict[str, bytes]:
    """The files' bytes by format; raises as `export`, before anything is written."""
    net, _ = load_model(described.winner.folder)  # what cannot be loaded is not handed on
    data = {"safetensors": described.winner.folder.model.read_bytes()} if "safetensors" in formats else {}
    if wanted := [form for form in formats if form != "safetensors"]:
        from peoria.serving import program

        traced = program.program_of(net, described.fitted, described.scores)
        for form in wanted:
            data[form] = program.as_torch(traced) if form == "torch" else program.as_onnx(traced)
            program.refuse_other(form, data[form], net, described.fitted)
    return data


def _remove_others(out: Path, card: ExportedModel) -> None:
    """Files that an earlier export left of another model: they would lie beside a card that is not theirs."""
    try:
        before = ExportedModel.read_if_there(out / CARD)
    except RecordError:
        before = None  # not ours
    if before is not None and before.model.model_sha256 != card.model.model_sha256:
        for name in before.files.keys() & set(FILES.values()):
            (out / name).unlink(missing_ok=True)
