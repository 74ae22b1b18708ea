"""`Schema`: one node of a structural schema, the same for built-in kinds and CustomResourceDefinitions.

Built-in definitions come from the `kubernetes-validate` package (`builtin.py`), custom ones from a CRD. Nodes are made
lazily: a `$ref` is resolved when it is first walked, so start-up pays only for what is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Presence(Enum):
    """What becomes of a field's empty value when an object has gone through the server.

    Built-in kinds pass through typed records upstream, which print or leave out empty values by the rules of each
    field; clients and recorded answers show it (`resources: {}`, `rules: null`). Custom resources stay as written.
    """

    VERBATIM = "verbatim"
    OPTIONAL = "optional"  #: absent and empty differ: what was given stays
    OMIT_EMPTY = "omit-empty"  #: an empty string, zero, false, list or map is left out
    OMIT_ZERO = "omit-zero"  #: an object whose fields are all empty is left out
    ALWAYS = "always"  #: written even when it was not given
    NULLABLE = "nullable"  #: written as null when it was not given


@dataclass(slots=True, kw_only=True, eq=False)
class Schema:
    """A schema node.

    `type` is object, array, string, integer, number, boolean or "" (anything). Quantity has format `quantity`,
    IntOrString format `int-or-string`, Time `date-time`, MicroTime `micro-time`. Lists: `list_type` is atomic, set or
    map, `list_map_keys` its keys. Objects: `map_type` is granular or atomic. `merge_key` and `patch_strategies` drive
    strategic merge patch. `resolve_properties` is called once, at the first access. `go_type` is the name clients see
    in decoding errors (`v1.PodSpec`); empty where it follows from the rest. `opaque` marks values that are kept
    without looking inside. `compiled_decoder` and `always_written` are where decoder.py keeps its work.
    """

    type: str = ""
    format: str = ""
    description: str = ""
    definition: str = ""
    required: tuple[str, ...] = ()
    nullable: bool = False
    enum: tuple[Any, ...] = ()
    default: Any = None
    has_default: bool = False
    list_type: str = "atomic"
    list_map_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    merge_key: str = ""
    patch_strategies: tuple[str, ...] = ()
    presence: Presence = Presence.VERBATIM
    go_type: str = ""
    opaque: bool = False
    preserve_unknown_fields: bool = False
    embedded_resource: bool = False
    union_discriminator: str = ""
    resolve_properties: Callable[[], Mapping[str, Schema]] | None = None
    resolve_items: Callable[[], Schema] | None = None
    resolve_additional: Callable[[], Schema] | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    compiled_decoder: Any = None
    always_written: Any = None
    _properties: Mapping[str, Schema] | None = None
    _items: Schema | None = None
    _additional: Schema | None = None

    @property
    def properties(self) -> Mapping[str, Schema]:
        """Named fields of an object; empty for a map or a scalar."""
        if self._properties is None:
            self._properties = self.resolve_properties() if self.resolve_properties else {}
        return self._properties

    @property
    def items(self) -> Schema | None:
        """Schema of a list's items."""
        if self._items is None and self.resolve_items:
            self._items = self.resolve_items()
        return self._items

    @property
    def additional(self) -> Schema | None:
        """Schema of a map's values (additionalProperties)."""
        if self._additional is None and self.resolve_additional:
            self._additional = self.resolve_additional()
        return self._additional
