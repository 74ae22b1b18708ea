"""What subresources may reach beyond their own object's store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.api.kinds import Kind
from control.apiserver.node_proxy import NodeProxy
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.served_kind import KindRegistry
from control.apiserver.registry.subresources.service_endpoint import Dice
from control.auth.attributes import Authorizer
from control.auth.authenticator import Authenticator
from control.auth.tokens import TokenIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParts:
    """Parts of the server, for handlers that need more than one kind."""

    registry: KindRegistry
    store_of: Callable[[Kind], ResourceStore]
    authenticator: Authenticator
    authorizer: Authorizer
    token_issuer: TokenIssuer | None
    node_proxy: NodeProxy
    random: Dice
