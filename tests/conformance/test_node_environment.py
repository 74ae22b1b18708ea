"""Requirements of sig-node on what a container is told: environment, arguments, downward API, expansion.

Every requirement is one Pod that prints what it got; all are created up front. Titles are the requirements' own.
"""

from __future__ import annotations

import json
from base64 import b64encode
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


def env_pod(name: str, *env: Object, **fields: Any) -> Object:
    """Prints its environment. Without a shell, which drops names that are none for it."""
    return make_pod(name, {"command": ["env"], "env": list(env), **fields})


TEST_VAR = [{"name": "TEST_VAR", "value": "test-value"}]
READ_ONLY = {"readOnlyRootFilesystem": True}
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
        ["data-1=value-1", "data-2=value-2", "p-data-1=value-1", "p-data-2=value-2"],
    ),
    "[sig-node] Secrets should be consumable via the environment": (
        env_pod("secret-all", envFrom=all_of("secret", "hidden", "", "p-")),
        ["data-1=value-1", "p-data-1=value-1"],
    ),
    "[sig-node] Secrets should be consumable as environment variable names variable names with various prefixes": (
        env_pod("secret-prefixes", envFrom=all_of("secret", "hidden", "#$_-", "1-", "p_", "$")),
        ["#$_-data-1=value-1", "1-data-1=value-1", "p_data-1=value-1", "$data-1=value-1"],
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
        ["FOOBAR=foo-value;;bar-value"],
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
        make_pod("read-only", shell("echo test > /file; echo status=$?", securityContext=READ_ONLY)),
        ["status=1"],
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
    settings = {"data-1": "value-1", "data-2": "value-2"}
    service = {"selector": {"name": "server"}, "ports": [{"port": 8765, "targetPort": 8080}]}
    batch.create(
        make_object("ConfigMap", "settings", data=settings),
        make_object("Secret", "hidden", data={"data-1": b64encode(b"value-1").decode()}),
        make_object("Service", "fooservice", spec=service),
    )
    pods = [pod for pod, _ in PRINTED.values()]
    batch.create(*pods)
    names = [pod["metadata"]["name"] for pod in pods]
    batch.wait(is_finished, *names, what="all Pods that print have ended")
    found = batch.pods()
    return {name: (found[name], batch.logs(name)) for name in names}


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


# --- subpaths that fail -----------------------------------------------------------------------------------------------

ANNOTATION = [from_field("NAME", "metadata.annotations['path']")]


def expression_pod(name: str, value: str) -> Object:
    container = shell(
        "touch /work/made; echo mounted; sleep 1000",
        env=ANNOTATION,
        volumeMounts=[{"name": "work", "mountPath": "/work", "subPathExpr": "$(NAME)/$(NAME)"}],
    )
    pod = make_pod(name, container, volumes=[{"name": "work", "emptyDir": {}}])
    pod["metadata"]["annotations"] = {"path": value}
    return pod


def has_configuration_error(pod: Object) -> bool:
    statuses = pod["status"].get("containerStatuses") or [{}]
    reason = (statuses[0].get("state") or {}).get("waiting", {}).get("reason")
    return bool(reason == "CreateContainerConfigError")


def test_variable_expansion_should_fail_substituting_values_in_a_volume_subpath(batch: Batch) -> None:
    """Requirements "… with absolute path" and "… with backticks"; the second names no variable at all."""
    backticks = expression_pod("backticks", "x")
    backticks["spec"]["containers"][0]["volumeMounts"][0]["subPathExpr"] = "$(`hostname`)"
    absolute = expression_pod("absolute", "/tmp")
    absolute["spec"]["containers"][0]["volumeMounts"][0]["subPathExpr"] = "$(NAME)"
    batch.create(backticks, absolute)
    batch.wait(has_configuration_error, "backticks", "absolute", what="a subpath that cannot be expanded is refused")


def test_variable_expansion_a_failing_subpath_expansion_can_be_modified_during_the_lifecycle_of_a_container(
    batch: Batch,
) -> None:
    batch.create(expression_pod("modified", "/bad"))
    batch.wait(has_configuration_error, "modified", what="the expansion fails")
    batch.kubectl("annotate", "--overwrite", "pod", "modified", "path=good")
    batch.wait(lambda pod: pod["status"]["phase"] == "Running", "modified", what="the container runs once it can")
    assert "mounted" in batch.logs("modified")


def test_variable_expansion_should_succeed_in_writing_subpaths_in_container(batch: Batch) -> None:
    pod = expression_pod("writes", "sub")
    watcher = {"volumeMounts": [{"name": "work", "mountPath": "/all"}]}
    pod["spec"]["containers"].append(make_pod("x", {}, shell("sleep 1000", **watcher))["spec"]["containers"][1])
    batch.create(pod)
    batch.wait(lambda one: one["status"]["phase"] == "Running", "writes", what="the Pod runs")
    batch.kubectl("exec", "writes", "-c", "c1", "--", "test", "-f", "/all/sub/sub/made")
    batch.kubectl("annotate", "--overwrite", "pod", "writes", "path=/no-longer-valid")
    batch.kubectl("delete", "pod", "writes")
    assert "writes" not in batch.pods()


def test_kubelet_when_scheduling_a_busybox_command_that_always_fails(batch: Batch) -> None:
    """Requirements "… should have an terminated reason" and "… should be possible to delete"."""
    batch.create(make_pod("fails", {"command": ["/bin/false"]}))
    batch.wait(is_finished, "fails", what="the Pod has failed")
    terminated = batch.pods()["fails"]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("Error", 1)
    batch.kubectl("delete", "pod", "fails")
    assert "fails" not in batch.pods()


def test_config_map_should_update_successfully_and_run_through_a_lifecycle(batch: Batch) -> None:
    """Requirements "ConfigMap should update ConfigMap successfully" and "… run through a ConfigMap lifecycle"."""
    batch.create(make_object("ConfigMap", "life", labels={"lifecycle": "yes"}, data={"a": "1"}))
    batch.kubectl("patch", "configmap", "life", "-p", json.dumps({"data": {"a": "2"}}))
    (listed,) = batch.get("configmaps", "-l", "lifecycle=yes")["items"]
    assert listed["data"] == {"a": "2"}
    listed["data"]["b"] = "3"
    batch.kubectl("replace", "-f", "-", stdin=json.dumps(listed))
    assert batch.get("configmap", "life")["data"] == {"a": "2", "b": "3"}
    batch.kubectl("delete", "configmaps", "-l", "lifecycle=yes")
    assert batch.get("configmaps", "-l", "lifecycle=yes")["items"] == []
