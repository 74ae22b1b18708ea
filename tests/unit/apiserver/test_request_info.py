from __future__ import annotations

import pytest

from control.apiserver.request_info import parse_request_info


@pytest.mark.parametrize(
    ("method", "url", "verb", "resource", "subresource", "namespace", "name"),
    [
        ("GET", "/api/v1/namespaces", "list", "namespaces", "", "", ""),
        ("GET", "/api/v1/namespaces/n", "get", "namespaces", "", "n", "n"),
        ("PUT", "/api/v1/namespaces/n/status", "update", "namespaces", "status", "n", "n"),
        ("PUT", "/api/v1/namespaces/n/finalize", "update", "namespaces", "finalize", "n", "n"),
        ("GET", "/api/v1/namespaces/n/pods", "list", "pods", "", "n", ""),
        ("GET", "/api/v1/pods", "list", "pods", "", "", ""),
        ("POST", "/apis/apps/v1/namespaces/n/deployments", "create", "deployments", "", "n", ""),
        ("DELETE", "/apis/apps/v1/namespaces/n/deployments", "deletecollection", "deployments", "", "n", ""),
        ("DELETE", "/api/v1/nodes/x", "delete", "nodes", "", "", "x"),
        ("PATCH", "/api/v1/namespaces/n/pods/p/status", "patch", "pods", "status", "n", "p"),
        ("GET", "/api/v1/watch/namespaces/n/pods", "watch", "pods", "", "n", ""),
    ],
)
def test_resource_path_gives_verb_and_parts(
    method: str, url: str, verb: str, resource: str, subresource: str, namespace: str, name: str
) -> None:
    info = parse_request_info(method, url, ())
    assert (info.verb, info.resource, info.subresource, info.namespace, info.name) == (
        verb,
        resource,
        subresource,
        namespace,
        name,
    )


def test_watch_parameter_makes_a_watch_and_false_does_not() -> None:
    assert parse_request_info("GET", "/api/v1/pods", [("watch", "1")]).verb == "watch"
    assert parse_request_info("GET", "/api/v1/pods", [("watch", "false")]).verb == "list"


def test_field_selector_of_a_name_is_what_the_authorizer_sees() -> None:
    info = parse_request_info("GET", "/api/v1/namespaces/n/secrets", [("fieldSelector", "metadata.name=s")])
    assert (info.name, info.has_name_in_path) == ("s", False)
    negated = parse_request_info("GET", "/api/v1/namespaces/n/secrets", [("fieldSelector", "metadata.name!=s")])
    assert negated.name == ""


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/metrics"]
)
def test_other_paths_are_no_resources(path: str) -> None:
    info = parse_request_info("GET", path, ())
    assert (info.is_resource, info.verb, info.path) == (False, "get", path)


def test_proxy_keeps_the_rest_of_the_path() -> None:
    info = parse_request_info("GET", "/api/v1/namespaces/n/pods/p:80/proxy/a/b", ())
    assert (info.name, info.subresource, info.rest) == ("p:80", "proxy", "a/b")
