"""Table columns of access control, admission, flow control and API extension."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from control.api.objects import ReadOnlyObject
from control.schema.columns.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Column,
    TableLayout,
    age_of,
    condition_of,
    described,
    human_duration,
    name_of,
    of_field,
    spec_of,
    status_of,
)


def _binding_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    role = obj.get("roleRef") or {}
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        subjects.setdefault(subject.get("kind", ""), []).append(name)
    return [
        name_of(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age_of(obj, now),
        *(", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")),
    ]


def _binding_columns(reference: str, word: str) -> tuple[Column, ...]:
    return (
        NAME,
        described("Role", f"{reference} If the RoleRef cannot be resolved, the Authorizer must return an error."),
        AGE,
        described("Users", f"Users in the {word}", priority=1),
        described("Groups", f"Groups in the {word}", priority=1),
        described("ServiceAccounts", f"ServiceAccounts in the {word}", priority=1),
    )


def _signing_request_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    types = {condition.get("type") for condition in status.get("conditions") or ()}
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        state += ",Failed"
    if status.get("certificate"):
        state += ",Issued"
    seconds = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age_of(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if seconds is None else human_duration(seconds),
        state,
    ]


def _webhook_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks") or ()), age_of(obj, now)]


def _policy_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    rules = spec.get("mutations") if obj.get("kind") == "MutatingAdmissionPolicy" else spec.get("validations")
    parameters = spec.get("paramKind")
    text = f"{parameters.get('apiVersion', '')}/{parameters.get('kind', '')}" if parameters else UNSET
    return [name_of(obj), len(rules or ()), text, age_of(obj, now)]


def _policy_binding_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    return [name_of(obj), spec.get("policyName", ""), _parameter_text(spec.get("paramRef")), age_of(obj, now)]


def _parameter_text(reference: Mapping[str, Any] | None) -> str:
    if not reference:
        return UNSET
    namespace, name = reference.get("namespace"), str(reference.get("name", ""))
    return f"{namespace}/{name}" if namespace else name


def _policy_columns(rules: str, description: str) -> tuple[Column, ...]:
    return (
        NAME,
        described(rules, description, type="integer"),
        described("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    )


def _policy_binding_columns(parameter_description: str) -> tuple[Column, ...]:
    return (
        NAME,
        described("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
        described("ParamRef", parameter_description),
        AGE,
    )


def _flow_schema_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    dangling = condition_of(status_of(obj).get("conditions"), "Dangling")
    return [
        name_of(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age_of(obj, now),
        "?" if dangling is None else dangling.get("status", ""),
    ]


def _priority_level_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    limited = spec.get("limited")
    cells: list[Any] = [NONE, NONE, NONE, NONE]
    if limited:
        queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
        cells = [
            limited.get("nominalConcurrencyShares", 0),
            *(queuing.get(field, NONE) for field in ("queues", "handSize", "queueLengthLimit")),
        ]
    return [name_of(obj), spec.get("type", ""), *cells, age_of(obj, now)]


def _api_service_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    service = spec_of(obj).get("service")
    available = condition_of(status_of(obj).get("conditions"), "Available")
    text = "Unknown"
    if available is not None:
        text = available.get("status", "")
        if text != "True" and available.get("reason"):
            text = f"{text} ({available['reason']})"
    location = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [name_of(obj), location, text, age_of(obj, now)]


_ADMISSION = "admissionregistration.k8s.io"
_WEBHOOKS = TableLayout(
    columns=(
        NAME,
        described(
            "Webhooks",
            "Webhooks indicates the number of webhooks registered in this configuration",
            type="integer",
        ),
        AGE,
    ),
    cells=_webhook_cells,
)

LAYOUTS = {
    ("rbac.authorization.k8s.io", "RoleBinding"): TableLayout(
        columns=_binding_columns(
            "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace.",
            "roleBinding",
        ),
        cells=_binding_cells,
    ),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): TableLayout(
        columns=_binding_columns(
            "RoleRef can only reference a ClusterRole in the global namespace.", "clusterRoleBinding"
        ),
        cells=_binding_cells,
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): TableLayout(
        columns=(
            NAME,
            AGE,
            of_field("SignerName", "certificates.v1.CertificateSigningRequestSpec.signerName"),
            of_field("Requestor", "certificates.v1.CertificateSigningRequestSpec.request"),
            of_field("RequestedDuration", "certificates.v1.CertificateSigningRequestSpec.expirationSeconds"),
            of_field("Condition", "certificates.v1.CertificateSigningRequestStatus.conditions"),
        ),
        cells=_signing_request_cells,
    ),
    (_ADMISSION, "MutatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "MutatingAdmissionPolicy"): TableLayout(
        columns=_policy_columns(
            "Mutations", "Mutation indicates the number of mutations rules defined in this configuration"
        ),
        cells=_policy_cells,
    ),
    (_ADMISSION, "ValidatingAdmissionPolicy"): TableLayout(
        columns=_policy_columns(
            "Validations", "Validations indicates the number of validation rules defined in this configuration"
        ),
        cells=_policy_cells,
    ),
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): TableLayout(
        columns=_policy_binding_columns("ParamRef indicates the param resource which sets the configuration param"),
        cells=_policy_binding_cells,
    ),
    # The misspelling is upstream's, and so part of the answer.
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): TableLayout(
        columns=_policy_binding_columns("ParamRef indicates the param resource which sets the configration param"),
        cells=_policy_binding_cells,
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): TableLayout(
        columns=(
            NAME,
            of_field("PriorityLevel", "flowcontrol.v1.PriorityLevelConfigurationReference.name"),
            of_field("MatchingPrecedence", "flowcontrol.v1.FlowSchemaSpec.matchingPrecedence"),
            of_field("DistinguisherMethod", "flowcontrol.v1.FlowSchemaSpec.distinguisherMethod"),
            AGE,
            described("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
        ),
        cells=_flow_schema_cells,
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): TableLayout(
        columns=(
            NAME,
            of_field("Type", "flowcontrol.v1.PriorityLevelConfigurationSpec.type"),
            of_field(
                "NominalConcurrencyShares", "flowcontrol.v1.LimitedPriorityLevelConfiguration.nominalConcurrencyShares"
            ),
            of_field("Queues", "flowcontrol.v1.QueuingConfiguration.queues"),
            of_field("HandSize", "flowcontrol.v1.QueuingConfiguration.handSize"),
            of_field("QueueLengthLimit", "flowcontrol.v1.QueuingConfiguration.queueLengthLimit"),
            AGE,
        ),
        cells=_priority_level_cells,
    ),
    ("apiregistration.k8s.io", "APIService"): TableLayout(
        columns=(
            NAME,
            described("Service", "The reference to the service that hosts this API endpoint."),
            described("Available", "Whether this service is available."),
            AGE,
        ),
        cells=_api_service_cells,
    ),
}
