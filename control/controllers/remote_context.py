"""The controllers' context where the API server is another process: as with kube-controller-manager's
`--use-service-account-credentials`, each controller acts with a token of its own ServiceAccount.

Tokens are asked for by the process's own user (TokenRequest); a ServiceAccount that does not exist is made. They are
sent over connections without that user's certificate, which would speak louder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from control.api.builtin_kinds import SERVICE_ACCOUNTS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.client.bearer_token import IssuedToken, RenewedToken, TokenSource
from control.client.client import Client
from control.client.informer import InformerFactory
from control.client.transport import Transport
from control.controllers.context import ControllerContext, ControllerOptions

NAMESPACE = "kube-system"
TOKEN_SECONDS = 3600
#: a token is replaced when this part of its life is over
RENEW_AFTER = 0.8


def remote_context(
    client: Client,
    transport_for: Callable[[TokenSource], Transport] | None,
    *,
    clock: Clock,
    random: Random,
    options: ControllerOptions,
) -> ControllerContext:
    """Build a context that reads with `client` and writes with ServiceAccounts' tokens, or with `client` too."""

    def client_for(service_account: str) -> Client:
        if transport_for is None:
            return client
        return Client(transport_for(RenewedToken(partial(issue_token, client, service_account), clock)))

    informers = InformerFactory(client, clock=clock, random=random)
    return ControllerContext(client_for=client_for, informers=informers, clock=clock, random=random, options=options)


async def issue_token(client: Client, service_account: str) -> IssuedToken:
    """Get a token for a ServiceAccount of kube-system, making the account if need be. Raises ApiError."""
    try:
        return await _request_token(client, service_account)
    except ApiError as error:
        if error.code != 404:
            raise
    metadata = {"name": service_account, "namespace": NAMESPACE}
    try:
        await client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
    return await _request_token(client, service_account)


async def _request_token(client: Client, service_account: str) -> IssuedToken:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    answer = await client.create_subresource(SERVICE_ACCOUNTS, service_account, "token", request, namespace=NAMESPACE)
    return IssuedToken(
        token=answer["status"]["token"], lifetime_seconds=RENEW_AFTER * answer["spec"]["expirationSeconds"]
    )
