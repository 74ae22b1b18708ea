"""Who sends the request? Refuses with 401 who cannot say, or says something untrue."""

from __future__ import annotations

from control.api.errors import unauthorized
from control.apiserver.request_context import RequestContext
from control.auth.authenticator import Authenticator


class AuthenticationFilter:
    """Sets `context.user`."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def __call__(self, context: RequestContext) -> None:
        """Authenticate. An in-process request carries its user."""
        user = context.request.user or self._authenticator.authenticate(context.request)
        if user is None:
            raise unauthorized()
        context.user = user
