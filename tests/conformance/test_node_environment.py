"""Requirements of sig-node on what a container is told: environment, arguments, downward API, expansion.

Every requirement is one Pod that prints what it got; all are created up front. Titles are the requirements' own.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.batch import BUSYBOX, Batch, Object, is_finished, make_object, make_pod, shell
from tests.fakes.docker_images import ARGUMENTS_IMAGE

pytestmark = pytest.mark.docker

RESOURCES = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}


def from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def from_resource(name: str, resource: str) -> Object:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource}}}


def from_key(name: str, kind: str, source: str, key: str) -> Object:
    return {"name": name, "valueFrom": {f"{kind}KeyRef": {"name": source, "key": key}}}


def from_file(name: str, volume: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": volume, "path": path, "key": name}}}


def all_of(kind: str, source: str, *prefixes: str) -> list[Object]:
    """The envFrom that takes every key of a source once for each prefix."""
    return [{"prefix": prefix, f"{kind}Ref": {"name": source}} for prefix in prefixes]


#: of names of variables: every printable character but `=`
PREFIXES = ("", "1-", "$_-", "#$_-", "".join(chr(code) for code in range(33, 127) if chr(code) != "="))


def escaped(text: str) -> str:
    """For a line that facts are put into."""
    return text.replace("{", "{{").replace("}", "}}")


def env_pod(name: str, *env: Object, **fields: Any) -> Object:
    """Prints its environment. Without a shell, which drops names that are none for it."""
    return make_pod(name, {"command": ["env"], "env": list(env), **fields})


TEST_VAR = [{"name": "TEST_VAR", "value": "test-value"}]
READ_ONLY = {"readOnlyRootFilesystem": True}
USER_AND_GROUP = {"runAsUser": 1001, "runAsGroup": 2002}
IDENTITY = "echo uid=$(id -u) gid=$(id -g)"
WRITER = {
    "name": "write",
    "image": BUSYBOX,
    "imagePullPolicy": "IfNotPresent",
    "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    **shell("echo \"COLOUR='dark red'\" > /config/a.env"),
}


# requirement → (its Pod, lines that it must print; {…} are facts of the Pod)
PRINTED: dict[str, tuple[Object, list[str]]] = {
    "[sig-node] ConfigMap should be consumable via environment variable": (
        env_pod("config-key", from_key("CONFIG_DATA_1", "configMap", "settings", "data-1")),
        ["CONFIG_DATA_1=value-1"],
    ),
    "[sig-node] ConfigMap should be consumable via the environment": (
        env_pod("config-all", envFrom=all_of("configMap", "settings", "", "p-")),
        [f"{prefix}data-{number}=value-{number}" for prefix in ("", "p-") for number in (1, 2, 3)],
    ),
    "[sig-node] ConfigMap should be consumable as environment variable names with various prefixes": (
        env_pod("config-prefixes", envFrom=all_of("configMap", "settings", *PREFIXES)),
        [f"{escaped(prefix)}data-{number}=value-{number}" for prefix in PREFIXES for number in (1, 2, 3)],
    ),
    "[sig-node] Secrets should be consumable from pods in env vars": (
        env_pod("secret-key", from_key("SECRET_DATA", "secret", "hidden", "data-1")),
        ["SECRET_DATA=value-1"],
    ),
    "[sig-node] Secrets should be consumable via the environment": (
        env_pod("secret-all", envFrom=all_of("secret", "hidden", "", "p-")),
        [f"{prefix}data-{number}=value-{number}" for prefix in ("", "p-") for number in (1, 2, 3)],
    ),
    "[sig-node] Secrets should be consumable as environment variable names variable names with various prefixes": (
        env_pod("secret-prefixes", envFrom=all_of("secret", "hidden", *PREFIXES)),
        [f"{escaped(prefix)}data-{number}=value-{number}" for prefix in PREFIXES for number in (1, 2, 3)],
    ),
    "[sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars": (
        env_pod(
            "resources",
            from_resource("CPU_LIMIT", "limits.cpu"),
            from_resource("MEMORY_LIMIT", "limits.memory"),
            from_resource("CPU_REQUEST", "requests.cpu"),
            from_resource("MEMORY_REQUEST", "requests.memory"),
            resources=RESOURCES,
        ),
        ["CPU_LIMIT=2", "MEMORY_LIMIT=67108864", "CPU_REQUEST=1", "MEMORY_REQUEST=33554432"],
    ),
    "[sig-node] Downward API should provide default limits.cpu/memory from node allocatable": (
        env_pod("defaults", from_resource("CPU_LIMIT", "limits.cpu"), from_resource("MEMORY_LIMIT", "limits.memory")),
        ["CPU_LIMIT={node_cpu}", "MEMORY_LIMIT={node_memory}"],
    ),
    "[sig-node] Downward API should provide host IP as an env var": (
        env_pod("host-ip", from_field("HOST_IP", "status.hostIP")),
        ["HOST_IP={host_ip}"],
    ),
    "[sig-node] Downward API should provide hostIPs as an env var": (
        env_pod("host-ips", from_field("HOST_IPS", "status.hostIPs")),
        ["HOST_IPS={host_ip}"],
    ),
    "[sig-node] Downward API should provide pod UID as env vars": (
        env_pod("uid", from_field("POD_UID", "metadata.uid")),
        ["POD_UID={uid}"],
    ),
    "[sig-node] Downward API should provide pod name, namespace and IP address as env vars": (
        env_pod(
            "names",
            from_field("POD_NAME", "metadata.name"),
            from_field("POD_NAMESPACE", "metadata.namespace"),
            from_field("POD_IP", "status.podIP"),
        ),
        ["POD_NAME=names", "POD_NAMESPACE={namespace}", "POD_IP={pod_ip}"],
    ),
    "[sig-node] Variable Expansion should allow composing env vars into new env vars": (
        env_pod(
            "composed",
            {"name": "FOO", "value": "foo-value"},
            {"name": "BAR", "value": "bar-value"},
            {"name": "FOOBAR", "value": "$(FOO);;$(BAR)"},
        ),
        ["FOO=foo-value", "BAR=bar-value", "FOOBAR=foo-value;;bar-value"],
    ),
    "[sig-node] Variable Expansion should allow substituting values in a container's command": (
        make_pod("command", {"command": ["sh", "-c", "TEST_VAR=wrong echo $(TEST_VAR)"], "env": TEST_VAR}),
        ["test-value"],
    ),
    "[sig-node] Variable Expansion should allow substituting values in a container's args": (
        make_pod("args", {"command": ["sh", "-c"], "args": ["TEST_VAR=wrong echo $(TEST_VAR)"], "env": TEST_VAR}),
        ["test-value"],
    ),
    "[sig-node] Variable Expansion should allow substituting values in a volume subpath": (
        make_pod(
            "sub-path",
            shell(
                "test -d /testcontainer/foo; echo test=$?",
                env=[{"name": "POD_NAME", "value": "foo"}],
                volumeMounts=[
                    {"name": "work", "mountPath": "/logscontainer", "subPathExpr": "$(POD_NAME)"},
                    {"name": "work", "mountPath": "/testcontainer"},
                ],
            ),
            volumes=[{"name": "work", "emptyDir": {}}],
        ),
        ["test=0"],
    ),
    "[sig-node] Containers should use the image defaults if command and args are blank": (
        make_pod("image-defaults", {"image": ARGUMENTS_IMAGE}),
        ["image-entrypoint image-argument"],
    ),
    "[sig-node] Containers should be able to override the image's default arguments (container cmd)": (
        make_pod("image-args", {"image": ARGUMENTS_IMAGE, "args": ["override", "arguments"]}),
        ["image-entrypoint override arguments"],
    ),
    "[sig-node] Containers should be able to override the image's default command (container entrypoint)": (
        make_pod("image-command", {"image": ARGUMENTS_IMAGE, "command": ["/bin/echo", "override-command"]}),
        ["override-command"],
    ),
    "[sig-node] Containers should be able to override the image's default command and arguments": (
        make_pod("image-both", {"image": ARGUMENTS_IMAGE, "command": ["/bin/echo", "override"], "args": ["arguments"]}),
        ["override arguments"],
    ),
    "[sig-node] Pods should contain environment variables for services": (
        env_pod("services"),
        [
            "FOOSERVICE_SERVICE_HOST={service_ip}",
            "FOOSERVICE_SERVICE_PORT=8765",
            "FOOSERVICE_PORT=tcp://{service_ip}:8765",
            "FOOSERVICE_PORT_8765_TCP=tcp://{service_ip}:8765",
            "FOOSERVICE_PORT_8765_TCP_PROTO=tcp",
            "FOOSERVICE_PORT_8765_TCP_PORT=8765",
            "FOOSERVICE_PORT_8765_TCP_ADDR={service_ip}",
            "KUBERNETES_SERVICE_PORT=443",
        ],
    ),
    "[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs": (
        make_pod("prints", shell("echo 'Hello World'")),
        ["Hello World"],
    ),
    "[sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem": (
        make_pod("read-only", shell("echo test > /file; echo status=$?; cat /file; true", securityContext=READ_ONLY)),
        [
            "sh: can't create /file: Read-only file system",
            "status=1",
            "cat: can't open '/file': No such file or directory",
        ],
    ),
    "[sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts": (
        make_pod(
            "aliases",
            shell("cat /etc/hosts"),
            hostAliases=[{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}],
        ),
        ["# Kubernetes-managed hosts file.", "# Entries added by HostAliases.", "123.45.67.89\tfoo\tbar"],
    ),
    "[sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with "
    "writable rootfs when readOnlyRootFilesystem=false": (
        make_pod(
            "writable", shell("echo test > /file; cat /file", securityContext={"readOnlyRootFilesystem": False})
        ),
        ["test"],
    ),
    "[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege "
    "escalation when false": (
        make_pod(
            "no-new-privileges",
            shell("grep NoNewPrivs: /proc/self/status", securityContext={"allowPrivilegeEscalation": False}),
        ),
        ["NoNewPrivs:\t1"],
    ),
    "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls": (
        make_pod(
            "sysctls",
            {"command": ["/bin/sysctl", "kernel.shm_rmid_forced"]},
            securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
        ),
        ["kernel.shm_rmid_forced = 1"],
    ),
    "[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534": (
        make_pod("user-65534", shell("id -u", securityContext={"runAsUser": 65534})),
        ["65534"],
    ),
    "[sig-node] Security Context should support container.SecurityContext.RunAsUser And "
    "container.SecurityContext.RunAsGroup": (
        make_pod("user-and-group", shell(IDENTITY, securityContext=USER_AND_GROUP)),
        ["uid=1001 gid=2002"],
    ),
    "[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And "
    "pod.Spec.SecurityContext.RunAsGroup": (
        make_pod("user-and-group-of-the-pod", shell(IDENTITY), securityContext=USER_AND_GROUP),
        ["uid=1001 gid=2002"],
    ),
    "[sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when "
    "false": (
        make_pod("unprivileged", shell("ip link add dummy1 type dummy || true", securityContext={"privileged": False})),
        ["ip: RTNETLINK answers: Operation not permitted"],
    ),
    "env files: a variable comes from a file that an init container wrote": (
        make_pod(
            "env-file",
            {"command": ["env"], "env": [from_file("COLOUR", "config", "a.env")]},
            initContainers=[WRITER],
            volumes=[{"name": "config", "emptyDir": {}}],
        ),
        ["COLOUR=dark red"],
    ),
    "hostname: the whole name, where it is asked for": (
        make_pod("fqdn", shell("hostname; cat /etc/hostname"), setHostnameAsFQDN=True, hostname="web", subdomain="db"),
        ["web.db.{namespace}.svc.cluster.local"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def printed(batch: Batch) -> dict[str, tuple[Object, str]]:
    """Every Pod of the table, run to its end: the object and its log."""
    values = {f"data-{number}": f"value-{number}" for number in (1, 2, 3)}
    service = {"selector": {"name": "server"}, "ports": [{"port": 8765, "targetPort": 8080}]}
    batch.create(
        make_object("ConfigMap", "settings", data=values),
        make_object("Secret", "hidden", stringData=values),
        make_object("Service", "fooservice", spec=service),
    )
    pods = [pod for pod, _ in PRINTED.values()]
    batch.create(*pods)
    names = [pod["metadata"]["name"] for pod in pods]
    batch.wait(is_finished, *names, what="all Pods that print have ended")
    found = batch.pods()
    return {name: (found[name], batch.api.text(batch.path(f"pods/{name}/log"))) for name in names}


@pytest.mark.parametrize("requirement", PRINTED)
def test_what_a_container_is_told(batch: Batch, printed: dict[str, tuple[Object, str]], requirement: str) -> None:
    pod, expected = PRINTED[requirement]
    seen, log = printed[pod["metadata"]["name"]]
    assert seen["status"]["phase"] == "Succeeded", (seen["status"], log)
    facts = facts_of(batch, seen)
    lines = log.splitlines()
    for line in expected:
        assert line.format(**facts) in lines


def facts_of(batch: Batch, pod: Object) -> dict[str, str]:
    allocatable = batch.get("node", pod["spec"]["nodeName"])["status"]["allocatable"]
    assert allocatable["memory"].endswith("Ki")
    return {
        "uid": pod["metadata"]["uid"],
        "namespace": batch.namespace,
        "host_ip": pod["status"]["hostIP"],
        "pod_ip": pod["status"]["podIP"],
        "node_cpu": allocatable["cpu"],
        "node_memory": str(int(allocatable["memory"][:-2]) * 1024),
        "service_ip": batch.get("service", "fooservice")["spec"]["clusterIP"],
    }
