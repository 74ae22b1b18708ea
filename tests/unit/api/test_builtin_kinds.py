from __future__ import annotations

from collections import Counter

from control.api import builtin_kinds
from control.api.builtin_kinds import BUILTIN_KINDS, EVENTS, EVENTS_V1, HORIZONTAL_POD_AUTOSCALERS, PODS
from control.api.kinds import Kind
from control.schema.builtin import load_definitions


def test_no_resource_is_served_twice() -> None:
    counts = Counter((kind.group, kind.version, kind.plural) for kind in BUILTIN_KINDS)
    assert [key for key, count in counts.items() if count > 1] == []


def test_every_constant_of_the_module_is_in_the_table() -> None:
    constants = [value for value in vars(builtin_kinds).values() if isinstance(value, Kind)]
    assert set(constants) == set(BUILTIN_KINDS)


def test_every_kind_and_list_kind_has_a_packaged_definition() -> None:
    definitions = load_definitions()
    for kind in BUILTIN_KINDS:
        assert kind.definition in definitions
        if kind.list_kind:
            assert f"{kind.definition.rpartition('.')[0]}.{kind.list_kind}" in definitions


def test_versions_of_a_group_stand_together_preferred_first() -> None:
    versions = [kind.version for kind in BUILTIN_KINDS if kind.group == "autoscaling"]
    assert versions == ["v2", "v1"]


def test_events_and_autoscalers_share_one_store_for_all_their_versions() -> None:
    assert EVENTS_V1.storage_prefix == EVENTS.storage_prefix
    autoscalers = {kind.storage_prefix for kind in BUILTIN_KINDS if kind.kind == "HorizontalPodAutoscaler"}
    assert autoscalers == {HORIZONTAL_POD_AUTOSCALERS.storage_prefix}


def test_pod_subresources_name_kinds_of_other_groups() -> None:
    eviction = PODS.find_subresource("eviction")
    assert eviction is not None
    assert (eviction.group, eviction.version, eviction.kind) == ("policy", "v1", "Eviction")
