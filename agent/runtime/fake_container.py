"""What the fake engine keeps of a container, and how a test says what the programs inside do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.runtime.fake_stream import FakeStream
from agent.runtime.protocol import ContainerRecord, CreateBody, EngineInfo, ImageRecord, ProcessUser

EXIT_CODE_OF_SIGNAL = {"SIGKILL": 137, "SIGTERM": 143, "SIGINT": 130, "SIGQUIT": 131, "SIGHUP": 129}
FIRST_PID = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How the processes of an image behave: `runs_seconds` None runs until stopped; `start_error` never starts."""

    runs_seconds: float | None = None
    exit_code: int = 0
    oom_killed: bool = False
    ignores_sigterm: bool = False
    start_error: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the seam, as recorded."""

    verb: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOutcome:
    """What a simulated exec does: it writes, and exits; with `runs_forever` it only ends when it is abandoned."""

    exit_code: int = 0
    output: bytes = b""
    runs_forever: bool = False
    echoes_stdin: bool = False


@dataclass(slots=True)
class FakeContainer:
    """A container and who watches it."""

    record: ContainerRecord
    body: CreateBody
    program: Program
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    streams: list[FakeStream] = field(default_factory=list)


@dataclass(slots=True)
class InjectedError:
    """An error for the next calls of a verb."""

    error: Exception
    times: int
    after: bool


def fake_info(*, memory_bytes: int, cpus: int) -> EngineInfo:
    """What the fake engine says of itself."""
    return EngineInfo(
        version="fake",
        api_version="1.41",
        operating_system="Fake Linux",
        kernel_version="6.1.0",
        architecture="amd64",
        cgroup_version="2",
        cgroup_driver="systemd",
        cpus=cpus,
        memory_bytes=memory_bytes,
        root_dir="/var/lib/docker",
    )


def raise_late(error: Exception | None) -> None:
    """Raise an injected error of a call that took effect."""
    if error is not None:
        raise error


def matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all wanted labels are there."""
    return all(labels.get(name) == value for name, value in wanted.items())


def joined_ids(body: CreateBody) -> list[str]:
    """The containers whose namespaces this one joins."""
    host_config = body.get("HostConfig") or {}
    modes = (host_config.get(name) or "" for name in ("NetworkMode", "IpcMode", "PidMode"))
    return [mode.removeprefix("container:") for mode in modes if mode.startswith("container:")]


def tagged(reference: str) -> str:
    """With `:latest` where there is neither tag nor digest."""
    return reference if ":" in reference.rpartition("/")[2] or "@" in reference else f"{reference}:latest"


def digest(text: str) -> str:
    """A stable id in the form of an image's."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def user_of(body: CreateBody, image: ImageRecord | None) -> ProcessUser:
    """Who the first process runs as; every name is root's, as in an image without an /etc/passwd."""
    user, _, group = str(body.get("User") or (image.config.get("User") if image else "") or "").partition(":")
    groups = (body.get("HostConfig") or {}).get("GroupAdd") or ()
    return ProcessUser(
        user_id=int(user) if user.isdigit() else 0,
        group_id=int(group) if group.isdigit() else 0,
        supplementary_group_ids=tuple(int(item) for item in groups),
    )
