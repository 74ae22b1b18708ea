"""The admission chain: plugins that may change (mutate) or refuse (validate) a write, in upstream's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject


@dataclass(slots=True, kw_only=True)
class Attributes:
    """One write as admission sees it. `object` is None for DELETE and CONNECT without a body.

    `operation` is CREATE, UPDATE, DELETE or CONNECT. Mutating plugins change `object` in place. `warnings` go to the
    client as Warning headers.
    """

    kind: Kind
    operation: str
    user: User
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    object: Object | None = None
    old_object: ReadOnlyObject | None = None
    options: Object = field(default_factory=dict)
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)


class ObjectReader(Protocol):
    """What plugins may read: the API server's own caches, no network."""

    def find(self, kind: Kind, namespace: str | None, name: str) -> ReadOnlyObject | None:
        """Return the current object (read-only), or None."""
        ...

    def list(self, kind: Kind, namespace: str | None = None) -> list[ReadOnlyObject]:
        """Return the current objects of a kind, of one namespace or all."""
        ...


class AdmissionPlugin(Protocol):
    """A plugin: mutating, validating or both. `name` is upstream's."""

    name: str


@runtime_checkable
class MutatingPlugin(Protocol):
    """A plugin that may change what is written."""

    async def admit(self, attributes: Attributes) -> None:
        """Mutate `attributes.object`, or raise ApiError to refuse."""
        ...


@runtime_checkable
class ValidatingPlugin(Protocol):
    """A plugin that judges what is written."""

    async def validate(self, attributes: Attributes) -> None:
        """Judge the final object: raise ApiError to refuse."""
        ...


class AdmissionChain:
    """Runs the plugins in order."""

    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self._mutating = tuple(plugin for plugin in plugins if isinstance(plugin, MutatingPlugin))
        self._validating = tuple(plugin for plugin in plugins if isinstance(plugin, ValidatingPlugin))

    async def admit(self, attributes: Attributes) -> None:
        """Run all mutating hooks. Raises the first refusal."""
        for plugin in self._mutating:
            await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Run all validating hooks. Raises the first refusal."""
        for plugin in self._validating:
            await plugin.validate(attributes)
