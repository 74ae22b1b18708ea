"""No field of a Pod is dropped silently."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtime.unsupported_fields import unsupported_fields


def make_pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "main", "image": "i", **(container or {})}], **spec}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(make_pod(), [], id="a plain Pod"),
        pytest.param(make_pod(hostUsers=False), ["spec.hostUsers"], id="a field of the Pod"),
        pytest.param(make_pod(hostUsers=True), [], id="what happens anyway"),
        pytest.param(
            make_pod(volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {"server": "s"}}]),
            ["spec.volumes[1].nfs"],
            id="a volume type",
        ),
        pytest.param(
            make_pod({"volumeDevices": [{"name": "d", "devicePath": "/dev/x"}]}),
            ["spec.containers[0].volumeDevices"],
            id="a field of a container",
        ),
        pytest.param(
            make_pod({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}}),
            ["spec.containers[0].securityContext.seccompProfile.localhostProfile"],
            id="deep in the security context",
        ),
        pytest.param(
            make_pod({"volumeMounts": [{"name": "v", "mountPath": "/v", "recursiveReadOnly": "Enabled"}]}),
            ["spec.containers[0].volumeMounts[0].recursiveReadOnly"],
            id="of a mount",
        ),
        pytest.param(
            make_pod({"resources": {"limits": {"hugepages-2Mi": "4Mi"}}}),
            ["spec.containers[0].resources.limits.hugepages-2Mi"],
            id="huge pages",
        ),
        pytest.param(make_pod(aFieldOfTomorrow=1), ["spec.aFieldOfTomorrow"], id="a field nobody knows yet"),
        pytest.param(make_pod(resourceClaims=[]), [], id="an empty wish"),
    ],
)
def test_unsupported_fields(pod: dict[str, Any], expected: list[str]) -> None:
    assert unsupported_fields(pod) == expected
