"""What every namespace and every node is given: account, root certificate, Pod range."""

from __future__ import annotations

from typing import Any

from control.api.builtin_kinds import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from control.api.objects import Object
from control.client.view import View
from control.client.writes import Create, Notice, Patch, Update
from control.controllers.node_ipam import plan_pod_ranges
from control.controllers.root_ca_publisher import plan_config_map
from control.controllers.service_account import reconcile as reconcile_account
from tests.unit.controllers.builders import NOW, make_object


def make_namespace(**metadata: Any) -> Object:
    return make_object("v1", "Namespace", "n", None, metadata=metadata)


def test_namespace_gets_its_account_once() -> None:
    view = View.of({NAMESPACES: [make_namespace()], SERVICE_ACCOUNTS: []})
    (create,) = reconcile_account("n", view, NOW).steps
    assert isinstance(create, Create)
    assert create.obj["metadata"] == {"name": "default", "namespace": "n"}
    account = make_object("v1", "ServiceAccount", "default", "n")
    assert not reconcile_account("n", View.of({NAMESPACES: [make_namespace()], SERVICE_ACCOUNTS: [account]}), NOW).steps


def test_terminating_namespace_gets_nothing() -> None:
    going = make_namespace(deletionTimestamp="2026-01-01T00:00:00Z")
    view = View.of({NAMESPACES: [going], SERVICE_ACCOUNTS: [], CONFIG_MAPS: []})
    assert not reconcile_account("n", view, NOW).steps
    assert not plan_config_map("n", view, "PEM").steps


def test_changed_certificate_is_restored() -> None:
    (create,) = plan_config_map("n", View.of({NAMESPACES: [make_namespace()], CONFIG_MAPS: []}), "PEM").steps
    assert isinstance(create, Create)
    config_map = dict(create.obj)
    assert config_map["data"] == {"ca.crt": "PEM"}
    at_rest = View.of({NAMESPACES: [make_namespace()], CONFIG_MAPS: [config_map]})
    assert not plan_config_map("n", at_rest, "PEM").steps
    (update,) = plan_config_map("n", at_rest, "NEW").steps
    assert isinstance(update, Update)
    assert update.obj["data"] == {"ca.crt": "NEW"}


def make_node(name: str, cidr: str = "") -> Object:
    return make_object("v1", "Node", name, None, spec={"podCIDR": cidr} if cidr else {})


def test_nodes_get_the_lowest_free_ranges() -> None:
    nodes = [make_node("c"), make_node("b"), make_node("a", "10.244.1.0/24")]
    steps = plan_pod_ranges(nodes, "10.244.0.0/16", 24)
    given = {
        step.name: step.patch["spec"]["podCIDRs"]
        for step in steps
        if isinstance(step, Patch) and isinstance(step.patch, dict)
    }
    assert given == {"b": ["10.244.0.0/24"], "c": ["10.244.2.0/24"]}


def test_exhausted_range_is_an_event() -> None:
    nodes = [make_node("a", "10.244.0.0/24"), make_node("b", "10.244.1.0/24"), make_node("c")]
    (notice,) = plan_pod_ranges(nodes, "10.244.0.0/23", 24)
    assert isinstance(notice, Notice)
    assert notice.reason == "CIDRNotAvailable"
