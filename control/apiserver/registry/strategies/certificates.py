"""The strategy of CertificateSigningRequests (upstream: pkg/registry/certificates, pkg/apis/certificates)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control.api.errors import FieldError, quote
from control.api.names import dns1123_label_errors, dns1123_subdomain_errors, path_segment_name_errors
from control.api.objects import Object
from control.api.timestamps import format_time
from control.apiserver.registry.strategies.field_rules import Errors, one_of, required_one_of
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import FieldLabels, WriteContext

Item = Mapping[str, Any]

_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
_SECONDS_MIN = 600
_SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
_DECISIONS = ("Approved", "Denied")


class CertificateSigningRequestStrategy(StatusStrategy):
    """Rules of requests: who asks is written by the server, the spec never changes."""

    has_generation = False
    field_labels = FieldLabels.of("spec.signerName", has_namespace=False)

    def name_errors(self, name: str) -> list[str]:
        """Any name that fits into a URL."""
        return path_segment_name_errors(name)

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """Write down who asks."""
        super().prepare_for_create(context, obj)
        spec = obj.setdefault("spec", {})
        for name in ("username", "uid", "groups", "extra"):
            spec.pop(name, None)
        user = context.user
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new request."""
        return list(_request(obj["spec"]))

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Spec and status stay."""
        obj["status"] = old.get("status", {})
        obj["spec"] = old["spec"]

    def _approve(self, context: WriteContext, obj: Object, old: Object) -> None:
        conditions = (obj.get("status") or {}).get("conditions") or []
        obj["status"] = {**(old.get("status") or {}), "conditions": conditions}
        if not conditions:
            obj["status"].pop("conditions")
        _date_conditions(context, obj, old)

    def prepare_for_status_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The approval subresource writes the decision; the signer writes certificate and other conditions."""
        super().prepare_for_status_update(context, obj, old)
        if context.subresource == "approval":
            self._approve(context, obj, old)
            return
        _keep_decisions(obj, old)
        _date_conditions(context, obj, old)

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """A decision is never taken back, a certificate is issued once."""
        conditions, old_conditions = ((item.get("status") or {}).get("conditions") or () for item in (obj, old))
        judged = _conditions("status.conditions", conditions, old_conditions)
        decided = _decisions(obj, old, may_decide=context.subresource == "approval")
        return [*judged, *_new_certificate(obj, old), *decided, *_certificate(obj, old)]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


def _condition_types(obj: Object) -> list[str]:
    return [item.get("type") or "" for item in (obj.get("status") or {}).get("conditions") or ()]


def _keep_decisions(obj: Object, old: Object) -> None:
    """Each decision stays as it was, in the place it has now; one that came or went is left for the validation."""
    old_conditions = (old.get("status") or {}).get("conditions") or ()
    for decision in _DECISIONS:
        places = [place for place, kind in enumerate(_condition_types(obj)) if kind == decision]
        previous = [item for item in old_conditions if item.get("type") == decision]
        if len(places) == len(previous):
            for place, item in zip(places, previous, strict=True):
                obj["status"]["conditions"][place] = item


def _date_conditions(context: WriteContext, obj: Object, old: Object) -> None:
    previous = {item.get("type"): item for item in (old.get("status") or {}).get("conditions") or ()}
    now = format_time(context.now)
    for item in (obj.get("status") or {}).get("conditions") or ():
        before = previous.get(item.get("type")) or {}
        if not item.get("lastUpdateTime"):
            item["lastUpdateTime"] = now
        if not item.get("lastTransitionTime"):
            unchanged = before.get("status") == item.get("status") and before.get("lastTransitionTime")
            item["lastTransitionTime"] = unchanged or now


def _conditions(path: str, conditions: Sequence[Item], old: Sequence[Item]) -> Errors:
    """Conditions of known states; what the old ones did not keep to, the new ones need not either."""
    old_types = [condition.get("type") or "" for condition in old]
    free_types, free_repeats = "" in old_types, len(set(old_types)) < len(old_types)
    free_decisions, seen = set(_DECISIONS) <= set(old_types), set[str]()
    for index, condition in enumerate(conditions):
        item, kind, status = f"{path}[{index}]", condition.get("type") or "", condition.get("status") or ""
        if not kind and not free_types:
            yield FieldError.required(f"{item}.type")
        final = kind in (*_DECISIONS, "Failed")
        yield from required_one_of(f"{item}.status", status, ("True",) if final else ("False", "True", "Unknown"))
        if kind in _DECISIONS and not free_decisions and set(_DECISIONS) - {kind} <= seen:
            detail = "Approved and Denied conditions are mutually exclusive"
            yield FieldError.invalid(path, kind, detail)
        if kind in seen and not free_repeats:
            yield FieldError.duplicate(f"{item}.type", kind)
        seen.add(kind)


def _decisions(obj: Object, old: Object, *, may_decide: bool) -> Errors:
    new, previous = _condition_types(obj), _condition_types(old)
    for decision in (*_DECISIONS, "Failed"):
        if new.count(decision) < previous.count(decision):
            detail = f'updates may not remove a condition of type "{decision}"'
            yield FieldError.forbidden("status.conditions", detail)
    for decision in () if may_decide else _DECISIONS:
        if new.count(decision) > previous.count(decision):
            detail = f'updates may not add a condition of type "{decision}"'
            yield FieldError.forbidden("status.conditions", detail)


def _new_certificate(obj: Object, old: Object) -> Errors:
    certificate, previous = ((item.get("status") or {}).get("certificate") for item in (obj, old))
    if certificate and certificate != previous and not _has_pem_block(certificate):
        detail = "must contain at least one CERTIFICATE PEM block"
        yield FieldError.invalid("status.certificate", "<certificate data>", detail)


def _certificate(obj: Object, old: Object) -> Errors:
    certificate, previous = ((item.get("status") or {}).get("certificate") for item in (obj, old))
    if previous and certificate != previous:
        yield FieldError.forbidden("status.certificate", "updates may not modify existing certificate content")


def _has_pem_block(encoded: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode(encoded)
    except binascii.Error:
        return False


def _request(spec: Mapping[str, Any]) -> Errors:
    encoded = spec.get("request") or ""
    problem = _pem_problem(encoded)
    if problem:
        yield FieldError.invalid("spec.request", encoded, problem)
    usages = spec.get("usages") or []
    if not usages:
        yield FieldError.required("spec.usages")
    for index, usage in enumerate(usages):
        yield from one_of(f"spec.usages[{index}]", usage, _USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield FieldError.duplicate(f"spec.usages[{index}]", usage)
    yield from _signer("spec.signerName", spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SECONDS_MIN:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        yield FieldError.invalid("spec.expirationSeconds", seconds, detail)


def _pem_problem(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded)
    except binascii.Error:
        text = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in text and b"-----BEGIN NEW CERTIFICATE REQUEST-----" not in text:
        return "PEM block type must be CERTIFICATE REQUEST"
    return ""


def _signer(path: str, name: str) -> Errors:
    if name == "kubernetes.io/legacy-unknown":
        yield FieldError.invalid(path, name, "the legacy signerName is not allowed via this API version")
        return
    if not name:
        yield FieldError.required(path)
    if name.count("/") != 1:
        yield FieldError.invalid(path, name, _SIGNER_FORM)
        return
    domain, _, rest = name.partition("/")
    yield from _labels(path, domain, dns1123_label_errors)
    if "." not in domain:
        yield FieldError.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    yield from _labels(path, rest, dns1123_subdomain_errors)


def _labels(path: str, text: str, check: Callable[[str], list[str]]) -> Errors:
    """Labels between dots; only the first broken one is told."""
    for label in text.split("."):
        problems = check(label)
        for problem in problems:
            yield FieldError.invalid(path, text, f"validating label {quote(label)}: {problem}")
        if problems:
            return
