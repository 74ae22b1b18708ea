"""pods/binding: puts a Pod on a node. The only way the scheduler writes `spec.nodeName`."""

from __future__ import annotations

from control.api.builtin_kinds import PODS
from control.api.errors import ApiError, FieldError, bad_request, conflict
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.meta import set_condition
from control.api.objects import Object
from control.apiserver.handlers.responding import write_request
from control.apiserver.options import read_write_options
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.representation import value_response
from control.apiserver.request_body import decode_body
from control.apiserver.request_context import RequestContext

_BINDING = Kind(group="", version="v1", kind="Binding", plural="bindings", singular="binding", namespaced=True)

CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def binding(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Bind a Pod (POST pods/NAME/binding)."""
    return await _bind(context, store, context.info.name)


async def bindings(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Bind the Pod the body names (POST bindings, the old form)."""
    return await _bind(context, parts.store_of(PODS), "")


async def _bind(context: RequestContext, pods: ResourceStore, name: str) -> ApiResponse:
    options = read_write_options(context, "CreateOptions")
    body = decode_body(context, _BINDING, "io.k8s.api.core.v1.Binding", field_validation=options.field_validation)
    metadata, target = body.get("metadata") or {}, body.get("target") or {}
    if name and metadata.get("name") not in (name, None, ""):
        raise bad_request("name in URL does not match name in Binding object")
    pod_name = name or metadata.get("name") or ""
    _check_target(target)
    write = write_request(context, options).named(pod_name)
    attributes = pods.attributes(write, "CREATE", body, None)
    attributes.subresource = "binding"
    await pods.admission.admit(attributes)
    await pods.judge(write, attributes)

    def assign(pod: Object) -> None:
        _check_pod(pod, metadata)
        pod["spec"]["nodeName"] = target["name"]
        for field in ("annotations", "labels"):
            if metadata.get(field):
                pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **metadata[field]}
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        set_condition(conditions, {"type": "PodScheduled", "status": "True", "lastProbeTime": None}, context.now)

    if options.dry_run:
        _check_pod(pods.get(context.info.namespace, pod_name).decode_copy(), metadata)
    else:
        await pods.rewrite(context.info.namespace, pod_name, assign)
    return value_response(context, CREATED, status=201)


def _check_target(target: Object) -> None:
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(FieldError.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        errors.append(FieldError.required("target.name"))
    if errors:
        texts = [str(error) for error in errors]
        raise ApiError(500, "", texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")


def _check_pod(pod: Object, binding_metadata: Object) -> None:
    metadata, spec = pod["metadata"], pod["spec"]
    name = metadata["name"]
    uid = binding_metadata.get("uid")
    problem = ""
    if uid and uid != metadata["uid"]:
        problem = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
    elif metadata.get("deletionTimestamp"):
        problem = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        problem = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        problem = f"pod {name} has non-empty .spec.schedulingGates"
    if problem:
        raise conflict("", "pods/binding", name, problem)
