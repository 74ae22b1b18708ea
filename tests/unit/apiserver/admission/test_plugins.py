"""The admission plugins over a reader of plain dicts."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from control.api.builtin_kinds import CONFIG_MAPS, NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PODS
from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.admission.chain import AdmissionChain, Attributes
from control.apiserver.admission.plugins import DEFAULT_TOLERATION_SECONDS, make_plugins

USER = User(name="alice", groups=("system:authenticated",))


class Reader:
    """Objects by kind, namespace and name."""

    def __init__(self, *objects: Object) -> None:
        self._objects = list(objects)

    def add(self, obj: Object) -> None:
        self._objects.append(obj)

    def find(self, kind: Kind, namespace: str | None, name: str) -> ReadOnlyObject | None:
        return next((o for o in self.list(kind, namespace) if o["metadata"]["name"] == name), None)

    def list(self, kind: Kind, namespace: str | None = None) -> list[ReadOnlyObject]:
        return [
            o
            for o in self._objects
            if o["kind"] == kind.kind and (namespace is None or o["metadata"].get("namespace") == namespace)
        ]


def make(kind: str, name: str, *, namespace: str = "", **fields: Any) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "metadata": metadata, **fields}


NAMESPACE = make("Namespace", "ns", status={"phase": "Active"})
ACCOUNT = make("ServiceAccount", "default", namespace="ns", imagePullSecrets=[{"name": "pull"}])


def make_pod(**spec: Any) -> Object:
    spec.setdefault("containers", [{"name": "c", "image": "i", "resources": {}}])
    return {"kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


async def write(
    obj: Object | None,
    *objects: Object,
    kind: Kind = PODS,
    operation: str = "CREATE",
    old: Object | None = None,
    user: User = USER,
    profile: str = "upstream",
    name: str = "",
    namespace: str = "ns",
    reader: Reader | None = None,
    clock: FakeClock | None = None,
    subresource: str = "",
) -> Attributes:
    reader = reader or Reader(NAMESPACE, ACCOUNT, *objects)
    plugins = make_plugins(reader, profile=profile, random=random.Random(1), clock=clock or FakeClock())
    attributes = Attributes(
        kind=kind,
        operation=operation,
        user=user,
        namespace=namespace if kind.namespaced else "",
        name=name or (obj["metadata"]["name"] if obj else ""),
        object=obj,
        old_object=old,
        subresource=subresource,
    )
    chain = AdmissionChain(plugins)
    await chain.admit(attributes)
    await chain.validate(attributes)
    return attributes


async def refusal_of(obj: Object | None, *objects: Object, **options: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await write(obj, *objects, **options)
    return refused.value


async def test_a_pod_gets_account_token_priority_and_tolerations() -> None:
    pod = make_pod()
    await write(pod)
    spec = pod["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume["name"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert [item["tolerationSeconds"] for item in spec["tolerations"]] == [300, 300]
    assert "shareProcessNamespace" not in spec


@pytest.mark.parametrize(
    ("spec", "shared"),
    [
        pytest.param({}, True, id="unset becomes true"),
        pytest.param({"shareProcessNamespace": False}, False, id="false stays"),
        pytest.param({"hostPID": True}, None, id="a pod in the host's namespace is left alone"),
    ],
)
async def test_the_default_profile_shares_processes(spec: Object, shared: bool | None) -> None:
    pod = make_pod(**spec)
    await write(pod, profile="default")
    assert pod["spec"].get("shareProcessNamespace") is shared
    assert pod["spec"]["tolerations"][0]["tolerationSeconds"] == DEFAULT_TOLERATION_SECONDS


async def test_a_pod_without_its_account_is_refused() -> None:
    error = await refusal_of(make_pod(serviceAccountName="nope"))
    text = 'pods "p" is forbidden: error looking up service account ns/nope: serviceaccount "nope" not found'
    assert (error.code, error.message) == (403, text)


async def test_a_pod_waits_for_the_default_account_of_a_new_namespace() -> None:
    reader, clock = Reader(NAMESPACE), FakeClock()
    writing = asyncio.create_task(write(make_pod(), reader=reader, clock=clock))
    await clock.advance(1)
    assert not writing.done()
    reader.add(ACCOUNT)
    await clock.advance(0.1)
    assert (await writing).object["spec"]["serviceAccountName"] == "default"


async def test_a_pod_waits_no_longer_than_upstream_for_the_default_account() -> None:
    clock = FakeClock()
    refused = asyncio.create_task(refusal_of(make_pod(), reader=Reader(NAMESPACE), clock=clock))
    await asyncio.sleep(0)  # so that it waits
    await clock.advance(2)
    text = 'pods "p" is forbidden: error looking up service account ns/default: serviceaccount "default" not found'
    assert (await refused).message == text


async def test_no_token_is_mounted_where_it_is_declined() -> None:
    pod = make_pod(automountServiceAccountToken=False)
    await write(pod)
    assert "volumes" not in pod["spec"]


async def test_an_absent_namespace_is_404() -> None:
    error = await refusal_of(make("ConfigMap", "c", namespace="other"), kind=CONFIG_MAPS, namespace="other")
    assert (error.code, error.message) == (404, 'namespaces "other" not found')


async def test_nothing_is_made_in_a_namespace_that_goes() -> None:
    going = make("Namespace", "going", status={"phase": "Terminating"})
    error = await refusal_of(make("ConfigMap", "c"), going, kind=CONFIG_MAPS, namespace="going")
    assert error.message.endswith("unable to create new content in namespace going because it is being terminated")
    assert error.details is not None
    assert error.details["causes"][0]["reason"] == "NamespaceTerminating"


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_never_go(name: str) -> None:
    error = await refusal_of(None, kind=NAMESPACES, operation="DELETE", name=name)
    assert error.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_a_limit_range_fills_and_bounds() -> None:
    limits = [{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]
    limit_range = make("LimitRange", "lr", namespace="ns", spec={"limits": limits})
    pod = make_pod()
    await write(pod, limit_range)
    assert pod["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    note = "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    assert pod["metadata"]["annotations"] == {"kubernetes.io/limit-ranger": note}
    big = make_pod(containers=[{"name": "c", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}])
    error = await refusal_of(big, limit_range)
    assert error.message == 'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2'


async def test_a_priority_class_decides() -> None:
    high = make("PriorityClass", "high", value=777, preemptionPolicy="Never")
    pod = make_pod(priorityClassName="high")
    await write(pod, high)
    assert (pod["spec"]["priority"], pod["spec"]["preemptionPolicy"]) == (777, "Never")
    error = await refusal_of(make_pod(priorityClassName="nope"))
    assert error.message == 'pods "p" is forbidden: no PriorityClass with name nope was found'


async def test_a_new_node_takes_no_pods_yet() -> None:
    node = make("Node", "n")
    await write(node, kind=NODES)
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_a_claim_gets_the_newest_default_class_and_its_protection() -> None:
    marked = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    older, newer = make("StorageClass", "a"), make("StorageClass", "b")
    older["metadata"].update(marked, creationTimestamp="2026-01-01T00:00:00Z")
    newer["metadata"].update(marked, creationTimestamp="2026-01-02T00:00:00Z")
    claim = make("PersistentVolumeClaim", "c", namespace="ns", spec={})
    await write(claim, older, newer, kind=PERSISTENT_VOLUME_CLAIMS)
    assert claim["spec"]["storageClassName"] == "b"
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


KUBELET = User(name="system:node:n", groups=("system:nodes", "system:authenticated"))


@pytest.mark.parametrize(
    ("node", "old", "detail"),
    [
        pytest.param(
            make("Node", "other"), None, 'node "n" is not allowed to modify node "other"', id="only its own node"
        ),
        pytest.param(
            {"kind": "Node", "metadata": {"name": "n", "labels": {"node-restriction.kubernetes.io/a": "b"}}},
            None,
            'node "n" is not allowed to set the following labels: node-restriction.kubernetes.io/a',
            id="no restricted labels",
        ),
        pytest.param(
            make("Node", "n", spec={}),
            make("Node", "n", spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}),
            'node "n" is not allowed to modify taints',
            id="no taints",
        ),
    ],
)
async def test_a_kubelet_is_held_to_its_node(node: Object, old: Object | None, detail: str) -> None:
    operation = "CREATE" if old is None else "UPDATE"
    error = await refusal_of(node, kind=NODES, user=KUBELET, operation=operation, old=old)
    assert error.message == f'nodes "{node["metadata"]["name"]}" is forbidden: {detail}'


def _labelled(**modes: str) -> Object:
    namespace = make("Namespace", "strict", status={"phase": "Active"})
    namespace["metadata"]["labels"] = {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
    return namespace


STRICT_ACCOUNT = make("ServiceAccount", "default", namespace="strict")


@pytest.mark.parametrize(
    ("spec", "detail"),
    [
        pytest.param({"hostPID": True}, "host namespaces (hostPID=true)", id="no host namespaces"),
        pytest.param(
            {"containers": [{"name": "c", "securityContext": {"privileged": True}}]},
            'privileged (container "c" must not set securityContext.privileged=true)',
            id="no privileged containers",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
            'hostPath volumes (volume "v")',
            id="no host paths",
        ),
        pytest.param(
            {"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["NET_RAW"]}}}]},
            'non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add)',
            id="no further capabilities",
        ),
    ],
)
async def test_the_baseline_is_enforced_where_a_label_says_so(spec: Object, detail: str) -> None:
    objects = (_labelled(enforce="baseline"), STRICT_ACCOUNT)
    error = await refusal_of(make_pod(**spec), *objects, namespace="strict")
    assert error.message == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {detail}'
    await write(make_pod(**spec))


async def test_a_level_may_only_warn() -> None:
    objects = (_labelled(warn="restricted"), STRICT_ACCOUNT)
    attributes = await write(make_pod(), *objects, namespace="strict")
    (warning,) = attributes.warnings
    assert warning.startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false ')


async def test_an_unknown_level_is_invalid() -> None:
    namespace = _labelled(enforce="bogus")
    error = await refusal_of(namespace, kind=NAMESPACES, operation="UPDATE", old=_labelled())
    assert (error.code, error.reason) == (422, "Invalid")
    assert "must be one of privileged, baseline, restricted" in error.message


def _make_node(features: str = "", *, system: str = "linux", cpu: str = "2", memory: str = "1Gi") -> Object:
    node = make(
        "Node",
        "n",
        status={"declaredFeatures": features.split(", "), "allocatable": {"cpu": cpu, "memory": memory}},
    )
    node["metadata"]["labels"] = {"kubernetes.io/os": system}
    return node


POD_LEVEL = {"resources": {"requests": {"cpu": "1"}}}
INIT = {"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1"}}}]}


@pytest.mark.parametrize("subresource", ["", "resize"])
@pytest.mark.parametrize(
    ("change", "features"),
    [
        pytest.param(POD_LEVEL, "InPlacePodLevelResourcesVerticalScaling", id="the Pod as a whole"),
        pytest.param(INIT, "InPlacePodVerticalScalingInitContainers", id="an init container"),
        pytest.param(
            {**POD_LEVEL, **INIT},
            "InPlacePodLevelResourcesVerticalScaling, InPlacePodVerticalScalingInitContainers",
            id="both",
        ),
    ],
)
async def test_a_node_must_declare_that_it_can_follow_a_resize(change: Object, features: str, subresource: str) -> None:
    before = make_pod(nodeName="n", initContainers=[{"name": "i"}])
    after = make_pod(**{**before["spec"], **change})
    options: dict[str, Any] = {"operation": "UPDATE", "old": before, "subresource": subresource}
    error = await refusal_of(after, make("Node", "n"), **options)
    detail = f'pod update requires features {features} which are not available on node "n"'
    assert (error.code, error.message) == (403, f'pods "p" is forbidden: {detail}')
    assert 'node "n" not found' in (await refusal_of(after, **options)).message
    await write(after, _make_node(features), **options)


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        pytest.param({}, POD_LEVEL, id="no node yet"),
        pytest.param({"nodeName": "n"}, {"containers": INIT["initContainers"]}, id="a container"),
        pytest.param(
            {"nodeName": "n"},
            {"initContainers": [{**INIT["initContainers"][0], "restartPolicy": "Always"}]},
            id="sidecar",
        ),
    ],
)
async def test_other_resizes_need_no_declared_feature(spec: Object, change: Object) -> None:
    before = make_pod(**spec)
    await write(make_pod(**spec, **change), _make_node(), operation="UPDATE", old=before, subresource="resize")


@pytest.mark.parametrize(
    ("amounts", "node", "detail", "cause"),
    [
        pytest.param(
            {"cpu": "2500m", "memory": "1Gi"},
            _make_node(),
            "Node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000",
            "NodeCapacity",
            id="more cpu than the node has",
        ),
        pytest.param(
            {"cpu": "3", "memory": "2Gi"},
            _make_node(system="windows"),
            "Node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000; "
            "memory, requested: 2147483648, allocatable: 1073741824",
            "NodeCapacity",
            id="more of both",
        ),
        pytest.param(
            {"cpu": "1"},
            _make_node(system="windows"),
            'pod resize is only supported on linux nodes, node "n" is "windows"',
            "UnsupportedPlatform",
            id="not Linux",
        ),
    ],
)
async def test_a_resize_that_the_node_can_never_follow_is_refused(
    amounts: Object, node: Object, detail: str, cause: str
) -> None:
    before = make_pod(nodeName="n")
    after = make_pod(nodeName="n", containers=[{"name": "c", "image": "i", "resources": {"requests": amounts}}])
    options: dict[str, Any] = {"operation": "UPDATE", "old": before, "subresource": "resize"}
    error = await refusal_of(after, node, **options)
    assert (error.code, error.message) == (403, f'pods "p" is forbidden: {detail}')
    assert error.details["causes"] == [{"reason": cause}]
    await write(before, node, **options)
    await write(after, node, **{**options, "subresource": ""})
    await write(after, _make_node(cpu="4", memory="4Gi"), **options)
