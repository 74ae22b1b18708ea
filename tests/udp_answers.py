"""A UDP server inside a Pod's network, which the images of the tests do not have."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster import Cluster


@contextmanager
def answering_udp(cluster: Cluster, pod: str, port: int) -> Iterator[None]:
    """Somebody in the Pod who answers with its name: the image has no UDP server."""
    pid = cluster.containers(pod, "POD")[0]["State"]["Pid"]
    script = (
        f"import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', {port})); print(flush=True)\n"
        f"while True: s.sendto(b'{pod}', s.recvfrom(100)[1])"
    )
    command = ["nsenter", "--net", "--target", str(pid), "python3", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield
        finally:
            process.kill()
