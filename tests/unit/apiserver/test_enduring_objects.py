"""Objects that come back when they are deleted."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.apiserver.api_calls import ApiCalls

RANGE = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes"


@pytest.mark.parametrize("path", ["/api/v1/namespaces/default/services/kubernetes", RANGE])
async def test_what_leads_to_the_server_comes_back(api: ApiCalls, path: str) -> None:
    before = await api.call("GET", path)
    await api.call("DELETE", path)
    await until_it_is_another(api, path, before["metadata"]["uid"])


async def test_namespaces_of_the_system_come_back(api: ApiCalls) -> None:
    path = "/api/v1/namespaces/kube-node-lease"
    before = await api.call("GET", path)
    await api.call("DELETE", path)
    await api.call("PUT", f"{path}/finalize", {**before, "metadata": {"name": "kube-node-lease"}, "spec": {}})
    await until_it_is_another(api, path, before["metadata"]["uid"])


async def until_it_is_another(api: ApiCalls, path: str, uid: str) -> None:
    for _ in range(1000):
        response = await api.send("GET", path)
        if response.status == 200 and uid not in (response.body or b"").decode():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{path} did not come back")
