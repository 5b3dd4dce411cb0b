"""A cloud's metadata service on loopback, as IMDSv2, GCP and Azure speak it."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Metadata(ThreadingHTTPServer):
    """Of one cloud; ``taken``: it is about to take the machine; ``tokens``: those it knows."""

    def __init__(self, cloud: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.cloud, self.taken, self.tokens, self.garbage = cloud, False, list[str](), False

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        match self.cloud, method, path.split("?")[0]:
            case "aws", "PUT", "/latest/api/token" if headers["X-aws-ec2-metadata-token-ttl-seconds"]:
                self.tokens.append(f"token{len(self.tokens)}")
                return 200, self.tokens[-1]
            case "aws", "GET", _ if headers["X-aws-ec2-metadata-token"] not in self.tokens[-1:]:
                return 401, ""
            case "aws", "GET", "/latest/meta-data/spot/instance-action" if self.taken:
                return 200, "<html>" if self.garbage else json.dumps({"action": "terminate", "time": "2026-09-18T08:22:00Z"})
            case "gcp", "GET", "/computeMetadata/v1/instance/preempted" if headers["Metadata-Flavor"] == "Google":
                return 200, "TRUE" if self.taken else "FALSE"
            case "azure", "GET", "/metadata/instance/compute/name" if headers["Metadata"] == "true":
                return 200, "vm3"
            case "azure", "GET", "/metadata/scheduledevents" if headers["Metadata"] == "true":
                other = {"EventType": "Preempt", "Resources": ["vm4"], "NotBefore": ""}
                return 200, json.dumps({"Events": [other, other | {"Resources": ["vm3"]}] if self.taken else [other]})
        return 404, ""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Metadata)
        status, text = self.server.answer(self.command, self.path, self.headers)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_GET

    def log_message(self, *_: Any) -> None:
        """Nothing."""
