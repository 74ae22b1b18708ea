"""What must be true once nothing goes wrong any more: the cluster is as its objects say, and nothing is left over.

`find_disorder` returns the first thing that is not in order; the simulation waits until there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.runtime.identity import ContainerRole, parse_identity
from agent.runtime.protocol import ContainerRecord, ContainerState
from control.api.builtin_kinds import CONFIG_MAPS, DEPLOYMENTS, ENDPOINT_SLICES, NODES, PODS, REPLICA_SETS, SERVICES
from control.api.kinds import Kind
from control.api.meta import find_condition
from control.api.objects import Object

if TYPE_CHECKING:
    from tests.simulation.cluster import SimulatedCluster

_TERMINAL = ("Succeeded", "Failed")


class World:
    """One look at everything: the objects as a fresh list shows them, the engines as they are."""

    def __init__(self, cluster: SimulatedCluster, lists: Mapping[Kind, list[Object]]) -> None:
        self.cluster = cluster
        self.lists = lists
        self.pods = {pod["metadata"]["uid"]: pod for pod in lists[PODS]}

    def records_of(self, pod: Object) -> list[ContainerRecord]:
        """The containers of a Pod on its node, sandbox included."""
        node = self.cluster.nodes.get(pod["spec"].get("nodeName", ""))
        uid = pod["metadata"]["uid"]
        return [one for one in node.engine.records() if uid in one.name] if node is not None else []


KINDS = (PODS, NODES, DEPLOYMENTS, REPLICA_SETS, SERVICES, ENDPOINT_SLICES, CONFIG_MAPS)


async def find_disorder(cluster: SimulatedCluster) -> str:
    """Look once. Empty if all is well."""
    lists = {}
    for kind in KINDS:
        answer = await cluster.user.insist(lambda kind=kind: cluster.user.client.list(kind))
        if answer is None:
            return "the API does not answer"
        lists[kind] = answer["items"]
    world = World(cluster, lists)
    for check in CHECKS:
        for problem in check(world):
            return f"{check.__name__}: {problem}"
    return ""


def every_node_is_ready(world: World) -> Iterator[str]:
    """The nodes that exist are registered and Ready; no other Node is left."""
    ready = {
        node["metadata"]["name"]
        for node in world.lists[NODES]
        if (find_condition((node.get("status") or {}).get("conditions"), "Ready") or {}).get("status") == "True"
    }
    yield from (f"{name} is not ready" for name in world.cluster.nodes if name not in ready)
    yield from (f"{name} should be gone" for name in ready if name not in world.cluster.nodes)


def every_pod_has_a_node(world: World) -> Iterator[str]:
    """Every node takes Pods now, so none is Pending for want of one, and none is on a node that is gone."""
    for pod in world.lists[PODS]:
        node_name = pod["spec"].get("nodeName", "")
        if node_name not in world.cluster.nodes:
            yield f"Pod {pod['metadata']['name']} is on node {node_name!r}"


def every_deletion_has_ended(world: World) -> Iterator[str]:
    """Nothing is still being deleted."""
    for kind, objects in world.lists.items():
        for obj in objects:
            if "deletionTimestamp" in obj["metadata"]:
                yield f"{kind.kind} {obj['metadata']['name']} is being deleted"


def every_deployment_is_complete(world: World) -> Iterator[str]:
    """As many updated and available replicas as are wanted, and no others."""
    for deployment in world.lists[DEPLOYMENTS]:
        status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
        if counts != [wanted] * 3 or not observed:
            yield f"Deployment {deployment['metadata']['name']}: wants {wanted}, has {counts}, {observed=}"


def every_dependent_has_its_owner(world: World) -> Iterator[str]:
    """What a deletion left behind has been collected."""
    uids = {obj["metadata"]["uid"] for objects in world.lists.values() for obj in objects}
    for kind in (PODS, REPLICA_SETS, ENDPOINT_SLICES):
        for obj in world.lists[kind]:
            for owner in obj["metadata"].get("ownerReferences") or ():
                if owner["uid"] not in uids:
                    yield f"{kind.kind} {obj['metadata']['name']} belongs to nothing"


def nothing_is_left_on_an_engine(world: World) -> Iterator[str]:
    """Every container and every volume is that of a Pod of this node."""
    for name, node in world.cluster.nodes.items():
        for record in node.engine.records():
            identity = parse_identity(record.labels)
            pod = world.pods.get(identity.pod_uid) if identity is not None else None
            if pod is None or pod["spec"].get("nodeName") != name:
                yield f"{record.name} on {name} belongs to no Pod"
        for uid in sorted(node.host.volumes.mounted - set(world.pods)):
            yield f"volumes of Pod {uid} on {name} are mounted"


def what_should_run_runs(world: World) -> Iterator[str]:
    """Each Pod has its containers, each once, in one sandbox; a Pod that has ended has none."""
    for pod in world.lists[PODS]:
        name = pod["metadata"]["name"]
        running = [one for one in world.records_of(pod) if one.state is ContainerState.RUNNING]
        roles = sorted(identity.container_name for one in running if (identity := parse_identity(one.labels)))
        if pod["status"].get("phase") in _TERMINAL:
            if running:
                yield f"Pod {name} is {pod['status']['phase']} but {roles} run"
        elif not _fails(pod) and roles != sorted(["POD", *(item["name"] for item in pod["spec"]["containers"])]):
            yield f"Pod {name}: {roles} run"


def statuses_agree_with_the_engine(world: World) -> Iterator[str]:
    """A status names the newest container, its state and its restarts; a Pod whose containers run is Ready."""
    for pod in world.lists[PODS]:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        newest = _newest(world.records_of(pod))
        for item in status.get("containerStatuses") or ():
            record = newest.get(item["name"])
            if record is None:
                yield f"Pod {name}/{item['name']} has a status but no container"
            elif item.get("containerID") != f"docker://{record.id}" or item["restartCount"] != _attempt(record):
                told = f"{item['restartCount']} {item.get('containerID')}"
                yield f"Pod {name}/{item['name']}: {told} is not {record.name}"
            elif ("running" in item["state"]) is not (record.state is ContainerState.RUNNING):
                yield f"Pod {name}/{item['name']} is {sorted(item['state'])}, the container {record.state.value}"
        ready = (find_condition(status.get("conditions"), "Ready") or {}).get("status")
        if status.get("phase") not in _TERMINAL and not _fails(pod) and ready != "True":
            yield f"Pod {name} is {status.get('phase')}, Ready {ready}"


def services_reach_ready_pods(world: World) -> Iterator[str]:
    """The slices of a Service name the ready Pods it selects, and no others."""
    for service in world.lists[SERVICES]:
        selector = service["spec"].get("selector")
        if not selector:
            continue
        name = service["metadata"]["name"]
        wanted = sorted(
            pod["status"].get("podIP", "")
            for pod in world.lists[PODS]
            if selector.items() <= (pod["metadata"].get("labels") or {}).items()
            and (find_condition(pod["status"].get("conditions"), "Ready") or {}).get("status") == "True"
        )
        listed = sorted(
            address
            for one in world.lists[ENDPOINT_SLICES]
            if (one["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
            for endpoint in one.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        )
        if wanted != listed:
            yield f"Service {name} names {listed}, ready are {wanted}"


def every_address_is_used_once(world: World) -> Iterator[str]:
    """No two Pods that run report one address."""
    seen: dict[str, str] = {}
    for pod in world.lists[PODS]:
        ip, name = pod["status"].get("podIP"), pod["metadata"]["name"]
        if ip and pod["status"].get("phase") not in _TERMINAL:
            if ip in seen:
                yield f"Pods {seen[ip]} and {name} have {ip}"
            seen[ip] = name


def the_newest_acknowledged_count_is_there(world: World) -> Iterator[str]:
    """The number that the user wrote last, and was told that it is written."""
    for config_map in world.lists[CONFIG_MAPS]:
        if config_map["metadata"]["name"] == "counter" and int(config_map["data"]["count"]) < world.cluster.counted:
            yield f"{config_map['data']['count']} instead of {world.cluster.counted}"


def every_watch_is_current(world: World) -> Iterator[str]:
    """Whoever watches has been told everything."""
    yield from world.cluster.clients.unsent_events()


CHECKS: tuple[Callable[[World], Iterator[str]], ...] = (
    every_node_is_ready,
    every_deletion_has_ended,
    every_pod_has_a_node,
    every_deployment_is_complete,
    every_dependent_has_its_owner,
    nothing_is_left_on_an_engine,
    what_should_run_runs,
    statuses_agree_with_the_engine,
    services_reach_ready_pods,
    every_address_is_used_once,
    the_newest_acknowledged_count_is_there,
    every_watch_is_current,
)


def _fails(pod: Object) -> bool:
    """Whether a Pod has a container that is made to end again and again."""
    return any(item["image"] in ("failing:1", "task:1") for item in pod["spec"]["containers"])


def _newest(records: list[ContainerRecord]) -> dict[str, ContainerRecord]:
    newest: dict[str, ContainerRecord] = {}
    for record in records:
        identity = parse_identity(record.labels)
        if identity is None or identity.role is ContainerRole.SANDBOX:
            continue
        known = newest.get(identity.container_name)
        if known is None or _attempt(known) < identity.attempt:
            newest[identity.container_name] = record
    return newest


def _attempt(record: ContainerRecord) -> int:
    identity: Any = parse_identity(record.labels)
    return int(identity.attempt)
