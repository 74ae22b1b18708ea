"""The floor: a Pod's two containers made by calling the Docker API directly, on docker0."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import docker

from agent.pause_image import pause_archive, pause_reference

LABEL = "io.podling.benchmark"
BURST_THREADS = 6


@dataclass(frozen=True, slots=True)
class RawPod:
    """The ids of a raw Pod's containers."""

    pause: str
    main: str


class RawDocker:
    """Makes, kills and removes raw Pods."""

    def __init__(self, image: str = "nginx:latest") -> None:
        self._image = image
        self._client = docker.APIClient()
        architecture = self._client.version()["Arch"]
        self._pause = pause_reference(architecture)
        try:
            self._client.inspect_image(self._pause)
        except docker.errors.ImageNotFound:
            self._client.load_image(pause_archive(architecture))
        self._run = uuid.uuid4().hex[:8]

    def create(self, client: docker.APIClient | None = None) -> RawPod:
        """Create and start both containers; returns when both run."""
        client = client or self._client
        labels = {LABEL: self._run}
        config = client.create_container_config(
            self._pause, None, labels=labels, host_config=client.create_host_config(ipc_mode="shareable")
        )
        pause = client.create_container_from_config(config)["Id"]
        client.start(pause)
        return RawPod(pause, self._start_main(client, pause, labels))

    def replace_main(self, pod: RawPod) -> tuple[RawPod, float]:
        """Kill the main container's process and start another container in its place; returns the seconds it took."""
        pid = self._client.inspect_container(pod.main)["State"]["Pid"]
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        self._client.wait(pod.main)
        replaced = RawPod(pod.pause, self._start_main(self._client, pod.pause, {LABEL: self._run}))
        seconds = time.perf_counter() - begin
        self._client.remove_container(pod.main, v=True)
        return replaced, seconds

    def delete(self, pod: RawPod, client: docker.APIClient | None = None) -> None:
        """Stop both containers gracefully and remove them."""
        client = client or self._client
        for container in (pod.main, pod.pause):
            client.stop(container, timeout=30)
            client.remove_container(container, v=True)

    def burst(self, count: int) -> float:
        """Seconds to have `count` Pods running, made by a few threads at once; removes them."""
        clients = [docker.APIClient() for _ in range(BURST_THREADS)]
        with ThreadPoolExecutor(BURST_THREADS) as pool:
            begin = time.perf_counter()
            pods = list(pool.map(lambda number: self.create(clients[number % BURST_THREADS]), range(count)))
            seconds = time.perf_counter() - begin
            list(pool.map(lambda item: self._force_remove(clients[item[0] % BURST_THREADS], item[1]), enumerate(pods)))
        return seconds

    def clean_up(self) -> None:
        """Remove whatever this run has left."""
        for container in self._client.containers(all=True, filters={"label": f"{LABEL}={self._run}"}):
            self._client.remove_container(container["Id"], force=True, v=True)

    def _start_main(self, client: docker.APIClient, pause: str, labels: dict[str, str]) -> str:
        joined = f"container:{pause}"
        host = client.create_host_config(network_mode=joined, ipc_mode=joined, pid_mode=joined)
        main = client.create_container_from_config(
            client.create_container_config(self._image, None, labels=labels, host_config=host)
        )["Id"]
        client.start(main)
        return str(main)

    @staticmethod
    def _force_remove(client: docker.APIClient, pod: RawPod) -> None:
        for container in (pod.main, pod.pause):
            client.remove_container(container, force=True, v=True)


@contextmanager
def raw_docker() -> Iterator[RawDocker]:
    """A RawDocker whose containers are gone at the end."""
    engine = RawDocker()
    try:
        yield engine
    finally:
        engine.clean_up()
