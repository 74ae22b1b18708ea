"""What an update may change of a Pod: almost nothing (upstream: ValidatePodUpdate, …EphemeralContainersUpdate)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies.field_rules import INT32_MAX, Errors, in_range
from control.apiserver.registry.strategies.internal_form import difference, internal_form, pod_spec_form
from control.apiserver.registry.strategies.pod_spec_validation import MIRROR_ANNOTATION
from control.apiserver.registry.strategies.profile_annotations import APP_ARMOR_CONTAINER
from control.apiserver.registry.strategies.scheduling_validation import tolerations

Spec = Mapping[str, Any]

_UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)
_CONTAINER_LISTS = ("containers", "initContainers")


def annotation_changes(path: str, new: Mapping[str, str], old: Mapping[str, str]) -> Errors:
    """The mirror annotation and those of AppArmor come and go with the Pod."""
    for key in sorted(old):
        if new.get(key) != old[key]:
            for words in _fixed_annotation(key):
                yield FieldError.forbidden(f"{path}[{key}]", f"may not remove or update {words}")
    for key in sorted(new.keys() - old.keys()):
        for words in _fixed_annotation(key):
            yield FieldError.forbidden(f"{path}[{key}]", f"may not add {words}")


def _fixed_annotation(key: str) -> Iterator[str]:
    if key.startswith(APP_ARMOR_CONTAINER):
        yield "AppArmor annotations"
    if key == MIRROR_ANNOTATION:
        yield "mirror pod annotation"


def spec_changes(path: str, new: Spec, old: Spec) -> Errors:
    """Changes of a Pod's spec: images, a shorter deadline, more tolerations, fewer gates."""
    for name in _CONTAINER_LISTS:
        containers = new.get(name) or ()
        if len(containers) != len(old.get(name) or ()):
            yield FieldError.forbidden(f"{path}.{name}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(containers):
            image = container.get("image") or ""
            if not image:
                yield FieldError.required(f"{path}.{name}[{index}].image")
            if image != image.strip():
                detail = "must not have leading or trailing whitespace"
                yield FieldError.invalid(f"{path}.{name}[{index}].image", image, detail)
    deadline = list(_deadline(f"{path}.activeDeadlineSeconds", new, old))
    yield from deadline
    if deadline and new.get("activeDeadlineSeconds") is not None:
        return
    new_tolerations = new.get("tolerations") or ()
    if not _only_added(new_tolerations, old.get("tolerations") or ()):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield FieldError.forbidden(f"{path}.tolerations", detail)
    else:
        yield from tolerations(f"{path}.tolerations", new_tolerations)
    yield from _only_fewer_gates(f"{path}.schedulingGates", new, old)
    if new != old:
        yield from _frozen_rest(path, new, old)


def _deadline(path: str, new: Spec, old: Spec) -> Errors:
    value, previous = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if value is not None:
        broken = list(in_range(path, value, 0, INT32_MAX))
        yield from broken
        if not broken and previous is not None and previous < value:
            yield FieldError.invalid(path, value, "must be less than or equal to previous value")
    elif previous is not None:
        yield FieldError.invalid(path, None, "must not update from a positive integer to nil value")


def _without_seconds(toleration: Spec) -> dict[str, Any]:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _only_added(new: Sequence[Spec], old: Sequence[Spec]) -> bool:
    kept = [_without_seconds(toleration) for toleration in new]
    return all(_without_seconds(toleration) in kept for toleration in old)


def _only_fewer_gates(path: str, new: Spec, old: Spec) -> Errors:
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield FieldError.forbidden(f"{path}[{index}].name", detail)


def _frozen_rest(path: str, new: Spec, old: Spec) -> Errors:
    masked = copy_object(dict(new))
    for name in _CONTAINER_LISTS:
        for container, previous in zip(masked.get(name) or (), old.get(name) or (), strict=True):
            container["image"] = previous.get("image")
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _put_back(masked, old, name)
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and masked.get("terminationGracePeriodSeconds") == 1:
        masked["terminationGracePeriodSeconds"] = grace
    if old.get("schedulingGates"):
        yield from _gated_changes(path, masked, old)
    before, after = pod_spec_form(old), pod_spec_form(masked)
    if before != after:
        detail = f"pod updates may not change fields other than {_UPDATABLE}\n{difference(before, after)}"
        yield FieldError.forbidden(path, detail)


def _put_back(target: Object, old: Spec, name: str) -> None:
    if name in old:
        target[name] = old[name]
    else:
        target.pop(name, None)


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _gated_changes(path: str, masked: Object, old: Spec) -> Errors:
    """A gated Pod may still be narrowed: more node selector terms, stricter node affinity."""
    selector, previous = masked.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in previous.items()):
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield FieldError.invalid(f"{path}.nodeSelector", selector, detail)
    _put_back(masked, old, "nodeSelector")
    new_affinity = (masked.get("affinity") or {}).get("nodeAffinity")
    old_affinity = (old.get("affinity") or {}).get("nodeAffinity")
    if new_affinity == old_affinity:
        return
    yield from _affinity_additions(f"{path}.affinity.nodeAffinity", new_affinity or {}, old_affinity or {})
    affinity = masked.get("affinity") or {}
    if old_affinity is None:
        affinity.pop("nodeAffinity", None)
    else:
        affinity["nodeAffinity"] = old_affinity
    if affinity or old.get("affinity") is not None:
        masked["affinity"] = affinity
    else:
        masked.pop("affinity", None)


def _affinity_additions(path: str, new: Spec, old: Spec) -> Errors:
    old_terms = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    new_terms = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    where = f"{path}.{_REQUIRED}.nodeSelectorTerms"
    if old_terms and len(old_terms) != len(new_terms):
        shown = [internal_form("NodeSelectorTerm", term) for term in new_terms] or None
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield FieldError.invalid(where, shown, detail)
        return
    for index, term in enumerate(old_terms):
        if not _term_has_only_additions(new_terms[index], term):
            detail = "only additions are allowed (no mutations or deletions)"
            yield FieldError.invalid(f"{where}[{index}]", internal_form("NodeSelectorTerm", new_terms[index]), detail)


def _term_has_only_additions(new: Spec, old: Spec) -> bool:
    fields = ("matchExpressions", "matchFields")
    if all(not old.get(field) for field in fields):
        return all(not new.get(field) for field in fields)
    return all((new.get(field) or [])[: len(old.get(field) or [])] == (old.get(field) or []) for field in fields)


def ephemeral_container_changes(path: str, new: Spec, old: Spec) -> Errors:
    """Ephemeral containers are only ever added."""
    by_name = {container.get("name"): container for container in new.get("ephemeralContainers") or ()}
    for container in old.get("ephemeralContainers") or ():
        name = container.get("name", "")
        if name not in by_name:
            yield FieldError.forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif by_name[name] != container:
            before, after = (internal_form("EphemeralContainer", item) for item in (container, by_name[name]))
            detail = f'existing ephemeral containers "{name}" may not be changed\n{difference(before, after)}'
            yield FieldError.forbidden(path, detail)
