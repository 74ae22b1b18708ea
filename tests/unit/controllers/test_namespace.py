"""How a terminating namespace is emptied."""

from __future__ import annotations

from control.api.builtin_kinds import CONFIG_MAPS, DEPLOYMENTS, PODS
from control.api.meta import find_condition
from control.api.objects import Object
from control.controllers.namespace import Content, Plan, plan_deletion
from tests.unit.controllers.builders import NOW, make_object


def plan(content: Content) -> Plan:
    return plan_deletion(make_object("v1", "Namespace", "n", None, status={"phase": "Terminating"}), content, NOW)


def texts(result: Plan) -> dict[str, str]:
    return {item["type"]: f"{item['status']} {item['reason']}: {item['message']}" for item in result.conditions}


def make_config_map(name: str, *finalizers: str) -> Object:
    return make_object("v1", "ConfigMap", name, metadata={"finalizers": list(finalizers)})


def test_pods_go_before_everything_else() -> None:
    content = Content({PODS: [make_object("v1", "Pod", "p")], CONFIG_MAPS: [make_config_map("c")]})
    assert list(plan(content).kinds_to_delete) == [PODS]
    without_pods = Content({PODS: [], CONFIG_MAPS: [make_config_map("c")], DEPLOYMENTS: []})
    assert list(plan(without_pods).kinds_to_delete) == [CONFIG_MAPS]


def test_empty_namespace_may_go() -> None:
    result = plan(Content({PODS: [], CONFIG_MAPS: []}))
    assert result.is_empty
    assert {item["status"] for item in result.conditions} == {"False"}


def test_conditions_count_what_is_left_and_what_holds_it() -> None:
    held = [make_config_map("a", "a.com/x"), make_config_map("b", "a.com/x", "b.com/y"), make_config_map("c")]
    result = plan(Content({CONFIG_MAPS: held, DEPLOYMENTS: [make_object("apps/v1", "Deployment", "d")]}))
    assert not result.is_empty
    shown = texts(result)
    assert shown["NamespaceContentRemaining"] == (
        "True SomeResourcesRemain: Some resources are remaining: configmaps. has 3 resource instances, "
        "deployments.apps has 1 resource instances"
    )
    assert shown["NamespaceFinalizersRemaining"] == (
        "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: "
        "a.com/x in 2 resource instances, b.com/y in 1 resource instances"
    )
    assert shown["NamespaceDeletionContentFailure"].startswith("False ContentDeleted")


def test_failed_list_keeps_the_namespace() -> None:
    result = plan(Content({PODS: []}, errors=["cannot list"]))
    assert not result.is_empty
    assert texts(result)["NamespaceDeletionContentFailure"].startswith("True ContentDeletionFailed")


def test_condition_that_stays_keeps_its_time() -> None:
    stamp = "2026-01-01T01:00:00Z"
    known = {"type": "NamespaceContentRemaining", "status": "True", "lastTransitionTime": stamp}
    namespace = make_object("v1", "Namespace", "n", None, status={"conditions": [known]})
    content = Content({CONFIG_MAPS: [make_config_map("a")]})
    conditions = plan_deletion(namespace, content, NOW).conditions
    condition = find_condition(conditions, "NamespaceContentRemaining")
    assert condition is not None
    assert condition["lastTransitionTime"] == stamp
