"""nfs and csi volumes: which volume of the engine's own (`docker volume`) each of them stands for.

An `nfs` source becomes a volume of Docker's local driver, mounted by the engine's host: one per Pod, gone with it. A
`csi` source of the driver `docker.podling.io` names a Docker volume itself:

    csi:
      driver: docker.podling.io
      volumeHandle: backups             # of a PersistentVolume: the volume's name; an inline one belongs to its Pod
      volumeAttributes:                 # how it is made if it does not exist; without any, as `docker volume create`
        driver: local                   # the default
        type: cifs                      # all others are options of the driver
        device: //fileserver/backups
        o: addr=fileserver,vers=3.0
      nodePublishSecretRef: {name: …}   # username, password and domain of the local driver, or more options of another
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.runtime.volume_records import VolumeRecord
from agent.volumes.persistent_claim import VolumeSource
from agent.volumes.protocol import ConfigurationSource, VolumeError
from control.api.meta import namespace_of, uid_of
from control.api.objects import ReadOnlyObject

DRIVER_NAME = "docker.podling.io"
LOCAL_DRIVER = "local"
SECRET_FIELD = "nodePublishSecretRef"
#: keys of a Secret that become mount options of the local driver: those of the SMB driver of Kubernetes
CREDENTIALS = ("username", "password", "domain")

#: mount.nfs, which Kubernetes uses, asks for these one after the other; the engine's bare mount asks for version 3
NFS_VERSIONS = ("4.2", "4.1", "4", "3")
_NFS_VERSION = re.compile(r"(nfsvers|vers|minorversion)=|v[234](\.\d)?\Z")

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerVolume:
    """A volume of the engine as a Pod wants it. Without driver and options one that exists is taken as it is.

    `is_disposable`: it holds no data that outlives its users, so it is removed when the last of them is gone.
    """

    name: str
    driver: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    is_disposable: bool = False
    read_only: bool = False
    #: options to be tried in this order where the server does not know what `options` ask for
    fallbacks: Sequence[Mapping[str, str]] = ()

    def in_turn(self) -> Iterator[DockerVolume]:
        """This volume with its options, then with each of its fallbacks."""
        for options in (self.options, *self.fallbacks):
            yield replace(self, options=options, fallbacks=())

    def may_be(self, volume: VolumeRecord) -> bool:
        """Whether the engine's volume was made as this one, with one of its options. One without driver is any."""
        return not self.driver or (
            volume.driver == self.driver and dict(volume.options) in (dict(item.options) for item in self.in_turn())
        )


async def nfs_volume(
    pod: ReadOnlyObject, name: str, source: VolumeSource, objects: ConfigurationSource
) -> DockerVolume:
    """The Docker volume of an nfs source. Without a version among the mount options the newest that is spoken holds."""
    spec = source.spec
    read_only = source.read_only or bool(spec.get("readOnly"))
    options = [f"addr={spec['server']}", *(["ro"] if read_only else ()), *source.mount_options]
    versions = [()] if any(map(_NFS_VERSION.match, options)) else [(f"vers={version}",) for version in NFS_VERSIONS]
    first, *others = (
        {"type": "nfs", "device": f":{spec['path']}", "o": ",".join((*options, *version))} for version in versions
    )
    return DockerVolume(
        name=name_in_pod(pod, name),
        driver=LOCAL_DRIVER,
        options=first,
        is_disposable=True,
        read_only=read_only,
        fallbacks=others,
    )


async def csi_volume(
    pod: ReadOnlyObject, name: str, source: VolumeSource, objects: ConfigurationSource
) -> DockerVolume:
    """The Docker volume of a csi source of our driver. Raises VolumeError for another driver's."""
    spec = source.spec
    _refuse_foreign(spec, is_inline=not source.volume_name)
    options = {key: str(value) for key, value in (spec.get("volumeAttributes") or {}).items()}
    driver = options.pop("driver", "") or (LOCAL_DRIVER if options else "")
    if source.mount_options:
        _append_mount_options(driver, options, source.mount_options)
    if spec.get(SECRET_FIELD):
        _add_secret(driver, options, await _read_secret(pod, spec[SECRET_FIELD], objects))
    volume_name = spec["volumeHandle"] if source.volume_name else name_in_pod(pod, name)
    if not _NAME.fullmatch(volume_name):
        raise VolumeError(f'"{volume_name}" cannot be the name of a Docker volume')
    return DockerVolume(
        name=volume_name,
        driver=driver,
        options=options,
        is_disposable=not source.volume_name or needs_mount(driver, options),
        read_only=source.read_only or bool(spec.get("readOnly")),
    )


FindDockerVolume = Callable[[ReadOnlyObject, str, VolumeSource, ConfigurationSource], Awaitable[DockerVolume]]
DOCKER_TYPES: Mapping[str, FindDockerVolume] = {"nfs": nfs_volume, "csi": csi_volume}


def needs_mount(driver: str, options: Mapping[str, str]) -> bool:
    """Whether the files are elsewhere and only seen at the volume's place while a container uses it."""
    return driver == LOCAL_DRIVER and "device" in options


def name_in_pod(pod: ReadOnlyObject, volume_name: str) -> str:
    """Name of the Docker volume that belongs to one volume of one Pod."""
    return f"podling_{uid_of(pod)}_{volume_name}"


def _refuse_foreign(spec: Mapping[str, Any], *, is_inline: bool) -> None:
    driver = spec.get("driver")
    if driver != DRIVER_NAME and is_inline:
        message = f'volume mode "Ephemeral" not supported by driver {driver} (no CSIDriver object)'
        raise VolumeError(message, step="MountVolume.NewMounter initialization")
    if driver != DRIVER_NAME:
        what = "kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient"
        message = f"{what}: driver name {driver} not found in the list of registered CSI drivers"
        raise VolumeError(message, step="MountVolume.MountDevice")
    if spec.get("fsType"):
        raise VolumeError("fsType is not supported: the attribute `type` tells the file system of a Docker volume")
    for name, value in spec.items():
        if name.endswith("SecretRef") and name != SECRET_FIELD and value:
            raise VolumeError(f"{name} is not supported: the secret of a Docker volume is its {SECRET_FIELD}")


async def _read_secret(
    pod: ReadOnlyObject, reference: Mapping[str, Any], objects: ConfigurationSource
) -> dict[str, str]:
    name = reference.get("name") or ""
    secret = await objects.get_secret(reference.get("namespace") or namespace_of(pod), name)
    if secret is None:
        raise VolumeError(f'secret "{name}" not found')
    return {key: base64.b64decode(text).decode() for key, text in (secret.get("data") or {}).items()}


def _add_secret(driver: str, options: dict[str, str], secret: Mapping[str, str]) -> None:
    """The local driver takes credentials as mount options, any other its own way."""
    if driver != LOCAL_DRIVER:
        options.update(secret)
        return
    unknown = sorted(set(secret) - set(CREDENTIALS))
    if unknown:
        raise VolumeError(f"the local driver of Docker takes {', '.join(CREDENTIALS)} of a secret, not {unknown[0]}")
    if any("," in value for value in secret.values()):
        raise VolumeError("the local driver of Docker takes no credentials with a comma")
    _append_mount_options(driver, options, [f"{key}={secret[key]}" for key in CREDENTIALS if key in secret])


def _append_mount_options(driver: str, options: dict[str, str], added: list[str] | tuple[str, ...]) -> None:
    if not needs_mount(driver, options):
        raise VolumeError("mount options need a Docker volume of the local driver with the option `device`")
    options["o"] = ",".join(part for part in (options.get("o", ""), *added) if part)
