"""Who may use the node API: authentication, then authorization, in the kubelet's words.

A client is its certificate's subject or its bearer token's user. The API server and administrators may do anything with
their certificates, so that a node can be looked into while the API is away; about all others the API server is asked.
"""

from __future__ import annotations

import logging

from aiohttp import web

from agent.server.access_reviews import AccessReviews
from agent.server.client_identity import certificate_user, may_do_anything
from agent.server.request_attributes import api_verb, node_subresources
from control.api.errors import ApiError
from control.api.exchange import User
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)


class NodeAccess:
    """Judges requests."""

    def __init__(self, reviews: AccessReviews) -> None:
        self._reviews = reviews

    async def refuse(self, request: web.Request) -> web.Response | None:
        """The refusal of a request, None for one that may go on."""
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        user = certificate_user(certificate)
        if user is not None and may_do_anything(user):
            return None
        if user is None:
            user = await self._token_user(request.headers.get("Authorization", ""))
        if user is None:
            return web.Response(status=401, text="Unauthorized")
        return await self._authorize(user, request)

    async def _token_user(self, authorization: str) -> User | None:
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        try:
            return await self._reviews.token_user(token.strip())
        except (ApiError, ServerUnavailableError) as error:
            logger.warning("Cannot authenticate a request error=%s", error)
            return None

    async def _authorize(self, user: User, request: web.Request) -> web.Response | None:
        verb, subresources = api_verb(request.method), node_subresources(request.path)
        for subresource in subresources:
            asked = f"user={user.name}, verb={verb}, resource=nodes"
            try:
                if await self._reviews.is_allowed(user, verb, subresource):
                    return None
            except (ApiError, ServerUnavailableError) as error:
                logger.warning("Cannot authorize a request user=%s error=%s", user.name, error)
                return web.Response(status=500, text=f"Authorization error ({asked}, subresource={subresource})")
        return web.Response(status=403, text=f"Forbidden ({asked}, subresource(s)=[{' '.join(subresources)}])\n")
