"""LimitRanger: LimitRanges fill requests and limits of Pods and bound what Pods and claims may ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.api.builtin_kinds import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS
from control.api.objects import Object, ReadOnlyObject
from control.api.quantity import Quantity, parse_quantity
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of, refusal

ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, Any]


class LimitRanger(Plugin):
    """Upstream: plugin/pkg/admission/limitranger."""

    name = "LimitRanger"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """Fill requests and limits of a new Pod and say so in an annotation."""
        if not is_write_of(attributes, PODS, "CREATE"):
            return
        assert attributes.object is not None
        for limit_range in self._ranges(attributes):
            _fill_pod(attributes.object, limit_range)

    async def validate(self, attributes: Attributes) -> None:
        """Bound Pods and claims."""
        is_pod = is_write_of(attributes, PODS, "CREATE")
        if not is_pod and not is_write_of(attributes, PERSISTENT_VOLUME_CLAIMS, "CREATE", "UPDATE"):
            return
        assert attributes.object is not None
        for limit_range in self._ranges(attributes):
            check = _pod_problems if is_pod else _claim_problems
            problems = list(check(attributes.object, limit_range["spec"].get("limits") or ()))
            if problems:
                detail = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
                raise refusal(attributes, detail)

    def _ranges(self, attributes: Attributes) -> list[ReadOnlyObject]:
        return self._reader.list(LIMIT_RANGES, attributes.namespace)


def _fill_pod(pod: Object, limit_range: ReadOnlyObject) -> None:
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in limit_range["spec"].get("limits") or ():
        if item.get("type") == "Container":
            limits.update(item.get("default") or {})
            requests.update(item.get("defaultRequest") or {})
    notes: list[str] = []
    for field, label in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            notes.extend(_fill_container(container, label, requests, limits))
    if notes:
        metadata = pod["metadata"]
        annotation = "LimitRanger plugin set: " + "; ".join(notes)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: annotation}


def _fill_container(
    container: Object, label: str, requests: Mapping[str, str], limits: Mapping[str, str]
) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for field, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
        given = resources.get(field) or {}
        added = sorted(defaults.keys() - given.keys())
        if added:
            resources[field] = {**given, **{name: defaults[name] for name in added}}
            yield f"{', '.join(added)} {word} for {label} {container.get('name', '')}"


def _amount(amounts: Amounts, name: str) -> Quantity | None:
    text = amounts.get(name)
    return None if text is None else parse_quantity(str(text))


def _problems(kind: str, limit: ReadOnlyObject, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, text in sorted((limit.get("min") or {}).items()):
        yield from _below(kind, name, parse_quantity(str(text)), requests, limits)
    for name, text in sorted((limit.get("max") or {}).items()):
        yield from _above(kind, name, parse_quantity(str(text)), requests, limits)
    for name, text in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(kind, name, parse_quantity(str(text)), requests, limits)


def _below(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    request, limit = _amount(requests, name), _amount(limits, name)
    stem = f"minimum {name} usage per {kind} is {bound}"
    if request is None:
        yield f"{stem}.  No request is specified"
    elif request.nanos < bound.nanos:
        yield f"{stem}, but request is {request}"
    elif limit is not None and limit.nanos < bound.nanos:
        yield f"{stem}, but limit is {limit}"


def _above(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    request, limit = _amount(requests, name), _amount(limits, name)
    stem = f"maximum {name} usage per {kind} is {bound}"
    if limit is None:
        yield f"{stem}.  No limit is specified"
    elif limit.nanos > bound.nanos:
        yield f"{stem}, but limit is {limit}"
    elif request is not None and request.nanos > bound.nanos:
        yield f"{stem}, but request is {request}"


def _ratio(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    request, limit = _amount(requests, name), _amount(limits, name)
    stem = f"{name} max limit to request ratio per {kind} is {bound}"
    if request is None or request.nanos == 0:
        yield f"{stem}, but no request is specified or request is 0"
    elif limit is None or limit.nanos == 0:
        yield f"{stem}, but no limit is specified or limit is 0"
    elif limit.nanos > bound.value * request.nanos:
        yield f"{stem}, but provided ratio is {limit.nanos / request.nanos:f}"


def _pod_problems(pod: ReadOnlyObject, limits: Any) -> Iterator[str]:
    spec = pod["spec"]
    for limit in limits:
        if limit.get("type") == "Container":
            for field in ("containers", "initContainers"):
                for container in spec.get(field) or ():
                    resources = container.get("resources") or {}
                    yield from _problems(
                        "Container", limit, resources.get("requests") or {}, resources.get("limits") or {}
                    )
        elif limit.get("type") == "Pod":
            yield from _problems("Pod", limit, _pod_sum(spec, "requests"), _pod_sum(spec, "limits"))


def _pod_sum(spec: ReadOnlyObject, field: str) -> dict[str, str]:
    """Sum over the containers that have the amount, or the largest init container."""
    totals: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        for name, text in ((container.get("resources") or {}).get(field) or {}).items():
            amount = parse_quantity(str(text))
            totals[name] = totals[name].plus(amount) if name in totals else amount
    for container in spec.get("initContainers") or ():
        for name, text in ((container.get("resources") or {}).get(field) or {}).items():
            amount = parse_quantity(str(text))
            if name not in totals or amount.nanos > totals[name].nanos:
                totals[name] = amount
    return {name: str(amount) for name, amount in totals.items()}


def _claim_problems(claim: ReadOnlyObject, limits: Any) -> Iterator[str]:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    for limit in limits:
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for name, text in sorted((limit.get("min") or {}).items()):
            yield from _below("PersistentVolumeClaim", name, parse_quantity(str(text)), requests, {})
        for name, text in sorted((limit.get("max") or {}).items()):
            yield from _claim_above(name, parse_quantity(str(text)), requests)


def _claim_above(name: str, bound: Quantity, requests: Amounts) -> Iterator[str]:
    request = _amount(requests, name)
    stem = f"maximum {name} usage per PersistentVolumeClaim is {bound}"
    if request is None:
        yield f"{stem}.  No request is specified"
    elif request.nanos > bound.nanos:
        yield f"{stem}, but request is {request}"
