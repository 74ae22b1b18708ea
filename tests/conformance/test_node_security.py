"""Security contexts on real containers: what confines them, who they are, what the node refuses, where secrets go.

All Pods are made at once; each test looks at one of them.
"""

from __future__ import annotations

import json
import shutil
import uuid
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import SECCOMP_PROFILE_ROOT
from agent.volumes.mounting import mount_tmpfs, mounts_below, unmount
from tests.cluster import docker, wait_for
from tests.conformance.batch import Batch, Object, is_finished, is_ready, make_object, make_pod, message_of, shell
from tests.fakes.docker_images import ACCOUNTS_IMAGE, ensure_accounts_image

pytestmark = pytest.mark.docker

RUN = uuid.uuid4().hex[:8]
ASKED_FOR, MOUNTED, PULL_PASSWORD = f"asked-{RUN}", f"mounted-{RUN}", f"password-{RUN}"
NO_DIRECTORIES = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
}
MAKE_DIRECTORY = "mkdir /tmp/d 2>&1 && echo made"
IDENTITY = "echo uid=$(id -u) gid=$(id -g) groups=$(grep Groups /proc/self/status | cut -f2)"
POWERS = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\n\\t' '; '"
SECCOMP = "grep Seccomp: /proc/self/status | cut -f2"
WRITE = "for d in /all /below /top; do touch $d/mount/file 2>&1 && echo written $d; done; sleep 1000"


def localhost(profile: str) -> Object:
    return {"seccompProfile": {"type": "Localhost", "localhostProfile": f"podling-{RUN}/{profile}"}}


def identity_pod(name: str, **context: Any) -> Object:
    """A Pod of the image with accounts that says who it is."""
    return make_pod(name, shell(IDENTITY, image=ACCOUNTS_IMAGE), securityContext=context)


def sysctl_pod(name: str, sysctl: str) -> Object:
    return make_pod(name, shell("true"), securityContext={"sysctls": [{"name": sysctl, "value": "1"}]})


# name → (its Pod, what it prints)
SPEAKING: dict[str, tuple[Object, str]] = {
    "merged-by-docker": (identity_pod("merged-by-docker"), "uid=33 gid=34 groups=34 44 50"),
    "merged-beside-a-group": (
        identity_pod("merged-beside-a-group", runAsUser=33, runAsGroup=7, supplementalGroups=[60]),
        "uid=33 gid=7 groups=7 44 50 60",
    ),
    "strict": (
        identity_pod("strict", supplementalGroupsPolicy="Strict", supplementalGroups=[60]),
        "uid=33 gid=34 groups=34 60",
    ),
    "strict-by-number": (
        identity_pod("strict-by-number", supplementalGroupsPolicy="Strict", runAsUser=33, fsGroup=61),
        "uid=33 gid=34 groups=34 61",
    ),
    "capabilities": (
        make_pod(
            "capabilities",
            shell(
                POWERS,
                securityContext={
                    "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "CAP_CHOWN"]},
                    "allowPrivilegeEscalation": False,
                    "windowsOptions": {"runAsUserName": "nobody"},
                    "seLinuxOptions": {"level": "s0"},
                },
            ),
            securityContext={"seLinuxChangePolicy": "MountOption"},
        ),
        "CapEff: 0000000000001001;NoNewPrivs: 1;Seccomp: 0;",
    ),
    "no-profile-named": (make_pod("no-profile-named", shell(SECCOMP)), "0"),
    "profile-of-docker": (
        make_pod("profile-of-docker", shell(SECCOMP), securityContext={"seccompProfile": {"type": "RuntimeDefault"}}),
        "2",
    ),
    "unconfined-in-a-confined-pod": (
        make_pod(
            "unconfined-in-a-confined-pod",
            shell(SECCOMP, securityContext={"seccompProfile": {"type": "Unconfined"}}),
            securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
        ),
        "0",
    ),
}
# name → (the Pod, the container that waits, its reason, what its message contains)
WAITING: dict[str, tuple[Object, str, str]] = {
    "no-profile": (
        make_pod("no-profile", shell("true"), securityContext=localhost("missing.json")),
        "CreateContainerError",
        f'cannot load seccomp profile "{SECCOMP_PROFILE_ROOT}/podling-{RUN}/missing.json": open ',
    ),
    "broken-profile": (
        make_pod("broken-profile", shell("true", securityContext=localhost("broken.json"))),
        "CreateContainerError",
        f'cannot load seccomp profile "{SECCOMP_PROFILE_ROOT}/podling-{RUN}/broken.json": ',
    ),
    "own-users": (
        make_pod("own-users", shell("true"), hostUsers=False),
        "CreateContainerConfigError",
        "this node does not support: spec.hostUsers",
    ),
    "root-by-image": (
        make_pod("root-by-image", shell("true"), securityContext={"runAsNonRoot": True}),
        "CreateContainerConfigError",
        "container has runAsNonRoot and image will run as root",
    ),
    "user-by-name": (
        make_pod("user-by-name", shell("true", image=ACCOUNTS_IMAGE), securityContext={"runAsNonRoot": True}),
        "CreateContainerConfigError",
        "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root",
    ),
}
# name → (the Pod, why it fails, with what message)
REFUSED: dict[str, tuple[Object, str, str]] = {
    "unsafe-sysctl": (
        sysctl_pod("unsafe-sysctl", "net.core.somaxconn"),
        "SysctlForbidden",
        'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted',
    ),
    "sysctl-of-the-node": (
        sysctl_pod("sysctl-of-the-node", "vm.swappiness"),
        "SysctlForbidden",
        'Pod was rejected: forbidden sysctl: "vm.swappiness" not allowlisted',
    ),
}
APP_ARMOR = make_pod("app-armor", shell("true"), securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})


def seccomp_pod() -> Object:
    """One container with the profile of the Pod, one with its own."""
    own = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    return make_pod(
        "profiles", shell(MAKE_DIRECTORY), shell(MAKE_DIRECTORY, **own), securityContext=localhost("strict.json")
    )


def read_only_pod(name: str, directory: Path) -> Object:
    """The same directory, which has a mount below it, three times: read-only throughout, if possible, and on top."""
    mounts = [
        {"mountPath": "/all", "recursiveReadOnly": "Enabled"},
        {"mountPath": "/below", "recursiveReadOnly": "IfPossible"},
        {"mountPath": "/top"},
    ]
    mounts = [{"name": "v", "readOnly": True, **mount} for mount in mounts]
    volumes = [{"name": "v", "hostPath": {"path": str(directory)}}]
    return make_pod(name, shell(WRITE, volumeMounts=mounts), volumes=volumes)


def secret_pod() -> Object:
    """One secret in the environment, one in a volume, one to pull with, and a token."""
    env = [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "asked", "key": "word"}}}]
    container = shell("sleep 1000", env=env, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    volumes = [{"name": "v", "secret": {"secretName": "mounted"}}]
    return make_pod("secrets", container, volumes=volumes, imagePullSecrets=[{"name": "pull"}])


@pytest.fixture(scope="module")
def profiles() -> Iterator[None]:
    """Two seccomp profiles where the kubelet's are, and nothing left afterwards."""
    made = [path for path in (SECCOMP_PROFILE_ROOT, *SECCOMP_PROFILE_ROOT.parents) if not path.exists()]
    directory = SECCOMP_PROFILE_ROOT / f"podling-{RUN}"
    directory.mkdir(parents=True)
    (directory / "strict.json").write_text(json.dumps(NO_DIRECTORIES, indent=2))
    (directory / "broken.json").write_text("{")
    yield
    shutil.rmtree(directory)
    for path in made:
        path.rmdir()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of the host with a file system mounted below it."""
    directory = tmp_path_factory.mktemp("tree")
    (directory / "mount").mkdir()
    mount_tmpfs(directory / "mount")
    yield directory
    unmount(directory / "mount")


@pytest.fixture(scope="module")
def pods(batch: Batch, profiles: None, tree: Path) -> Batch:
    """All Pods, those that print something at their end, the others running, waiting or refused."""
    ensure_accounts_image()
    login = json.dumps({"auths": {"registry.invalid": {"username": "u", "password": PULL_PASSWORD}}})
    batch.create(
        make_object("Secret", "asked", stringData={"word": ASKED_FOR}),
        make_object("Secret", "mounted", stringData={"word": MOUNTED}),
        make_object(
            "Secret",
            "pull",
            type="kubernetes.io/dockerconfigjson",
            data={".dockerconfigjson": b64encode(login.encode()).decode()},
        ),
        *(pod for pod, *_ in (*SPEAKING.values(), *WAITING.values(), *REFUSED.values())),
        APP_ARMOR,
        seccomp_pod(),
        *(read_only_pod(name, tree) for name in ("read-only", "unmounted")),
        secret_pod(),
    )
    batch.wait(is_finished, "profiles", *SPEAKING, *REFUSED, what="the Pods that end have ended")
    batch.wait(is_ready, "read-only", "unmounted", "secrets", what="the Pods that stay run")
    return batch


@pytest.mark.parametrize("name", SPEAKING)
def test_a_container_is_who_its_pod_says_and_may_what_its_pod_says(pods: Batch, name: str) -> None:
    assert pods.logs(name).strip() == SPEAKING[name][1]


def test_a_seccomp_profile_of_the_node_confines_the_containers_of_a_pod(pods: Batch) -> None:
    assert "Operation not supported" in pods.logs("profiles", "-c", "main")
    assert pods.logs("profiles", "-c", "c1").strip() == "made"


@pytest.mark.parametrize("name", WAITING)
def test_a_container_that_cannot_be_made_as_asked_waits_and_says_why(pods: Batch, name: str) -> None:
    _, reason, message = WAITING[name]
    pods.wait(lambda pod: "reason" in waiting_of(pod), name, what="the container waits")
    waiting = waiting_of(pods.pods()[name])
    assert waiting["reason"] == reason
    assert message in waiting["message"]
    wait_for(lambda: any(message in event["message"] for event in pods.events(name)), "an Event says so")


def waiting_of(pod: Object) -> Object:
    """The waiting state of a Pod's container, once it is more than new."""
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    waiting: Object = statuses[0].get("state", {}).get("waiting") or {}
    return {} if waiting.get("reason") == "ContainerCreating" else waiting


@pytest.mark.parametrize("name", REFUSED)
def test_a_pod_that_the_node_must_not_run_fails(pods: Batch, name: str) -> None:
    _, reason, message = REFUSED[name]
    status = pods.pods()[name]["status"]
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", reason, message)
    assert message_of(pods, name, reason)


def test_app_armor_is_enforced_or_the_pod_fails(pods: Batch) -> None:
    pods.wait(is_finished, "app-armor", what="the Pod has ended, one way or the other")
    status = pods.pods()["app-armor"]["status"]
    if "apparmor" in docker("info", "--format", "{{.SecurityOptions}}"):
        assert status["phase"] == "Succeeded"
    else:
        message = "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
        assert (status["phase"], status["reason"], status["message"]) == ("Failed", "AppArmor", message)


def test_the_ids_of_a_container_are_in_its_status(pods: Batch) -> None:
    [status] = pods.pods()["secrets"]["status"]["containerStatuses"]
    assert status["user"] == {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}}


def test_a_mount_is_read_only_with_all_below_it_where_that_is_asked_for(pods: Batch) -> None:
    lines = wait_for(lambda: (lines := pods.logs("read-only").splitlines()) and len(lines) == 3 and lines, "3 tries")
    assert [line.rpartition(": ")[2] for line in lines] == ["Read-only file system"] * 2 + ["written /top"]
    [status] = pods.pods()["read-only"]["status"]["containerStatuses"]
    modes = {mount["mountPath"]: mount.get("recursiveReadOnly") for mount in status["volumeMounts"]}
    assert {path: modes[path] for path in ("/all", "/below", "/top")} == {
        "/all": "Enabled",
        "/below": "Enabled",
        "/top": "Disabled",
    }


def test_the_node_says_what_it_can_do(pods: Batch) -> None:
    [node] = pods.get("nodes")["items"]
    assert node["status"]["features"] == {"supplementalGroupsPolicy": True}
    features = {handler["name"]: handler["features"] for handler in node["status"]["runtimeHandlers"]}
    assert features[""] == {"recursiveReadOnlyMounts": True, "userNamespaces": False}


def test_no_secret_is_shown_by_the_engine_but_what_a_pod_asked_into_its_environment(pods: Batch) -> None:
    mine = docker("ps", "-aq", "--no-trunc", "--filter", f"label=io.kubernetes.pod.namespace={pods.namespace}").split()
    others = docker("volume", "ls", "-q").split() + docker("network", "ls", "-q").split()
    containers: list[Object] = json.loads(docker("inspect", *mine, check=False))
    [asking] = [item for item in containers if f"WORD={ASKED_FOR}" in (item["Config"]["Env"] or ())]
    asking["Config"]["Env"].remove(f"WORD={ASKED_FOR}")

    # What others remove meanwhile is left out.
    shown = json.dumps(containers) + docker("inspect", *others, check=False)

    token = pods.kubectl("exec", "secrets", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    for secret in (ASKED_FOR, MOUNTED, PULL_PASSWORD, token.strip()):
        assert secret not in shown
        assert b64encode(secret.encode()).decode() not in shown


def test_no_mount_is_left_of_a_pod_that_is_gone(pods: Batch) -> None:
    uid = pods.pods()["unmounted"]["metadata"]["uid"]

    def left() -> list[Path]:
        return [path for path in mounts_below(pods.cluster.state) if uid in path.parts]

    assert left()
    pods.kubectl("delete", "pod", "unmounted", "--now")
    wait_for(lambda: not left(), "its mounts are gone")
