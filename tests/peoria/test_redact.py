"""No secrets in what MLflow is sent or an error says; and what only looks like one stays."""

import json

import pytest

from peoria.redact import HIDDEN, scrub, scrub_file, scrub_text

SECRET = "hunter2Xq9"
LONG = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
VANISH = [  # (text, what must not be left of it)
    (f"PGPASSWD={SECRET} psql", SECRET),
    (f"PGPASSWORD={SECRET}", SECRET),
    (f"Server=db;Uid=ann;pwd={SECRET};", SECRET),
    (f"Pwd = '{SECRET} with blanks'", "with blanks"),
    (f"cloned with ghp_{LONG[:36]}", LONG[:36]),
    (f"github_pat_{LONG[:22]}_{LONG} was used", LONG),
    (f"gho_{LONG[:36]}", LONG[:36]),
    (f"HF said no to hf_{LONG[:34]}", LONG[:34]),
    (f"sk-{LONG}", LONG),
    (f"sk-proj-{LONG}", LONG),
    (f"sk_live_{LONG[:24]}", LONG[:24]),
    ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ("ASIAIOSFODNN7EXAMPLE in the log", "IOSFODNN7"),
    ("xoxb-123456789012-abcdefghijkl", "123456789012"),
    (f"glpat-{LONG[:20]}", LONG[:20]),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4", "SflKxwRJ"),
    (f"credentials={SECRET}", SECRET),
    (f"credential: {SECRET}", SECRET),
    (f"https://blob.host/a.pth?sv=1&sig={SECRET}", SECRET),
    (f"retry with sig={SECRET}&se=2026", SECRET),
    (f"X-Amz-Signature={SECRET}", SECRET),
    (f"passphrase={SECRET}", SECRET),
    (f"passphrase: '{SECRET}'", SECRET),
    (f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}\n{LONG}\n-----END RSA PRIVATE KEY-----", LONG),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{LONG}\ncut off", LONG),
    (f"ann:{SECRET}@db.example.org:5432 refused", SECRET),
    (f"redis cache ann:{SECRET}@localhost/0", SECRET),
    (f"Authorization: Bearer {SECRET}", SECRET),
    (f"Authorization: Basic {SECRET}==", SECRET),
    (f"Authorization: token {SECRET}", SECRET),
    (f"'Authorization': '{SECRET}'", SECRET),
    (f"--password={SECRET}", SECRET),
    (f"--db-password {SECRET} --trials 3", SECRET),
    (f"mysql -u ann --api-key {SECRET}", SECRET),
    (f"Cookie: session={SECRET}; theme=dark", SECRET),
    (f"Set-Cookie: id={SECRET}; HttpOnly", SECRET),
    (f"aws_secret_access_key = {SECRET}/+{SECRET}", SECRET),
    (f"AWS_SECRET_ACCESS_KEY={SECRET}", SECRET),
    (f"AZURE_STORAGE_CONNECTION_STRING: AccountName=a;AccountKey={SECRET}==;x", SECRET),
    (f"host=db user=ann password={SECRET} dbname=x", SECRET),
    (f"host=db password='{SECRET} {SECRET}' dbname=x", SECRET),
    (f'{{"db_password": "{SECRET}\\" {SECRET}", "n": 3}}', SECRET),
    (f"connect(\"password='{SECRET}'\")", SECRET),
    (f"postgresql+psycopg://ann:{SECRET}@db:5432/x", SECRET),
    (f"https://ann:hun/{SECRET}@host/x", SECRET),
    (f"postgresql://db/x?password={SECRET}", SECRET),
    (f"https://host/#access_token={SECRET}", SECRET),
    (f"RAY_AUTH_TOKEN={SECRET} python -m peoria", SECRET),
    (f"x-api-key: {SECRET}", SECRET),
    (f"client_secret: {SECRET}", SECRET),
    (f"AIza{LONG[:35]}", LONG[:35]),
]
STAY = [
    "tag=monkey",
    "tag=monkey|turkey",
    "key: 000123",
    "KeyError: 'no picture with key: 000123'",
    "the keynote: how to tell",
    "picture 000120345.jpg of trial 0007-seed-2",
    "identity 3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b",
    "sha256 3a7bd3e2360a3d29…; 9f86d081884c7d65… was packed",
    "see https://host/path and ann@host",
    "mail ann.smith@example.org at 10:30",
    "owner 00000000@N00: 12 pictures",
    "does a password in the picture make it popular?",
    "is there a secret to popularity: colour?",
    "tokens of 512 pixels; a token effort",
    "trial 0003: regression lr 1.2e-3 ×20 done",
    "s3://bucket/weights/caffenet.pth",
    "sqlite:////home/ann/data/mlflow.db",
    "author: ann; authority: none",
    "passengers: 3, compass: north, bypass=1",
    "basic questions: what is a bearer of beauty",
    "sk-learn, a risk-averse desk-top; hf_ and ghp_ alone",
    "keys are picture, owner, views",
    "monkey_business=3",
    "design: signature look of an owner",
    "ratio 3:4@2x",
]


@pytest.mark.parametrize(("text", "secret"), VANISH, ids=range(len(VANISH)))
def test_what_must_vanish(text: str, secret: str) -> None:
    assert secret in text  # control: or nothing would be shown
    assert secret not in scrub_text(text)
    assert secret not in json.dumps(scrub({"question": [text]}))
    assert (
        secret
        not in scrub_file("report.html", f'<p title="{text.replace(chr(34), "&quot;")}">{text.replace(chr(34), "&#34;")}</p>'.encode()).decode()
    )
    assert secret not in scrub_file("verdict.json", json.dumps({"note": text}).encode()).decode()
    assert scrub_text(scrub_text(text)) == scrub_text(text)


@pytest.mark.parametrize("text", STAY)
def test_what_must_stay(text: str) -> None:
    assert scrub_text(text) == text
    assert scrub({"question": text}) == {"question": text}
    for name in ("report.html", "verdict.json"):
        data = json.dumps({"note": text}).encode() if name.endswith("json") else f"<p>{text}</p>".encode()
        assert scrub_file(name, data) == data


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
        ("host=db password='hunter2' dbname=x", f"host=db password='{HIDDEN}' dbname=x"),
    ],
)
def test_the_rest_of_the_text_stays(text: str, shown: str) -> None:
    assert scrub_text(text) == shown


def test_values_are_hidden_by_their_names_at_any_depth() -> None:
    value = {"a": {"MLFLOW_TRACKING_PASSWORD": "hunter2", "apikey": ["hunter2"], "ok": [1, {"secret": 5}]}, "val_keys_sha256": "22"}
    hidden = {"a": {"MLFLOW_TRACKING_PASSWORD": HIDDEN, "apikey": HIDDEN, "ok": [1, {"secret": HIDDEN}]}, "val_keys_sha256": "22"}
    assert scrub(value) == hidden
    names = {"PGPASSWD": 1, "pwd": 1, "credentials": 1, "sig": 1, "passphrase": 1, "aws_secret_access_key": 1, "Cookie": 1, "private_key": 1}
    assert set(scrub(names).values()) == {HIDDEN}
    innocent = {"monkey": 1, "tasks": 2, "val_keys_sha256": "3", "target_scale": "log1p", "pass_through": 4, "author": "ann", "seed": 5}
    assert scrub(innocent) == innocent


def test_a_file_without_secrets_is_the_same_to_the_byte() -> None:
    verdict = b'{"winners": {"views": {"key": "0004"}},   "question": "tag=monkey"}'
    page = b'<img src="data:image/jpeg;base64,AKIAIOSFODNN7EXAMPLE/sk-"><p>key: 000123 &amp; more</p>'
    assert scrub_file("verdict.json", verdict) == verdict  # the trial's key is none of these, nor does its layout change
    assert scrub_file("report.html", page) == page
    changed = scrub_file("report.html", b"<b>0.4</b><p>pwd=hunter2 &lt;script&gt;</p>")
    assert changed == f"<b>0.4</b><p>pwd={HIDDEN} &lt;script&gt;</p>".encode()  # still no markup of its own
