"""Rules and warnings of Services beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import SERVICES
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, REMOVED, change, created, texts, updated

SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"app": "web"},
        "ports": [{"port": 80}],
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    },
}
BALANCER = change(SERVICE, "spec.type", "LoadBalancer")


def after(body: Object, *changes: tuple[str, Any]) -> Object:
    for path, value in changes:
        body = change(body, path, value)
    return body


def case(sentence: str, *rows: Any) -> Any:
    return pytest.param(*rows, id=sentence)


CREATES = [
    case(
        "both annotations of topology hints agree",
        [("metadata.annotations", {
            "service.kubernetes.io/topology-mode": "Auto", "service.kubernetes.io/topology-aware-hints": "auto"})],
        ['metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": must match '
         "annotations[service.kubernetes.io/topology-aware-hints] when both are specified"],
    ),
    case(
        "traffic goes to three distributions",
        [("spec.trafficDistribution", "Anywhere")],
        ['spec.trafficDistribution: Unsupported value: "Anywhere": supported values: "PreferClose", '
         '"PreferSameZone", "PreferSameNode"'],
    ),
    case(
        "an external address has one spelling",
        [("spec.externalIPs", ["010.0.0.1"])],
        ['spec.externalIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s'],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CREATES)
def test_odd_services_have_upstream_causes(changes: list[tuple[str, Any]], expected: list[str]) -> None:
    assert texts(created(SERVICES, after(SERVICE, *changes))[1]) == expected


UPDATES = [
    case(
        "the first address stays",
        [],
        [("spec.clusterIP", "10.96.0.8"), ("spec.clusterIPs", ["10.96.0.8"])],
        ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set'],
    ),
    case(
        "the first family stays",
        [],
        [("spec.ipFamilies", ["IPv6"])],
        ['spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
         'spec.clusterIPs[0]: Invalid value: "10.96.0.7": expected an IPv6 value as indicated by `ipFamilies[0]`'],
    ),
    case(
        "a released family needs a single stack",
        [("spec.clusterIPs", ["10.96.0.7", "fd00::7"]), ("spec.ipFamilies", ["IPv4", "IPv6"]),
         ("spec.ipFamilyPolicy", "PreferDualStack")],
        [("spec.ipFamilyPolicy", "PreferDualStack")],
        ["spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the "
         "secondary clusterIP",
         "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the "
         "secondary ipFamily"],
    ),
    case(
        "an address that was there before may keep its old spelling",
        [("spec.externalIPs", ["010.0.0.1"])],
        [("spec.externalIPs", ["010.0.0.1"])],
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "changes", "expected"), UPDATES)
def test_odd_changes_of_services_have_upstream_causes(
    before: list[tuple[str, Any]], changes: list[tuple[str, Any]], expected: list[str]
) -> None:
    old, _ = created(SERVICES, after(SERVICE, *before))

    assert texts(updated(SERVICES, old, after(SERVICE, *changes))) == expected


STATUSES = [
    case("only load balancers have ingresses", SERVICE, {"ip": "1.2.3.4", "ipMode": "VIP"},
         ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]),
    case("an address has a mode", BALANCER, {"ip": "1.2.3.4"},
         ["status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set"]),
    case("a mode has an address", BALANCER, {"ipMode": "VIP"},
         ["status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"]),
    case("there are two modes", BALANCER, {"ip": "1.2.3.4", "ipMode": "Odd"},
         ['status.loadBalancer.ingress[0].ipMode: Unsupported value: "Odd": supported values: "Proxy", "VIP"']),
    case("a host name is no address", BALANCER, {"hostname": "1.2.3.4"},
         ['status.loadBalancer.ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address']),
]  # fmt: skip


@pytest.mark.parametrize(("body", "ingress", "expected"), STATUSES)
def test_odd_load_balancers_have_upstream_causes(body: Object, ingress: Object, expected: list[str]) -> None:
    old, _ = created(SERVICES, body)
    obj = copy_object(old)
    obj["status"] = {"loadBalancer": {"ingress": [ingress]}}

    assert texts(strategy_for(SERVICES).validate_status_update(CONTEXT, obj, old)) == expected


def test_ignored_fields_of_services_are_warned_of() -> None:
    headless = after(SERVICE, ("spec.clusterIP", "None"), ("spec.clusterIPs", ["None"]),
                     ("spec.loadBalancerIP", "1.2.3.4"), ("spec.externalName", "example.org"),
                     ("spec.sessionAffinity", "ClientIP"))  # fmt: skip
    obj, _ = created(SERVICES, headless)

    assert strategy_for(SERVICES).warnings_on_create(CONTEXT, obj) == [
        "spec.loadBalancerIP is ignored for headless services",
        "spec.SessionAffinity is ignored for headless services",
        'spec.externalName is ignored when spec.type is not "ExternalName"',
    ]


def test_ports_are_needed_and_headless_services_need_none() -> None:
    assert texts(created(SERVICES, change(SERVICE, "spec.ports", REMOVED))[1]) == ["spec.ports: Required value"]
