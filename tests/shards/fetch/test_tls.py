"""A server has to show a certificate that is to be trusted."""

import ipaddress
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shards.errors import PictureError
from tests.helpers.fetching import fetched, rules_of
from tests.helpers.picture_server import picture_server

ROOT = Path(__file__).parents[3]
FETCH = "import sys; from pathlib import Path; from tests.helpers.fetching import *; port = sys.argv[2]\n"
FETCH += "print(fetched(Path(sys.argv[1]), [(0, f'https://127.0.0.1:{port}/ok/0')], rules_of(f'127.0.0.1:{port}')))"


def self_signed(folder: Path) -> ssl.SSLContext:
    """Of 127.0.0.1; ``folder`` gets cert.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = builder.add_extension(here, critical=True).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(cert.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with picture_server(tls=self_signed(tmp_path)) as server:
        rules = rules_of(server.host)
        rows = [(0, f"https://{server.host}/ok/0"), (1, f"http://{server.host}/ok/1")]
        found = fetched(tmp_path / "a", rows, rules)
        reasons = {row: given.reason for row, given in found.items() if isinstance(given, PictureError)}
        assert reasons == {0: "bad_certificate", 1: "fetch_unavailable"}
        assert server.hits == {}
        words = [sys.executable, "-c", FETCH, str(tmp_path / "b"), str(server.port)]
        trusting = os.environ | {"SSL_CERT_FILE": str(tmp_path / "cert.pem")}  # control
        ran = subprocess.run(words, cwd=ROOT, env=trusting, capture_output=True, text=True, check=True)
        assert ran.stdout.startswith("{0: b'\\xff\\xd8")
        assert server.hits == {"/ok/0": 1}
