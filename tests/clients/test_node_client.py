"""@kubernetes/client-node: the scripts in `node/`, run by node's own test runner."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from tests.cluster import Cluster, run

SCRIPTS = Path(__file__).with_name("node")
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="no node and npm on this machine"
)

CHATTY = """
apiVersion: v1
kind: Pod
metadata: {name: chatty}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
      command: ["sh", "-c", "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.1; done"]
"""


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of the lock file, installed once into the user's cache for all runs of the tests."""
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    cache = user_cache_path("podling-tests", ensure_exists=True)
    wanted = cache / f"node-{hashlib.sha256(lock).hexdigest()[:16]}" / "node_modules"
    if not wanted.is_dir():
        made = Path(tempfile.mkdtemp(dir=cache))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SCRIPTS / name, made)
        run(["npm", "ci", "--prefix", str(made), "--ignore-scripts", "--no-audit", "--no-fund"], timeout=280)
        try:
            made.rename(wanted.parent)
        except OSError:  # another process was quicker
            shutil.rmtree(made)
    return wanted


def run_script(name: str, modules: Path, directory: Path, cluster: Cluster, **variables: str) -> None:
    """Run a script of tests to its end; a failure shows what it printed."""
    for source in (SCRIPTS / name, SCRIPTS / "package.json"):
        shutil.copy(source, directory)
    (directory / "node_modules").symlink_to(modules)
    env = cluster.env | variables | {"PATH": os.environ["PATH"]}
    run(["node", "--test", "--test-reporter=spec", str(directory / name)], env=env, timeout=280)


def test_objects_patches_watches_and_informers(
    modules: Path, tmp_path: Path, control_plane: Cluster, namespace: str
) -> None:
    run_script("objects.test.js", modules, tmp_path, control_plane, NAMESPACE=namespace)


@pytest.mark.docker
def test_logs_and_exec(modules: Path, tmp_path: Path, cluster: Cluster) -> None:
    place = f"node-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", place)
    try:
        cluster.kubectl("-n", place, "apply", "-f", "-", stdin=CHATTY)
        cluster.kubectl("-n", place, "wait", "--for=condition=Ready", "pod/chatty", "--timeout=120s")
        run_script("streams.test.js", modules, tmp_path, cluster, NAMESPACE=place, POD="chatty")
    finally:
        cluster.kubectl("delete", "namespace", place)
