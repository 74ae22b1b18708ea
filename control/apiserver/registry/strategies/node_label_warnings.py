"""Warnings about node labels that have newer names (upstream: pkg/api/node/util.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.api.names import label_value_errors

_MESSAGES = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}


def find_label_deprecation(label: str) -> str | None:
    """What to say of a deprecated node label."""
    return _MESSAGES.get(label)


def selector_warnings(path: str, labels: Mapping[str, str] | None) -> Iterator[str]:
    """Warnings about a plain node selector."""
    for key in sorted(labels or ()):
        if key in _MESSAGES:
            yield f"{path}[{key}]: {_MESSAGES[key]}"


def term_warnings(path: str, term: Mapping[str, Any], *, checks_values: bool = False) -> Iterator[str]:
    """Warnings about a node selector term; `checks_values` where the rules let invalid values pass."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        key, where = expression.get("key") or "", f"{path}.matchExpressions[{index}]"
        if key in _MESSAGES:
            yield f"{where}.key: {key} is {_MESSAGES[key]}"
        for value_index, value in enumerate((expression.get("values") or ()) if checks_values else ()):
            for problem in label_value_errors(value):
                yield f"{where}.values[{value_index}]: {value} is invalid, {problem}"


def terms_warnings(path: str, selector: Mapping[str, Any] | None) -> Iterator[str]:
    """Warnings about a NodeSelector."""
    for index, term in enumerate((selector or {}).get("nodeSelectorTerms") or ()):
        yield from term_warnings(f"{path}.nodeSelectorTerms[{index}]", term)
