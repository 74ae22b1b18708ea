"""projected volumes: several sources in one directory; of two that make the same file the later wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.volumes.atomic_writer import FileContent
from agent.volumes.config_map import config_map_files
from agent.volumes.downward_api import downward_api_files
from agent.volumes.protocol import VolumeError
from agent.volumes.secret import secret_files
from agent.volumes.token_cache import DEFAULT_EXPIRATION_SECONDS
from agent.volumes.volume_type import Files, VolumeRequest
from control.api.objects import ReadOnlyObject
from control.api.pods import containers_of, init_containers_of


async def collect_files(request: VolumeRequest) -> Files:
    """The files of all sources."""
    files: Files = {}
    for source in request.spec.get("sources") or ():
        files |= await _source_files(request, source)
    return files


async def _source_files(request: VolumeRequest, source: Mapping[str, Any]) -> Files:
    mode = request.default_mode
    if source.get("configMap"):
        return await config_map_files(request, source["configMap"], mode)
    if source.get("secret"):
        return await secret_files(request, source["secret"], mode)
    if source.get("downwardAPI"):
        return downward_api_files(request, source["downwardAPI"].get("items") or (), mode)
    if source.get("serviceAccountToken"):
        return await _token_file(request, source["serviceAccountToken"], mode)
    names = ", ".join(name for name, value in source.items() if value is not None) or "an empty source"
    raise VolumeError(f"projected volume source not supported: {names}")


async def _token_file(request: VolumeRequest, spec: Mapping[str, Any], mode: int) -> Files:
    """The token is its owner's alone where the Pod says who that is."""
    audience = spec.get("audience")
    token = await request.tokens.get_token(
        request.pod,
        audiences=(audience,) if audience else (),
        expiration_seconds=int(spec.get("expirationSeconds") or DEFAULT_EXPIRATION_SECONDS),
    )
    owner = common_user(request.pod)
    has_group = (request.pod["spec"].get("securityContext") or {}).get("fsGroup") is not None
    if owner is not None or has_group:
        mode = 0o600
    return {spec["path"]: FileContent(data=token.encode(), mode=mode, owner=owner)}


def common_user(pod: ReadOnlyObject) -> int | None:
    """The user all containers run as, if the Pod names one and the same for all of them.

    Ephemeral ones do not count: the owner of a token must not change with a debugger (upstream's FsUserFrom).
    """
    pod_user = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = set()
    for container in (*init_containers_of(pod), *containers_of(pod)):
        user = (container.get("securityContext") or {}).get("runAsUser")
        users.add(pod_user if user is None else user)
    return users.pop() if len(users) == 1 else None
