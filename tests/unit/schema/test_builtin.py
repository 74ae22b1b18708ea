from __future__ import annotations

from pathlib import Path

import pytest

from control.api.builtin_kinds import BUILTIN_KINDS, DEPLOYMENTS, PODS, SERVICES
from control.schema import builtin
from control.schema.builtin import (
    FIELD_DEFAULTS,
    DefinitionsMissingError,
    definition_schema,
    definitions_path,
    schema_of,
)
from control.schema.structural import Presence


def test_schemas_carry_what_patching_needs() -> None:
    containers = schema_of(PODS).properties["spec"].properties["containers"]
    assert containers.list_type == "map"
    assert containers.list_map_keys == ("name",)
    assert containers.merge_key == "name"
    assert containers.patch_strategies == ("merge",)
    strategy = schema_of(DEPLOYMENTS).properties["spec"].properties["strategy"]
    assert strategy.patch_strategies == ("retainKeys",)


def test_list_keys_have_their_defaults() -> None:
    ports = schema_of(SERVICES).properties["spec"].properties["ports"]
    assert ports.list_map_keys == ("port", "protocol")
    assert ports.items is not None
    assert ports.items.properties["protocol"].default == "TCP"


@pytest.mark.parametrize(
    ("definition", "format"),
    [
        ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
        ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "int-or-string"),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "micro-time"),
    ],
)
def test_types_with_hand_written_encodings_are_told_apart(definition: str, format: str) -> None:
    assert definition_schema(definition).format == format


def test_a_reference_keeps_what_stands_beside_it() -> None:
    metadata = schema_of(PODS).properties["metadata"]
    assert metadata.definition == "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert metadata.presence is Presence.ALWAYS
    selector = schema_of(DEPLOYMENTS).properties["spec"].properties["selector"]
    assert selector.map_type == "atomic"


def test_every_schema_can_be_walked_to_its_leaves() -> None:
    seen: set[str] = set()
    waiting = [schema_of(kind) for kind in BUILTIN_KINDS]
    while waiting:
        schema = waiting.pop()
        if schema.definition:
            if schema.definition in seen:
                continue
            seen.add(schema.definition)
        children = [*schema.properties.values(), schema.items, schema.additional]
        waiting += [child for child in children if child is not None]
    assert len(seen) > 400


def test_an_unknown_definition_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        definition_schema("io.k8s.api.core.v1.Nothing")


def test_defaults_are_of_fields_that_exist() -> None:
    for definition, defaults in FIELD_DEFAULTS.items():
        assert defaults.keys() <= definition_schema(definition).properties.keys(), definition


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(DefinitionsMissingError, match="kubernetes-validate is not installed"):
        definitions_path()


def test_a_package_without_our_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "DEFINITIONS_FOLDER", "v0.1.0-local")
    with pytest.raises(DefinitionsMissingError, match=r"no v0\.1\.0-local"):
        definitions_path()
