"""Reading the engine's answers: times, records, errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.runtime.engine_errors import engine_failure, pull_failure
from agent.runtime.engine_records import parse_container, parse_engine_time, parse_event, parse_image, parse_info
from agent.runtime.protocol import (
    ContainerNotFoundError,
    ContainerState,
    EngineUnavailableError,
    ImageNotFoundError,
    NameConflictError,
    RuntimeFailure,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T10:00:00.123456789Z", datetime(2026, 11, 20, 10, 0, 0, 123456, UTC)),
        ("2026-11-20T10:00:00.1Z", datetime(2026, 11, 20, 10, 0, 0, 100000, UTC)),
        ("2026-11-20T10:00:00Z", datetime(2026, 11, 20, 10, 0, tzinfo=UTC)),
        ("2026-11-20T12:00:00.5+02:00", datetime(2026, 11, 20, 10, 0, 0, 500000, UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_parse_engine_time(text: str, expected: datetime | None) -> None:
    assert parse_engine_time(text) == expected


def test_a_killed_container() -> None:
    record = parse_container(
        {
            "Id": "abc",
            "Name": "/web",
            "Created": "2026-11-20T10:00:00Z",
            "Image": "sha256:1",
            "LogPath": "/log",
            "Config": {"Image": "nginx", "Labels": None},
            "State": {
                "Status": "exited",
                "ExitCode": 137,
                "OOMKilled": True,
                "Pid": 0,
                "StartedAt": "2026-11-20T10:00:01Z",
                "FinishedAt": "2026-11-20T10:00:02Z",
                "Error": "",
            },
        }
    )

    assert (record.name, record.labels, record.image, record.image_id) == ("web", {}, "nginx", "sha256:1")
    assert (record.state, record.exit_code, record.oom_killed) == (ContainerState.EXITED, 137, True)
    assert record.finished_at == datetime(2026, 11, 20, 10, 0, 2, tzinfo=UTC)


def test_an_event_of_an_exec_loses_its_command() -> None:
    event = parse_event({"Action": "exec_start: sh -c x", "Actor": {"ID": "abc", "Attributes": {"a": "b"}}})

    assert (event.action, event.container_id, event.labels, event.exit_code) == ("exec_start", "abc", {"a": "b"}, None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["name=seccomp,profile=default"], (False, False, True)),
        (["name=rootless", "name=cgroupns"], (True, False, False)),
        (["name=userns", "name=seccomp,profile=builtin"], (False, True, True)),
        (None, (False, False, False)),
    ],
)
def test_what_the_engine_may_do(options: list[str] | None, expected: tuple[bool, bool, bool]) -> None:
    info = parse_info({"SecurityOptions": options}, {})

    assert (info.rootless, info.userns_remap, info.seccomp) == expected


@pytest.mark.parametrize(
    ("status", "message", "image", "kind"),
    [
        (404, "No such container: abc", False, ContainerNotFoundError),
        (404, "No such exec instance: abc", False, ContainerNotFoundError),
        (404, "No such image: x:1", True, ImageNotFoundError),
        (409, 'Conflict. The container name "/x" is already in use by container "abc"', False, NameConflictError),
        (503, "shutting down", False, EngineUnavailableError),
        (409, "Container abc is not running", False, RuntimeFailure),
    ],
)
def test_engine_failure(status: int, message: str, image: bool, kind: type[RuntimeFailure]) -> None:
    failure = engine_failure(status, message, image=image)

    assert type(failure) is kind
    assert str(failure) == message


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        ("manifest for x:1 not found: manifest unknown", ImageNotFoundError, "ErrImagePull"),
        ("pull access denied for x", RuntimeFailure, "ErrImagePull"),
        ("received unexpected HTTP status: 503 Service Unavailable", RuntimeFailure, "RegistryUnavailable"),
    ],
)
def test_pull_failure(message: str, kind: type[RuntimeFailure], reason: str) -> None:
    failure = pull_failure(message)

    assert (type(failure), failure.reason, str(failure)) == (kind, reason, f"Error response from daemon: {message}")


@pytest.mark.parametrize(
    ("driver", "layers"),
    [
        ({"Name": "overlay2", "Data": {"UpperDir": "/a", "LowerDir": "/b:/c"}}, ("/a", "/b", "/c")),
        ({"Name": "overlay2", "Data": {"UpperDir": "/a"}}, ("/a",)),
        ({"Name": "vfs", "Data": None}, ()),
        (None, ()),
    ],
)
def test_layers_of_an_image_are_known_where_the_engine_keeps_directories(driver: Any, layers: tuple[str, ...]) -> None:
    assert parse_image({"Id": "sha256:1", "GraphDriver": driver}).layers == layers
