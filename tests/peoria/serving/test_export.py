"""What `peoria export` leaves is enough without peoria, and its cards tell what it is."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from peoria.cli import EXIT_USER_ERROR, main
from peoria.errors import PeoriaError, ReportError
from peoria.models import build
from peoria.records.folder import SweepFolder
from peoria.records.whole import trial_scores
from peoria.serving.card import ExportedModel
from peoria.serving.export import CARD, README, export
from peoria.training.checkpoint import load_model, save_model

TORCH_ALONE = "import sys\nfor name in ('peoria', 'shards', 'cv2', 'simplejpeg', 'mlflow'): sys.modules[name] = None\n"


@pytest.fixture(scope="module")
def exported(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    files = export(swept, "small", out)
    assert [path.name for path in files] == ["model.safetensors", "model.pt2", CARD, README]
    return out


def snippet(exported: Path) -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```$", (exported / README).read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_cards_own_lines_score_pictures_with_torch_alone(exported: Path, swept: Path, val: tuple[list[Path], np.ndarray]) -> None:
    """Nearly as the sweep did: Pillow scales otherwise."""
    paths, scores = val
    code = TORCH_ALONE + snippet(exported) + "print(found['score'].tolist())\n"
    ran = subprocess.run([sys.executable, "-c", code, *map(str, paths)], cwd=exported, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    *lines, found = ran.stdout.splitlines()
    assert [re.fullmatch(r"(.*): [\d.e+]+, above \d+% of the val pictures", line)[1] for line in lines] == list(map(str, paths))  # type: ignore[index]
    (trial,) = SweepFolder.of(swept, "small").trials()
    sd = trial_scores(trial).views.std()
    np.testing.assert_allclose(json.loads(found), scores, atol=0.2 * sd)
    assert scores.std() > 0.4 * sd  # control: to be that near says something


def test_the_card_for_machines(exported: Path, swept: Path) -> None:
    card = ExportedModel.read(exported / CARD)
    (trial,) = SweepFolder.of(swept, "small").trials()
    scores = trial_scores(trial).views
    assert (card.sweep, card.target, card.trial, card.control, card.num_val, len(card.val_quantiles)) == (
        "small",
        "views",
        "0000",
        None,
        len(scores),
        101,
    )
    np.testing.assert_allclose(card.val_quantiles, np.percentile(scores, range(101)))
    assert card.files == {name: hashlib.sha256((exported / name).read_bytes()).hexdigest() for name in ("model.safetensors", "model.pt2")}
    assert card.seeds is None
    assert card.model.config.net == "tiny"
    net, _ = build("tiny", num_outputs=1, seed=5)
    net.load_state_dict(load_file(exported / "model.safetensors"))
    assert card.formula.keys() == {"score", "value"}


def test_the_formula_gives_the_value(exported: Path) -> None:
    from peoria.serving.program import run_torch, samples

    card, found = ExportedModel.read(exported / CARD), run_torch((exported / "model.pt2").read_bytes(), samples(3))
    assert card.model.config.task in ("regression", "hybrid")
    scale = card.model.task["scale"]
    o = [found["score"] if card.model.config.task == "regression" else (found["score"] - scale["mean"]) / scale["sd"]]
    names = {"o": o, "score": found["score"], "expm1": np.expm1, "clip": np.clip}
    np.testing.assert_allclose(eval(card.formula["value"], names), found["value"], rtol=1e-6)
    assert f"`{card.formula['value']}`" in (exported / README).read_text()


def test_a_format_that_is_not_known_or_not_exact_is_refused(swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PeoriaError, match="--format: 'pickle'; safetensors, torch, onnx"):
        export(swept, "small", tmp_path / "out", formats=("pickle",))
    with pytest.raises(PeoriaError, match="--format: none; safetensors, torch, onnx"):
        export(swept, "small", tmp_path / "out", formats=())
    with pytest.raises(SystemExit) as ended:
        main(argv=["export", "small", "--home", str(swept), "--out", str(tmp_path / "out"), "--format", "onnx"])
    assert ended.value.code == EXIT_USER_ERROR
    assert "--format onnx: a score differs from the net's by" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_the_extra_onnx_is_told_what_is_missing(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(PeoriaError, match=r"--format onnx: no package onnxscript; .*\nhint: pip install 'peoria\[onnx\]'"):
        export(swept, "small", tmp_path, formats=("onnx",))
    assert list(tmp_path.iterdir()) == []


def test_the_winner_for_favourites_and_one_that_is_not_there(swept: Path, tmp_path: Path) -> None:
    export(swept, "small", tmp_path, "favorites", ("safetensors",))
    assert ExportedModel.read(tmp_path / CARD).target == "favorites"
    readme = (tmp_path / README).read_text()
    assert "winner for favourites (gini_fav" in readme
    assert "model.pt2" not in readme.replace("model.pt2 holds", "")
    with pytest.raises(ReportError, match="sweep other: none in"):
        export(swept, "other", tmp_path)


def test_files_of_another_model_do_not_stay_beside_a_new_card(swept: Path, tmp_path: Path) -> None:
    export(swept, "small", tmp_path, formats=("safetensors",))
    (tmp_path / "notes.txt").write_text("mine")
    card = ExportedModel.read(tmp_path / CARD)
    for sha256, stays in ((card.model.model_sha256, True), ("0" * 64, False)):
        (tmp_path / "model.onnx").write_text("of an earlier export")
        of = card.model_copy(
            update={"files": {"model.onnx": "1" * 64, "notes.txt": "2" * 64}, "model": card.model.model_copy(update={"model_sha256": sha256})}
        )
        of.write(tmp_path / CARD)
        export(swept, "small", tmp_path, formats=("safetensors",))
        assert (tmp_path / "model.onnx").exists() is stays
    assert (tmp_path / "notes.txt").exists()


def test_a_controls_model_says_that_it_is_none(swept: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(swept / "sweeps", tmp_path / "sweeps")
    (trial,) = SweepFolder.of(tmp_path, "small").trials()
    net, card = load_model(trial)
    save_model(trial, net, card.model_copy(update={"control": "shuffle"}))
    export(tmp_path, "small", tmp_path / "out", formats=("safetensors",))
    assert "**Not a model of anything**: control shuffle, whose counts were reassigned." in (tmp_path / "out" / README).read_text()
    assert ExportedModel.read(tmp_path / "out" / CARD).control == "shuffle"
    export(swept, "small", tmp_path / "real", formats=("safetensors",))  # control
    assert "a model of anything" not in (tmp_path / "real" / README).read_text()
