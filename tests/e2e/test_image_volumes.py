"""Image volumes: the files of an image in another container, read-only."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster, wait_for
from tests.e2e.test_failing_pods import make_pod, waiting
from tests.e2e.test_pod_features import create, sh

pytestmark = pytest.mark.docker

MOUNT = {"name": "v", "mountPath": "/image"}


@pytest.mark.requirement("[sig-node] ImageVolume should succeed with pod and pull policy of Always")
def test_the_files_of_an_image_are_there_and_cannot_be_changed(cluster: Cluster, namespace: str) -> None:
    mounts = [MOUNT, {"name": "v", "mountPath": "/part", "subPath": "bin"}]
    pod = make_pod(
        "p",
        {"command": ["sleep", "1000"], "volumeMounts": mounts},
        volumes=[{"name": "v", "image": {"reference": "busybox", "pullPolicy": "Always"}}],
    )
    create(cluster, namespace, pod, ready="p")
    assert sh(cluster, namespace, "p", "ls -i /image/bin/busybox | wc -l; test -e /part/sh && echo part") == "1\npart\n"
    assert "Read-only" in sh(cluster, namespace, "p", "touch /image/new 2>&1 || true")


def test_a_pod_waits_for_the_image_of_its_volume(cluster: Cluster, namespace: str) -> None:
    volume = {"name": "v", "image": {"reference": "127.0.0.1:1/none:1", "pullPolicy": "IfNotPresent"}}
    pod = make_pod("p", {"command": ["sleep", "1000"], "volumeMounts": [MOUNT]}, volumes=[volume])
    create(cluster, namespace, pod)
    reasons = ("ErrImagePull", "ImagePullBackOff")
    wait_for(lambda: waiting(cluster, namespace, "p").get("reason") in reasons, "the pull fails")


def test_a_part_that_the_image_does_not_have_fails_the_container(cluster: Cluster, namespace: str) -> None:
    mount = {**MOUNT, "subPath": "none"}
    volume = {"name": "v", "image": {"reference": "busybox", "pullPolicy": "IfNotPresent"}}
    pod = make_pod("p", {"command": ["sleep", "1000"], "volumeMounts": [mount]}, volumes=[volume])
    create(cluster, namespace, pod)
    wait_for(lambda: waiting(cluster, namespace, "p").get("reason") == "CreateContainerError", "it is refused")
    assert '"none" does not exist in the image' in waiting(cluster, namespace, "p")["message"]
