"""From the Docker Engine API's JSON to the seam's records. Pure; used by docker_runtime.py alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.runtime.protocol import ContainerRecord, ContainerState, EngineInfo, ImageRecord, RuntimeEvent

_STATES = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "paused": ContainerState.RUNNING,
    "restarting": ContainerState.RUNNING,
    "exited": ContainerState.EXITED,
    "dead": ContainerState.EXITED,
    "removing": ContainerState.EXITED,
}
_NO_NAMES = ("<none>:<none>", "<none>@<none>")


def parse_engine_time(text: str | None) -> datetime | None:
    """Parse Docker's RFC 3339 with nanoseconds; its zero time (year 1) is None. Microseconds are kept."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


def parse_state(text: str) -> ContainerState:
    """Docker's state word, reduced; a word of a newer engine is UNKNOWN."""
    return _STATES.get(text, ContainerState.UNKNOWN)


def parse_container(inspected: Mapping[str, Any]) -> ContainerRecord:
    """Record of `GET /containers/{id}/json`."""
    state = inspected["State"]
    config = inspected["Config"]
    return ContainerRecord(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        labels=config.get("Labels") or {},
        state=parse_state(state["Status"]),
        image=config.get("Image") or "",
        image_id=inspected.get("Image") or "",
        created_at=parse_engine_time(inspected.get("Created")) or datetime.fromtimestamp(0, UTC),
        started_at=parse_engine_time(state.get("StartedAt")),
        finished_at=parse_engine_time(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        pid=int(state.get("Pid") or 0),
        log_path=inspected.get("LogPath") or "",
        writable_layer=next(iter(_overlay_layers(inspected.get("GraphDriver") or {})), ""),
        written_bytes=int(inspected.get("SizeRw") or 0),
    )


def parse_image(described: Mapping[str, Any]) -> ImageRecord:
    """Record of `GET /images/{name}/json`, or of a row of `GET /images/json` (which has no config)."""
    return ImageRecord(
        id=described["Id"],
        tags=tuple(tag for tag in described.get("RepoTags") or () if tag not in _NO_NAMES),
        digests=tuple(digest for digest in described.get("RepoDigests") or () if digest not in _NO_NAMES),
        size_bytes=int(described.get("Size") or 0),
        config=described.get("Config") or {},
        layers=_overlay_layers(described.get("GraphDriver") or {}),
        platform=_platform(described),
    )


def _platform(described: Mapping[str, Any]) -> str:
    """As in references to platforms: `linux/arm64`; rows of the list have none."""
    operating_system, architecture = described.get("Os") or "", described.get("Architecture") or ""
    return f"{operating_system}/{architecture}" if operating_system and architecture else ""


def _overlay_layers(driver: Mapping[str, Any]) -> tuple[str, ...]:
    """The directories of the layers of an image or a container, the topmost first; only overlay2 has such."""
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay2" or not data.get("UpperDir"):
        return ()
    lower = str(data.get("LowerDir") or "")
    return (str(data["UpperDir"]), *(lower.split(":") if lower else ()))


def parse_info(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineInfo:
    """Record of `GET /info` and `GET /version`."""
    options = " ".join(info.get("SecurityOptions") or ())
    return EngineInfo(
        version=version.get("Version") or info.get("ServerVersion") or "",
        api_version=version.get("ApiVersion") or "",
        operating_system=info.get("OperatingSystem") or "",
        kernel_version=info.get("KernelVersion") or "",
        architecture=version.get("Arch") or info.get("Architecture") or "",
        cgroup_version=info.get("CgroupVersion") or "1",
        cgroup_driver=info.get("CgroupDriver") or "",
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        root_dir=info.get("DockerRootDir") or "",
        rootless="name=rootless" in options,
        userns_remap="name=userns" in options,
        seccomp="name=seccomp" in options,
        app_armor="name=apparmor" in options,
        selinux="name=selinux" in options,
        storage_driver=info.get("Driver") or "",
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
    )


def parse_event(event: Mapping[str, Any]) -> RuntimeEvent:
    """Record of one line of `GET /events`. Exec and health actions carry a suffix after a colon, which is dropped."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    exit_code = attributes.get("exitCode")
    return RuntimeEvent(
        action=str(event.get("Action") or "").partition(":")[0],
        container_id=actor.get("ID") or "",
        labels=attributes,
        exit_code=int(exit_code) if exit_code not in (None, "") else None,
    )
