"""Rules of volume sources that need nothing but themselves, for Pods and PersistentVolumes alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from control.api.errors import FieldError
from control.api.names import dns1123_subdomain_errors
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    descending_path,
    dns_label,
    dns_subdomain,
    in_range,
    no_backsteps,
    one_of,
)

Source: TypeAlias = Mapping[str, Any]
#: API field, the name upstream uses in "more than 1 volume type", the rule
NamedRule: TypeAlias = tuple[str, str, Callable[[str, Source], Errors]]

_QUALIFIED_NAMES = (
    ("iqn", r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$"),
    ("eui", r"^eui.[A-Za-z0-9]{16}$"),
    ("naa", r"^naa.[A-Za-z0-9]{32}$"),
)
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*")
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")


def one_source(path: str, volume: Source, known: Mapping[str, NamedRule]) -> Errors:
    """Exactly one of the known sources is given, and it is valid. The order of `known` is upstream's."""
    given = [name for name in volume if name in known and volume[name] is not None]
    if len(given) > 1:
        given.sort(key=list(known).index)
    for index, name in enumerate(given):
        _, shown, rule = known[name]
        if index:
            yield FieldError.forbidden(f"{path}.{shown}", "may not specify more than 1 volume type")
        else:
            yield from rule(f"{path}.{_RULE_PATHS.get(name, name)}", volume[name])
    if not given:
        yield FieldError.required(path, "must specify a volume type")


def by_name(rules: Iterable[NamedRule]) -> dict[str, NamedRule]:
    """Rules by their API field, in the order given."""
    return {rule[0]: rule for rule in rules}


#: where upstream's path of the causes is not the field's name
_RULE_PATHS = {"gcePersistentDisk": "persistentDisk"}


def _required(*fields: str) -> Callable[[str, Source], Errors]:
    def rule(path: str, source: Source) -> Errors:
        for field in fields:
            if not source.get(field):
                yield FieldError.required(f"{path}.{field}")

    return rule


def host_path(path: str, source: Source) -> Errors:
    """A path of the node without backsteps."""
    if not source.get("path"):
        yield FieldError.required(f"{path}.path")
        return
    yield from no_backsteps(f"{path}.path", source["path"])
    if source.get("type") is not None:
        yield from one_of(f"{path}.type", source["type"], _HOST_PATH_TYPES)


def _git_repo(path: str, source: Source) -> Errors:
    if not source.get("repository"):
        yield FieldError.required(f"{path}.repository")
    yield from descending_path(f"{path}.directory", source.get("directory") or "")


def _disk(name: str) -> Callable[[str, Source], Errors]:
    def rule(path: str, source: Source) -> Errors:
        if not source.get(name):
            yield FieldError.required(f"{path}.{name}")
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            yield FieldError.invalid(f"{path}.partition", partition, "must be between 1 and 255, inclusive")

    return rule


def _nfs(path: str, source: Source) -> Errors:
    yield from _required("server", "path")(path, source)
    if not (source.get("path") or "").startswith("/"):
        yield FieldError.invalid(f"{path}.path", source.get("path") or "", "must be an absolute path")


def _iscsi_name(path: str, name: str, no_prefix: str) -> Errors:
    for prefix, pattern in _QUALIFIED_NAMES:
        if name.startswith(prefix):
            if not re.search(pattern, name, re.ASCII):
                yield FieldError.invalid(path, name, "must be valid format")
            return
    yield FieldError.invalid(path, name, no_prefix)


def _iscsi(path: str, source: Source) -> Errors:
    if not source.get("targetPortal"):
        yield FieldError.required(f"{path}.targetPortal")
    yield from _iscsi_session(path, source, no_prefix="must be valid format starting with iqn, eui, or naa")


def persistent_iscsi(path: str, source: Source) -> Errors:
    """An iSCSI source of a PersistentVolume, whose Secret has a namespace."""
    if not source.get("targetPortal"):
        yield FieldError.required(f"{path}.targetPortal")
    yield from _iscsi_session(path, source, no_prefix="must be valid format")


def _iscsi_session(path: str, source: Source, *, no_prefix: str) -> Errors:
    """Names, lun and authentication; `no_prefix` is said of a name of no known form."""
    if not source.get("iqn"):
        yield FieldError.required(f"{path}.iqn")
    else:
        yield from _iscsi_name(f"{path}.iqn", source["iqn"], no_prefix)
    yield from in_range(f"{path}.lun", source.get("lun") or 0, 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield FieldError.required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        yield from _iscsi_name(f"{path}.initiatorname", source["initiatorName"], no_prefix)


def _fc(path: str, source: Source) -> Errors:
    targets, ids, lun = source.get("targetWWNs") or [], source.get("wwids") or [], source.get("lun")
    if not targets and not ids:
        yield FieldError.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        yield FieldError.invalid(f"{path}.targetWWNs", targets, detail)
    if targets:
        if lun is None:
            yield FieldError.required(f"{path}.lun", "lun is required if targetWWNs is specified")
        else:
            yield from in_range(f"{path}.lun", lun, 0, 255)


def _flocker(path: str, source: Source) -> Errors:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    if not name and not uuid:
        yield FieldError.required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        yield FieldError.invalid(path, "resource", detail)
    if "/" in name:
        yield FieldError.invalid(f"{path}.datasetName", name, "must not contain '/'")


def _quobyte(path: str, source: Source) -> Errors:
    registry, pairs = source.get("registry") or "", "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        yield FieldError.required(f"{path}.registry", pairs)
    elif len(source.get("tenant") or "") >= 65:
        yield FieldError.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not _HOST_PORT.fullmatch(pair):
                yield FieldError.invalid(f"{path}.registry", registry, pairs)
    if not source.get("volume"):
        yield FieldError.required(f"{path}.volume")


def _cinder(path: str, source: Source) -> Errors:
    if not source.get("volumeID"):
        yield FieldError.required(f"{path}.volumeID")
    if source.get("secretRef") is not None and not source["secretRef"].get("name"):
        yield FieldError.required(f"{path}.secretRef.name")


def _flex(path: str, source: Source) -> Errors:
    if not source.get("driver"):
        yield FieldError.required(f"{path}.driver")
    for key in source.get("options") or ():
        normalized = "." + key.split("/", 1)[0].lower()
        if normalized.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            yield FieldError.invalid(f"{path}.options[{key}]", key, detail)


def _azure_disk(path: str, source: Source) -> Errors:
    yield from _required("diskName", "diskURI")(path, source)
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    if source.get("cachingMode") is not None:
        yield from one_of(f"{path}.cachingMode", source["cachingMode"], ("None", "ReadOnly", "ReadWrite"))
    if kind is not None:
        yield from one_of(f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"))
        managed = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        if kind == "Managed" and not uri.startswith("/subscriptions/"):
            yield FieldError.not_supported(f"{path}.diskURI", uri, (managed,))
        if kind != "Managed" and not uri.startswith("https://"):
            yield FieldError.not_supported(f"{path}.diskURI", uri, (blob,))


def _storage_os(path: str, source: Source) -> Errors:
    if not source.get("volumeName"):
        yield FieldError.required(f"{path}.volumeName")
    else:
        yield from dns_label(f"{path}.volumeName", source["volumeName"])
    if source.get("volumeNamespace"):
        yield from dns_label(f"{path}.volumeNamespace", source["volumeNamespace"])
    if source.get("secretRef") is not None and not source["secretRef"].get("name"):
        yield FieldError.required(f"{path}.secretRef.name")


def csi_driver_name(path: str, name: str) -> Errors:
    """The name of a CSI driver: a DNS subdomain of at most 63 characters, in any case."""
    if not name:
        yield FieldError.required(path)
        return
    if len(name) > 63:
        yield FieldError.too_long(path, 63)
    for message in dns1123_subdomain_errors(name.lower()):
        yield FieldError.invalid(path, name, message)


def _csi(path: str, source: Source) -> Errors:
    yield from csi_driver_name(f"{path}.driver", source.get("driver") or "")
    reference = source.get("nodePublishSecretRef")
    if reference is not None:
        if not reference.get("name"):
            yield FieldError.required(f"{path}.nodePublishSecretRef.name")
        else:
            yield from dns_subdomain(f"{path}.name", reference["name"])


class _SourceTable(dict[str, NamedRule]):
    """Rules by API field; a tuple of fields gives a tuple of rules."""

    def __getitem__(self, names: Any) -> Any:
        if isinstance(names, tuple):
            return tuple(dict.__getitem__(self, name) for name in names)
        return dict.__getitem__(self, names)


SIMPLE_SOURCES = _SourceTable(
    {
        name: (name, shown or name, rule)
        for name, shown, rule in (
            ("hostPath", "", host_path),
            ("gitRepo", "", _git_repo),
            ("gcePersistentDisk", "", _disk("pdName")),
            ("awsElasticBlockStore", "", _disk("volumeID")),
            ("nfs", "", _nfs),
            ("iscsi", "", _iscsi),
            ("glusterfs", "", _required("endpoints", "path")),
            ("flocker", "", _flocker),
            ("persistentVolumeClaim", "", _required("claimName")),
            ("rbd", "", _required("monitors", "image")),
            ("cinder", "", _cinder),
            ("cephfs", "cephFS", _required("monitors")),
            ("quobyte", "", _quobyte),
            ("fc", "", _fc),
            ("flexVolume", "", _flex),
            ("azureFile", "", _required("secretName", "shareName")),
            ("vsphereVolume", "", _required("volumePath")),
            ("photonPersistentDisk", "", _required("pdID")),
            ("portworxVolume", "", _required("volumeID")),
            ("azureDisk", "", _azure_disk),
            ("storageos", "", _storage_os),
            ("scaleIO", "", _required("gateway", "system", "volumeName")),
            ("csi", "", _csi),
        )
    }
)
