from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from control.api.clock import FakeClock
from tests.fakes.api_server import RunningApiServer, running_api_server
from tests.unit.apiserver.api_calls import ApiCalls


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[RunningApiServer]:
    async with running_api_server(clock=clock, https=False, profile="upstream") as running:
        yield running


@pytest.fixture
async def api(server: RunningApiServer) -> ApiCalls:
    calls = ApiCalls(server.endpoint)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await calls.call("POST", "/api/v1/namespaces/default/serviceaccounts", account, expect=201)
    return calls
