"""Which container of a Pod a log, exec or attach request means, with upstream's refusals."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.errors import bad_request
from control.api.meta import annotations_of
from control.api.objects import ReadOnlyObject

DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"


def choose_container(pod: ReadOnlyObject, wanted: str) -> str:
    """Return the container's name. Raises 400 if it is not there, or if there are several to choose from."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    if wanted:
        if wanted not in _names(spec, "initContainers", "containers", "ephemeralContainers"):
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = _names(spec, "containers")
    if len(containers) == 1:
        return containers[0]
    if not containers:
        raise bad_request(f"a container name must be specified for pod {name}")
    default = annotations_of(pod).get(DEFAULT_CONTAINER_ANNOTATION, "")
    if default in containers:
        return default
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
    if init_containers := _names(spec, "initContainers"):
        message += f" or one of the init containers: [{' '.join(init_containers)}]"
    raise bad_request(message)


def _names(spec: ReadOnlyObject, *fields: str) -> list[str]:
    found: Iterable[ReadOnlyObject] = (item for field in fields for item in spec.get(field) or ())
    return [item["name"] for item in found]
