"""PodSecurity: the Pod Security Standards of a namespace's labels, enforced, or only warned about.

Pods are refused by the enforced level; Pods and templates are warned about by the warning level. A namespace without
labels allows everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.builtin_kinds import NAMESPACES, PODS
from control.api.errors import FieldError, invalid
from control.api.objects import ReadOnlyObject
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of, refusal
from control.apiserver.admission.plugins.pod_security_checks import Finding, find_violations

LEVELS = ("privileged", "baseline", "restricted")
_PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")

#: workloads whose template is judged, and where the template is
_TEMPLATES = {
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    """Upstream: k8s.io/pod-security-admission."""

    name = "PodSecurity"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def validate(self, attributes: Attributes) -> None:
        """Judge Pods, templates and the labels of namespaces."""
        if is_write_of(attributes, NAMESPACES, "CREATE", "UPDATE"):
            self._judge_namespace(attributes)
        elif is_write_of(attributes, PODS, "CREATE"):
            self._judge_pod(attributes)
        elif attributes.operation in ("CREATE", "UPDATE") and not attributes.subresource:
            self._judge_template(attributes)

    def _labels(self, namespace: str) -> Mapping[str, str]:
        found = self._reader.find(NAMESPACES, None, namespace)
        return ((found or {}).get("metadata") or {}).get("labels") or {}

    def _judge_pod(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        labels = self._labels(attributes.namespace)
        enforced = _level(labels, "enforce")
        findings = find_violations(attributes.object, enforced)
        if findings:
            shown = f'violates PodSecurity "{enforced}:{_version(labels, "enforce")}": {_listing(findings)}'
            raise refusal(attributes, shown)
        self._warn(attributes, labels, attributes.object)

    def _judge_template(self, attributes: Attributes) -> None:
        path = _TEMPLATES.get((attributes.kind.group, attributes.kind.plural))
        if path is None:
            return
        template: Any = attributes.object
        for name in path:
            template = (template or {}).get(name)
        if template:
            self._warn(attributes, self._labels(attributes.namespace), template)

    def _warn(self, attributes: Attributes, labels: Mapping[str, str], pod: ReadOnlyObject) -> None:
        level = _level(labels, "warn")
        findings = find_violations(pod, level)
        if findings:
            shown = f'would violate PodSecurity "{level}:{_version(labels, "warn")}": {_listing(findings)}'
            attributes.warnings.append(shown)

    def _judge_namespace(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        metadata = attributes.object["metadata"]
        labels = metadata.get("labels") or {}
        causes = [error for mode in _MODES for error in _label_errors(labels, mode)]
        if causes:
            raise invalid("", "Namespace", metadata.get("name") or "", causes)
        old_labels = ((attributes.old_object or {}).get("metadata") or {}).get("labels") or {}
        level, old_level = _level(labels, "enforce"), _level(old_labels, "enforce")
        if attributes.operation == "UPDATE" and LEVELS.index(level) > LEVELS.index(old_level):
            attributes.warnings.extend(self._existing_violations(metadata["name"], level, labels))

    def _existing_violations(self, namespace: str, level: str, labels: Mapping[str, str]) -> list[str]:
        by_reason: dict[str, list[str]] = {}
        for pod in self._reader.list(PODS, namespace):
            findings = find_violations(pod, level)
            if findings:
                reasons = ", ".join(finding.reason for finding in findings)
                by_reason.setdefault(reasons, []).append(pod["metadata"]["name"])
        if not by_reason:
            return []
        shown = f"{level}:{_version(labels, 'enforce')}"
        warnings = [f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{shown}"']
        for reasons, names in sorted(by_reason.items(), key=lambda item: min(item[1])):
            others = len(names) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            warnings.append(f"{min(names)}{more}: {reasons}")
        return warnings


def _level(labels: Mapping[str, str], mode: str) -> str:
    level = labels.get(f"{_PREFIX}{mode}", "privileged")
    return level if level in LEVELS else "restricted"


def _version(labels: Mapping[str, str], mode: str) -> str:
    return labels.get(f"{_PREFIX}{mode}-version") or "latest"


def _label_errors(labels: Mapping[str, str], mode: str) -> list[FieldError]:
    errors = []
    level = labels.get(f"{_PREFIX}{mode}")
    if level is not None and level not in LEVELS:
        path = f"metadata.labels[{_PREFIX}{mode}]"
        errors.append(FieldError.invalid(path, level, f"must be one of {', '.join(LEVELS)}"))
    version = labels.get(f"{_PREFIX}{mode}-version")
    if version is not None and version != "latest" and not _is_version(version):
        path = f"metadata.labels[{_PREFIX}{mode}-version]"
        errors.append(FieldError.invalid(path, version, 'must be "latest" or "v1.x"'))
    return errors


def _is_version(text: str) -> bool:
    return text.startswith("v1.") and text[3:].isascii() and text[3:].isdigit()


def _listing(findings: list[Finding]) -> str:
    return ", ".join(f"{finding.reason} ({finding.detail})" for finding in findings)
