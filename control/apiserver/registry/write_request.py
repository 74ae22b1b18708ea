"""`WriteRequest`: who writes what and how; it goes with an object through the whole write path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from control.api.exchange import User
from control.api.records import record
from control.apiserver.options import WriteOptions
from control.apiserver.registry.strategy import WriteContext


@record(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """One write. `name` is that of the URL, empty for a create of a collection member."""

    user: User
    now: datetime
    options: WriteOptions
    warn: Callable[[str], None]
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    profile: str = "default"

    def for_strategy(self) -> WriteContext:
        """What a strategy hook may know."""
        return WriteContext(
            user=self.user,
            now=self.now,
            namespace=self.namespace,
            subresource=self.subresource,
            profile=self.profile,
        )

    def named(self, name: str) -> WriteRequest:
        """The same write of another object."""
        return replace(self, name=name)
