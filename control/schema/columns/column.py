"""What a table column is, and the formatting that cells of many kinds share.

Names, priorities and cell texts are upstream's (pkg/printers/internalversion): people and scripts read them. A column
described by a field of the API takes its description from the packaged definitions when it is first shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control.api.objects import Object, ReadOnlyObject
from control.api.selectors import SelectorError, selector_from_object
from control.api.timestamps import parse_time

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. `source` names the field whose description it has: `core.v1.PodSpec.nodeName`."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    source: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """How objects of a kind become rows: `cells` gives the values in column order."""

    columns: tuple[Column, ...]
    cells: Callable[[ReadOnlyObject, datetime], list[Any]]
    conditions: Callable[[ReadOnlyObject], list[Object]] | None = None


def described(name: str, description: str, *, type: str = "string", priority: int = 0) -> Column:
    """Make a column with a description of its own."""
    return Column(name=name, type=type, description=description, priority=priority)


def of_field(name: str, source: str, *, type: str = "string", priority: int = 0, format: str = "") -> Column:
    """Make a column described by a field of the API."""
    return Column(name=name, type=type, source=source, priority=priority, format=format)


NAME = of_field("Name", "meta.v1.ObjectMeta.name", format="name")
AGE = of_field("Age", "meta.v1.ObjectMeta.creationTimestamp")
CREATED_AT = of_field("Created At", "meta.v1.ObjectMeta.creationTimestamp", type="date")
CONTAINERS = described("Containers", "Names of each container in the template.", priority=1)
IMAGES = described("Images", "Images referenced by each container in the template.", priority=1)


def name_of(obj: ReadOnlyObject) -> str:
    """Name of the object."""
    return str(obj["metadata"].get("name", ""))


def age_of(obj: ReadOnlyObject, now: datetime) -> str:
    """Time since the object was created."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def since(timestamp: str | None, now: datetime) -> str:
    """Time since a timestamp, as people read it."""
    if not timestamp:
        return UNKNOWN
    return human_duration((now - parse_time(timestamp)).total_seconds())


def human_duration(seconds: float) -> str:
    """Format a duration with two units at most: `5s`, `3m20s`, `5h`, `2d4h`, `3y12d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 10:
        return _two_units(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two_units(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return _two_units(hours // 24, "d", hours % 24, "h")
    days = hours // 24
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two_units(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two_units(major: int, major_unit: str, minor: int, minor_unit: str) -> str:
    return f"{major}{major_unit}{minor}{minor_unit}" if minor else f"{major}{major_unit}"


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Format labels as `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) if labels else NONE


def selector_text(selector: Mapping[str, Any] | None, *, empty: str = NONE) -> str:
    """Format a label selector object; `empty` stands for one that names nothing."""
    if selector is None:
        return empty
    try:
        return str(selector_from_object(selector)) or empty
    except SelectorError:
        return "<error>"


def container_cells(pod_spec: Mapping[str, Any]) -> list[str]:
    """Names and images of the containers of a template."""
    containers: Sequence[Mapping[str, Any]] = pod_spec.get("containers") or ()
    return [
        ",".join(str(container.get("name", "")) for container in containers),
        ",".join(str(container.get("image", "")) for container in containers),
    ]


def listed(items: Sequence[str], count: int, *, shown: int) -> str:
    """Join the first items and say how many of `count` are not shown."""
    text = ",".join(items[:shown])
    return f"{text} + {count - shown} more..." if count > shown else text


def boolean_text(value: bool | None) -> str:
    """`True`, `False` or unset."""
    return UNSET if value is None else str(value)


def first_of(*values: str | None) -> str:
    """Return the first text that is not empty."""
    return next((value for value in values if value), "")


def status_of(obj: ReadOnlyObject) -> Mapping[str, Any]:
    """Status of the object, perhaps empty."""
    found: Mapping[str, Any] = obj.get("status") or {}
    return found


def spec_of(obj: ReadOnlyObject) -> Mapping[str, Any]:
    """Spec of the object, perhaps empty."""
    found: Mapping[str, Any] = obj.get("spec") or {}
    return found


def condition_of(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> Mapping[str, Any] | None:
    """Find a condition by its type."""
    return next((condition for condition in conditions or () if condition.get("type") == type), None)
