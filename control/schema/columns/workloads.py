"""Table columns of workloads: controllers of Pods, jobs, autoscalers, disruption budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control.api.objects import ReadOnlyObject
from control.api.timestamps import parse_time
from control.schema.columns.column import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    TableLayout,
    age_of,
    boolean_text,
    container_cells,
    described,
    human_duration,
    labels_text,
    name_of,
    of_field,
    selector_text,
    since,
    spec_of,
    status_of,
)

_READY = described("Ready", "Number of the pod with ready state")


def _template(obj: ReadOnlyObject) -> Mapping[str, Any]:
    return (spec_of(obj).get("template") or {}).get("spec") or {}


def _deployment_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age_of(obj, now),
        *container_cells(_template(obj)),
        selector_text(spec.get("selector"), empty=""),
    ]


def _replica_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    selector = spec.get("selector")
    is_label_map = obj.get("kind") == "ReplicationController"
    return [
        name_of(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age_of(obj, now),
        *container_cells(_template(obj)),
        labels_text(selector) if is_label_map else selector_text(selector),
    ]


def _replica_columns(definition: str) -> tuple[Any, ...]:
    return (
        NAME,
        of_field("Desired", f"{definition}Spec.replicas", type="integer"),
        of_field("Current", f"{definition}Status.replicas", type="integer"),
        of_field("Ready", f"{definition}Status.readyReplicas", type="integer"),
        AGE,
        CONTAINERS,
        IMAGES,
        of_field("Selector", f"{definition}Spec.selector", priority=1),
    )


def _daemon_set_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    status = status_of(obj)
    counts = [
        status.get(field, 0)
        for field in (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        )
    ]
    template = _template(obj)
    return [
        name_of(obj),
        *counts,
        labels_text(template.get("nodeSelector")),
        age_of(obj, now),
        *container_cells(template),
        selector_text(spec_of(obj).get("selector")),
    ]


def _stateful_set_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    ready = f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}"
    return [name_of(obj), ready, age_of(obj, now), *container_cells(_template(obj))]


def _job_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    succeeded, parallelism = status.get("succeeded", 0), spec.get("parallelism", 0)
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration((end - parse_time(status["startTime"])).total_seconds())
    return [
        name_of(obj),
        _job_status(obj),
        completions,
        duration,
        age_of(obj, now),
        *container_cells(_template(obj)),
        selector_text(spec.get("selector")),
    ]


def _job_status(obj: ReadOnlyObject) -> str:
    true = {item.get("type") for item in status_of(obj).get("conditions") or () if item.get("status") == "True"}
    for condition in ("Complete", "Failed"):
        if condition in true:
            return condition
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for condition in ("Suspended", "FailureTarget"):
        if condition in true:
            return condition
    return "Running"


def _cron_job_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        boolean_text(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age_of(obj, now),
        *container_cells((job.get("template") or {}).get("spec") or {}),
        selector_text(job.get("selector")),
    ]


def _controller_revision_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or ()
    owner = next((item for item in owners if item.get("controller")), None)
    text = NONE
    if owner:
        group, _, _ = owner["apiVersion"].rpartition("/")
        text = f"{owner['kind']}.{group}".rstrip(".").lower() + "/" + owner["name"]
    return [name_of(obj), text, obj.get("revision", 0), age_of(obj, now)]


def _pod_template_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    template = obj.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    return [name_of(obj), *container_cells(template.get("spec") or {}), labels_text(labels)]


def _budget_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    limits = [
        str(spec[field]) if spec.get(field) is not None else "N/A" for field in ("minAvailable", "maxUnavailable")
    ]
    return [name_of(obj), *limits, status_of(obj).get("disruptionsAllowed", 0), age_of(obj, now)]


def _autoscaler_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics_text(*_metrics(spec, status)),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age_of(obj, now),
    ]


def _metrics(
    spec: Mapping[str, Any], status: Mapping[str, Any]
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """Return wanted and current metrics; autoscaling/v1 has but one, and a shorter form for it."""
    wanted, current = spec.get("targetCPUUtilizationPercentage"), status.get("currentCPUUtilizationPercentage")
    if wanted is None:
        return spec.get("metrics") or (), status.get("currentMetrics") or ()
    target = {"name": "cpu", "target": {"averageUtilization": wanted}}
    found = {"name": "cpu", "current": {"averageUtilization": current}}
    return [{"type": "Resource", "resource": target}], [{"type": "Resource", "resource": found}]


_METRICS_SHOWN = 2
_METRIC_FIELDS = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metrics_text(metrics: Sequence[Mapping[str, Any]], currents: Sequence[Mapping[str, Any]]) -> str:
    if not metrics:
        return NONE
    texts = []
    for index, metric in enumerate(metrics):
        field = _METRIC_FIELDS.get(metric.get("type", ""))
        current = currents[index] if index < len(currents) else {}
        texts.append(
            _metric_text(field, metric.get(field) or {}, current.get(field) or {}) if field else "<unknown type>"
        )
    text = ", ".join(texts[:_METRICS_SHOWN])
    return f"{text} + {len(texts) - _METRICS_SHOWN} more..." if len(texts) > _METRICS_SHOWN else text


def _metric_text(field: str, metric: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    target, found = metric.get("target") or {}, current.get("current") or {}
    average = target.get("averageValue")
    if field in ("resource", "containerResource"):
        if average is not None:
            return f"{metric.get('name')}: {found.get('averageValue', UNKNOWN)}/{average}"
        percentages = [source.get("averageUtilization") for source in (found, target)]
        observed = UNKNOWN if percentages[0] is None else f"{percentages[0]}%"
        wanted = "<auto>" if percentages[1] is None else f"{percentages[1]}%"
        return f"{metric.get('name')}: {observed}/{wanted}"
    if field == "pods":
        return f"{found.get('averageValue', UNKNOWN)}/{average}"
    if average is not None:
        return f"{found.get('averageValue', UNKNOWN)}/{average} (avg)"
    return f"{found.get('value', UNKNOWN)}/{target.get('value')}"


def _scale_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), spec_of(obj).get("replicas", 0), status_of(obj).get("replicas", 0), age_of(obj, now)]


LAYOUTS = {
    ("apps", "Deployment"): TableLayout(
        columns=(
            NAME,
            _READY,
            of_field("Up-to-date", "apps.v1.DeploymentStatus.updatedReplicas"),
            of_field("Available", "apps.v1.DeploymentStatus.availableReplicas"),
            AGE,
            CONTAINERS,
            IMAGES,
            of_field("Selector", "apps.v1.DeploymentSpec.selector", priority=1),
        ),
        cells=_deployment_cells,
    ),
    ("apps", "ReplicaSet"): TableLayout(columns=_replica_columns("apps.v1.ReplicaSet"), cells=_replica_cells),
    ("", "ReplicationController"): TableLayout(
        columns=_replica_columns("core.v1.ReplicationController"), cells=_replica_cells
    ),
    ("apps", "DaemonSet"): TableLayout(
        columns=(
            NAME,
            of_field("Desired", "apps.v1.DaemonSetStatus.desiredNumberScheduled", type="integer"),
            of_field("Current", "apps.v1.DaemonSetStatus.currentNumberScheduled", type="integer"),
            of_field("Ready", "apps.v1.DaemonSetStatus.numberReady", type="integer"),
            of_field("Up-to-date", "apps.v1.DaemonSetStatus.updatedNumberScheduled", type="integer"),
            of_field("Available", "apps.v1.DaemonSetStatus.numberAvailable", type="integer"),
            of_field("Node Selector", "core.v1.PodSpec.nodeSelector"),
            AGE,
            CONTAINERS,
            IMAGES,
            of_field("Selector", "apps.v1.DaemonSetSpec.selector", priority=1),
        ),
        cells=_daemon_set_cells,
    ),
    ("apps", "StatefulSet"): TableLayout(columns=(NAME, _READY, AGE, CONTAINERS, IMAGES), cells=_stateful_set_cells),
    ("batch", "Job"): TableLayout(
        columns=(
            NAME,
            described("Status", "Status of the job."),
            of_field("Completions", "batch.v1.JobStatus.succeeded"),
            described("Duration", "Time required to complete the job."),
            AGE,
            CONTAINERS,
            IMAGES,
            of_field("Selector", "batch.v1.JobSpec.selector", priority=1),
        ),
        cells=_job_cells,
    ),
    ("batch", "CronJob"): TableLayout(
        columns=(
            NAME,
            of_field("Schedule", "batch.v1.CronJobSpec.schedule"),
            of_field("Timezone", "batch.v1.CronJobSpec.timeZone"),
            of_field("Suspend", "batch.v1.CronJobSpec.suspend", type="boolean"),
            of_field("Active", "batch.v1.CronJobStatus.active", type="integer"),
            of_field("Last Schedule", "batch.v1.CronJobStatus.lastScheduleTime"),
            AGE,
            CONTAINERS,
            IMAGES,
            of_field("Selector", "batch.v1.JobSpec.selector", priority=1),
        ),
        cells=_cron_job_cells,
    ),
    ("apps", "ControllerRevision"): TableLayout(
        columns=(
            NAME,
            described("Controller", "Controller of the object"),
            of_field("Revision", "apps.v1.ControllerRevision.revision"),
            AGE,
        ),
        cells=_controller_revision_cells,
    ),
    ("", "PodTemplate"): TableLayout(
        columns=(
            NAME,
            described("Containers", CONTAINERS.description),
            described("Images", IMAGES.description),
            described("Pod Labels", "The labels for the pod template."),
        ),
        cells=_pod_template_cells,
    ),
    ("policy", "PodDisruptionBudget"): TableLayout(
        columns=(
            NAME,
            described("Min Available", "The minimum number of pods that must be available."),
            described("Max Unavailable", "The maximum number of pods that may be unavailable."),
            described(
                "Allowed Disruptions", "Calculated number of pods that may be disrupted at this time.", type="integer"
            ),
            AGE,
        ),
        cells=_budget_cells,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): TableLayout(
        columns=(
            NAME,
            of_field("Reference", "autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef"),
            of_field("Targets", "autoscaling.v2.HorizontalPodAutoscalerSpec.metrics"),
            of_field("MinPods", "autoscaling.v2.HorizontalPodAutoscalerSpec.minReplicas"),
            of_field("MaxPods", "autoscaling.v2.HorizontalPodAutoscalerSpec.maxReplicas"),
            of_field("Replicas", "autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas"),
            AGE,
        ),
        cells=_autoscaler_cells,
    ),
    ("autoscaling", "Scale"): TableLayout(
        columns=(
            of_field("Name", "meta.v1.ObjectMeta.name"),
            of_field("Desired", "autoscaling.v1.ScaleSpec.replicas", type="integer"),
            of_field("Available", "autoscaling.v1.ScaleStatus.replicas", type="integer"),
            AGE,
        ),
        cells=_scale_cells,
    ),
}
