"""Node affinity: nodeSelector and required or preferred node affinity, read once per Pod and matched against nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.api.objects import ReadOnlyObject
from control.api.selectors import Requirement, parse_label_integer

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


@dataclass(frozen=True, slots=True)
class NodeSelectorTerm:
    """One term: all its expressions and fields must hold. `is_readable` is false for a term that can match nothing."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]
    is_readable: bool = True

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of that name and these labels satisfies the term."""
        if not self.is_readable:
            return False
        if not all(requirement.matches(labels) for requirement in self.expressions):
            return False
        return not self.fields or all(requirement.matches({"metadata.name": name}) for requirement in self.fields)


@dataclass(frozen=True, slots=True)
class NodeRequirements:
    """What a Pod demands of its node. `terms` None means no demand beyond the labels; an empty tuple matches none."""

    labels: tuple[tuple[str, str], ...] = ()
    terms: tuple[NodeSelectorTerm, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether any node will do."""
        return not self.labels and self.terms is None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of that name and these labels will do."""
        for key, value in self.labels:
            if labels.get(key) != value:
                return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)

    @property
    def node_names(self) -> frozenset[str] | None:
        """The only nodes that can match, by name, when every term names its node (DaemonSet Pods); else None."""
        if not self.terms:
            return None
        names: set[str] = set()
        for term in self.terms:
            exact = [field for field in term.fields if field.key == "metadata.name" and field.operator == "in"]
            if not exact:
                return None
            names.update(exact[0].values)
        return frozenset(names)


def read_term(term: Mapping[str, Any]) -> NodeSelectorTerm | None:
    """Read a NodeSelectorTerm; None for an empty one, which selects nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return None
    read_expressions = [_read_requirement(expression) for expression in expressions]
    read_fields = [_read_requirement(field) for field in fields]
    readable = None not in read_expressions and None not in read_fields
    return NodeSelectorTerm(
        tuple(requirement for requirement in read_expressions if requirement is not None),
        tuple(requirement for requirement in read_fields if requirement is not None),
        readable,
    )


def _read_requirement(expression: Mapping[str, Any]) -> Requirement | None:
    operator = _OPERATORS.get(expression.get("operator", ""))
    values = tuple(expression.get("values") or ())
    if operator is None:
        return None
    if operator in ("gt", "lt") and (len(values) != 1 or parse_label_integer(values[0]) is None):
        return None
    if operator in ("in", "notin") and not values:
        return None
    return Requirement(expression["key"], operator, values)


def read_node_selector(selector: Mapping[str, Any]) -> tuple[NodeSelectorTerm, ...]:
    """Read a v1.NodeSelector (also of PersistentVolumes): its terms are alternatives."""
    terms = [read_term(term) for term in selector.get("nodeSelectorTerms") or ()]
    return tuple(term for term in terms if term is not None)


def node_requirements(pod: ReadOnlyObject) -> NodeRequirements:
    """Read nodeSelector and required node affinity of a Pod."""
    spec = pod["spec"]
    labels = tuple((spec.get("nodeSelector") or {}).items())
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return NodeRequirements(labels, None if required is None else read_node_selector(required))


def preferred_terms(pod: ReadOnlyObject) -> Sequence[tuple[int, NodeSelectorTerm]]:
    """Weighted terms of preferred node affinity; those without weight or content are left out."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    weighted = []
    for item in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        term = read_term(item.get("preference") or {})
        if item.get("weight") and term is not None:
            weighted.append((int(item["weight"]), term))
    return weighted


def matches_node(pod: ReadOnlyObject, node: ReadOnlyObject) -> bool:
    """Whether nodeSelector and required node affinity of a Pod allow a node."""
    metadata = node["metadata"]
    return node_requirements(pod).matches(metadata["name"], metadata.get("labels") or {})
