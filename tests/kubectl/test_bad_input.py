"""Bad input gets the Status that Kubernetes gives. The expected texts are those of a real kube-apiserver."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker
Run = Callable[..., Any]

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "busybox"}]},
}


def changed(path: str, value: Any) -> str:
    """The Pod above as JSON with one field set; list indices are numbers in the path."""
    pod = json.loads(json.dumps(POD))
    *parents, last = path.split(".")
    target: Any = pod
    for key in parents:
        target = target[int(key) if key.isdigit() else key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return json.dumps(pod)


CASES = {
    "an unknown field with strict validation": (
        changed("spec.replicas", 3),
        ['Error from server (BadRequest): error when creating "STDIN": ',
         'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.replicas"'],
    ),
    "an invalid name": (
        changed("metadata.name", "Not_A_Name"),
        ['The Pod "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain '
         "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
         "character (e.g. 'example.com', regex used for validation is "
         r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"],
    ),
    "a container without an image": (
        changed("spec.containers.0.image", None),
        ['The Pod "p" is invalid: spec.containers[0].image: Required value'],
    ),
    "two containers of one name": (
        changed("spec.containers", POD["spec"]["containers"] * 2),  # type: ignore[index]
        ['The Pod "p" is invalid: spec.containers[1].name: Duplicate value: "c"'],
    ),
    "an unknown kind": (
        json.dumps(POD | {"kind": "Pood"}),
        ['no matches for kind "Pood" in version "v1"'],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manifest", "texts"), CASES.values(), ids=CASES.keys())
def test_create_refuses_with_the_text_of_kubernetes(kubectl: Run, manifest: str, texts: list[str]) -> None:
    result = kubectl("create", "--validate=strict", "-f", "-", stdin=manifest, check=False)
    assert result.returncode == 1
    for text in texts:
        assert text in result.stderr
    assert kubectl("get", "pods", "-o", "name").stdout == ""


def test_a_value_of_the_wrong_type_is_a_bad_request(kubectl: Run) -> None:
    manifest = changed("spec.containers.0.name", 7)
    result = kubectl("create", "--validate=ignore", "-f", "-", stdin=manifest, check=False)
    assert (
        "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string"
        in result.stderr
    )


@pytest.mark.parametrize("text", ["{]", "a: b: c", "apiVersion: v1\nkind: Pod\n  metadata: x"])
def test_malformed_manifests_change_nothing(kubectl: Run, text: str) -> None:
    result = kubectl("apply", "-f", "-", stdin=text, check=False)
    assert result.returncode == 1
    assert "error" in result.stderr
    assert kubectl("get", "pods", "-o", "name").stdout == ""


def test_a_config_map_over_one_mebibyte_is_too_long(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * (1024 * 1024 + 1))
    result = kubectl("create", "configmap", "big", f"--from-file={tmp_path / 'big'}", check=False)
    assert result.returncode == 1
    assert 'ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes' in result.stderr


def test_a_body_over_three_mebibytes_is_too_large(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "huge").write_text("x" * (3 * 1024 * 1024 + 1))
    result = kubectl("create", "configmap", "huge", f"--from-file={tmp_path / 'huge'}", check=False)
    assert result.returncode == 1
    assert "Request entity too large: limit is 3145728" in result.stderr
