"""What a user does to the cluster: one seeded operation after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from control.api.builtin_kinds import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS, SERVICES
from control.api.objects import Object
from tests.simulation.user import NAMESPACE, bare_pod, deployment, service

if TYPE_CHECKING:
    from tests.simulation.cluster import SimulatedCluster

IMAGES = ("web:1", "web:2", "web:3")
NODES_MAX = 5
PODS_PER_USER_MAX = 14
TAINT = {"key": "simulated", "effect": "NoExecute", "value": "yes"}

Operation = Callable[["SimulatedCluster"], Awaitable[object]]


async def run_workload(cluster: SimulatedCluster, *, operations: int, pause_seconds: float) -> None:
    """Do that many things, with pauses in between. Some go on while the next one begins."""
    random = cluster.user.random
    names, weights = list(OPERATIONS), [weight for weight, _ in OPERATIONS.values()]
    going_on = [asyncio.ensure_future(OPERATIONS["create a Deployment"][1](cluster))]
    for _ in range(operations):
        [name] = random.choices(names, weights)
        cluster.trace.write("user", f"begins to {name}")
        going_on.append(asyncio.ensure_future(OPERATIONS[name][1](cluster)))
        await asyncio.sleep(random.random() * 2 * pause_seconds)
    await asyncio.gather(*going_on)


async def create_deployment(cluster: SimulatedCluster) -> object:
    """With a Service, sometimes."""
    random = cluster.user.random
    if len(await cluster.user.names(DEPLOYMENTS)) > 3:
        return None
    name = f"web-{random.randrange(4)}"
    if random.random() < 0.5:
        await cluster.user.create(SERVICES, service(name))
    made = deployment(
        name,
        replicas=random.randrange(1, 4),
        image=random.choice(IMAGES),
        strategy=random.choice(["RollingUpdate", "RollingUpdate", "Recreate"]),
        grace_seconds=random.choice([1, 3, 30]),
    )
    return await cluster.user.create(DEPLOYMENTS, made)


async def scale(cluster: SimulatedCluster) -> object:
    """To anything between none and four."""
    name = await cluster.user.choose(DEPLOYMENTS)
    replicas = cluster.user.random.randrange(5)
    return name and await cluster.user.patch(DEPLOYMENTS, name, {"spec": {"replicas": replicas}}, subresource="scale")


async def update(cluster: SimulatedCluster) -> object:
    """Another image, or a restart."""
    random = cluster.user.random
    name = await cluster.user.choose(DEPLOYMENTS)
    template: Object = {"metadata": {"annotations": {"restarted": str(random.randrange(1000))}}}
    if random.random() < 0.7:
        container = {"name": "web", "image": random.choice(IMAGES), "imagePullPolicy": "IfNotPresent"}
        template = {"spec": {"containers": [container]}}
    return name and await cluster.user.patch(DEPLOYMENTS, name, {"spec": {"template": template}})


async def roll_back(cluster: SimulatedCluster) -> object:
    """To the template of any ReplicaSet the Deployment still has."""
    name = await cluster.user.choose(DEPLOYMENTS)
    answer = await cluster.user.insist(lambda: cluster.user.client.list(REPLICA_SETS, namespace=NAMESPACE))
    own = [
        item
        for item in (answer or {}).get("items") or ()
        if any(owner["name"] == name for owner in item["metadata"].get("ownerReferences") or ())
    ]
    if not name or not own:
        return None
    containers = cluster.user.random.choice(own)["spec"]["template"]["spec"]["containers"]
    return await cluster.user.patch(DEPLOYMENTS, name, {"spec": {"template": {"spec": {"containers": containers}}}})


async def pause_and_resume(cluster: SimulatedCluster) -> object:
    """A Deployment is paused for a while."""
    name = await cluster.user.choose(DEPLOYMENTS)
    if not name:
        return None
    await cluster.user.patch(DEPLOYMENTS, name, {"spec": {"paused": True}})
    await asyncio.sleep(cluster.user.random.random() * 5)
    return await cluster.user.patch(DEPLOYMENTS, name, {"spec": {"paused": None}})


async def delete_deployment(cluster: SimulatedCluster) -> object:
    """In any of the three ways."""
    name = await cluster.user.choose(DEPLOYMENTS)
    propagation = cluster.user.random.choice(["Background", "Background", "Foreground", "Orphan"])
    return name and await cluster.user.delete(DEPLOYMENTS, name, propagation=propagation)


async def create_pod(cluster: SimulatedCluster) -> object:
    """One that runs on, completes, or keeps failing."""
    random = cluster.user.random
    policy, images = random.choice(
        [
            ("Always", ["web:1"]),
            ("Always", ["web:2", "web:3"]),
            ("Always", ["failing:1"]),
            ("Never", ["task:1"]),
            ("OnFailure", ["task:1", "failing:1"]),
            ("Never", ["failing:1", "task:1"]),
        ]
    )
    return await cluster.user.create(PODS, bare_pod(f"pod-{random.randrange(6)}", images=images, restart_policy=policy))


async def change_pod_image(cluster: SimulatedCluster) -> object:
    """In place."""
    name = await cluster.user.choose(PODS)
    pod = await cluster.user.insist(lambda: cluster.user.client.get(PODS, name, namespace=NAMESPACE)) if name else None
    if not pod:
        return None
    containers = [{**item, "image": cluster.user.random.choice(IMAGES)} for item in pod["spec"]["containers"]]
    return await cluster.user.patch(PODS, pod["metadata"]["name"], {"spec": {"containers": containers}})


async def delete_pod(cluster: SimulatedCluster) -> object:
    """With its own grace, another one, or by force."""
    name = await cluster.user.choose(PODS)
    pod = await cluster.user.insist(lambda: cluster.user.client.get(PODS, name, namespace=NAMESPACE)) if name else None
    if not pod:
        return None
    grace = cluster.user.random.choice([None, None, 1, 5, 0])
    if grace == 0:
        cluster.pods.forced.add(pod["metadata"]["uid"])
    uid = pod["metadata"]["uid"]
    return await cluster.user.delete(PODS, pod["metadata"]["name"], grace_period_seconds=grace, uid=uid)


async def evict_pod(cluster: SimulatedCluster) -> object:
    """Any."""
    name = await cluster.user.choose(PODS)
    return name and await cluster.user.evict(name)


async def drain(cluster: SimulatedCluster) -> object:
    """Cordon, evict everything, come back later."""
    name = await cluster.user.choose(NODES)
    if not name:
        return None
    await cluster.user.patch(NODES, name, {"spec": {"unschedulable": True}})
    for pod in await cluster.user.find_pods(name):
        await cluster.user.evict(pod["metadata"]["name"])
    await asyncio.sleep(cluster.user.random.random() * 15)
    return await cluster.user.patch(NODES, name, {"spec": {"unschedulable": None}})


async def taint(cluster: SimulatedCluster) -> object:
    """Drive all Pods off a node for a while."""
    name = await cluster.user.choose(NODES)
    if not name:
        return None
    await _set_taint(cluster, name, present=True)
    await asyncio.sleep(cluster.user.random.random() * 10)
    return await _set_taint(cluster, name, present=False)


async def _set_taint(cluster: SimulatedCluster, name: str, *, present: bool) -> object:
    """Read, change, write with the version that was read, as kubectl taint does."""
    for _ in range(5):
        node = await cluster.user.insist(lambda: cluster.user.client.get(NODES, name))
        if not node:
            return None
        others = [item for item in node["spec"].get("taints") or () if item["key"] != TAINT["key"]]
        taints = [*others, TAINT] if present else others
        changed = {**node, "spec": {**node["spec"], "taints": taints}}
        answer = await cluster.user.insist(lambda changed=changed: cluster.user.client.update(NODES, changed))
        if answer:
            return answer
    return None


async def add_node(cluster: SimulatedCluster) -> object:
    """If there is room."""
    if len(cluster.nodes) < NODES_MAX:
        cluster.add_node()
    return None


async def remove_node(cluster: SimulatedCluster) -> object:
    """Power one off and delete it, if enough others are left."""
    if len(cluster.nodes) > 2:
        name = cluster.user.random.choice(sorted(cluster.nodes))
        await cluster.remove_node(name)
    return None


async def count_up(cluster: SimulatedCluster) -> object:
    """Write a number that must never be lost."""
    cluster.counter += 1
    value = {"data": {"count": str(cluster.counter)}}
    if not await cluster.user.patch(CONFIG_MAPS, "counter", value):
        return await cluster.user.create(CONFIG_MAPS, {"metadata": {"name": "counter"}, **value})
    return None


OPERATIONS: dict[str, tuple[int, Operation]] = {
    "create a Deployment": (4, create_deployment),
    "scale": (4, scale),
    "update": (4, update),
    "roll back": (2, roll_back),
    "pause and resume": (1, pause_and_resume),
    "delete a Deployment": (1, delete_deployment),
    "create a Pod": (4, create_pod),
    "change a Pod's image": (1, change_pod_image),
    "delete a Pod": (3, delete_pod),
    "evict a Pod": (1, evict_pod),
    "drain a node": (1, drain),
    "taint a node": (1, taint),
    "add a node": (1, add_node),
    "remove a node": (1, remove_node),
    "count up": (2, count_up),
}
