"""The model as MLflow runs it: a file that MLflow copies and executes by itself. Nothing of peoria is imported; what it needs lies beside it."""

import base64
import importlib.util
import json
import re
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

COLUMN = "picture"
BATCH = 250
MAX_FILE_BYTES = 256 * 2**20
MOST_TOLD = 20  # bad pictures, at once
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+=*\s*")
_IN_JSON = 'JSON: {"dataframe_records": [{"picture": "<the file in base64>"}]}'


class PopularityModel(PythonModel):
    """Pictures, as the bytes of their files, to score, value and percentile."""

    def load_context(self, context: Any) -> None:
        """Reads the program, its card and the picture rule's own code."""
        import torch

        folder = Path(context.artifacts["model"])
        self._card = json.loads((folder / "model.json").read_text())
        self._program = torch.export.load(folder / "model.pt2").module()
        self._rule = SimpleNamespace(**self._card["picture"])
        self._square = _loaded(Path(context.artifacts["code"]))
        self._one_at_a_time = threading.Lock()  # a picture of 64 million pixels takes a GB on the way to its square

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row a picture, in order: ``score``, ``value`` in the unit that the card names, ``percentile`` among val; of a control also a ``note``.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (400 over HTTP): pictures that cannot be read, each with its row.
        """
        import torch

        with self._one_at_a_time:
            found: dict[str, list[float]] = {name: [] for name in ("score", "value", "percentile")}
            problems: list[str] = []
            pictures = list(model_input[COLUMN])
            for start in range(0, len(pictures), BATCH):
                squares = [self._squared(row, one, problems) for row, one in enumerate(pictures[start : start + BATCH], start)]
                if not problems:
                    with torch.inference_mode():
                        said = self._program(torch.from_numpy(np.stack([one for one in squares if one is not None])))
                    for name, values in found.items():
                        values += said[name].tolist()
        if problems:
            more = [f"{len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
            raise MlflowException.invalid_parameter_value("\n".join([*problems[:MOST_TOLD], *more]))
        table = pd.DataFrame(found, dtype=np.float64)
        if self._card["control"] is not None:
            table["note"] = f"control {self._card['control']}, whose counts were reassigned: not a model of anything"
        return table

    def _squared(self, row: int, picture: object, problems: list[str]) -> np.ndarray | None:
        """As the sweep's own pictures are stored: made square by the packing rule, through a JPEG."""
        import simplejpeg

        try:
            data = _bytes_of(picture)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"{len(data)} bytes; at most {MAX_FILE_BYTES}")
            pixels = self._square.decode_square(data, self._rule)[0]
        except ValueError as error:  # PictureError is one
            problems.append(f"{COLUMN} {row}: {error}")
            return None
        square: np.ndarray = simplejpeg.decode_jpeg(self._square.encode_square(pixels, self._rule), "RGB")
        return square


def _bytes_of(picture: object) -> bytes:
    """Of a file, as they are or in base64, which no picture's own bytes can be taken for: each kind begins with, or has, others.

    Raises:
        ValueError: something else.
    """
    if isinstance(picture, str):
        picture = picture.encode("ascii", "replace")
        if not _BASE64.fullmatch(picture):
            raise ValueError(f"text that is no base64; the bytes of a picture's file, in {_IN_JSON}")
    if not isinstance(picture, bytes | bytearray | memoryview):
        raise ValueError(f"{type(picture).__name__}; the bytes of a picture's file, in {_IN_JSON}")
    data = bytes(picture)
    if _BASE64.fullmatch(data):
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError as error:
            raise ValueError(f"base64 that is not whole ({error}); the bytes of a picture's file") from None
    return data


def _loaded(folder: Path) -> ModuleType:
    """The module ``square`` of a package that has no name of its own on the path, so that it shadows nothing."""
    name = f"_peoria_picture_rule_{folder.resolve().as_posix().encode().hex()}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{name}.square")


set_model(PopularityModel())
