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
            make_pod(volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "rbd": {"server": "s"}}]),
            ["spec.volumes[1].rbd"],
            id="a volume type",
        ),
        pytest.param(
            make_pod({"aFieldOfTomorrow": 1}),
            ["spec.containers[0].aFieldOfTomorrow"],
            id="a field of a container",
        ),
        pytest.param(
            make_pod({"securityContext": {"seccompProfile": {"type": "Localhost", "profileOfTomorrow": "p"}}}),
            ["spec.containers[0].securityContext.seccompProfile.profileOfTomorrow"],
            id="deep in the security context",
        ),
        pytest.param(
            make_pod({"securityContext": {"procMount": "Unmasked"}}, hostUsers=False),
            ["spec.containers[0].securityContext.procMount", "spec.hostUsers"],
            id="an open /proc, and the users that it needs",
        ),
        pytest.param(make_pod({"securityContext": {"procMount": "Default"}}), [], id="/proc as it is"),
        pytest.param(
            make_pod({"volumeMounts": [{"name": "v", "mountPath": "/v", "modeOfTomorrow": "x"}]}),
            ["spec.containers[0].volumeMounts[0].modeOfTomorrow"],
            id="of a mount",
        ),
        pytest.param(
            make_pod({"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1", "protocol": "UDP"}]}),
            [],
            id="a port of the node",
        ),
        pytest.param(
            make_pod({"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "::1", "protocol": "SCTP"}]}),
            ["spec.containers[0].ports[0].hostPort", "spec.containers[0].ports[0].hostIP"],
            id="a port of the node that cannot be bound",
        ),
        pytest.param(
            make_pod({"ports": [{"containerPort": 80, "hostPort": 80, "protocol": "SCTP"}]}, hostNetwork=True),
            [],
            id="any port in the node's network",
        ),
        pytest.param(
            make_pod({"livenessProbe": {"smtp": {"port": 25}, "periodSeconds": 1}}),
            ["spec.containers[0].livenessProbe.smtp"],
            id="a kind of probe",
        ),
        pytest.param(
            make_pod(securityContext={"fsGroup": 5, "fsGroupChangePolicy": "OnRootMismatch"}),
            [],
            id="when the group of a volume changes",
        ),
        pytest.param(make_pod(aFieldOfTomorrow=1), ["spec.aFieldOfTomorrow"], id="a field nobody knows yet"),
        pytest.param(make_pod(resourceClaims=[]), [], id="an empty wish"),
    ],
)
def test_unsupported_fields(pod: dict[str, Any], expected: list[str]) -> None:
    assert unsupported_fields(pod) == expected


@pytest.mark.parametrize(
    ("has_selinux", "expected"), [(False, []), (True, ["spec.securityContext.seLinuxChangePolicy"])]
)
def test_how_volumes_are_relabelled_matters_where_there_are_labels(has_selinux: bool, expected: list[str]) -> None:
    pod = make_pod(securityContext={"seLinuxChangePolicy": "MountOption"})
    assert unsupported_fields(pod, has_selinux=has_selinux) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param({}, [], id="a host that limits both"),
        pytest.param(
            {"limits_huge_pages": False},
            ["spec.resources.limits.hugepages-2Mi", "spec.containers[0].resources.limits.hugepages-2Mi"],
            id="a kernel that cannot limit huge pages",
        ),
        pytest.param(
            {"limits_huge_pages": False, "has_pod_cgroups": False},
            ["spec.resources", "spec.containers[0].resources.limits.hugepages-2Mi"],
            id="Pods without cgroups",
        ),
    ],
)
def test_resources_are_unsupported_where_the_host_cannot_limit_them(host: dict[str, bool], expected: list[str]) -> None:
    limits = {"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}}
    pod = make_pod({"resources": limits}, resources=limits)

    assert unsupported_fields(pod, **host) == expected
