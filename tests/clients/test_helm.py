"""Helm, where it is installed: a small chart is installed, upgraded, rolled back and uninstalled."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, run

HELM = os.environ.get("PODLING_HELM") or shutil.which("helm") or ""
pytestmark = pytest.mark.skipif(not HELM, reason="no helm on this machine (PODLING_HELM may name one)")

TEMPLATES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-settings"}
data: {colour: "{{ .Values.colour }}", version: "{{ .Capabilities.KubeVersion.Version }}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: 0
  selector: {matchLabels: {app: small}}
  template:
    metadata: {labels: {app: small}}
    spec: {containers: [{name: main, image: "nginx:{{ .Values.colour }}"}]}
{{- if .Capabilities.APIVersions.Has "batch/v1/CronJob" }}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: small}, ports: [{port: 80}]}
{{- end }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart of a ConfigMap, a Deployment and a Service."""
    (tmp_path / "chart" / "templates").mkdir(parents=True)
    (tmp_path / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 0.1.0\n")
    (tmp_path / "chart" / "values.yaml").write_text("colour: red\n")
    (tmp_path / "chart" / "templates" / "all.yaml").write_text(TEMPLATES)
    return tmp_path / "chart"


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
    control_plane: Cluster, namespace: str, chart: Path
) -> None:
    def helm(*arguments: str) -> str:
        return run([HELM, "--namespace", namespace, *arguments], env=control_plane.env).stdout

    def settings() -> Any:
        return control_plane.get("-n", namespace, "configmap", "rel-settings")["data"]

    helm("install", "rel", str(chart), "--wait", "--timeout=60s")
    assert (settings()["colour"], settings()["version"][:5]) == ("red", "v1.36")
    assert control_plane.get("-n", namespace, "service", "rel")["spec"]["ports"][0]["port"] == 80
    helm("upgrade", "rel", str(chart), "--set", "colour=blue", "--wait", "--timeout=60s")
    assert settings()["colour"] == "blue"
    helm("rollback", "rel", "1", "--wait", "--timeout=60s")
    assert settings()["colour"] == "red"
    history = json.loads(helm("history", "rel", "-o", "json"))
    assert [(item["revision"], item["status"]) for item in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    helm("uninstall", "rel", "--wait")
    left = control_plane.kubectl("-n", namespace, "get", "configmap,deployment,service,secret", "-o", "name").stdout
    assert left.split() == ["configmap/kube-root-ca.crt"]
