"""`RequestContext`: one request on its way through the filters to its handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from control.api.exchange import ApiRequest, User
from control.apiserver.negotiation import MediaChoice
from control.apiserver.request_info import RequestInfo, is_true

ANONYMOUS = User(name="system:anonymous", groups=("system:unauthenticated",))


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """Filters fill it in order: authentication and impersonation set `user`, later ones read it.

    `warnings` become Warning headers. `on_done` callbacks run when the answer is complete (a slot is given back).
    """

    request: ApiRequest
    info: RequestInfo
    user: User = ANONYMOUS
    media: MediaChoice
    now: datetime
    profile: str = "default"
    warnings: list[str] = field(default_factory=list)
    on_done: list[Callable[[], None]] = field(default_factory=list)

    def query(self, name: str) -> str:
        """Return the first value of a query parameter, empty if absent."""
        for key, value in self.request.query:
            if key == name:
                return value
        return ""

    def query_all(self, name: str) -> list[str]:
        """Return every value of a query parameter."""
        return [value for key, value in self.request.query if key == name]

    def flag(self, name: str) -> bool:
        """Whether a boolean query parameter is there and says neither `false` nor `0`; without a value it is true."""
        values = self.query_all(name)
        return bool(values) and is_true(values[0])

    def warn(self, text: str) -> None:
        """Add a Warning header, once per text as upstream does."""
        if text not in self.warnings:
            self.warnings.append(text)
