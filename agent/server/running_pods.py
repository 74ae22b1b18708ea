"""`/runningpods/`: the Pods that have something running, as the engine alone tells of them."""

from __future__ import annotations

from agent.pods.container_cache import ContainerCache
from control.api.objects import Object


def running_pods(cache: ContainerCache) -> list[Object]:
    """Pods with names and images of what runs, and nothing that only the API knows."""
    found = []
    for pod_uid in sorted(cache.pod_uids()):
        running = cache.observe(pod_uid, stopping={}, attached=()).running_containers()
        identities = cache.identities(pod_uid)
        if not running or not identities:
            continue
        containers = [{"name": item.name, "image": item.record.image_id, "resources": {}} for item in running]
        metadata = {"name": identities[0].pod_name, "namespace": identities[0].pod_namespace, "uid": pod_uid}
        found.append({"metadata": metadata, "spec": {"containers": containers}, "status": {}})
    return found
