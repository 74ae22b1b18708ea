"""emptyDir volumes of huge pages: which size of page the volume's file system has. Pure.

The rules and words of the kubelet's getPageSizeMountOption (pkg/volume/emptydir/empty_dir.go, v1.36), for what the Pod
asks for itself (KEP-2837) as well as for what its containers do.
"""

from __future__ import annotations

from agent.volumes.protocol import VolumeError
from control.api.objects import ReadOnlyObject
from control.api.pods import pod_requests
from control.api.quantity import QuantityError, quantity_value

HUGE_PAGES, SIZED_PREFIX = "HugePages", "HugePages-"
RESOURCE_PREFIX = "hugepages-"


def is_huge_pages(medium: str) -> bool:
    """Whether a medium is huge pages, of any size or of a named one."""
    return medium == HUGE_PAGES or medium.startswith(SIZED_PREFIX)


def page_bytes(pod: ReadOnlyObject, medium: str) -> int:
    """The size of the pages of a volume of that medium. Raises VolumeError unless the Pod asks for such pages."""
    asked = {
        quantity_value(name.removeprefix(RESOURCE_PREFIX))
        for name in pod_requests(pod)
        if name.startswith(RESOURCE_PREFIX)
    }
    if medium != HUGE_PAGES:
        asked &= {_medium_bytes(medium)}
    if len(asked) > 1:
        raise VolumeError(f"medium: {medium} can't be used if container requests multiple huge page sizes")
    if not asked:
        raise VolumeError(
            f"medium {medium}: hugePages storage requested, but there is no resource request for huge pages"
        )
    return asked.pop()


def _medium_bytes(medium: str) -> int:
    try:
        return quantity_value(medium.removeprefix(SIZED_PREFIX))
    except QuantityError as error:
        raise VolumeError(f"emptyDir medium not supported: {medium}: {error}") from error
