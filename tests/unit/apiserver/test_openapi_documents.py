from __future__ import annotations

import pytest

from control.api.exchange import ApiRequest, ApiResponse
from tests.fakes.api_server import ADMIN, RunningApiServer

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OLD_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


async def get_v2(server: RunningApiServer, **headers: str) -> ApiResponse:
    return await server.endpoint(ApiRequest(method="GET", path="/openapi/v2", headers=headers, user=ADMIN))


def header(response: ApiResponse, name: str) -> str:
    return next(value for key, value in response.headers if key == name)


@pytest.mark.parametrize(
    ("accept", "content_type", "start"),
    [
        ("", "application/json", b'{"swagger":"2.0"'),
        ("*/*", "application/json", b'{"swagger":"2.0"'),
        ("application/json", "application/json", b'{"swagger":"2.0"'),
        (OLD_PROTOBUF, PROTOBUF, b"\x0a\x032.0"),
        (PROTOBUF, PROTOBUF, b"\x0a\x032.0"),
        (f"{PROTOBUF},application/json;q=0.9", PROTOBUF, b"\x0a\x032.0"),
        (f"{PROTOBUF};q=0.5,application/json", "application/json", b'{"swagger":"2.0"'),
    ],
)
async def test_version_2_comes_in_the_form_asked_for(
    server: RunningApiServer, accept: str, content_type: str, start: bytes
) -> None:
    response = await get_v2(server, accept=accept)
    assert response.status == 200
    assert header(response, "Content-Type") == content_type
    assert header(response, "Vary") == "Accept-Encoding, Accept"
    assert response.body is not None
    assert response.body.startswith(start)


async def test_a_known_tag_is_not_modified_in_either_form(server: RunningApiServer) -> None:
    tag = header(await get_v2(server, accept=OLD_PROTOBUF), "ETag")
    for accept in (OLD_PROTOBUF, PROTOBUF, "application/json"):
        response = await get_v2(server, **{"accept": accept, "if-none-match": tag})
        assert (response.status, response.body) == (304, b"")
        assert header(response, "ETag") == tag


async def test_another_form_is_not_acceptable(server: RunningApiServer) -> None:
    response = await get_v2(server, accept="application/cbor")
    assert (response.status, response.body) == (406, b"")


async def test_the_index_of_version_3_is_of_this_second(server: RunningApiServer) -> None:
    async def ask(since: str) -> ApiResponse:
        headers = {"if-modified-since": since}
        return await server.endpoint(ApiRequest(method="GET", path="/openapi/v3", headers=headers, user=ADMIN))

    first = await ask("no date")
    assert first.status == 200
    assert header(first, "Last-Modified").endswith(" GMT")
    assert (await ask("Thu, 01 Jan 2015 00:00:00 GMT")).status == 200
    known = await ask("Fri, 01 Jan 2100 00:00:00 GMT")
    assert (known.status, known.body) == (304, b"")
