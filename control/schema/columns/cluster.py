"""Table columns of what a cluster is made of: nodes, namespaces, events, configuration, quotas, leases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from control.api.objects import ReadOnlyObject
from control.schema.columns.column import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    TableLayout,
    age_of,
    condition_of,
    described,
    first_of,
    name_of,
    of_field,
    since,
    spec_of,
    status_of,
)

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _node_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    status = status_of(obj)
    ready = condition_of(status.get("conditions"), "Ready")
    states = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec_of(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    information = status.get("nodeInfo") or {}
    return [
        name_of(obj),
        ",".join(states),
        ",".join(_roles(obj)) or NONE,
        age_of(obj, now),
        information.get("kubeletVersion", ""),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        information.get("osImage") or UNKNOWN,
        information.get("kernelVersion") or UNKNOWN,
        information.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _roles(obj: ReadOnlyObject) -> list[str]:
    roles = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == _ROLE_LABEL:
            roles.add(value)
    return sorted(roles - {""})


def _address(obj: ReadOnlyObject, type: str) -> str:
    addresses = status_of(obj).get("addresses") or ()
    return next((item.get("address", "") for item in addresses if item.get("type") == type), NONE)


def _namespace_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), status_of(obj).get("phase", ""), age_of(obj, now)]


def _event_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Make the cells of an Event in either form: that of the core group, or of events.k8s.io."""
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    series = obj.get("series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    target = obj.get("involvedObject") or obj.get("regarding") or {}
    kind, target_name = target.get("kind", "").lower(), target.get("name")
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = first_of(source.get("component"), obj.get("reportingComponent"), obj.get("reportingController"))
    instance = first_of(source.get("host"), obj.get("reportingInstance"))
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{target_name}" if target_name else kind,
        target.get("fieldPath", ""),
        f"{component}, {instance}" if instance else component,
        first_of(obj.get("message"), obj.get("note")).strip(),
        since(first, now),
        count,
        name_of(obj),
    ]


def _config_map_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age_of(obj, now)]


def _secret_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or ()), age_of(obj, now)]


def _service_account_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets") or ()), age_of(obj, now)]


def _quota_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    status = status_of(obj)
    used = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource, hard in sorted((status.get("hard") or {}).items()):
        text = f"{resource}: {used.get(resource, '0')}/{hard}"
        (limits if resource.startswith("limits.") else requests).append(text)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age_of(obj, now)]


def _component_status_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    healthy = condition_of(obj.get("conditions"), "Healthy")
    if healthy is None:
        return [name_of(obj), "Unknown", "", ""]
    state = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    return [name_of(obj), state, healthy.get("message", ""), healthy.get("error", "")]


def _lease_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), spec_of(obj).get("holderIdentity") or "", age_of(obj, now)]


def _priority_class_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [
        name_of(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age_of(obj, now),
        obj.get("preemptionPolicy") or "",
    ]


def _runtime_class_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("handler", ""), age_of(obj, now)]


LAYOUTS = {
    ("", "Node"): TableLayout(
        columns=(
            NAME,
            described("Status", "The status of the node"),
            described("Roles", "The roles of the node"),
            AGE,
            of_field("Version", "core.v1.NodeSystemInfo.kubeletVersion"),
            of_field("Internal-IP", "core.v1.NodeStatus.addresses", priority=1),
            of_field("External-IP", "core.v1.NodeStatus.addresses", priority=1),
            of_field("OS-Image", "core.v1.NodeSystemInfo.osImage", priority=1),
            of_field("Kernel-Version", "core.v1.NodeSystemInfo.kernelVersion", priority=1),
            of_field("Container-Runtime", "core.v1.NodeSystemInfo.containerRuntimeVersion", priority=1),
        ),
        cells=_node_cells,
    ),
    ("", "Namespace"): TableLayout(
        columns=(NAME, described("Status", "The status of the namespace"), AGE), cells=_namespace_cells
    ),
    ("", "Event"): TableLayout(
        columns=(
            of_field("Last Seen", "core.v1.Event.lastTimestamp"),
            of_field("Type", "core.v1.Event.type"),
            of_field("Reason", "core.v1.Event.reason"),
            of_field("Object", "core.v1.Event.involvedObject"),
            of_field("Subobject", "core.v1.ObjectReference.fieldPath", priority=1),
            of_field("Source", "core.v1.Event.source", priority=1),
            of_field("Message", "core.v1.Event.message"),
            of_field("First Seen", "core.v1.Event.firstTimestamp", priority=1),
            of_field("Count", "core.v1.Event.count", priority=1),
            of_field("Name", NAME.source, priority=1, format="name"),
        ),
        cells=_event_cells,
    ),
    ("", "ConfigMap"): TableLayout(
        columns=(NAME, of_field("Data", "core.v1.ConfigMap.data"), AGE), cells=_config_map_cells
    ),
    ("", "Secret"): TableLayout(
        columns=(NAME, of_field("Type", "core.v1.Secret.type"), of_field("Data", "core.v1.Secret.data"), AGE),
        cells=_secret_cells,
    ),
    ("", "ServiceAccount"): TableLayout(
        columns=(NAME, of_field("Secrets", "core.v1.ServiceAccount.secrets"), AGE), cells=_service_account_cells
    ),
    ("", "ResourceQuota"): TableLayout(
        columns=(
            NAME,
            described("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
            described(
                "Limit",
                "Limits control the maximum amount of cpu/memory that a container may use"
                " independent of contention on the node.",
            ),
            AGE,
        ),
        cells=_quota_cells,
    ),
    ("", "ComponentStatus"): TableLayout(
        columns=(
            NAME,
            described("Status", "Status of the component conditions"),
            described("Message", "Message of the component conditions"),
            described("Error", "Error of the component conditions"),
        ),
        cells=_component_status_cells,
    ),
    ("coordination.k8s.io", "Lease"): TableLayout(
        columns=(NAME, of_field("Holder", "coordination.v1.LeaseSpec.holderIdentity"), AGE), cells=_lease_cells
    ),
    ("scheduling.k8s.io", "PriorityClass"): TableLayout(
        columns=(
            NAME,
            of_field("Value", "scheduling.v1.PriorityClass.value", type="integer"),
            of_field("Global-Default", "scheduling.v1.PriorityClass.globalDefault", type="boolean"),
            AGE,
            of_field("PreemptionPolicy", "scheduling.v1.PriorityClass.preemptionPolicy"),
        ),
        cells=_priority_class_cells,
    ),
    # Upstream looks the description up in the wrong record and finds none.
    ("node.k8s.io", "RuntimeClass"): TableLayout(
        columns=(NAME, described("Handler", ""), AGE), cells=_runtime_class_cells
    ),
}
LAYOUTS["events.k8s.io", "Event"] = LAYOUTS["", "Event"]
