"""From Pods to Docker's create bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.runtime.hostname import HostnameError, kernel_hostname, pod_hostname
from agent.runtime.pause_seccomp import PAUSE_SECCOMP_OPTION
from agent.runtime.resource_settings import cpu_settings, memory_settings
from agent.runtime.security_settings import SECCOMP_OF_DOCKER, SECCOMP_UNCONFINED, run_as_root_error
from agent.runtime.sysctls import network_sysctls
from agent.runtime.translate import (
    ContainerRequest,
    HostLimits,
    SandboxRequest,
    container_create_body,
    oom_score,
    sandbox_create_body,
)
from agent.volumes.protocol import Mount

HOST = HostLimits(memory_bytes=16 << 30, can_lower_oom_score=True)
LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}


def make_pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "nginx", **(container or {})}]
    return {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"containers": containers, **spec}}


def container_body(container: dict[str, Any] | None = None, host: HostLimits = HOST, **spec: Any) -> dict[str, Any]:
    pod = make_pod(container, **spec)
    request = ContainerRequest(
        pod=pod,
        container=pod["spec"]["containers"][0],
        image="sha256:1",
        sandbox_id="pause1",
        labels={"l": "v"},
        host=host,
        image_user="www:www",
    )
    return container_create_body(request)


def sandbox_body(host: HostLimits = HOST, **spec: Any) -> dict[str, Any]:
    return sandbox_create_body(SandboxRequest(pod=make_pod(**spec), image="pause", labels={"l": "v"}, host=host))


def test_the_sandbox_of_a_plain_pod() -> None:
    assert sandbox_body() == {
        "Image": "pause",
        "Labels": {"l": "v"},
        "Hostname": "web",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "RestartPolicy": {"Name": "no"},
            "LogConfig": LOG_CONFIG,
            "IpcMode": "shareable",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges", PAUSE_SECCOMP_OPTION],
            "ReadonlyRootfs": True,
            "CpuShares": 2,
            "OomScoreAdj": -998,
        },
    }


def test_an_engine_without_seccomp_is_not_asked_for_a_profile() -> None:
    host = HostLimits(memory_bytes=1, can_lower_oom_score=True, has_seccomp=False)

    assert sandbox_body(host)["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]


def test_the_sandbox_in_host_namespaces() -> None:
    body = sandbox_body(hostNetwork=True, hostPID=True, hostIPC=True)

    assert "Hostname" not in body
    host_config = body["HostConfig"]
    modes = [host_config[name] for name in ("NetworkMode", "UTSMode", "PidMode", "IpcMode")]
    assert modes == ["host"] * 4


def test_a_plain_container_joins_pause() -> None:
    assert container_body(shareProcessNamespace=True) == {
        "Image": "sha256:1",
        "Labels": {"l": "v"},
        "Env": [],
        "OpenStdin": False,
        "StdinOnce": False,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "RestartPolicy": {"Name": "no"},
            "LogConfig": LOG_CONFIG,
            "NetworkMode": "container:pause1",
            "IpcMode": "container:pause1",
            "PidMode": "container:pause1",
            "Mounts": [],
            "CpuShares": 2,
            "OomScoreAdj": 1000,
        },
    }


def test_process_mounts_and_environment() -> None:
    pod = make_pod({"workingDir": "/srv", "stdin": True, "tty": True, "lifecycle": {"stopSignal": "SIGQUIT"}})
    body = container_create_body(
        ContainerRequest(
            pod=pod,
            container=pod["spec"]["containers"][0],
            image="i",
            sandbox_id="p",
            labels={},
            host=HOST,
            command=["nginx"],
            args=["-g", "x"],
            environment=[("A", "1"), ("B", "x=y")],
            mounts=[Mount(host_path="/h", container_path="/c", read_only=True, propagation="rslave")],
        )
    )

    assert (body["Entrypoint"], body["Cmd"], body["WorkingDir"]) == (["nginx"], ["-g", "x"], "/srv")
    assert body["Env"] == ["A=1", "B=x=y"]
    assert (body["OpenStdin"], body["Tty"], body["StopSignal"]) == (True, True, "SIGQUIT")
    assert body["HostConfig"]["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/h",
            "Target": "/c",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rslave"},
        }
    ]


@pytest.mark.parametrize(
    ("spec", "pid_mode"),
    [
        pytest.param({}, None, id="own by default"),
        pytest.param({"shareProcessNamespace": False}, None, id="own when isolated"),
        pytest.param({"shareProcessNamespace": True}, "container:pause1", id="shared"),
        pytest.param({"hostPID": True}, "host", id="the host's"),
    ],
)
def test_pid_namespace(spec: dict[str, Any], pid_mode: str | None) -> None:
    assert container_body(**spec)["HostConfig"].get("PidMode") == pid_mode


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({"requests": {"cpu": "250m"}}, {"CpuShares": 256}, id="a request is a share"),
        pytest.param({"requests": {"cpu": "1m"}}, {"CpuShares": 2}, id="but no less than two"),
        pytest.param({"requests": {"cpu": "1000"}}, {"CpuShares": 262144}, id="and no more than the kernel takes"),
        pytest.param(
            {"limits": {"cpu": "1500m"}},
            {"CpuShares": 1536, "CpuPeriod": 100000, "CpuQuota": 150000},
            id="a limit is a quota, and the request where there is none",
        ),
        pytest.param(
            {"limits": {"cpu": "1m"}}, {"CpuShares": 2, "CpuPeriod": 100000, "CpuQuota": 1000}, id="least quota"
        ),
        pytest.param(
            {"limits": {"memory": "64Mi"}}, {"CpuShares": 2, "Memory": 67108864, "MemorySwap": 67108864}, id="memory"
        ),
    ],
)
def test_resources(resources: dict[str, Any], expected: dict[str, int]) -> None:
    host_config = container_body({"resources": resources})["HostConfig"]
    names = ("CpuShares", "CpuPeriod", "CpuQuota", "Memory", "MemorySwap")

    assert {name: host_config[name] for name in names if name in host_config} == expected


@pytest.mark.parametrize(
    ("resources", "priority", "expected"),
    [
        pytest.param({}, None, 1000, id="BestEffort goes first"),
        pytest.param(
            {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            None,
            -997,
            id="Guaranteed goes last",
        ),
        pytest.param({"requests": {"memory": "4Gi"}}, None, 750, id="Burstable by its share"),
        pytest.param({"requests": {"memory": "1Ki"}}, None, 999, id="Burstable is never BestEffort"),
        pytest.param({"requests": {"memory": "16Gi"}}, None, 3, id="nor Guaranteed"),
        pytest.param({}, 2_000_001_000, -997, id="critical for the node"),
    ],
)
def test_oom_score(resources: dict[str, Any], priority: int | None, expected: int) -> None:
    pod = make_pod({"resources": resources}, priority=priority)

    assert oom_score(pod, pod["spec"]["containers"][0], 16 << 30) == expected


SIDECAR = {"name": "side", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("container", "spec", "expected"),
    [
        pytest.param({}, {"requests": {"memory": "4Gi"}}, 875, id="what the Pod asks for is its two containers' alike"),
        pytest.param({"memory": "2Gi"}, {"requests": {"memory": "4Gi"}}, 813, id="beyond what they ask for"),
        pytest.param({"memory": "4Gi"}, {}, 750, id="a Pod that asks for nothing itself"),
    ],
)
def test_oom_score_with_resources_of_the_pod(container: dict[str, Any], spec: dict[str, Any], expected: int) -> None:
    resources = {"requests": container} if container else {}
    pod = make_pod({"resources": resources}, initContainers=[SIDECAR], resources=spec)

    assert oom_score(pod, pod["spec"]["containers"][0], 16 << 30) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param("1Gi", 500, id="no sooner than the container that asks for least"),
        pytest.param("12Gi", 250, id="later if it asks for more"),
    ],
)
def test_oom_score_of_a_sidecar(own: str, expected: int) -> None:
    sidecar = {**SIDECAR, "resources": {"requests": {"memory": own}}}
    pod = make_pod({"resources": {"requests": {"memory": "8Gi"}}}, initContainers=[sidecar])

    assert oom_score(pod, sidecar, 16 << 30) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(
            {}, {"CpuShares": 1024, "CpuPeriod": 100000, "CpuQuota": 100000, "Memory": 1 << 30}, id="the Pod's"
        ),
        pytest.param(
            {"requests": {"cpu": "100m"}, "limits": {"memory": "1Mi"}},
            {"CpuShares": 102, "CpuPeriod": 100000, "CpuQuota": 100000, "Memory": 1 << 20},
            id="its own where it has one",
        ),
        pytest.param(
            {"limits": {"cpu": "0", "memory": "0"}},
            {"CpuShares": 1024, "CpuPeriod": 100000, "CpuQuota": 100000, "Memory": 1 << 30},
            id="zero is none",
        ),
    ],
)
def test_a_container_without_limits_has_its_pods(own: dict[str, Any], expected: dict[str, int]) -> None:
    pod = make_pod({"resources": own}, resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    container = pod["spec"]["containers"][0]
    settings = {**cpu_settings(pod, container), **memory_settings(pod, container)}

    assert settings.pop("MemorySwap") == settings["Memory"]
    assert settings == expected


def test_a_pods_cgroup_is_the_parent_and_bounds_the_processes() -> None:
    host = HostLimits(memory_bytes=1 << 30, can_lower_oom_score=True, pids_max=100)
    pod = make_pod()
    request = ContainerRequest(
        pod=pod, container=pod["spec"]["containers"][0], image="i", sandbox_id="s", labels={}, host=host
    )
    sandbox = SandboxRequest(pod=pod, image="pause", labels={}, host=host)

    for alone in (container_create_body(request), sandbox_create_body(sandbox)):
        assert (alone["HostConfig"].get("CgroupParent"), alone["HostConfig"]["PidsLimit"]) == (None, 100)
    for below in (
        container_create_body(replace(request, cgroup_parent="/pods/pod1")),
        sandbox_create_body(replace(sandbox, cgroup_parent="/pods/pod1")),
    ):
        assert (below["HostConfig"]["CgroupParent"], below["HostConfig"].get("PidsLimit")) == ("/pods/pod1", None)


def test_scores_below_zero_are_left_out_where_the_host_cannot_lower_them() -> None:
    weak = HostLimits(memory_bytes=16 << 30, can_lower_oom_score=False)
    guaranteed = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}

    assert "OomScoreAdj" not in sandbox_body(weak)["HostConfig"]
    assert "OomScoreAdj" not in container_body({"resources": guaranteed}, weak)["HostConfig"]
    assert container_body({}, weak)["HostConfig"]["OomScoreAdj"] == 1000


@pytest.mark.parametrize(
    ("container", "pod", "expected"),
    [
        pytest.param({"runAsUser": 0}, {"runAsUser": 5}, {"User": "0"}, id="the container's user wins"),
        pytest.param({}, {"runAsUser": 5, "runAsGroup": 6}, {"User": "5:6"}, id="user and group of the Pod"),
        pytest.param({}, {"runAsGroup": 6}, {"User": "www:6"}, id="the image's user with a group of the Pod"),
        pytest.param({}, {"supplementalGroups": [1, 2], "fsGroup": 0}, {"GroupAdd": ["1", "2", "0"]}, id="groups"),
        pytest.param({"privileged": True}, {}, {"Privileged": True}, id="privileged"),
        pytest.param(
            {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
            {},
            {"CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"]},
            id="capabilities",
        ),
        pytest.param({"readOnlyRootFilesystem": True}, {}, {"ReadonlyRootfs": True}, id="read-only"),
        pytest.param(
            {"allowPrivilegeEscalation": False}, {}, {"SecurityOpt": ["no-new-privileges"]}, id="no escalation"
        ),
        pytest.param({"allowPrivilegeEscalation": True}, {}, {}, id="escalation is Docker's default"),
        pytest.param(
            {"appArmorProfile": {"type": "Localhost", "localhostProfile": "own"}},
            {"appArmorProfile": {"type": "Unconfined"}},
            {"SecurityOpt": ["apparmor=own"]},
            id="an AppArmor profile of the node",
        ),
        pytest.param(
            {},
            {"seLinuxOptions": {"level": "s0:c1,c2", "type": "t"}},
            {"SecurityOpt": ["label=level:s0:c1,c2", "label=type:t"]},
            id="SELinux",
        ),
    ],
)
def test_security_context(container: dict[str, Any], pod: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = container_body()
    body = container_body({"securityContext": container}, securityContext=pod)

    changed = {name: value for name, value in body.items() if name != "HostConfig" and plain.get(name) != value}
    changed |= {name: value for name, value in body["HostConfig"].items() if plain["HostConfig"].get(name) != value}
    assert changed == expected


@pytest.mark.parametrize(
    ("profile", "options"),
    [
        ('{"defaultAction":"SCMP_ACT_ALLOW"}', ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']),
        (SECCOMP_UNCONFINED, ["seccomp=unconfined"]),
        (SECCOMP_OF_DOCKER, None),
    ],
)
def test_a_seccomp_profile_is_given_to_docker_as_text(profile: str, options: list[str] | None) -> None:
    pod = make_pod()
    request = ContainerRequest(
        pod=pod,
        container=pod["spec"]["containers"][0],
        image="i",
        sandbox_id="p",
        labels={},
        host=HOST,
        seccomp_profile=profile,
    )

    assert container_create_body(request)["HostConfig"].get("SecurityOpt") == options


@pytest.mark.parametrize(
    ("mount", "recurses", "expected"),
    [
        pytest.param({"read_only": True}, False, {}, id="an engine that makes nothing recursive is told nothing"),
        pytest.param({"read_only": True}, True, {"ReadOnlyNonRecursive": True}, id="not unless asked"),
        pytest.param(
            {"read_only": True, "recursive_read_only": True}, True, {"ReadOnlyForceRecursive": True}, id="when asked"
        ),
        pytest.param({}, True, {}, id="a writable mount"),
    ],
)
def test_whether_the_engine_makes_a_mount_recursive(
    mount: dict[str, bool], recurses: bool, expected: dict[str, bool]
) -> None:
    pod = make_pod()
    request = ContainerRequest(
        pod=pod,
        container=pod["spec"]["containers"][0],
        image="i",
        sandbox_id="p",
        labels={},
        host=HostLimits(memory_bytes=1, can_lower_oom_score=True, engine_recurses=recurses),
        mounts=[Mount(host_path="/a", container_path="/b", **mount)],  # type: ignore[arg-type]
    )

    [made] = container_create_body(request)["HostConfig"]["Mounts"]

    assert made["BindOptions"] == {"Propagation": "", **expected}


def test_sysctls_go_to_the_namespace_they_belong_to() -> None:
    sysctls = [{"name": "kernel.shmmax", "value": "1"}, {"name": "net.core.somaxconn", "value": "1024"}]
    context = {"sysctls": sysctls}

    assert sandbox_body(securityContext=context)["HostConfig"]["Sysctls"] == {"kernel.shmmax": "1"}
    assert network_sysctls(make_pod(securityContext=context)) == {"net.core.somaxconn": "1024"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, "web", id="the short name"),
        pytest.param({"subdomain": "db"}, "web", id="the short name, unless asked otherwise"),
        pytest.param({"setHostnameAsFQDN": True}, "web", id="without a subdomain there is no longer name"),
        pytest.param(
            {"setHostnameAsFQDN": True, "subdomain": "db"}, "web.db.shop.svc.cluster.local", id="the whole name"
        ),
        pytest.param(
            {"setHostnameAsFQDN": True, "subdomain": "db", "hostnameOverride": "x.y"}, "x.y", id="an overridden name"
        ),
    ],
)
def test_kernel_hostname(spec: dict[str, Any], expected: str) -> None:
    assert kernel_hostname(make_pod(**spec), "cluster.local") == expected


def test_a_whole_name_that_the_kernel_cannot_hold_is_refused() -> None:
    pod = make_pod(setHostnameAsFQDN=True, subdomain="d" * 40)
    with pytest.raises(HostnameError, match=r"is too long \(64 characters is the max, 67 characters requested\)"):
        kernel_hostname(pod, "cluster.local")


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        pytest.param("web", {}, "web", id="the Pod's name"),
        pytest.param("web", {"hostname": "db"}, "db", id="as asked"),
        pytest.param("a" * 62 + "-bcd", {}, "a" * 62, id="cut, and not ended by a dash"),
        pytest.param("web", {"hostname": "db", "hostnameOverride": "b" * 64}, "b" * 63, id="overridden"),
    ],
)
def test_pod_hostname(name: str, spec: dict[str, Any], expected: str) -> None:
    assert pod_hostname({"metadata": {"name": name}, "spec": spec}) == expected


@pytest.mark.parametrize(
    ("context", "image_user", "expected"),
    [
        pytest.param({}, "", "", id="not asked for"),
        pytest.param({"runAsNonRoot": True, "runAsUser": 5}, "", "", id="a user that is not root"),
        pytest.param({"runAsNonRoot": True}, "1000:1000", "", id="the image's user is not root"),
        pytest.param(
            {"runAsNonRoot": True, "runAsUser": 0}, "", "container's runAsUser breaks non-root policy", id="root"
        ),
        pytest.param(
            {"runAsNonRoot": True}, "", "container has runAsNonRoot and image will run as root", id="image's root"
        ),
        pytest.param(
            {"runAsNonRoot": True},
            "nginx",
            "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root",
            id="a name proves nothing",
        ),
    ],
)
def test_run_as_root_error(context: dict[str, Any], image_user: str, expected: str) -> None:
    pod = make_pod({"securityContext": context})

    error = run_as_root_error(pod, pod["spec"]["containers"][0], image_user)

    assert error == (f'{expected} (pod: "web_shop(u)", container: main)' if expected else "")
