"""The resize subresource of Pods: what it changes and may change (upstream: ValidatePodResize)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.objects import Object, copy_object
from control.api.pods import is_sidecar, qos_class
from control.apiserver.registry.strategies.field_rules import Errors, is_empty
from control.apiserver.registry.strategies.pod_spec_validation import MIRROR_ANNOTATION

Spec = Mapping[str, Any]

_CONTAINER_LISTS = ("containers", "initContainers")
_ONLY_COMPUTE = "only cpu and memory resources are mutable"


def resized_spec(spec: Object, old: Object) -> Object:
    """The old spec with the resources and resize policies of the new one.

    Containers that came, went, moved or changed their name are left for the rules to refuse.
    """
    if any(len(spec.get(name) or ()) != len(old.get(name) or ()) for name in _CONTAINER_LISTS):
        return spec
    resized = {**old}
    set_or_drop(resized, "resources", spec.get("resources"))
    for name in _CONTAINER_LISTS:
        if spec.get(name):
            resized[name] = _resized_containers(spec[name], old[name])
    return resized


def _resized_containers(new: list[Object], old: list[Object]) -> list[Object]:
    merged = []
    for container, previous in zip(new, old, strict=True):
        if container.get("name") != previous.get("name"):
            return new
        changed = {**previous, "resources": container.get("resources", {})}
        set_or_drop(changed, "resizePolicy", container.get("resizePolicy"))
        merged.append(changed)
    return merged


def set_or_drop(target: Object, name: str, value: object) -> None:
    """Set a field to a value, and leave it out where that is empty."""
    if value:
        target[name] = value
    else:
        target.pop(name, None)


def resize_changes(causes: list[FieldError], pod: Spec, old: Spec) -> list[FieldError]:
    """What may be resized, after `causes` that the resized Pod as such has already."""
    spec, old_spec = pod["spec"], old["spec"]
    if MIRROR_ANNOTATION in ((old.get("metadata") or {}).get("annotations") or {}):
        return [FieldError.forbidden("[]", "static pods cannot be resized")]
    if (old_spec.get("os") or {}).get("name") == "windows":
        return [FieldError.forbidden("[]", "windows pods cannot be resized")]
    causes = [*causes, *_possible(pod, old), *_pod_level(spec.get("resources"), old_spec.get("resources"))]
    moved = list(_moved(spec, old_spec))
    if moved:
        return causes + moved
    for name in ("initContainers", "containers"):
        for index, container in enumerate(old_spec.get(name) or ()):
            where, new = f"spec.{name}[{index}].resources", spec[name][index]
            causes.extend(_removed(where, new.get("resources"), container.get("resources"), "resource"))
    causes.extend(_other_resources(spec, old_spec))
    if not causes and _without_compute(spec) != _without_compute(old_spec):
        causes.append(FieldError.forbidden("spec", _ONLY_COMPUTE))
    return causes


def _possible(pod: Spec, old: Spec) -> Errors:
    if ((old.get("status") or {}).get("qosClass") or qos_class(old)) != qos_class(pod):
        shown = (pod.get("status") or {}).get("qosClass") or ""
        yield FieldError.invalid("spec", shown, "Pod QOS Class may not change as a result of resizing")
    for status in (old.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            # A kubelet that can resize reports the resources of what runs.
            if status.get("resources") is None:
                yield FieldError.forbidden("spec", "Pod running on node without support for resize")
            return


def _pod_level(new: Spec | None, old: Spec | None) -> Errors:
    if old is not None and new is None:
        yield FieldError.forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    if new is None:
        return
    if old is not None:
        yield from _removed("spec.resources", new, old, "pod-level resource")
    if _other_amounts(new) != _other_amounts(old):
        yield FieldError.forbidden("spec", "only cpu and memory resources are mutable at pod-level")


def _removed(path: str, new: Spec | None, old: Spec | None, words: str) -> Errors:
    for name in ("requests", "limits"):
        if ((old or {}).get(name) or {}).keys() - ((new or {}).get(name) or {}).keys():
            yield FieldError.forbidden(f"{path}.{name}", f"{words} {name} cannot be removed")


def _moved(spec: Spec, old: Spec) -> Errors:
    for name in _CONTAINER_LISTS:
        new, previous = spec.get(name) or (), old.get(name) or ()
        if len(new) != len(previous):
            yield FieldError.forbidden(f"spec.{name}", f"{name} may not be added or removed on resize")
            continue
        for index, container in enumerate(previous):
            if new[index].get("name") != container.get("name"):
                detail = f"{name} may not be renamed or reordered on resize"
                yield FieldError.forbidden(f"spec.{name}[{index}].name", detail)


def _other_resources(spec: Spec, old: Spec) -> Errors:
    for container, previous in zip(spec.get("containers") or (), old.get("containers") or (), strict=True):
        if not _same_but_compute(container, previous):
            yield FieldError.forbidden("spec", _ONLY_COMPUTE)
    for index, container in enumerate(spec.get("initContainers") or ()):
        where, previous = f"spec.initContainers[{index}]", old["initContainers"][index]
        if not _same_but_compute(container, previous):
            detail = "only cpu and memory resources for init or sidecar containers are mutable"
            yield FieldError.forbidden(where, detail)
        if not is_sidecar(container) and container != previous and _restarts_to_resize(container):
            detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            yield FieldError.forbidden(where, detail)


def _restarts_to_resize(container: Spec) -> bool:
    return any(policy.get("restartPolicy") == "RestartContainer" for policy in container.get("resizePolicy") or ())


def _other_amounts(resources: Spec | None) -> Object:
    """Resources without cpu and memory, which a resize may change, and without what is empty then."""
    masked: Object = {}
    for name, value in (resources or {}).items():
        if name in ("limits", "requests"):
            value = {key: text for key, text in (value or {}).items() if key not in ("cpu", "memory")}
        if not is_empty(value):
            masked[name] = value
    return masked


def _same_but_compute(container: Spec, previous: Spec) -> bool:
    new, old = ({**item, "resources": _other_amounts(item.get("resources"))} for item in (container, previous))
    return new == old


def _without_compute(spec: Spec) -> Object:
    masked: Object = copy_object(dict(spec))
    for name in _CONTAINER_LISTS:
        for container in masked.get(name) or ():
            container["resources"] = _other_amounts(container.get("resources"))
    resources = _other_amounts(masked.pop("resources", None))
    return {**masked, "resources": resources} if resources else masked
