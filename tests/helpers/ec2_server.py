"""AWS's doors on this machine: moto's server, in a process of its own. What it is asked is kept, for a test to read as it was sent."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.helpers.local_cluster import free_ports

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_EC2_METADATA_DISABLED": "true"}
SERVER = """
import io, json, sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

moto = DomainDispatcherApplication(create_backend_app)

def application(environ, start_response):
    if requests and "urlencoded" in environ.get("CONTENT_TYPE", ""):  # EC2's and IAM's; not a byte of S3's
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with open(requests, "ab") as file:
            file.write(json.dumps(body.decode()).encode() + b"\\n")
        # EC2 looks the image's name up in SSM; moto does not
        start = body.find(b"ImageId=resolve%3Assm%3A")
        if start >= 0:
            end = body.find(b"&", start)
            body = body[:start] + b"ImageId=ami-0123456789abcdef0" + (body[end:] if end >= 0 else b"")
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    return moto(environ, start_response)

port, requests = int(sys.argv[1]), sys.argv[2]
run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
"""


@contextmanager
def moto_server(requests: Path | None = None) -> Iterator[str]:
    """The server's address, as for AWS_ENDPOINT_URL. With ``requests``, what EC2 and IAM are asked goes into that file: `asked` reads it."""
    (port,) = free_ports(1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | CREDENTIALS | {"MOTO_PORT": str(port)}
    words = [sys.executable, "-c", SERVER, str(port), "" if requests is None else str(requests)]
    server = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{address}/moto-api/", timeout=10):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, "moto's server ended"
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def asked(requests: Path, action: str) -> list[dict[str, Any]]:
    """The parameters of each request for ``action``, flat as EC2's API has them: `BlockDeviceMapping.1.Ebs.VolumeType`."""
    found = []
    for line in requests.read_text().splitlines():
        parameters = {name: values[0] for name, values in parse_qs(json.loads(line)).items()}
        if parameters.get("Action") == action:
            found.append(parameters)
    return found
