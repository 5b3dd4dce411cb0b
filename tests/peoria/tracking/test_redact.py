"""No secrets in what MLflow is sent."""

import pytest

from peoria.tracking.redact import HIDDEN, scrub, scrub_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:hunter2@db:5432/mlflow failed", "postgresql://db:5432/mlflow failed"),
        ("https://ann:hun/ter2@host/x", "https://host/x"),
        ("GET https://s3.host/a.pth?X-Amz-Signature=hunter2&e=1 gave 403", "GET https://s3.host/a.pth gave 403"),
        ("https://host/#access_token=hunter2", "https://host/"),
        ("RAY_AUTH_TOKEN=hunter2 python -m peoria", f"RAY_AUTH_TOKEN={HIDDEN} python -m peoria"),
        ('{"db_password": "hunter2", "n": 3}', '{"db_password": "***", "n": 3}'),
        ("peoria sweep --api-key hunter2 --trials 3", f"peoria sweep --api-key {HIDDEN} --trials 3"),
        ("Authorization: Bearer hunter2hunter2", f"Authorization: Bearer {HIDDEN}"),
        ("KeyError: 'no picture with key: 000123'", "KeyError: 'no picture with key: 000123'"),
        ("see https://host/path and ann@host", "see https://host/path and ann@host"),
    ],
)
def test_text(text: str, shown: str) -> None:
    assert scrub_text(text) == shown


def test_values_are_hidden_by_their_names_at_any_depth() -> None:
    value = {"a": {"MLFLOW_TRACKING_PASSWORD": "hunter2", "apikey": ["hunter2"], "ok": [1, {"secret": 5}]}, "val_keys_sha256": "22"}
    hidden = {"a": {"MLFLOW_TRACKING_PASSWORD": HIDDEN, "apikey": HIDDEN, "ok": [1, {"secret": HIDDEN}]}, "val_keys_sha256": "22"}
    assert scrub(value) == hidden
