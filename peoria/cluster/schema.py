"""Ray's own schema of a cluster file, which comes with Ray."""

import difflib
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peoria.cluster.cluster_file import Problem, joined, mapping, short

PROVIDERS = ("aws", "azure", "gcp", "aliyun", "vsphere", "local", "external", "fake_multinode", "kuberay", "spark", "readonly")
_LOCAL_KEYS = ("min_workers",)  # of the local provider: Ray takes them away before it looks
_KINDS = {"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


def schema_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """What `ray up` refuses for its form: keys that it does not know, keys that are missing, values of another kind."""
    from jsonschema import Draft7Validator

    local = mapping(cluster.get("provider")).get("type") == "local"
    checked = {key: value for key, value in cluster.items() if not (local and key in _LOCAL_KEYS)}
    for error in sorted(Draft7Validator(_schema()).iter_errors(checked), key=lambda error: [str(part) for part in error.absolute_path]):
        yield from _problems(error, _path(error.absolute_path))
    kind = mapping(cluster.get("provider")).get("type")
    if isinstance(kind, str) and kind not in PROVIDERS:
        yield Problem("provider.type", kind, f"one of {', '.join(PROVIDERS)}")


@cache
def _schema() -> dict[str, Any]:
    found = find_spec("ray")  # the file alone: Ray is not imported
    assert found is not None, "Ray is a dependency"
    schema: dict[str, Any] = json.loads((Path(str(found.origin)).parent / "autoscaler" / "ray-schema.json").read_text())
    return schema


def _problems(error: Any, where: str) -> Iterator[Problem]:
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                yield Problem(
                    joined(where, key), "a key that Ray does not know", f"one of {', '.join(known)}", f"did you mean {near[0]}?" if near else ""
                )
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance and key != "resources":  # missing resources are those of the machine
                yield Problem(joined(where, key), "missing", "it is needed")
    elif error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        yield Problem(where or "the file", short(error.instance), " or ".join(_KINDS.get(kind, str(kind)) for kind in kinds))
    elif error.validator == "minimum":
        yield Problem(where, short(error.instance), f"{error.validator_value} or more")
    else:
        yield Problem(where or "the file", short(error.instance), error.message if len(error.message) < 100 else f"Ray's schema ({error.validator})")


def _path(parts: Any) -> str:
    where = ""
    for part in parts:
        where = f"{where}[{part}]" if isinstance(part, int) else joined(where, part)
    return where
