"""Translated Pods on a real engine: it accepts the bodies, and the containers find what the Pod asked for."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.translate import (
    ContainerRequest,
    HostLimits,
    SandboxRequest,
    container_create_body,
    sandbox_create_body,
)
from agent.volumes.pod_volumes import PodVolumes
from control.api.clock import SystemClock
from tests.fakes.docker_images import BUSYBOX_IMAGE, PAUSE_IMAGE, ensure_busybox_image, ensure_pause_image
from tests.fakes.objects import FakeObjects

pytestmark = pytest.mark.docker

LIMITS = HostLimits(memory_bytes=1 << 30, can_lower_oom_score=False)
LABEL = "io.podling.test"


class Pods:
    """Starts Pods of one sandbox and one busybox each."""

    def __init__(self, runtime: DockerRuntime, volumes: PodVolumes, objects: FakeObjects) -> None:
        self.runtime = runtime
        self.volumes = volumes
        self.objects = objects
        self.labels = {LABEL: uuid.uuid4().hex[:12]}

    async def start(self, container: dict[str, Any] | None = None, **spec: Any) -> str:
        """Start a Pod and return the id of its container."""
        uid = uuid.uuid4().hex[:12]
        main = {"name": "main", "image": BUSYBOX_IMAGE, **(container or {})}
        pod = {"metadata": {"name": "web", "namespace": "shop", "uid": uid}, "spec": {"containers": [main], **spec}}
        sandbox = sandbox_create_body(SandboxRequest(pod=pod, image=PAUSE_IMAGE, labels=self.labels, host=LIMITS))
        sandbox["HostConfig"].setdefault("NetworkMode", "none")
        sandbox_id = await self.runtime.create_container(f"test-pause-{uid}", sandbox)
        await self.runtime.start_container(sandbox_id)
        volumes = await self.volumes.mount_all(pod)
        body = container_create_body(
            ContainerRequest(
                pod=pod,
                container=main,
                image=BUSYBOX_IMAGE,
                sandbox_id=sandbox_id,
                labels=self.labels,
                host=LIMITS,
                command=["sleep"],
                args=["1000"],
                environment=[("GREETING", "hello world")],
                mounts=self.volumes.container_mounts(pod, main, volumes, {}),
            )
        )
        container_id = await self.runtime.create_container(f"test-main-{uid}", body)
        await self.runtime.start_container(container_id)
        return container_id

    async def ask(self, container_id: str, command: str) -> str:
        """Output of a shell command in the container."""
        result = await self.runtime.run_exec(container_id, ["sh", "-c", command], timeout_seconds=60)
        return result.output.decode().strip()


@pytest.fixture
async def pods(tmp_path: Path) -> AsyncIterator[Pods]:
    ensure_busybox_image()
    ensure_pause_image()
    runtime = DockerRuntime()
    objects = FakeObjects()
    made = Pods(runtime, PodVolumes(root=tmp_path, objects=objects, clock=SystemClock()), objects)
    yield made
    for record in await runtime.list_containers(made.labels):
        await runtime.remove_container(record.id)
    await made.volumes.collect_garbage(frozenset())
    await runtime.close()


async def test_a_pod_that_shares_its_processes(pods: Pods) -> None:
    container = await pods.start(shareProcessNamespace=True)

    assert await pods.ask(container, "hostname; echo $GREETING") == "web\nhello world"
    assert "/pause" in await pods.ask(container, "cat /proc/1/cmdline")


async def test_a_pod_that_isolates_its_processes(pods: Pods) -> None:
    container = await pods.start(shareProcessNamespace=False)

    assert (await pods.ask(container, "cat /proc/1/cmdline")).startswith("sleep")


async def test_a_pod_in_the_hosts_namespaces(pods: Pods) -> None:
    container = await pods.start(hostNetwork=True, hostPID=True, hostIPC=True)

    assert await pods.ask(container, "hostname") == socket.gethostname()
    for namespace in ("net", "pid", "ipc", "uts"):
        link = f"/proc/self/ns/{namespace}"
        assert await pods.ask(container, f"readlink {link}") == os.readlink(link)


async def test_limits_of_the_container(pods: Pods) -> None:
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "32Mi"}}
    container = await pods.start({"resources": resources})

    show = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert await pods.ask(container, show) == str(32 << 20)
    show = "cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    assert (await pods.ask(container, show)).split()[0] == "50000"


async def test_the_security_context(pods: Pods) -> None:
    container = await pods.start(
        {
            "securityContext": {
                "runAsUser": 1234,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        },
        securityContext={
            "runAsGroup": 2345,
            "fsGroup": 3456,
            "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}],
        },
    )

    assert await pods.ask(container, "id -u; id -g; id -G") == "1234\n2345\n2345 3456"
    assert "Read-only file system" in await pods.ask(container, "touch /x 2>&1")
    assert await pods.ask(container, "grep -E 'CapBnd|NoNewPrivs' /proc/self/status | cut -f2") == f"{'0' * 16}\n1"
    assert await pods.ask(container, "cat /proc/sys/kernel/shm_rmid_forced") == "1"


async def test_volumes_are_seen_by_the_container(pods: Pods) -> None:
    pods.objects.set_config_map("c", {"conf": "one"})
    pods.objects.set_secret("s", {"key": b"two"})
    volumes = [
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    mounts = [
        {"name": "config", "mountPath": "/config"},
        {"name": "config", "mountPath": "/etc/one.conf", "subPath": "conf"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "scratch", "mountPath": "/scratch", "subPath": "deep/down"},
        {"name": "memory", "mountPath": "/memory"},
    ]
    container = await pods.start({"volumeMounts": mounts}, volumes=volumes)

    assert await pods.ask(container, "cat /config/conf /etc/one.conf /secret/key") == "oneonetwo"
    assert "Read-only" in await pods.ask(container, "touch /secret/x 2>&1")
    assert await pods.ask(container, "echo kept > /scratch/file && cat /scratch/file") == "kept"
    assert await pods.ask(container, "grep -c ' /memory tmpfs' /proc/mounts") == "1"
    fill = "head -c 2000000 /dev/zero > /memory/big 2>/dev/null; wc -c < /memory/big"
    assert await pods.ask(container, fill) == str(1 << 20)


async def test_a_refreshed_config_map_is_seen_by_the_running_container(pods: Pods) -> None:
    pods.objects.set_config_map("c", {"conf": "old"})
    volumes = [{"name": "config", "configMap": {"name": "c"}}]
    mounting = {"volumeMounts": [{"name": "config", "mountPath": "/config"}]}
    container = await pods.start(mounting, volumes=volumes)
    uid = (await pods.runtime.inspect_container(container)).name.removeprefix("test-main-")

    pods.objects.set_config_map("c", {"conf": "new"})
    spec = {"containers": [{"name": "main", **mounting}], "volumes": volumes}
    await pods.volumes.refresh(
        {"metadata": {"name": "web", "namespace": "shop", "uid": uid}, "spec": spec}, pods.objects
    )

    assert await pods.ask(container, "cat /config/conf") == "new"
