"""Where a proxied request goes, and where it must not go."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.errors import ApiError
from control.apiserver.node_proxy import NodeUnreachableError, Target
from control.apiserver.registry.subresources.http_proxy import node_target
from control.apiserver.registry.subresources.node_failure import unreachable_service
from tests.unit.apiserver.api_calls import ApiCalls


def node(address: str, type: str = "InternalIP") -> dict[str, Any]:
    status = {
        "addresses": [{"type": type, "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    return {"metadata": {"name": "n1"}, "status": status}


AGENT = Target(host="10.244.0.1", port=10250, path="/", uses_tls=True, verifies_tls=True)


@pytest.mark.parametrize(
    ("scheme", "port", "expected"),
    [
        pytest.param("", "", AGENT, id="the agent is the default"),
        pytest.param("http", "10250", AGENT, id="the agent's port is always the agent's"),
        pytest.param(
            "", "9100", Target(host="10.244.0.1", port=9100, path="/", uses_tls=False, verifies_tls=False),
            id="another port is something else that listens there",
        ),
        pytest.param(
            "https", "9100", Target(host="10.244.0.1", port=9100, path="/", uses_tls=True, verifies_tls=False),
            id="whose certificate nobody knows",
        ),
    ],
)  # fmt: skip
def test_what_a_nodes_proxy_leads_to(scheme: str, port: str, expected: Target) -> None:
    assert node_target(node("10.244.0.1"), scheme, port) == expected


@pytest.mark.parametrize("port", ["metrics", "²", "0", "65536"])
def test_a_nodes_port_is_a_number(port: str) -> None:
    with pytest.raises(ApiError, match="invalid port"):
        node_target(node("10.244.0.1"), "", port)


@pytest.mark.parametrize(
    ("type", "address"), [("InternalIP", "127.0.0.1"), ("InternalIP", "169.254.169.254"), ("Hostname", "localhost")]
)
@pytest.mark.parametrize("name", ["n1", "n1:10255"])
async def test_a_node_at_an_address_that_only_the_host_itself_has_is_not_proxied_to(
    api: ApiCalls, type: str, address: str, name: str
) -> None:
    await api.call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}}, expect=201)
    await api.patch("/api/v1/nodes/n1/status", {"status": node(address, type)["status"]})
    status = await api.call("GET", f"/api/v1/nodes/{name}/proxy/pods", expect=400)
    assert status["message"] == "address not allowed"


def test_a_target_that_does_not_answer_is_unavailable() -> None:
    error = unreachable_service(NodeUnreachableError(AGENT, "dial tcp 10.244.0.1:10250: connect: connection refused"))
    assert (error.code, error.reason) == (503, "ServiceUnavailable")
    assert str(error.message).endswith(": dial tcp 10.244.0.1:10250: connect: connection refused")
