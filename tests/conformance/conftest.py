"""What all requirements share: the session's one cluster, images, and a namespace for each module."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster import ROOT, Cluster
from tests.conformance.batch import Batch
from tests.conformance.http_api import HttpApi
from tests.fakes.docker_images import ensure_arguments_image, ensure_busybox_image, making_images


@pytest.fixture(scope="session")
def images() -> None:
    """The images of the Pods, made on this machine if need be."""
    ensure_busybox_image()
    ensure_arguments_image()
    command = [sys.executable, str(ROOT / "scripts" / "images.py"), "nginx", "--no-pull"]
    with making_images():
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def batch(cluster: Cluster, api: HttpApi, images: None) -> Iterator[Batch]:
    """A namespace of the module's own, deleted with all that is in it."""
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield Batch(cluster, api, name)
    cluster.kubectl("delete", "namespace", name, "--wait=true")


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Iterator[HttpApi]:
    """The session's cluster over plain HTTP."""
    made = HttpApi(cluster)
    yield made
    made.close()
