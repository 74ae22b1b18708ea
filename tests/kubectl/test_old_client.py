"""kubectl 1.20, as Debian 12 ships it: it validates and explains by the protobuf form of /openapi/v2 alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import MANIFESTS, Cluster, Kubectl, wait_for

pytestmark = pytest.mark.docker
Run = Callable[..., Any]


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str, old_kubectl: Kubectl) -> Run:
    """Run the old kubectl in the test's namespace."""

    def execute(*arguments: str, **options: Any) -> Any:
        return cluster.kubectl("-n", namespace, *arguments, binary=old_kubectl.path, **options)

    return execute


def test_an_old_client_validates_explains_and_works(kubectl: Run) -> None:
    manifest = str(MANIFESTS / "nginx.yaml")
    assert kubectl("apply", "-f", manifest).stdout == "pod/nginx created\ndeployment.apps/web created\n"
    assert kubectl("apply", "-f", manifest).stdout == "pod/nginx unchanged\ndeployment.apps/web unchanged\n"
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    kubectl("wait", "--for=condition=Ready", "pod/nginx", "--timeout=120s")
    assert kubectl("get", "pod", "nginx", "--no-headers").stdout.split()[:3] == ["nginx", "1/1", "Running"]
    assert kubectl("exec", "nginx", "--", "echo", "hello").stdout == "hello\n"
    assert "nginx" in kubectl("logs", "nginx").stdout
    wait_for(lambda: "Successfully assigned" in kubectl("describe", "pod", "nginx").stdout, "an Event tells")
    explained = kubectl("explain", "pod.spec.containers.livenessProbe").stdout
    assert explained.startswith("KIND:     Pod\nVERSION:  v1\n\nRESOURCE: livenessProbe <Object>\n\nDESCRIPTION:\n")
    assert "   failureThreshold\t<integer>\n" in explained
    assert "maxSurge\t<string>" in kubectl("explain", "deployment.spec.strategy", "--recursive").stdout


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (("replicas: 3", "replica: 3"), 'unknown field "replica" in io.k8s.api.apps.v1.DeploymentSpec'),
        (
            ("replicas: 3", "replicas: many"),
            'invalid type for io.k8s.api.apps.v1.DeploymentSpec.replicas: got "string"',
        ),
        (("kind: Deployment", "kind: Deploymint"), 'no matches for kind "Deploymint" in version "apps/v1"'),
    ],
)
def test_an_old_client_finds_mistakes_by_itself(kubectl: Run, changed: tuple[str, str], expected: str) -> None:
    manifest = (Path(MANIFESTS) / "nginx.yaml").read_text()
    assert changed[0] in manifest
    refused = kubectl("create", "-f", "-", stdin=manifest.replace(*changed), check=False)
    assert refused.returncode == 1
    assert expected in refused.stderr
