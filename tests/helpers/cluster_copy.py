"""A copy of ray_cluster.yaml as a user has it who followed docs/cluster.md: edited, with dist/ built and a token."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
EDITS = {
    "SUBNET_A": "subnet-0123456789abcdef0",
    "SUBNET_B": "subnet-0123456789abcdef1",
    "SECURITY_GROUP": "sg-0123456789abcdef0",
}


def edited_copy(folder: Path, edits: dict[str, str] = EDITS) -> Path:
    """The file, in ``folder``, from which `ray up` would be run; the home with the token is ``folder / "home"``."""
    text = (ROOT / "ray_cluster.yaml").read_text()
    head, _, body = text.partition("\ncluster_name:")
    for name, value in edits.items():
        assert name in body
        body = body.replace(name, value)
    path = folder / "ray_cluster.yaml"
    path.write_text(f"{head}\ncluster_name:{body}")
    (folder / "dist").mkdir()
    (folder / "dist" / "requirements.lock").write_text((ROOT / "requirements.lock").read_text())
    (folder / "dist" / "peoria-0.1.0-py3-none-any.whl").write_bytes(b"PK")
    token = folder / "home" / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.touch(mode=0o600)
    token.write_text("0" * 64)
    return path


def loaded(path: Path) -> dict[str, Any]:
    """Its values, each a copy of its own: an edit of one node type leaves the others."""
    import copy

    def apart(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: apart(part) for key, part in value.items()}
        return [apart(part) for part in value] if isinstance(value, list) else copy.copy(value)

    found: dict[str, Any] = apart(yaml.safe_load(path.read_text()))
    return found
