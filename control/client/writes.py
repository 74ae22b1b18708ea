"""What a `reconcile` may want done, as data: API writes and Events, each write with its cause.

`apply_write` carries one out. Nothing here decides anything: order, concurrency and retries are the runtime's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.client.client import Client, PatchType


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An Event to record: about which object, and upstream's reason and text.

    In `message` `{name}` stands for the name of the object written and `{error}` for the server's refusal.
    """

    regarding: ReadOnlyObject
    reason: str
    message: str
    type: str = "Normal"


class Recorder(Protocol):
    """Takes Events; never blocks, never raises."""

    def record(self, regarding: ReadOnlyObject, type: str, reason: str, message: str) -> None:
        """Record that something happened to an object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create an object. `success` and `failure` are recorded as Events accordingly."""

    kind: Kind
    obj: ReadOnlyObject
    cause: str
    success: Notice | None = None
    failure: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replace an object; its resourceVersion makes it safe. `subresource` is `status` for a status write.

    An object that is gone counts as done: its deletion is an event of its own.
    """

    kind: Kind
    obj: ReadOnlyObject
    cause: str
    subresource: str = ""
    success: Notice | None = None
    failure: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Patch an object. With `ignore_missing` an object that is gone counts as done."""

    kind: Kind
    name: str
    patch: Object | list[Object]
    cause: str
    namespace: str | None = None
    type: PatchType = PatchType.MERGE
    subresource: str = ""
    ignore_missing: bool = False
    success: Notice | None = None
    failure: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete an object if it still has that uid. An object that is gone counts as done, but records no success."""

    kind: Kind
    name: str
    cause: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    grace_period_seconds: int | None = None
    success: Notice | None = None
    failure: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSubresource:
    """POST to a subresource (a binding, an eviction)."""

    kind: Kind
    name: str
    subresource: str
    obj: ReadOnlyObject
    cause: str
    namespace: str | None = None
    success: Notice | None = None
    failure: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Writes that may be carried out together. With `slow_start` first one, then two, four, ...: a write that is
    refused for a standing reason (quota) is then tried a few times instead of hundreds.
    """

    writes: Sequence[Write]
    slow_start: bool = False


Write: TypeAlias = Create | Update | Patch | Delete | CreateSubresource
Step: TypeAlias = Write | Batch | Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A decision: steps to carry out in order, and when to look again without a change."""

    steps: Sequence[Step] = ()
    requeue_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A write that was refused, for `Controller.on_failure`."""

    write: Write
    error: Exception
    #: writes of the same batch that were neither refused nor carried out
    skipped: int = 0


@dataclass(slots=True)
class Applied:
    """What became of a sequence of steps."""

    written: list[tuple[Write, Object]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def describe(write: Write) -> str:
    """`create pods default/web-`: the write in a log line."""
    if isinstance(write, Create | Update):
        metadata = write.obj["metadata"]
        name = metadata.get("name") or metadata.get("generateName", "")
        namespace = metadata.get("namespace")
    else:
        name, namespace = write.name, write.namespace
    place = f"{namespace}/{name}" if namespace else name
    return f"{type(write).__name__.lower()} {write.kind.plural} {place}"


async def apply_write(client: Client, write: Write) -> Object:
    """Carry one write out and return the server's answer. Raises what the client raises."""
    match write:
        case Create(kind=kind, obj=obj):
            return await client.create(kind, obj)
        case Update(kind=kind, obj=obj, subresource=subresource):
            return await client.update(kind, obj, subresource=subresource)
        case Patch():
            return await client.patch(
                write.kind,
                write.name,
                write.patch,
                namespace=write.namespace,
                type=write.type,
                subresource=write.subresource,
            )
        case Delete():
            return await client.delete(
                write.kind,
                write.name,
                namespace=write.namespace,
                uid=write.uid,
                resource_version=write.resource_version,
                propagation=write.propagation,
                grace_period_seconds=write.grace_period_seconds,
            )
        case CreateSubresource():
            return await client.create_subresource(
                write.kind, write.name, write.subresource, write.obj, namespace=write.namespace
            )
