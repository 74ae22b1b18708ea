"""The `Kind` record: what the API machinery knows of a kind by name.

Built-in kinds (`builtin_kinds.py`) and kinds made by a CustomResourceDefinition are the same record, so there is
one route, one handler per verb and one pipeline for all of them. The API server pairs a `Kind` with its schema,
strategy and printer columns in `control/apiserver/registry/`; clients need the names alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A subresource served under an object, e.g. `pods/log`. `kind` may come from another group (`scale`)."""

    name: str
    kind: str
    group: str = ""
    version: str = ""
    verbs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind in one served version.

    `storage_version` and `storage_group` name the form in which objects are kept; they differ from `version` and
    `group` only for kinds that are served in several forms (HorizontalPodAutoscaler v1 and v2, Event).
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...] = (
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    )
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    list_kind: str = ""
    definition: str = ""
    storage_group: str | None = None
    storage_version: str | None = None

    @property
    def api_version(self) -> str:
        """`v1` for the core group, `group/version` otherwise."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`pods` or `deployments.apps`: how upstream names a resource in error messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base_path(self) -> str:
        """`/api/v1` or `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def storage_prefix(self) -> str:
        """Key prefix of all objects of this kind in the store, ending in `/`, shared by all served versions."""
        group = self.group if self.storage_group is None else self.storage_group
        return f"/{group or 'core'}/{self.plural}/"

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection, an object or a subresource."""
        parts = [self.base_path]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def storage_key(self, namespace: str | None, name: str) -> str:
        """Store key of one object."""
        return f"{self.storage_prefix}{namespace}/{name}" if self.namespaced else f"{self.storage_prefix}{name}"

    def find_subresource(self, name: str) -> Subresource | None:
        """Return the subresource of that name, or None."""
        return next((item for item in self.subresources if item.name == name), None)
