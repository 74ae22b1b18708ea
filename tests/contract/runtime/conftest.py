"""The engines the contract is checked on: the fake one always, the real one where a test may use Docker."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.fake_runtime import ExecOutcome, FakeRuntime
from agent.runtime.protocol import CreateBody, Runtime
from control.api.clock import SystemClock
from tests.fakes.docker_images import BUSYBOX_IMAGE, ensure_busybox_image

TEST_LABEL = "io.podling.test"


@dataclass(frozen=True)
class Engine:
    """One engine with a label that only this test's containers carry."""

    runtime: Runtime
    labels: dict[str, str]

    def body(self, *command: str, **host_config: object) -> CreateBody:
        """Create body of a busybox that runs a command."""
        return {"Image": BUSYBOX_IMAGE, "Cmd": list(command), "Labels": dict(self.labels), "HostConfig": host_config}

    def name(self, name: str) -> str:
        """A name of this test alone."""
        return f"podling-test-{self.labels[TEST_LABEL]}-{name}"

    async def run(self, name: str, *command: str, **host_config: object) -> str:
        """Create and start."""
        container_id = await self.runtime.create_container(self.name(name), self.body(*command, **host_config))
        await self.runtime.start_container(container_id)
        return container_id


def _outcome(record: object, command: list[str]) -> ExecOutcome:
    """What the commands of the contract do in busybox."""
    if command[0] == "cat":
        return ExecOutcome(echoes_stdin=True)
    if command[0] == "sleep":
        return ExecOutcome(runs_forever=True)
    return ExecOutcome(exit_code=3, output=b"said\n", runs_forever="sleep" in command[-1])


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    labels = {TEST_LABEL: uuid.uuid4().hex[:12]}
    if request.param == "fake":
        fake = FakeRuntime(SystemClock())
        fake.add_image(BUSYBOX_IMAGE)
        fake.exec_outcome = _outcome  # type: ignore[assignment]
        yield Engine(fake, labels)
        await fake.close()
        return
    async with _docker_engine(labels) as docker_engine:
        yield docker_engine


@pytest.fixture
async def docker_engine() -> AsyncIterator[Engine]:
    """The real engine alone, for what the fake does not pretend to do."""
    async with _docker_engine({TEST_LABEL: uuid.uuid4().hex[:12]}) as engine:
        yield engine


@asynccontextmanager
async def _docker_engine(labels: dict[str, str]) -> AsyncIterator[Engine]:
    ensure_busybox_image()
    runtime = DockerRuntime()
    yield Engine(runtime, labels)
    for record in await runtime.list_containers(labels):
        await runtime.remove_container(record.id)
    await runtime.close()
