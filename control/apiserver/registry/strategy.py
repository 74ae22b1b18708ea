"""`Strategy`: what a kind's schema cannot say, with the hook names of upstream's RESTCreateStrategy/RESTUpdateStrategy.

Hooks are synchronous and pure: they change or judge the objects they are given and nothing else. The base class is
the strategy of a kind that has no rules of its own (a custom resource, a Lease); `strategies/` has a file per family.
The engine itself does metadata (name, namespace, uid, timestamps, generation, managedFields): strategies do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from control.api.errors import FieldError
from control.api.exchange import User
from control.api.names import dns1123_subdomain_errors
from control.api.objects import Object
from control.api.records import record


@record(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """What a hook may know of the write. `subresource` is empty for the object itself; `profile` is the cluster's."""

    user: User
    now: datetime
    namespace: str = ""
    subresource: str = ""
    profile: str = "default"


#: For kinds whose status is written without anything else (upstream: metav1.ResetObjectMetaForStatus).
OWN_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_REFUSED_LABEL = "field label not supported: {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLabels:
    """The labels of a kind's field selectors beyond metadata.name.

    `own` gives for each label the name of its value in `Strategy.selectable_fields`. A kind without any selects by
    metadata.namespace too, and says so when asked for more; one with some refuses others with `refusal`.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    has_namespace: bool = True
    refusal: str = _REFUSED_LABEL

    @classmethod
    def of(cls, *names: str, has_namespace: bool = True, refusal: str = _REFUSED_LABEL) -> FieldLabels:
        """Labels that are named as their values are."""
        return cls(own={name: name for name in names}, has_namespace=has_namespace, refusal=refusal)


class Strategy:
    """Rules of one kind. Every hook has a working default."""

    #: generation counts changes of everything but metadata and status
    has_generation: bool = True
    #: a status that is written only through the status subresource
    has_status: bool = False
    #: PUT of a name that does not exist creates it (Lease, Event, Endpoints, ...)
    allow_create_on_update: bool = False
    #: PUT without resourceVersion is accepted
    allow_unconditional_update: bool = True
    #: answer to DELETE: the object (Pod, Service, PVC, ...) or a Status
    returns_deleted_object: bool = False
    #: finalizers of a delete without propagationPolicy: "background", "orphan", or "unsupported" (never any)
    default_propagation: str = "background"
    #: metadata that a write of the status leaves as it is; most kinds let it be changed along with the status
    kept_by_status: tuple[str, ...] = ()
    #: what field selectors may name
    field_labels: FieldLabels = FieldLabels()

    def name_errors(self, name: str) -> list[str]:
        """What is wrong with a name of this kind, in upstream's words; most kinds want a DNS subdomain.

        The engine calls it for `metadata.name`, and for `metadata.generateName` with the trailing dash masked.
        """
        return dns1123_subdomain_errors(name)

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults in place. Called after decoding and again after mutating admission."""

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """Reset what a client may not set (status of a new object, ...)."""
        if self.has_status:
            obj.pop("status", None)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new object."""
        return []

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Keep what this write may not change (status on a spec write), bump what follows from it."""
        if self.has_status:
            if "status" in old:
                obj["status"] = old["status"]
            else:
                obj.pop("status", None)

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed object, immutability included."""
        return self.validate(context, obj)

    def prepare_for_status_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """For a write to /status: keep everything but status (metadata is kept by the engine)."""
        for key in obj.keys() | old.keys():
            if key in ("status", "metadata", "kind", "apiVersion"):
                continue
            if key in old:
                obj[key] = old[key]
            else:
                obj.pop(key, None)

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed status."""
        return []

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Texts for Warning headers of a create."""
        return []

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Texts for Warning headers of an update."""
        return []

    def warnings_on_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Texts for Warning headers of a write to /status."""
        return []

    def begin_graceful_delete(self, context: WriteContext, obj: Object, requested_seconds: int | None) -> int | None:
        """Grace period in seconds if this object is deleted gracefully (Pod), 0 to delete at once, None if never."""
        return None

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """The values that `field_labels` select by."""
        return {}
