"""Gathers what a Pod's status is computed from, besides the Pod and what is observed of it."""

from __future__ import annotations

from datetime import datetime

from agent.pods.container_status import StatusInputs
from agent.pods.observed import ObservedPod
from agent.pods.pod_record import PodRecord
from agent.pods.rejection import DEADLINE_EXCEEDED, Rejection
from agent.pods.resize_progress import ResizeProgress
from agent.pods.worker_services import WorkerServices


async def gather_status_inputs(
    pod_record: PodRecord,
    observed: ObservedPod,
    services: WorkerServices,
    *,
    seen_at: datetime,
    rejection: Rejection | None,
    resize: ResizeProgress,
    is_terminated: bool,
) -> StatusInputs:
    """Read the termination messages and images of the observed containers; take the rest as it stands."""
    containers = list(observed.each_container())
    messages = await services.messages.read(pod_record.pod, containers)
    image_ids = {container.record.image_id for container in containers}
    found = [await services.images.find_by_id(image_id) for image_id in image_ids]
    images = [image for image in found if image is not None]
    return StatusInputs(
        now=services.clock.now(),
        seen_at=seen_at,
        host_ips=services.host_ips(),
        waiting=dict(pod_record.waiting),
        termination_messages=messages,
        verdicts=services.probes.verdicts,
        image_references={image.id: f"docker-pullable://{image.digests[0]}" for image in images if image.digests},
        is_terminated=is_terminated,
        lacks_volumes=pod_record.lacks_volumes and not containers,
        is_overdue=rejection is DEADLINE_EXCEEDED,
        reason=rejection.reason if rejection else "",
        message=rejection.message if rejection else "",
        disruption=rejection.disruption if rejection else "",
        pending_resize=resize.pending,
        is_resizing=resize.is_under_way,
        resize_error=pod_record.resize_error,
    )
