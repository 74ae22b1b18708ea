"""Discovery documents: which groups, versions and resources this server has. Pure functions of the served kinds.

Groups and versions appear in the order of the kinds given; the first version of a group is the preferred one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256, sha512

from control.api.kinds import Kind, Subresource
from control.api.objects import Object

AGGREGATED_CONTENT_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

#: Kinds whose stored form upstream still announces as an older version; clients compare the hash, never the version.
_ANNOUNCED_STORAGE_VERSIONS = {
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): "v1beta1",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): "v1beta1",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "v1beta1",
}


def entity_tag(body: bytes) -> str:
    """Return the ETag of a discovery or OpenAPI document."""
    return f'"{sha512(body).hexdigest().upper()}"'


def api_versions(server_address: str) -> Object:
    """Answer of /api: the versions of the core group."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def api_group_list(kinds: Iterable[Kind]) -> Object:
    """Answer of /apis: all groups but the core group."""
    groups = [_group(group, versions) for group, versions in _versions_by_group(kinds).items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(kinds: Iterable[Kind], group: str) -> Object | None:
    """Answer of /apis/GROUP; None if there is no such group."""
    versions = _versions_by_group(kinds).get(group)
    if not versions or not group:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)}


def api_resource_list(kinds: Iterable[Kind], group: str, version: str) -> Object | None:
    """Answer of /api/v1 and /apis/GROUP/VERSION; None if there is no such version."""
    served = [kind for kind in kinds if kind.group == group and kind.version == version]
    if not served:
        return None
    resources: list[Object] = []
    for kind in served:
        resources.append(_resource(kind))
        resources.extend(_subresource(kind, subresource) for subresource in kind.subresources)
    answer: Object = {"kind": "APIResourceList"}
    if group:
        # The core group's list is older than the field, and stayed without.
        answer["apiVersion"] = "v1"
    answer["groupVersion"] = f"{group}/{version}" if group else version
    answer["resources"] = resources
    return answer


def aggregated_discovery(kinds: Iterable[Kind], *, legacy: bool) -> Object:
    """Answer of /api (`legacy`) and /apis to clients that take everything in one document."""
    chosen = [kind for kind in kinds if (kind.group == "") is legacy]
    items: list[Object] = []
    for group, versions in _versions_by_group(chosen).items():
        entries = [
            {
                "version": version,
                "resources": [
                    _aggregated_resource(kind) for kind in chosen if (kind.group, kind.version) == (group, version)
                ],
                "freshness": "Current",
            }
            for version in versions
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": entries})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def storage_version_hash(kind: Kind) -> str:
    """Return the hash by which clients see that the stored form of a kind changed; empty for kinds never stored."""
    if "create" not in kind.verbs or "get" not in kind.verbs:
        return ""
    group = kind.group if kind.storage_group is None else kind.storage_group
    version = _ANNOUNCED_STORAGE_VERSIONS.get((kind.group, kind.kind)) or kind.storage_version or kind.version
    return b64encode(sha256(f"{group}/{version}/{kind.kind}".encode()).digest()[:8]).decode()


def _versions_by_group(kinds: Iterable[Kind]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for kind in kinds:
        versions = result.setdefault(kind.group, [])
        if kind.version not in versions:
            versions.append(kind.version)
    return result


def _group(group: str, versions: Sequence[str]) -> Object:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": dict(entries[0])}


def _resource(kind: Kind) -> Object:
    resource: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    version_hash = storage_version_hash(kind)
    if version_hash:
        resource["storageVersionHash"] = version_hash
    return resource


def _subresource(kind: Kind, subresource: Subresource) -> Object:
    resource: Object = {"name": f"{kind.plural}/{subresource.name}", "singularName": "", "namespaced": kind.namespaced}
    if subresource.version:
        resource["group"] = subresource.group
        resource["version"] = subresource.version
    resource["kind"] = subresource.kind
    resource["verbs"] = list(subresource.verbs)
    return resource


def _aggregated_resource(kind: Kind) -> Object:
    resource: Object = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": item.name,
                "responseKind": {"group": item.group, "version": item.version, "kind": item.kind},
                "verbs": list(item.verbs),
            }
            for item in kind.subresources
        ]
    return resource
