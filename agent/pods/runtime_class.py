"""RuntimeClass: the handler that a Pod's class names is a runtime that the engine has (KEP-585)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from agent.runtime.protocol import RuntimeFailure
from control.api.objects import ReadOnlyObject

#: the handler that every engine has, whatever its default runtime is called
DEFAULT_HANDLER = "runc"


class RuntimeClassSource(Protocol):
    """Where RuntimeClasses are read; backed by the API."""

    async def get_runtime_class(self, name: str) -> ReadOnlyObject | None:
        """The RuntimeClass, or None."""
        ...


class RuntimeHandlers:
    """Finds the engine's runtime for a Pod. `runtimes` are the names of those that the engine has."""

    def __init__(self, classes: RuntimeClassSource, runtimes: Collection[str]) -> None:
        self._classes = classes
        self._runtimes = runtimes

    async def find(self, pod: ReadOnlyObject) -> str:
        """The engine's name of the Pod's runtime; empty for the default one. Raises RuntimeFailure."""
        class_name = pod["spec"].get("runtimeClassName")
        if not class_name:
            return ""
        runtime_class = await self._classes.get_runtime_class(class_name)
        if runtime_class is None:
            raise RuntimeFailure(f'runtimeclass.node.k8s.io "{class_name}" not found')
        handler = str(runtime_class.get("handler") or "")
        if handler not in self._runtimes and handler != DEFAULT_HANDLER:
            raise RuntimeFailure(f'failed to get sandbox runtime: no runtime for "{handler}" is configured')
        return handler if handler in self._runtimes else ""
