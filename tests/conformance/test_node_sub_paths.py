"""Requirements of sig-node on subpaths that are made from variables, and on a command that always fails."""

from __future__ import annotations

import pytest

from tests.conformance.batch import Batch, Object, is_finished, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

POD_NAME = {"name": "POD_NAME", "value": "foo"}
ANNOTATION = {
    "name": "ANNOTATION",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}},
}
FAILING = {
    "[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path": (
        "absolute",
        "/tmp",
        "$(POD_NAME)",
        "must be relative",
    ),
    "[sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks": (
        "parent",
        "..",
        "$(POD_NAME)",
        'not contain ".."',
    ),
    "a subpath with a command in place of a variable": ("backticks", "foo", "$(`hostname`)", "missing value"),
}


def subpath_pod(name: str, expression: str, *env: Object) -> Object:
    """A Pod that has a directory of its volume at /subpath and all of the volume at /volume."""
    mounts = [
        {"name": "work", "mountPath": "/subpath", "subPathExpr": expression},
        {"name": "work", "mountPath": "/volume"},
    ]
    container = shell("exec sleep 1000", env=list(env), volumeMounts=mounts)
    return make_pod(name, container, volumes=[{"name": "work", "emptyDir": {}}])


def has_configuration_error(pod: Object) -> bool:
    return bool(waiting(pod).get("reason") == "CreateContainerConfigError")


def waiting(pod: Object) -> Object:
    statuses = pod["status"].get("containerStatuses") or [{}]
    found: Object = (statuses[0].get("state") or {}).get("waiting", {})
    return found


@pytest.fixture(scope="module")
def mounted(batch: Batch) -> Batch:
    """The Pods with such subpaths, and one that fails."""
    pods = [
        subpath_pod(name, expression, {"name": "POD_NAME", "value": value})
        for name, value, expression, _ in FAILING.values()
    ]
    for name, annotation in (("modified", "notmysubpath"), ("writes", "mysubpath")):
        pods.append(subpath_pod(name, "$(ANNOTATION)/$(POD_NAME)", POD_NAME, ANNOTATION))
        pods[-1]["metadata"]["annotations"] = {annotation: "mypath"}
    batch.create(*pods, *(make_pod(name, {"command": ["/bin/false"]}) for name in ("fails", "deleted")))
    return batch


@pytest.mark.parametrize("requirement", FAILING)
def test_variable_expansion_should_fail_substituting_values_in_a_volume_subpath(
    mounted: Batch, requirement: str
) -> None:
    name, _, _, message = FAILING[requirement]
    mounted.wait(has_configuration_error, name, what="a subpath that cannot be expanded is refused")
    assert message in waiting(mounted.pod(name))["message"]


@pytest.mark.requirement(
    "[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle "
    "of a container"
)
def test_variable_expansion_a_failing_subpath_expansion_can_be_modified(mounted: Batch) -> None:
    mounted.wait(has_configuration_error, "modified", what="the expansion fails")
    mounted.kubectl("annotate", "pod", "modified", "mysubpath=mypath")
    mounted.wait(is_ready, "modified", what="the container runs once it can")
    mounted.kubectl("exec", "modified", "--", "test", "-d", "/volume/mypath/foo")
    mounted.kubectl("delete", "pod", "modified")


@pytest.mark.requirement("[sig-node] Variable Expansion should succeed in writing subpaths in container")
def test_variable_expansion_should_succeed_in_writing_subpaths_in_container(mounted: Batch) -> None:
    mounted.wait(is_ready, "writes", what="the Pod runs")
    mounted.kubectl("exec", "writes", "--", "touch", "/volume/mypath/foo/test.log")
    mounted.kubectl("exec", "writes", "--", "test", "-f", "/subpath/test.log")
    mounted.kubectl("annotate", "--overwrite", "pod", "writes", "mysubpath=/no-longer-valid")
    assert is_ready(mounted.pod("writes"))
    mounted.kubectl("delete", "pod", "writes")
    assert "writes" not in mounted.pods()


# --- a command that always fails --------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason"
)
def test_kubelet_when_a_command_always_fails_should_have_a_terminated_reason(mounted: Batch) -> None:
    mounted.wait(is_finished, "fails", what="the Pod has failed")
    (status,) = mounted.pod("fails")["status"]["containerStatuses"]
    assert (status["state"]["terminated"]["reason"], status["state"]["terminated"]["exitCode"]) == ("Error", 1)


@pytest.mark.requirement(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete"
)
def test_kubelet_when_a_command_always_fails_should_be_possible_to_delete(mounted: Batch) -> None:
    mounted.wait(is_finished, "deleted", what="the Pod has failed")
    mounted.kubectl("delete", "pod", "deleted")
    assert "deleted" not in mounted.pods()
