"""Some programs insist on being process 1: what the user is told when one seems to share its Pod's processes."""

from __future__ import annotations

from agent.pods.container_cache import ContainerCache
from agent.pods.pod_record import PodRecord

QUICK_EXIT_SECONDS = 5.0


def process_sharing_hint(pod_record: PodRecord, cache: ContainerCache, name: str) -> str:
    """The message, once, when a container of a sharing Pod fails by itself right after its start."""
    pod = pod_record.pod
    newest = pod_record.observe(cache).find(name)
    if newest is None or newest.id in pod_record.stopped:
        return ""
    if name in pod_record.hinted or not pod["spec"].get("shareProcessNamespace"):
        return ""
    record = newest.record
    if record.started_at is None or record.finished_at is None or record.exit_code == 0:
        return ""
    if (record.finished_at - record.started_at).total_seconds() >= QUICK_EXIT_SECONDS:
        return ""
    pod_record.hinted.add(name)
    return (
        f"Container {name} exits right after its start. The Pod's containers share one process namespace; a "
        "program that must be process 1 (init, systemd, s6) needs `shareProcessNamespace: false` in its Pod."
    )
