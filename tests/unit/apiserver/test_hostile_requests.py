"""Any verb on any kind with any body: the answer is an object or a Status, never a failure inside the server."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.exchange import ApiRequest, ApiResponse
from control.schema.protobuf import MAGIC
from tests.fakes.api_server import ADMIN, RunningApiServer
from tests.unit.apiserver.api_calls import ApiCalls
from tests.unit.apiserver.hostile_requests import HostileRequest, make_request
from tests.unit.apiserver.valid_objects import valid_objects

REQUESTS_PER_EXAMPLE = 40
#: What upstream answers with 500 too: errors that its packages return without a status of their own.
UPSTREAM_500 = re.compile(
    r"failed to create typed patch object|resourceVersion should not be set on objects to be created|"
    r"resourceVersion: Invalid value|Timeout: Too large resource version|unable to find api field in struct|"
    r"expected a \S+( \S+)?, but received|unknown patch type|map: map\[.* does not contain declared merge key|"
    r"list element types are not identical|merging lists cannot yet be specified|The order in patch list|"
    r"\[?target\.(kind|name): |error trying to reach service|no endpoints available|failed to convert|"
    r"cannot merge lists without merge key|Get \"https://",
    re.DOTALL,
)


async def send(server: RunningApiServer, request: HostileRequest) -> ApiResponse:
    response = await server.endpoint(
        ApiRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            user=ADMIN,
        )
    )
    if response.stream is not None:
        async with aclosing(response.stream):  # type: ignore[type-var]
            """A watch or a log: closed unread."""
    return response


def judge(request: HostileRequest, response: ApiResponse) -> None:
    """A failure is a Status of its own code that blames no bug."""
    if response.status < 400 or request.method == "HEAD" or request.path.startswith("/podling/"):
        return
    status = decode(response)
    if status is None:
        return
    assert (status["kind"], status["apiVersion"], status["code"]) == ("Status", "v1", response.status), request
    assert status["status"] == "Failure"
    assert response.status < 500 or response.status in (503, 504) or UPSTREAM_500.search(status["message"]), request
    assert not re.search(r"object has no attribute|<class|Traceback|4300 digits", status["message"]), request


def decode(response: ApiResponse) -> Any:
    """The Status of an answer; None for one in protobuf, whose form `test_protobuf` judges."""
    body = response.body or b""
    if body.startswith(MAGIC):
        return None
    kind = dict(response.headers)["Content-Type"]
    return yaml.safe_load(body) if "yaml" in kind else orjson.loads(body)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
async def test_no_request_makes_the_server_fail(
    server: RunningApiServer, api: ApiCalls, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    account = {"metadata": {"name": "default"}}  # Pods wait for it where it is missing
    await api.send("POST", "/api/v1/namespaces/kube-system/serviceaccounts", account)
    for number in range(REQUESTS_PER_EXAMPLE):
        request = make_request(seed * REQUESTS_PER_EXAMPLE + number)
        judge(request, await send(server, request))
        assert not [record for record in caplog.records if record.exc_info], request
    assert await api.call("GET", "/api/v1/namespaces/default")


def path_of(obj: dict[str, Any]) -> str:
    [kind] = [item for item in BUILTIN_KINDS if (item.api_version, item.kind) == (obj["apiVersion"], obj["kind"])]
    return kind.path(namespace="default" if kind.namespaced else None)


async def test_the_objects_that_requests_are_made_of_are_valid(api: ApiCalls) -> None:
    """Else the requests would never get beyond validation."""
    refused = set()
    for obj in valid_objects():
        response = await api.send("POST", path_of(obj), obj)
        if response.status != 201:
            refused.add(obj["kind"])
    # A request for a certificate is signed by a key; kinds served in two versions share their names.
    assert refused == {"CertificateSigningRequest", "Event", "HorizontalPodAutoscaler"}


async def test_a_slow_request_lets_others_go_on(server: RunningApiServer, api: ApiCalls) -> None:
    """Requests that wait (here for a ServiceAccount that never comes) hold nobody up."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    waiting = asyncio.create_task(api.send("POST", "/api/v1/namespaces/kube-system/pods", pod))
    for _ in range(20):
        await api.call("GET", "/api/v1/namespaces/default")
    assert not waiting.done()
    waiting.cancel()
