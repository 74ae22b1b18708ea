"""Waiting for the API server and the nodes of a cluster, with the standard library's HTTPS client: the full client
would cost more to import than the cluster takes to start."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Any

from control.config import ClusterConfig, ClusterDirectory

POLL_SECONDS = 0.02


class ApiProbe:
    """A keep-alive connection to the cluster's API server as its administrator."""

    def __init__(self, directory: ClusterDirectory, config: ClusterConfig) -> None:
        self._config = config
        self._context = ssl.create_default_context(cafile=str(directory.pki / "ca.crt"))
        self._context.load_cert_chain(directory.pki / "admin.crt", directory.pki / "admin.key")
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str) -> tuple[int, Any] | None:
        """GET a path; returns status and decoded body, or None if the server does not answer."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Any = None, *, content_type: str = "") -> tuple[int, Any] | None:
        """Send a request with a JSON body; returns status and decoded body, or None if the server does not answer."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": content_type or "application/json"}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self._config.host, self._config.port, context=self._context, timeout=5
                )
            self._connection.request(method, path, body=content, headers=headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        try:
            return response.status, json.loads(answer)
        except ValueError:
            return response.status, answer.decode(errors="replace")

    def is_ready(self) -> bool:
        """Whether /readyz answers 200."""
        answer = self.get("/readyz")
        return answer is not None and answer[0] == 200

    def node_conditions(self) -> dict[str, str]:
        """Status of the Ready condition by node name."""
        answer = self.get("/api/v1/nodes")
        if answer is None or answer[0] != 200:
            return {}
        return {
            node["metadata"]["name"]: next(
                (
                    condition["status"]
                    for condition in node.get("status", {}).get("conditions", [])
                    if condition["type"] == "Ready"
                ),
                "Unknown",
            )
            for node in answer[1]["items"]
        }

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def wait_until(is_done: Callable[[], bool], *, seconds_max: float, give_up: Callable[[], bool]) -> bool:
    """Poll until done (True), until `give_up` says so or time is over (False)."""
    deadline = time.monotonic() + seconds_max
    while not is_done():
        if time.monotonic() > deadline or give_up():
            return False
        time.sleep(POLL_SECONDS)
    return True
