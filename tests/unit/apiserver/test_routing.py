"""Requests that the router refuses, and those it takes in old forms."""

from __future__ import annotations

import orjson
import pytest

from tests.unit.apiserver.api_calls import ApiCalls, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
NOT_FOUND = "the server could not find the requested resource"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", f"{MAPS}/..", 400, "Name parameter invalid: \"..\": may not be '..'"),
        ("DELETE", f"{MAPS}/a%b", 400, "Name parameter invalid: \"a%b\": may not contain '%'"),
        ("POST", f"{MAPS}/a", 405, NOT_ALLOWED),
        ("PUT", MAPS, 405, NOT_ALLOWED),
        ("PATCH", MAPS, 405, NOT_ALLOWED),
        ("DELETE", "/api/v1/configmaps", 405, NOT_ALLOWED),
        ("POST", "/api/v1/configmaps", 405, NOT_ALLOWED),
        ("DELETE", "/api/v1/namespaces", 405, NOT_ALLOWED),
        ("HEAD", MAPS, 405, NOT_ALLOWED),
        ("OPTIONS", MAPS, 405, NOT_ALLOWED),
        ("POST", "/api/v1/watch/pods", 405, NOT_ALLOWED),
        ("GET", "/api/v1/watch/componentstatuses", 404, NOT_FOUND),
        ("GET", "/api/v1/watch/namespaces/default/pods/x/status", 404, NOT_FOUND),
        ("GET", "/api/v1/namespaces/default/nodes", 404, NOT_FOUND),
        ("GET", "/api/v1/pods/x", 404, NOT_FOUND),
    ],
)
async def test_what_has_no_route_is_refused(api: ApiCalls, method: str, path: str, status: int, message: str) -> None:
    response = await api.send(method, path)
    assert response.status == status
    assert response.body is not None
    assert orjson.loads(response.body)["message"] == message


async def test_a_refused_method_is_not_told_of_deprecation(api: ApiCalls) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    assert "Warning" not in dict((await api.send("PUT", path)).headers)
    assert "Endpoints is deprecated" in dict((await api.send("GET", path)).headers)["Warning"]


async def test_a_kind_without_watch_says_so(api: ApiCalls) -> None:
    status = await api.call("GET", "/api/v1/componentstatuses", query={"watch": "1"}, expect=405)
    assert status["message"] == 'watch is not supported on resources of kind "componentstatuses"'
    assert status["details"] == {"kind": "componentstatuses"}


async def test_old_paths_watch_one_object(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("a"), expect=201)
    await api.call("POST", MAPS, config_map("b"), expect=201)
    path = "/api/v1/watch/namespaces/default/configmaps/a"
    response = await api.send("GET", path, query={"timeoutSeconds": "30"})
    assert response.stream is not None
    first = await anext(aiter(response.stream))
    assert [orjson.loads(line)["object"]["metadata"]["name"] for line in first.splitlines()] == ["a"]
    status = await api.call("GET", path, query={"fieldSelector": "metadata.name=b"}, expect=400)
    assert status["message"] == "fieldSelector metadata.name doesn't match requested name"
