"""MLflow's registry: a sweep's winner as a model that MLflow loads and serves without peoria; the same model twice is one version."""

import hashlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.databases import address, is_database, refuse_unreachable
from peoria.redact import scrub_file, scrub_text
from peoria.tracking.database import quiet, sqlite_file
from peoria.tracking.projection import TrackingError
from shards import errors
from shards.errors import UserError
from shards.images import colour, decoded, heads, jpeg_frame, opened, pdq, profiles, square

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVED = Path(__file__).with_name("served.py")
WINNER, JUDGED = "winner", "judged"
MOST_DESCRIPTION = 5000  # characters: a column of MLflow's database
_IMPORT = re.compile(r"^from shards\.(?:images\.)?(\w+) import (.+)$", re.MULTILINE)
_REQUIREMENTS = ("mlflow", "torch", "numpy", "pandas", "pillow", "opencv-python-headless", "simplejpeg")
_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    name: str
    version: str
    is_new: bool = False

    def __str__(self) -> str:
        return f"models:/{self.name}@{WINNER}, version {self.version}{'' if self.is_new else ', as it was'}"


@dataclass(frozen=True)
class Entry:
    """What is said of a model in the registry."""

    name: str
    """``SWEEP-TARGET``."""
    title: str
    model_sha256: str
    run: dict[str, str]
    """Tags that name the run it came from."""
    tags: dict[str, str]
    readme: str
    judged: bool
    """Whether a verdict stands for it."""

    @property
    def lasting(self) -> dict[str, str]:
        """The tags that stay as long as the model does."""
        return {name: _fits(value) for name, value in self.tags.items() if name != "verdict"}

    @property
    def fingerprint(self) -> str:
        """Of the weights, whose they are said to be, and the code that serves them: what makes it this version and no other."""
        parts = [self.name, self.model_sha256, *self.run.values(), SERVED.read_text(), *_code().values()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Registry:
    """The registry of the MLflow at ``uri``.

    Raises:
        TrackingError: from each method: what MLflow, its database or the network says, in one line.
    """

    def __init__(self, uri: str, *, experiment: str = "peoria") -> None:
        self.uri, self._experiment = uri, experiment

    def find(self, entry: Entry) -> Registered | None:
        """The version of just this model, or None."""
        with self._told() as client:
            return _version_of(client, entry)

    def add(self, entry: Entry, model: Path) -> Registered:
        """A version for the model in a folder of `peoria.serving.export` (model.pt2, model.json, README.md), linked to its run.

        Raises:
            TrackingError: also where the run is not there.
        """
        with self._told() as client:
            experiment, run_id = self._run(client, entry)
            logged = _logged(client, experiment, run_id, entry)
            with tempfile.TemporaryDirectory(prefix="peoria-") as temporary:
                client.log_model_artifacts(logged, str(save(entry, model, Path(temporary) / "model", run_id, logged)))
            client.finalize_logged_model(logged, "READY")
            _make_name(client, entry)
            tags = {"peoria.fingerprint": entry.fingerprint, **entry.lasting}
            # by its place: the address models:/ID is looked up with MLflow's global client, which may be another's
            source = client.get_logged_model(logged).artifact_location
            made = client.create_model_version(entry.name, source, run_id, tags=tags, model_id=logged)
            return Registered(entry.name, str(made.version), is_new=True)

    def describe(self, entry: Entry, found: Registered) -> None:
        """The card, the verdict and the aliases; all may change while the model stays."""
        with self._told() as client:
            client.update_registered_model(entry.name, _fits(entry.title))
            client.update_model_version(entry.name, found.version, _fits(entry.readme))
            for name, value in entry.tags.items():
                client.set_model_version_tag(entry.name, found.version, name, _fits(value))
            client.set_registered_model_alias(entry.name, WINNER, found.version)
            if entry.judged:
                client.set_registered_model_alias(entry.name, JUDGED, found.version)

    def _run(self, client: "MlflowClient", entry: Entry) -> tuple[str, str]:
        """The ids of the experiment and of the run that the model came from."""
        experiment = client.get_experiment_by_name(self._experiment)
        condition = " and ".join(f"tags.`{name}` = '{value}'" for name, value in entry.run.items())
        runs = [] if experiment is None else client.search_runs([experiment.experiment_id], condition, max_results=1)
        if experiment is None or not runs:
            raise TrackingError(f"MLflow at {scrub_text(self.uri)}: no run of {entry.title}; the sweep's runs, which go there first")
        return str(experiment.experiment_id), str(runs[0].info.run_id)

    @contextmanager
    def _told(self) -> "Iterator[MlflowClient]":
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        quiet()
        try:
            if is_database(self.uri) and not sqlite_file(self.uri):
                refuse_unreachable(self.uri)
            yield MlflowClient(tracking_uri=address(self.uri))
        except UserError:
            raise
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:  # requests' errors are OSErrors
            line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise TrackingError(f"MLflow at {scrub_text(self.uri)}: {scrub_text(line)[:300]}; a registry that takes models") from error


def save(entry: Entry, model: Path, out: Path, run_id: str | None = None, logged: str | None = None) -> Path:
    """The model as MLflow's folder ``out``, which needs nothing of peoria: the program, its cards without secrets, the picture rule's code.

    Args:
        model: model.pt2, model.json and README.md.
    """
    with tempfile.TemporaryDirectory(prefix="peoria-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, of its own modules as they are imported
        import pandas as pd
        from mlflow.models import Model, ModelSignature
        from mlflow.pyfunc import save_model
        from mlflow.types import ColSpec, DataType, Schema

        from peoria.tracking.served import COLUMN

        parts = {"model": Path(temporary) / "model", "code": Path(temporary) / "code"}
        for part in parts.values():
            part.mkdir()
        shutil.copyfile(model / "model.pt2", parts["model"] / "model.pt2")
        for name in ("model.json", "README.md"):
            (parts["model"] / name).write_bytes(scrub_file(name, (model / name).read_bytes()))
        for name, text in _code().items():
            (parts["code"] / name).write_text(text)
        outputs = [ColSpec(DataType.double, name) for name in ("score", "value", "percentile")]
        outputs += [ColSpec(DataType.string, "note")] if "control" in entry.tags else []
        save_model(
            path=out,
            python_model=str(SERVED),
            artifacts={name: str(part) for name, part in parts.items()},
            signature=ModelSignature(Schema([ColSpec(DataType.binary, COLUMN)]), Schema(outputs)),
            input_example=pd.DataFrame({COLUMN: [example()]}),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS],  # +cu130 is on no index
            mlflow_model=Model(run_id=run_id, model_id=logged, model_uuid=logged),
            metadata=entry.lasting,
        )
    return out


def example() -> bytes:
    """A small picture, as a JPEG's bytes."""
    import numpy as np
    import simplejpeg

    ramp = np.arange(64, dtype=np.uint8)[:, None, None] * np.array([4, 2, 1], np.uint8) + np.zeros((64, 64, 3), np.uint8)
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(ramp), quality=90, colorspace="RGB")
    return data


def _code() -> dict[str, str]:
    """The modules that make a picture square, as a package that stands alone: each imports the others by a relative name."""
    found = {"__init__.py": ""}
    for module in (errors, colour, decoded, heads, jpeg_frame, opened, pdq, profiles, square):
        assert module.__file__ is not None
        text = Path(module.__file__).read_text().replace("from shards.manifest import PictureRule", "from typing import Any as PictureRule")
        found[Path(module.__file__).name] = _IMPORT.sub(r"from .\1 import \2", text)
    if still := [name for name, text in found.items() if re.search(r"^\s*(from|import) (shards|peoria)\b", text, re.MULTILINE)]:
        raise AssertionError(f"{still} need more of shards than goes with a model")
    return found


def _version_of(client: "MlflowClient", entry: Entry) -> Registered | None:
    found = client.search_model_versions(f"name = '{entry.name}' and tag.`peoria.fingerprint` = '{entry.fingerprint}'")
    numbers = [int(one.version) for one in found if one.status == "READY"]
    return Registered(entry.name, str(min(numbers))) if numbers else None


def _logged(client: "MlflowClient", experiment: str, run_id: str, entry: Entry) -> str:
    """The id of the model among those of the run: one that an interrupted try has made, or a new one."""
    from mlflow.entities import LoggedModelOutput

    tags: dict[str, Any] = {"peoria.fingerprint": entry.fingerprint}
    there = client.search_logged_models([experiment], f"tags.`peoria.fingerprint` = '{entry.fingerprint}'", max_results=1)
    if there:
        return str(there[0].model_id)
    made = client.create_logged_model(experiment, entry.name, source_run_id=run_id, tags=tags | entry.lasting, model_type="popularity")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    return str(made.model_id)


def _make_name(client: "MlflowClient", entry: Entry) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(entry.name, description=_fits(entry.title))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _fits(text: str) -> str:
    text = scrub_text(text)
    return text if len(text) <= MOST_DESCRIPTION else f"{text[: MOST_DESCRIPTION - 2]} …"
