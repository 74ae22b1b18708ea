"""`Allocator`: hands out what must be unique in the cluster while an object is written.

The write path calls `allocate` before the strategy prepares and judges the object, as upstream's BeginCreate and
BeginUpdate do; if the write then fails, or was a dry run, it calls the returned undo. Calls are synchronous: nothing
else is handed out in between. At start the allocators take over what the stored objects hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from control.api.objects import Object, ReadOnlyObject


class Allocator(Protocol):
    """Allocation for one kind."""

    def allocate(self, obj: Object, old: ReadOnlyObject | None) -> Callable[[], None]:
        """Fill and reserve what `obj` needs, release what only `old` needed. Raises ApiError; returns the undo."""
        ...

    def release(self, obj: ReadOnlyObject) -> None:
        """Give back what a deleted object held."""
        ...

    def rebuild(self, objects: Iterable[ReadOnlyObject]) -> None:
        """Hold exactly what these objects hold."""
        ...
