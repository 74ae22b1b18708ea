"""`StatusStrategy`: kinds with a status subresource whose status is never absent, only empty.

Go prints a status struct even when nothing is in it, and some counters even when they are 0; `empty_status` is that
form, kept in every object of the kind.
"""

from __future__ import annotations

from typing import Any, ClassVar

from control.api.objects import Object, copy_object
from control.apiserver.registry.strategy import Strategy, WriteContext


class StatusStrategy(Strategy):
    """A strategy that keeps `status` present and owned by its subresource."""

    has_status = True
    empty_status: ClassVar[dict[str, Any]] = {}

    def default(self, obj: Object) -> None:
        """Show the counters that Go never leaves out."""
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        for name, value in self.empty_status.items():
            if status.get(name) is None:
                status[name] = copy_object(value)

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """A new object has an empty status."""
        obj["status"] = copy_object(self.empty_status)

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The status stays."""
        obj["status"] = old["status"] if "status" in old else copy_object(self.empty_status)
