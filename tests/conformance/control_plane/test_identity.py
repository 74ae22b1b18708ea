"""Requirements of sig-auth on ServiceAccounts, their tokens, and reviews of who may do what."""

from __future__ import annotations

import http.client
import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, make_object
from tests.conformance.http_api import HttpApi

TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


def make_account(batch: Batch, name: str, **fields: Any) -> Object:
    """Create a ServiceAccount."""
    return batch.api.create(batch.path("serviceaccounts"), make_object("ServiceAccount", name, **fields))


def ask(api: HttpApi, path: str, headers: dict[str, str]) -> tuple[int, Object]:
    """GET without the administrator's certificate or as somebody else."""
    connection = http.client.HTTPSConnection(api.address, context=api.tls, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.requirement("[sig-auth] ServiceAccounts should allow opting out of API token automount")
@pytest.mark.parametrize(
    ("account", "of_account", "of_pod", "is_mounted"),
    [
        ("default", None, None, True),
        ("mount", True, None, True),
        ("nomount", False, None, False),
        ("default", None, True, True),
        ("mount", True, True, True),
        ("nomount", False, True, True),
        ("default", None, False, False),
        ("mount", True, False, False),
        ("nomount", False, False, False),
    ],
)
def test_mounting_of_tokens(
    account: str, of_account: bool | None, of_pod: bool | None, is_mounted: bool, batch: Batch, api: HttpApi
) -> None:
    path = batch.path(f"serviceaccounts/{account}")
    if of_account is not None and api.request("GET", path)[0] == 404:
        make_account(batch, account, automountServiceAccountToken=of_account)
    wait_for(lambda: api.request("GET", path)[0] == 200, "the ServiceAccount")
    opted = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    spec = {"containers": [{"name": "token-test", "image": "i"}], "serviceAccountName": account, **opted}
    pod = make_object("Pod", f"{account}-{of_pod}".lower(), spec=spec)
    created = api.create(batch.path("pods"), pod, dryRun="All")
    mounts = [mount["mountPath"] for mount in created["spec"]["containers"][0].get("volumeMounts", ())]
    assert (TOKENS in mounts) == is_mounted


@pytest.mark.requirement("[sig-auth] ServiceAccounts should update a ServiceAccount")
def test_a_service_account_is_updated(batch: Batch, api: HttpApi) -> None:
    account = make_account(batch, "updated", automountServiceAccountToken=False)
    assert account["automountServiceAccountToken"] is False
    updated = api.update(batch.path("serviceaccounts/updated"), account | {"automountServiceAccountToken": True})
    assert updated["automountServiceAccountToken"] is True


@pytest.mark.requirement(
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview"
)
def test_a_token_is_reviewed(batch: Batch, api: HttpApi) -> None:
    make_account(batch, "reviewed")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(batch.path("serviceaccounts/reviewed/token"), request)["status"]["token"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = api.create("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert status["authenticated"] is True
    assert "error" not in status
    assert status["user"]["username"] == f"system:serviceaccount:{batch.namespace}:reviewed"


@pytest.mark.requirement("[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace")
def test_the_root_certificate_is_in_every_namespace(batch: Batch, api: HttpApi) -> None:
    one = batch.path("configmaps/kube-root-ca.crt")

    def certificate() -> str:
        status, found = api.request("GET", one)
        text: str = (found.get("data") or {}).get("ca.crt", "") if status == 200 else ""
        return text

    original = wait_for(certificate, "the ConfigMap is made")
    api.expect(200, "DELETE", one, {"gracePeriodSeconds": 0})
    assert wait_for(certificate, "it is made again") == original
    api.update(one, make_object("ConfigMap", "kube-root-ca.crt", data={"ca.crt": ""}))
    assert wait_for(certificate, "it is put right") == original


@pytest.mark.requirement(
    "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer"
)
def test_the_issuer_is_discovered(batch: Batch, api: HttpApi) -> None:
    """A ServiceAccount may read who issues tokens; the keys that are named there are those that sign them."""
    make_account(batch, "validator")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(batch.path("serviceaccounts/validator/token"), request)["status"]["token"]
    header, claims = (json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    user = {"Impersonate-User": f"system:serviceaccount:{batch.namespace}:validator"}
    status, document = ask(api, "/.well-known/openid-configuration", user)
    assert (status, document["issuer"]) == (200, claims["iss"])
    assert header["alg"] in document["id_token_signing_alg_values_supported"]
    assert document["jwks_uri"].endswith("/openid/v1/jwks")
    status, keys = ask(api, "/openid/v1/jwks", user)
    assert status == 200
    assert header["kid"] in [key["kid"] for key in keys["keys"]]


@pytest.mark.requirement("[sig-auth] SubjectReview should support SubjectReview API operations")
def test_reviews_say_what_requests_meet(batch: Batch, api: HttpApi) -> None:
    account = make_account(batch, "e2e")
    namespace, uid = batch.namespace, account["metadata"]["uid"]
    user = f"system:serviceaccount:{namespace}:e2e"
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    attributes = {"verb": "list", "resource": "configmaps", "namespace": namespace, "version": "v1"}
    spec = {"resourceAttributes": attributes, "user": user, "groups": groups, "uid": uid}
    head = {"apiVersion": "authorization.k8s.io/v1", "spec": spec}

    def allowed() -> list[bool]:
        review = head | {"kind": "SubjectAccessReview"}
        local = head | {"kind": "LocalSubjectAccessReview", "metadata": {"namespace": namespace}}
        path = f"{AUTHORIZATION}/namespaces/{namespace}/localsubjectaccessreviews"
        answers = [api.create(f"{AUTHORIZATION}/subjectaccessreviews", review), api.create(path, local)]
        headers = http.client.HTTPMessage()
        for name, value in (("User", user), ("Uid", uid), *(("Group", group) for group in groups)):
            headers[f"Impersonate-{name}"] = value
        status = impersonated_status(api, batch.path("configmaps"), headers)
        return [*(answer["status"]["allowed"] for answer in answers), status == 200]

    assert allowed() == [False, False, False]
    binding = make_object("RoleBinding", "e2e-view", subjects=[{"kind": "ServiceAccount", "name": "e2e"}])
    binding["subjects"][0]["namespace"] = namespace
    binding |= {"apiVersion": "rbac.authorization.k8s.io/v1"}
    binding |= {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}}
    api.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)
    assert allowed() == [True, True, True]


def impersonated_status(api: HttpApi, path: str, headers: http.client.HTTPMessage) -> int:
    """The status of a GET with headers that come more than once."""
    connection = http.client.HTTPSConnection(api.address, context=api.tls, timeout=60)
    try:
        connection.putrequest("GET", path)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
