"""Small schemas for the patch tests, as the packaged definitions would make them."""

from __future__ import annotations

from control.schema.structural import Presence, Schema


def struct(*, presence: Presence = Presence.VERBATIM, atomic: bool = False, **fields: Schema) -> Schema:
    return Schema(
        type="object",
        definition="io.k8s.api.test.v1.Thing",
        presence=presence,
        map_type="atomic" if atomic else "granular",
        resolve_properties=lambda: fields,
    )


def mapping(values: Schema, *, atomic: bool = False) -> Schema:
    return Schema(type="object", map_type="atomic" if atomic else "granular", resolve_additional=lambda: values)


def keyed_list(*keys: str, strategies: tuple[str, ...] = ("merge",), **fields: Schema) -> Schema:
    return Schema(
        type="array",
        list_type="map",
        list_map_keys=keys,
        merge_key=keys[0],
        patch_strategies=strategies,
        definition="io.k8s.api.test.v1.Item",
        resolve_items=lambda: struct(**fields),
    )


def value_set() -> Schema:
    return Schema(type="array", list_type="set", patch_strategies=("merge",), resolve_items=lambda: TEXT)


TEXT = Schema(type="string")
NUMBER = Schema(type="integer")
FLAG = Schema(type="boolean")
ATOMIC_LIST = Schema(type="array", resolve_items=lambda: TEXT)
PROTOCOL = Schema(type="string", default="TCP", has_default=True)

THING = struct(
    kind=TEXT,
    apiVersion=TEXT,
    metadata=struct(
        presence=Presence.ALWAYS,
        name=TEXT,
        namespace=TEXT,
        uid=TEXT,
        resourceVersion=TEXT,
        generateName=TEXT,
        labels=mapping(TEXT),
        annotations=mapping(TEXT),
        finalizers=value_set(),
    ),
    spec=struct(
        presence=Presence.ALWAYS,
        replicas=NUMBER,
        paused=FLAG,
        items=keyed_list(
            "name",
            name=TEXT,
            image=TEXT,
            args=ATOMIC_LIST,
            ports=keyed_list("port", "protocol", port=NUMBER, protocol=PROTOCOL, note=TEXT),
            env=keyed_list("name", name=TEXT, value=TEXT),
        ),
        strategy=struct(type=TEXT, rolling=struct(surge=NUMBER)),
        selector=mapping(TEXT, atomic=True),
        words=ATOMIC_LIST,
    ),
    status=struct(presence=Presence.ALWAYS, replicas=NUMBER),
    data=mapping(TEXT),
)
