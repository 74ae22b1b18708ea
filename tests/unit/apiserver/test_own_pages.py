"""Podling's own pages: behind the same authentication and authorization as everything else."""

from __future__ import annotations

import orjson
import pytest

from control.api.exchange import ApiRequest, User
from tests.fakes.api_server import ADMIN, running_api_server

ALICE = User(name="alice", groups=("system:authenticated",))


@pytest.mark.parametrize(("user", "status"), [(ADMIN, 200), (ALICE, 403), (None, 403)])
async def test_the_cluster_page_is_for_those_who_may_see_it(user: User | None, status: int) -> None:
    async with running_api_server(https=False) as server:
        response = await server.endpoint(ApiRequest(method="GET", path="/podling/v1/cluster", user=user))
    assert response.status == status


async def test_the_cluster_page_tells_profile_revision_and_objects() -> None:
    async with running_api_server(https=False, profile="upstream") as server:
        request = ApiRequest(method="GET", path="/podling/v1/cluster", user=ADMIN)
        response = await server.endpoint(request)
        revision = server.storage.revision
    page = orjson.loads(response.body or b"")
    assert page["profile"] == "upstream"
    assert page["version"].startswith("v1.36.")
    assert page["revision"] == revision
    assert page["objects"] > 4


async def test_an_unknown_page_is_not_found() -> None:
    async with running_api_server(https=False) as server:
        response = await server.endpoint(ApiRequest(method="GET", path="/podling/none", user=ADMIN))
    assert response.status == 404
