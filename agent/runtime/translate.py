"""From a Pod and one of its containers to Docker's create body. Pure: "where is that Docker flag set?" ends here.

One small function per concern, composed in the lists `SANDBOX_PARTS` and `CONTAINER_PARTS`. The names in the bodies are
those of the Docker Engine API (`POST /containers/create`). What the Pod asks for and nothing here translates is named
by `unsupported_fields.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.runtime.accounts import Accounts
from agent.runtime.gpus import device_requests
from agent.runtime.hostname import kernel_hostname
from agent.runtime.pause_seccomp import PAUSE_SECCOMP_OPTION
from agent.runtime.protocol import CreateBody
from agent.runtime.resource_settings import OOM_SCORE_SANDBOX, SHARES_MIN, cpu_settings, memory_settings, oom_score
from agent.runtime.security_settings import confinement_options, privilege_settings, user_settings
from agent.runtime.sysctls import ipc_sysctls
from agent.volumes.protocol import Device, Mount
from control.api.objects import ReadOnlyObject

LOG_SIZE_MAX, LOG_FILES_MAX = "10m", "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """What the host grants: `can_lower_oom_score` is false where CAP_SYS_RESOURCE is missing (runc then refuses).

    `engine_recurses`: the engine makes read-only mounts recursive, Docker 25 and newer.
    `pids_max` bounds the processes of each container, where its Pod's cgroup does not; 0 is no bound.
    """

    memory_bytes: int
    can_lower_oom_score: bool
    has_seccomp: bool = True
    engine_recurses: bool = False
    pids_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """Everything that determines a pause container, before the Pod network adds its wiring."""

    pod: ReadOnlyObject
    image: str
    labels: Mapping[str, str]
    host: HostLimits
    cluster_domain: str = "cluster.local"
    runtime: str = ""
    cgroup_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRequest:
    """Everything that determines a container. `command`, `args` and `environment` have their `$(VAR)`s expanded.

    `image_user` is the image's Config.User: it runs the container where the Pod names a group and no user. `target_id`
    is the container whose process namespace an ephemeral container joins. `accounts` are the image's users and groups
    where they are known. `seccomp_profile` is the JSON of a profile, `unconfined`, or empty for Docker's default.
    `volume_groups` are groups that volumes of the Pod want their users to have.
    """

    pod: ReadOnlyObject
    container: ReadOnlyObject
    image: str
    sandbox_id: str
    labels: Mapping[str, str]
    host: HostLimits
    image_user: str = ""
    accounts: Accounts | None = None
    volume_groups: Sequence[int] = ()
    seccomp_profile: str = ""
    target_id: str = ""
    runtime: str = ""
    cgroup_parent: str = ""
    environment: Sequence[tuple[str, str]] = ()
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    mounts: Sequence[Mount] = field(default_factory=tuple)
    devices: Sequence[Device] = field(default_factory=tuple)
    gpus: Sequence[str] = ()


def sandbox_create_body(request: SandboxRequest) -> CreateBody:
    """Create body of the pause container. Raises HostnameError."""
    body: CreateBody = {"HostConfig": {}}
    for part in SANDBOX_PARTS:
        part(request, body)
    return body


def container_create_body(request: ContainerRequest) -> CreateBody:
    """Create body of one container of the Pod."""
    body: CreateBody = {"HostConfig": {}}
    for part in CONTAINER_PARTS:
        part(request, body)
    return body


# --- both -------------------------------------------------------------------------------------------------------------


def _set_lifetime(request: SandboxRequest | ContainerRequest, body: CreateBody) -> None:
    """Every restart is a new container of ours, never Docker's; and probes are Kubernetes', never the image's."""
    body["Image"] = request.image
    body["Labels"] = dict(request.labels)
    body["Healthcheck"] = {"Test": ["NONE"]}
    body["HostConfig"]["RestartPolicy"] = {"Name": "no"}
    if request.runtime:
        body["HostConfig"]["Runtime"] = request.runtime


def _set_cgroup(request: SandboxRequest | ContainerRequest, body: CreateBody) -> None:
    """Below the Pod's cgroup, where the agent keeps one; there the number of processes is bounded for all together."""
    if request.cgroup_parent:
        body["HostConfig"]["CgroupParent"] = request.cgroup_parent
    elif request.host.pids_max:
        body["HostConfig"]["PidsLimit"] = request.host.pids_max


def _set_log(request: SandboxRequest | ContainerRequest, body: CreateBody) -> None:
    """Logs are read from json-file's files, whatever the engine's default driver is."""
    body["HostConfig"]["LogConfig"] = {
        "Type": "json-file",
        "Config": {"max-size": LOG_SIZE_MAX, "max-file": LOG_FILES_MAX},
    }


# --- sandbox ----------------------------------------------------------------------------------------------------------


def _set_sandbox_namespaces(request: SandboxRequest, body: CreateBody) -> None:
    """Pause owns the namespaces that the containers join; host namespaces are asked for here already."""
    spec = request.pod["spec"]
    host_config = body["HostConfig"]
    host_config["IpcMode"] = "host" if spec.get("hostIPC") else "shareable"
    if spec.get("hostPID"):
        host_config["PidMode"] = "host"
    if spec.get("hostNetwork"):
        host_config["NetworkMode"] = "host"
        host_config["UTSMode"] = "host"
    else:
        body["Hostname"] = kernel_hostname(request.pod, request.cluster_domain)


def _set_sandbox_privileges(request: SandboxRequest, body: CreateBody) -> None:
    """Pause needs nothing; the Pod network adds what its wiring takes, and pause gives that up at once."""
    host_config = body["HostConfig"]
    host_config["CapDrop"] = ["ALL"]
    host_config["SecurityOpt"] = ["no-new-privileges"]
    if request.host.has_seccomp:
        host_config["SecurityOpt"].append(PAUSE_SECCOMP_OPTION)
    host_config["ReadonlyRootfs"] = True


def _set_sandbox_resources(request: SandboxRequest, body: CreateBody) -> None:
    body["HostConfig"]["CpuShares"] = SHARES_MIN
    _set_oom_score(body, OOM_SCORE_SANDBOX, request.host)


def _set_sandbox_sysctls(request: SandboxRequest, body: CreateBody) -> None:
    sysctls = ipc_sysctls(request.pod)
    if sysctls:
        body["HostConfig"]["Sysctls"] = sysctls


# --- container --------------------------------------------------------------------------------------------------------


def _set_process(request: ContainerRequest, body: CreateBody) -> None:
    """An empty command or argument list leaves the image's own; Docker drops the image's args with a new command."""
    container = request.container
    if request.command:
        body["Entrypoint"] = list(request.command)
    if request.args:
        body["Cmd"] = list(request.args)
    if container.get("workingDir"):
        body["WorkingDir"] = container["workingDir"]
    body["Env"] = [f"{name}={value}" for name, value in request.environment]
    stop_signal = (container.get("lifecycle") or {}).get("stopSignal")
    if stop_signal:
        body["StopSignal"] = stop_signal


def _set_terminal(request: ContainerRequest, body: CreateBody) -> None:
    body["OpenStdin"] = bool(request.container.get("stdin"))
    body["StdinOnce"] = bool(request.container.get("stdinOnce"))
    body["Tty"] = bool(request.container.get("tty"))


def _join_namespaces(request: ContainerRequest, body: CreateBody) -> None:
    """Join pause. The hostname is pause's too: Docker takes it over with the network."""
    spec = request.pod["spec"]
    host_config = body["HostConfig"]
    joined = f"container:{request.sandbox_id}"
    host_config["NetworkMode"] = joined
    host_config["IpcMode"] = "host" if spec.get("hostIPC") else joined
    if spec.get("hostPID"):
        host_config["PidMode"] = "host"
    elif spec.get("shareProcessNamespace"):
        host_config["PidMode"] = joined
    elif request.target_id:
        host_config["PidMode"] = f"container:{request.target_id}"
    if spec.get("hostNetwork"):
        host_config["UTSMode"] = "host"


def _set_mounts(request: ContainerRequest, body: CreateBody) -> None:
    body["HostConfig"]["Mounts"] = [_mount(mount, request.host) for mount in request.mounts]


def _mount(mount: Mount, host: HostLimits) -> dict[str, Any]:
    """No volume takes over what the image has at its place: Docker's would, when it is empty."""
    target = {"Target": mount.container_path, "ReadOnly": mount.read_only}
    if mount.docker_volume:
        return {"Type": "volume", "Source": mount.docker_volume, **target, "VolumeOptions": {"NoCopy": True}}
    return {"Type": "bind", "Source": mount.host_path, **target, "BindOptions": _bind_options(mount, host)}


def _bind_options(mount: Mount, host: HostLimits) -> dict[str, Any]:
    """An engine that makes read-only mounts recursive by itself is told when not to: Kubernetes' default."""
    options: dict[str, Any] = {"Propagation": mount.propagation}
    if mount.read_only and host.engine_recurses:
        options["ReadOnlyForceRecursive" if mount.recursive_read_only else "ReadOnlyNonRecursive"] = True
    return options


def _set_devices(request: ContainerRequest, body: CreateBody) -> None:
    if request.devices:
        body["HostConfig"]["Devices"] = [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path,
                "CgroupPermissions": "r" if device.read_only else "rwm",
            }
            for device in request.devices
        ]


def _set_gpus(request: ContainerRequest, body: CreateBody) -> None:
    if request.gpus:
        body["HostConfig"]["DeviceRequests"] = device_requests(request.gpus)


def _set_cpu(request: ContainerRequest, body: CreateBody) -> None:
    body["HostConfig"].update(cpu_settings(request.pod, request.container))


def _set_memory(request: ContainerRequest, body: CreateBody) -> None:
    body["HostConfig"].update(memory_settings(request.pod, request.container))


def _set_oom(request: ContainerRequest, body: CreateBody) -> None:
    _set_oom_score(body, oom_score(request.pod, request.container, request.host.memory_bytes), request.host)


def _set_user(request: ContainerRequest, body: CreateBody) -> None:
    user, groups = user_settings(
        request.pod, request.container, request.image_user, request.accounts, request.volume_groups
    )
    if user:
        body["User"] = user
    if groups:
        body["HostConfig"]["GroupAdd"] = groups


def _set_privileges(request: ContainerRequest, body: CreateBody) -> None:
    body["HostConfig"].update(privilege_settings(request.container))


def _set_confinement(request: ContainerRequest, body: CreateBody) -> None:
    options = confinement_options(request.pod, request.container, request.seccomp_profile)
    if options:
        body["HostConfig"]["SecurityOpt"] = options


SANDBOX_PARTS: tuple[Callable[[SandboxRequest, CreateBody], None], ...] = (
    _set_lifetime,
    _set_cgroup,
    _set_log,
    _set_sandbox_namespaces,
    _set_sandbox_privileges,
    _set_sandbox_resources,
    _set_sandbox_sysctls,
)

CONTAINER_PARTS: tuple[Callable[[ContainerRequest, CreateBody], None], ...] = (
    _set_lifetime,
    _set_cgroup,
    _set_log,
    _set_process,
    _set_terminal,
    _join_namespaces,
    _set_mounts,
    _set_devices,
    _set_gpus,
    _set_cpu,
    _set_memory,
    _set_oom,
    _set_user,
    _set_privileges,
    _set_confinement,
)


# --- decisions the parts and their callers share ----------------------------------------------------------------------


def _set_oom_score(body: CreateBody, score: int, host: HostLimits) -> None:
    if score >= 0 or host.can_lower_oom_score:
        body["HostConfig"]["OomScoreAdj"] = score
