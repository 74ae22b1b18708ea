"""NamespaceLifecycle: no object in a namespace that is absent or going, and three namespaces that never go."""

from __future__ import annotations

from control.api.builtin_kinds import NAMESPACES
from control.api.errors import not_found
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, refusal

_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    """Upstream: k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle."""

    name = "NamespaceLifecycle"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """Refuse with 404 or 403."""
        if attributes.kind.plural == NAMESPACES.plural and not attributes.kind.group:
            if attributes.operation == "DELETE" and attributes.name in _IMMORTAL:
                raise refusal(attributes, "this namespace may not be deleted")
            return
        if not attributes.namespace or attributes.operation == "DELETE":
            return
        if attributes.kind.group == "authorization.k8s.io":
            return
        namespace = self._reader.find(NAMESPACES, None, attributes.namespace)
        if namespace is None:
            raise not_found("", "namespaces", attributes.namespace)
        if attributes.operation == "CREATE" and (namespace.get("status") or {}).get("phase") == "Terminating":
            name = attributes.namespace
            error = refusal(
                attributes, f"unable to create new content in namespace {name} because it is being terminated"
            )
            assert error.details is not None
            error.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {name} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise error
