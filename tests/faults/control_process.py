"""The control plane as a process of its own without a supervisor, so that a test can kill it whenever it likes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from control.client.client import Client
from control.client.kubeconfig import transport_from_kubeconfig
from control.client.transport import ServerUnavailableError
from control.config import ClusterConfig, ClusterDirectory
from control.credentials import ensure_credentials
from tests.own_ports import own_port


class ControlProcess:
    """`python -m control run` on a directory: an API server without controllers and scheduler."""

    def __init__(self, root: Path, port: int) -> None:
        self.directory = ClusterDirectory(root)
        config = ClusterConfig(
            name="faults",
            port=port,
            pod_cidr="10.244.0.0/16",
            service_cidr="10.96.0.0/16",
            controllers=False,
            scheduler=False,
        )
        ensure_credentials(self.directory, config)
        self.directory.save(config)
        self._process: asyncio.subprocess.Process | None = None

    def connect(self) -> Client:
        """A client with connections of its own, the administrator's. The caller closes it."""
        return Client(transport_from_kubeconfig(self.directory.admin_kubeconfig))

    async def start(self) -> None:
        """Start and return when the server is ready. Raises AssertionError with what a process that ended printed."""
        command = [sys.executable, "-m", "control", "run", "--state-dir", str(self.directory.root)]
        self._process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        client = self.connect()
        try:
            while self._process.returncode is None:
                try:
                    await client.transport.request("GET", "/version")
                    self._log = asyncio.create_task(self._process.stderr.read())  # type: ignore[union-attr]
                    return
                except ServerUnavailableError:
                    await asyncio.sleep(0.02)
        finally:
            await client.close()
        raise AssertionError((await self._process.stderr.read()).decode())  # type: ignore[union-attr]

    @property
    def pid(self) -> int:
        """Process id of the running process."""
        assert self._process is not None
        return self._process.pid

    async def kill(self, number: int = signal.SIGKILL) -> int:
        """End the process with a signal; returns its exit status when it has ended."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self._process.wait()


@contextlib.asynccontextmanager
async def control_process(root: Path) -> AsyncIterator[ControlProcess]:
    """A process that runs at first and is killed at the end, whatever happened in between."""
    with own_port() as port:
        process = ControlProcess(root, port)
        await process.start()
        try:
            yield process
        finally:
            await process.kill()
