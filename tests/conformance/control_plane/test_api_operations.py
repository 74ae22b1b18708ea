"""Requirements that a resource supports every verb: found by discovery, created, read, watched, written, deleted."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conformance.batch import Batch, Object
from tests.conformance.http_api import MERGE_PATCH, HttpApi

LABEL = "special-label"
SUBJECT = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "e2e.example.com")])
CONDITION = {"status": "True", "reason": "E2E", "message": "Set from a test"}


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What is done with the objects of one resource."""

    group: str
    version: str
    plural: str
    kind: str
    body: Object
    namespaced: bool = True
    #: a merge patch and what an update adds to it; both change something of the object but its annotations
    patch: Object = field(default_factory=dict)
    update: Object = field(default_factory=dict)
    #: what patches and updates of /status set, if there is such a subresource
    status: Object | None = None
    status_update: Object | None = None
    #: of names, where they cannot be made up
    names: tuple[str, ...] = ()
    #: checks the subresources that are no /status, given the path of an object
    check_parts: Callable[[HttpApi, str], None] | None = None

    def collection(self, namespace: str) -> str:
        """The path of all objects, in the namespace if there is one."""
        root = f"/apis/{self.group}/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"{root}/{self.plural}"

    def make(self, index: int, label: str) -> Object:
        """The body of one of the objects."""
        name = {"name": self.names[index]} if self.names else {"generateName": "e2e-example-"}
        head = {"apiVersion": f"{self.group}/{self.version}", "kind": self.kind}
        return {**head, "metadata": {**name, "labels": {LABEL: label}}, **self.body}


def certificate_request_spec() -> Object:
    """The spec of a request for a server's certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(key, hashes.SHA256())
    return {
        "request": b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
        "signerName": "example.com/e2e",
        "expirationSeconds": 3600,
        "usages": ["digital signature", "key encipherment", "server auth"],
    }


def self_signed_certificate() -> str:
    """A certificate in PEM, encoded as a field of bytes."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(SUBJECT, SUBJECT, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now).not_valid_after(now + timedelta(hours=1))
    certificate = dated.sign(key, hashes.SHA256())
    return b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode()


def check_approval_and_certificate(api: HttpApi, path: str) -> None:
    """/approval takes conditions, /status the certificate and further conditions, and annotations come with both."""
    listed = api.get("/apis/certificates.k8s.io/v1")["resources"]
    for part in ("approval", "status"):
        (resource,) = (item for item in listed if item["name"] == f"certificatesigningrequests/{part}")
        assert set(resource["verbs"]) == {"get", "patch", "update"}
        assert api.get(f"{path}/{part}")["kind"] == "CertificateSigningRequest"
    condition = {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}
    patch = {"metadata": {"annotations": {"approval": "patched"}}, "status": {"conditions": [condition]}}
    patched = api.patch(f"{path}/approval", patch, MERGE_PATCH)
    assert [item["type"] for item in patched["status"]["conditions"]] == ["ApprovalPatch"]
    assert patched["metadata"]["annotations"]["approval"] == "patched"
    patched["status"]["conditions"].append({"type": "Approved", **CONDITION})
    updated = api.update(f"{path}/approval", patched)
    assert [item["type"] for item in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved"]

    certificate = self_signed_certificate()
    patch = {"metadata": {"annotations": {"status": "patched"}}, "status": {"certificate": certificate}}
    patched = api.patch(f"{path}/status", patch, MERGE_PATCH)
    assert patched["status"]["certificate"] == certificate
    assert patched["metadata"]["annotations"]["status"] == "patched"
    patched["status"]["conditions"].append({"type": "StatusUpdate", **CONDITION})
    updated = api.update(f"{path}/status", patched)
    assert [item["type"] for item in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved", "StatusUpdate"]


CONTAINER = {"name": "c", "image": "busybox"}
ADMISSION = {"group": "admissionregistration.k8s.io", "version": "v1", "namespaced": False}
RESOURCE_RULES = [
    {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
]
FLOW_CONTROL = {"group": "flowcontrol.apiserver.k8s.io", "version": "v1", "namespaced": False}

OPERATIONS = {
    "[sig-api-machinery] API priority and fairness should support FlowSchema API operations": Operations(
        **FLOW_CONTROL,
        plural="flowschemas",
        kind="FlowSchema",
        body={
            "spec": {
                "matchingPrecedence": 10000,
                "priorityLevelConfiguration": {"name": "global-default"},
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                    }
                ],
            }
        },
        patch={"spec": {"matchingPrecedence": 9999}},
        update={"spec": {"matchingPrecedence": 9000}},
        status={"conditions": [{"type": "PatchStatusFailed", "status": "False", "reason": "e2e"}]},
        status_update={"conditions": [{"type": "StatusUpdateFailed", **CONDITION}]},
    ),
    "[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations": (
        Operations(
            **FLOW_CONTROL,
            plural="prioritylevelconfigurations",
            kind="PriorityLevelConfiguration",
            body={
                "spec": {
                    "type": "Limited",
                    "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}},
                }
            },
            patch={"spec": {"limited": {"nominalConcurrencyShares": 4}}},
            update={"spec": {"limited": {"nominalConcurrencyShares": 6}}},
            status={"conditions": [{"type": "PatchStatusFailed", "status": "False", "reason": "e2e"}]},
            status_update={"conditions": [{"type": "StatusUpdateFailed", **CONDITION}]},
        )
    ),
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy "
    "API operations": Operations(
        **ADMISSION,
        plural="validatingadmissionpolicies",
        kind="ValidatingAdmissionPolicy",
        body={
            "spec": {
                "matchConstraints": {"resourceRules": RESOURCE_RULES},
                "validations": [{"expression": "object.spec.replicas <= 100"}],
            }
        },
        patch={"spec": {"failurePolicy": "Ignore"}},
        update={"spec": {"failurePolicy": "Fail"}},
        status={
            "conditions": [{"type": "PatchStatusFailed", **CONDITION, "lastTransitionTime": "2020-01-01T00:00:00Z"}]
        },
        status_update={
            "conditions": [{"type": "UpdateStatusFailed", **CONDITION, "lastTransitionTime": "2020-01-01T00:00:00Z"}]
        },
    ),
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicyBinding API operations": Operations(
        **ADMISSION,
        plural="validatingadmissionpolicybindings",
        kind="ValidatingAdmissionPolicyBinding",
        body={"spec": {"policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"]}},
        patch={"spec": {"validationActions": ["Warn"]}},
        update={"spec": {"validationActions": ["Audit"]}},
    ),
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicy "
    "API operations": Operations(
        **ADMISSION,
        plural="mutatingadmissionpolicies",
        kind="MutatingAdmissionPolicy",
        body={
            "spec": {
                "matchConstraints": {"resourceRules": RESOURCE_RULES},
                "reinvocationPolicy": "Never",
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 100}}"},
                    }
                ],
            }
        },
        patch={"spec": {"failurePolicy": "Ignore"}},
        update={"spec": {"failurePolicy": "Fail"}},
    ),
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicyBinding API operations": Operations(
        **ADMISSION,
        plural="mutatingadmissionpolicybindings",
        kind="MutatingAdmissionPolicyBinding",
        body={"spec": {"policyName": "replicalimit-policy.example.com"}},
        patch={"spec": {"matchResources": {"matchPolicy": "Exact"}}},
        update={"spec": {"matchResources": {"matchPolicy": "Equivalent"}}},
    ),
    "[sig-apps] CronJob should support CronJob API operations": Operations(
        group="batch",
        version="v1",
        plural="cronjobs",
        kind="CronJob",
        body={
            "spec": {
                "schedule": "* */1 * * ?",
                "concurrencyPolicy": "Allow",
                "jobTemplate": {
                    "spec": {"template": {"spec": {"restartPolicy": "OnFailure", "containers": [CONTAINER]}}}
                },
            }
        },
        patch={"spec": {"suspend": True}},
        update={"spec": {"suspend": False}},
        status={"lastScheduleTime": "2024-01-02T03:04:05Z"},
        status_update={"lastScheduleTime": "2025-01-02T03:04:05Z"},
    ),
    "[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations": Operations(
        group="certificates.k8s.io",
        version="v1",
        plural="certificatesigningrequests",
        kind="CertificateSigningRequest",
        namespaced=False,
        body={"spec": certificate_request_spec()},
        check_parts=check_approval_and_certificate,
    ),
    "[sig-network] EndpointSlice should support creating EndpointSlice API operations": Operations(
        group="discovery.k8s.io",
        version="v1",
        plural="endpointslices",
        kind="EndpointSlice",
        body={
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        },
        patch={"endpoints": [{"addresses": ["10.0.0.3"]}]},
        update={"endpoints": [{"addresses": ["10.0.0.2"]}]},
    ),
    "[sig-network] Ingress API should support creating Ingress API operations": Operations(
        group="networking.k8s.io",
        version="v1",
        plural="ingresses",
        kind="Ingress",
        body={
            "spec": {
                "defaultBackend": {"service": {"name": "default-backend", "port": {"number": 80}}},
                "rules": [],
            }
        },
        patch={"spec": {"ingressClassName": "one"}},
        update={"spec": {"ingressClassName": "two"}},
        status={"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
        status_update={"loadBalancer": {"ingress": [{"ip": "169.1.1.2"}]}},
    ),
    "[sig-network] IngressClass API should support creating IngressClass API operations": Operations(
        group="networking.k8s.io",
        version="v1",
        plural="ingressclasses",
        kind="IngressClass",
        namespaced=False,
        body={"spec": {"controller": "example.com/controller"}},
    ),
    "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations": Operations(
        group="networking.k8s.io",
        version="v1",
        plural="ipaddresses",
        kind="IPAddress",
        namespaced=False,
        names=("192.168.1.1", "192.168.1.2", "2001:db8::ffff"),
        body={"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "none"}}},
    ),
}


@pytest.mark.parametrize("requirement", OPERATIONS)
def test_all_verbs(requirement: str, batch: Batch, api: HttpApi) -> None:
    operations = OPERATIONS[requirement]
    path, selector = operations.collection(batch.namespace), f"{LABEL}={batch.namespace}"
    check_discovery(api, operations)

    created = [api.create(path, operations.make(index, batch.namespace)) for index in range(3)]
    name = created[2]["metadata"]["name"]
    one = f"{path}/{name}"
    assert api.get(one)["metadata"]["uid"] == created[2]["metadata"]["uid"]
    assert len(api.items(path, selector)) == 3
    if operations.namespaced:
        everywhere = f"/apis/{operations.group}/{operations.version}/{operations.plural}"
        assert len(api.items(everywhere, selector)) == 3

    with api.watch(path, selector) as events:
        patch = {"metadata": {"annotations": {"patched": "true"}}, **operations.patch}
        patched = api.patch(one, patch, MERGE_PATCH)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert contains(patched, operations.patch)
        assert int(patched["metadata"]["resourceVersion"]) > int(created[2]["metadata"]["resourceVersion"])
        updated = change(api, one, {"metadata": {"annotations": {"updated": "true"}}, **operations.update})
        assert updated["metadata"]["annotations"]["updated"] == "true"
        assert contains(updated, operations.update)
        seen: dict[str, str] = {}
        while "updated" not in seen:
            kind, event = next(events)
            assert (kind, event["metadata"]["name"]) == ("MODIFIED", name)
            seen = event["metadata"].get("annotations", {})

    if operations.check_parts:
        operations.check_parts(api, one)
    if operations.status is not None:
        check_status(api, operations, f"{one}/status")

    api.delete(one)
    assert api.expect(404, "GET", one)["reason"] == "NotFound"
    assert len(api.items(path, selector)) == 2
    api.delete(path, labelSelector=selector)
    assert api.items(path, selector) == []


def check_discovery(api: HttpApi, operations: Operations) -> None:
    """The group, its version and the resource are found, with every verb."""
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    for group in (groups[operations.group], api.get(f"/apis/{operations.group}")):
        assert operations.version in [version["version"] for version in group["versions"]]
    listed = api.get(f"/apis/{operations.group}/{operations.version}")["resources"]
    verbs = {resource["name"]: set(resource["verbs"]) for resource in listed}
    every = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert verbs[operations.plural] == every
    if operations.status is not None:
        assert verbs[f"{operations.plural}/status"] == {"get", "patch", "update"}


def check_status(api: HttpApi, operations: Operations, path: str) -> None:
    """/status is read, patched and replaced, and nothing but the status with it."""
    assert api.get(path)["kind"] == operations.kind
    patched = api.patch(path, {"status": operations.status}, MERGE_PATCH)
    assert contains(patched["status"], operations.status)
    updated = change(api, path, {"status": operations.status_update})
    assert contains(updated["status"], operations.status_update)


def change(api: HttpApi, path: str, fields: Object) -> Object:
    """Read an object, set fields, put it back, and again if somebody else wrote in between."""
    while True:
        status, answer = api.request("PUT", path, merged(api.get(path), fields))
        if status != 409:
            assert status == 200, answer
            return answer


def merged(target: Object, fields: Object) -> Object:
    """The object with fields set, maps field by field."""
    nested = {
        key: merged(target.get(key) or {}, value) if isinstance(value, dict) else value for key, value in fields.items()
    }
    return target | nested


def contains(found: Any, wanted: Any) -> bool:
    """True when everything wanted is there; of a list of maps each must be in it."""
    if isinstance(wanted, dict):
        return all(key in found and contains(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) >= len(wanted) and all(any(contains(item, want) for item in found) for want in wanted)
    return bool(found == wanted)
