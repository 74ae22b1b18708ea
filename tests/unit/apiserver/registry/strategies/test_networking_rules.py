"""Rules of networking.k8s.io beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import INGRESSES, NETWORK_POLICIES
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, kind_named, texts, updated

SERVICE: Object = {"service": {"name": "web", "port": {"number": 80}}}
PATHS: list[Object] = [{"path": "/", "pathType": "Prefix", "backend": SERVICE}]
INGRESS: Object = {"metadata": {"name": "web"}, "spec": {"rules": [{"host": "a.example", "http": {"paths": PATHS}}]}}
POLICY: Object = {
    "metadata": {"name": "web"},
    "spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
}
PATH = "spec.rules[0].http.paths[0]"
BACKEND = "spec.rules.0.http.paths.0.backend"


def case(sentence: str, *rows: Any) -> Any:
    return pytest.param(*rows, id=sentence)


INGRESSES_THAT_ARE_ODD = [
    case("a path says how it is matched first", "spec.rules.0.http.paths.0", {"path": "x", "backend": {}},
         [f"{PATH}.pathType: Required value: pathType must be specified"]),
    case("a backend is something", BACKEND, {},
         [f'{PATH}.backend: Invalid value: "": resource or service backend is required']),
    case("a port is named or numbered", BACKEND, {"service": {"name": "web"}},
         [f"{PATH}.backend: Required value: port name or number is required"]),
    case("a port is not both", BACKEND, {"service": {"name": "web", "port": {"name": "a", "number": 1}}},
         [f'{PATH}.backend: Invalid value: "": cannot set both port name & port number']),
    case("a resource has a kind and a name", BACKEND, {"resource": {"kind": "", "name": "a/b", "apiGroup": "A"}},
         [f'{PATH}.backend.resource.apiGroup: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower '
          "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
          "'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])"
          "?)*')",
          f"{PATH}.backend.resource.kind: Required value: kind is required",
          f"{PATH}.backend.resource.name: Invalid value: \"a/b\": may not contain '/'"]),
    case("a secret has a name a Secret can have", "spec.tls", [{"secretName": "a_b"}],
         ["spec.tls[0].secretName: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower case "
          "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
          "'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])"
          "?)*')"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), INGRESSES_THAT_ARE_ODD)
def test_odd_ingresses_have_upstream_causes(path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(INGRESSES, change(INGRESS, path, value))[1]) == expected


def test_the_annotated_class_of_an_ingress_agrees_and_is_deprecated() -> None:
    annotated = change(INGRESS, "metadata.annotations", {"kubernetes.io/ingress.class": "old"})
    obj, broken = created(INGRESSES, annotated)
    _, odd = created(INGRESSES, change(annotated, "spec.ingressClassName", "new"))

    assert broken == []
    assert strategy_for(INGRESSES).warnings_on_create(CONTEXT, obj) == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]
    assert texts(odd) == [
        'annotations.kubernetes.io/ingress.class: Invalid value: "old": must match `ingressClassName` when both are '
        "specified"
    ]


def test_an_ingress_that_was_stored_broken_may_stay_so() -> None:
    odd = change(change(INGRESS, "spec.tls", [{"secretName": "a_b"}]), "spec.rules.0.host", "*.example")
    odd = change(odd, "spec.rules.0.http.paths", [])
    old, broken = created(INGRESSES, odd)

    assert [error.field for error in broken] == ["spec.rules[0].http.paths", "spec.tls[0].secretName"]
    assert updated(INGRESSES, old, odd) == []


def test_addresses_of_ingresses_are_judged() -> None:
    old, _ = created(INGRESSES, INGRESS)
    obj = copy_object(old)
    obj["status"] = {"loadBalancer": {"ingress": [{"ip": "x", "hostname": "1.2.3.4"}]}}

    assert texts(strategy_for(INGRESSES).validate_status_update(CONTEXT, obj, old)) == [
        'status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
        "2001:db8::ffff)",
        'status.loadBalancer.ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
    ]


BLOCK = "spec.ingress.0.from.0.ipBlock"
FROM = "spec.ingress[0].from[0].ipBlock"


def test_exceptions_of_policies_are_subsets_of_one_spelling() -> None:
    odd = change(POLICY, BLOCK, {"cidr": "10.0.0.0/8", "except": ["010.1.0.0/16", "11.0.0.0/16"]})
    old, broken = created(NETWORK_POLICIES, odd)

    assert texts(broken) == [
        f'{FROM}.except[0]: Invalid value: "010.1.0.0/16": must not have leading 0s in IP or prefix length',
        f'{FROM}.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    ]
    assert [error.field for error in updated(NETWORK_POLICIES, old, odd)] == [f"{FROM}.except[1]"]


SERVICE_CIDRS = kind_named("networking.k8s.io", "v1", "servicecidrs")
IP_ADDRESSES = kind_named("networking.k8s.io", "v1", "ipaddresses")


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (["10.0.0.0/8"] * 3, [
            'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/8","10.0.0.0/8","10.0.0.0/8"]}: may only hold up to 2 '
            "values"]),
        (["10.0.0.0/8", "11.0.0.0/8"], [
            'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/8","11.0.0.0/8"]}: may specify no more than one IP for '
            "each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"]),
        (["fd00:0::/64"], ['spec.cidrs[0]: Invalid value: "fd00:0::/64": must be in canonical form ("fd00::/64")']),
    ],
)  # fmt: skip
def test_ranges_of_services_are_one_of_each_family(ranges: list[str], expected: list[str]) -> None:
    assert SERVICE_CIDRS is not None
    assert texts(created(SERVICE_CIDRS, {"metadata": {"name": "a"}, "spec": {"cidrs": ranges}})[1]) == expected


def test_ranges_of_services_stay() -> None:
    assert SERVICE_CIDRS is not None
    body: Object = {"metadata": {"name": "a"}, "spec": {"cidrs": ["10.0.0.0/8"]}}
    old, _ = created(SERVICE_CIDRS, body)
    both = ["10.0.0.0/8", "fd00::/64"]

    assert updated(SERVICE_CIDRS, old, change(body, "spec.cidrs", both)) == []
    assert texts(updated(SERVICE_CIDRS, old, change(body, "spec.cidrs", ["11.0.0.0/8"]))) == [
        'spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable'
    ]
    assert texts(updated(SERVICE_CIDRS, old, change(body, "spec.cidrs", []))) == [
        "spec.cidrs: Invalid value: null: field is immutable"
    ]


def test_owners_of_addresses_have_names() -> None:
    assert IP_ADDRESSES is not None
    parent = {"group": "", "resource": "a/b", "namespace": ".."}
    body: Object = {"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": parent}}

    assert texts(created(IP_ADDRESSES, body)[1]) == [
        "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
        "spec.parentRef.name: Required value",
        "spec.parentRef.namespace: Invalid value: \"..\": may not be '..'",
    ]
