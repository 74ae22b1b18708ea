"""From a template to a Pod: what every controller that makes Pods does alike."""

from __future__ import annotations

from control.api.builtin_kinds import PODS
from control.api.meta import make_owner_reference
from control.api.names import dns1123_subdomain_errors
from control.api.objects import Object, ReadOnlyObject
from control.client.writes import Batch, Create, Delete, Notice


def make_pod(owner: ReadOnlyObject, template: ReadOnlyObject) -> Object:
    """Make the Pod of a template, owned by `owner`, with a name the server completes."""
    template_metadata = template.get("metadata") or {}
    metadata: Object = {
        "generateName": _name_prefix(owner["metadata"]["name"]),
        "namespace": owner["metadata"]["namespace"],
        "labels": template_metadata.get("labels") or {},
    }
    for field in ("annotations", "finalizers"):
        if template_metadata.get(field):
            metadata[field] = template_metadata[field]
    metadata["ownerReferences"] = [make_owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _name_prefix(owner_name: str) -> str:
    prefix = f"{owner_name}-"
    # Upstream drops the dash where it makes the name too long to be valid.
    return owner_name if dns1123_subdomain_errors(f"{prefix[:-1]}x") else prefix


def create_pods(owner: ReadOnlyObject, template: ReadOnlyObject, count: int, cause: str) -> Batch:
    """Plan `count` Pods of a template; a standing refusal is met with few tries."""
    pod = make_pod(owner, template)
    create = Create(
        kind=PODS,
        obj=pod,
        cause=cause,
        success=Notice(regarding=owner, reason="SuccessfulCreate", message="Created pod: {name}"),
        failure=Notice(regarding=owner, type="Warning", reason="FailedCreate", message="Error creating: {error}"),
    )
    return Batch(writes=[create] * count, slow_start=True)


def delete_pod(owner: ReadOnlyObject, pod: ReadOnlyObject, cause: str) -> Delete:
    """Plan the deletion of one Pod, this very one."""
    return Delete(
        kind=PODS,
        namespace=pod["metadata"]["namespace"],
        name=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        cause=cause,
        success=Notice(regarding=owner, reason="SuccessfulDelete", message="Deleted pod: {name}"),
        failure=Notice(regarding=owner, type="Warning", reason="FailedDelete", message="Error deleting: {error}"),
    )
