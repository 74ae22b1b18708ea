"""`kubectl apply --server-side`: ownership of fields, conflicts, and the way over from the client's apply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]

WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "one", "image": "nginx:1", "ports": [{"containerPort": 80}]}]},
        },
    },
}
ADVICE = """
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts
"""


def config_map(**data: str) -> str:
    """A ConfigMap as JSON."""
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})


def apply(kubectl: Run, manifest: str, *options: str, manager: str = "kubectl", **more: Any) -> Any:
    """`kubectl apply --server-side` as somebody."""
    return kubectl("apply", "--server-side", f"--field-manager={manager}", *options, "-f", "-", stdin=manifest, **more)


def found(kubectl: Run, name: str = "configmap/c") -> Any:
    """The object with its managed fields."""
    return json.loads(kubectl("get", name, "-o", "json", "--show-managed-fields").stdout)


def owned(item: Any) -> dict[tuple[str, str], Any]:
    """What each manager owns, by manager and operation."""
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in item["metadata"]["managedFields"]}


def test_conflicts_are_explained_and_forced(kubectl: Run) -> None:
    assert apply(kubectl, config_map(a="1", b="1"), manager="first").stdout == "configmap/c serverside-applied\n"
    refused = apply(kubectl, config_map(a="2", b="2"), manager="second", check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        'error: Apply failed with 2 conflicts: conflicts with "first":\n- .data.a\n- .data.b' + ADVICE
    )
    one = apply(kubectl, config_map(a="2", b="1"), manager="second", check=False)
    assert one.stderr == 'error: Apply failed with 1 conflict: conflict with "first": .data.a' + ADVICE
    apply(kubectl, config_map(a="2", b="1"), "--force-conflicts", manager="second")
    fields = owned(found(kubectl))
    assert fields["first", "Apply"] == {"f:data": {"f:b": {}}}
    assert fields["second", "Apply"] == {"f:data": {"f:a": {}, "f:b": {}}}


def test_a_field_lives_while_somebody_owns_it(kubectl: Run) -> None:
    apply(kubectl, config_map(a="1", b="1"), manager="first")
    apply(kubectl, config_map(b="1"), manager="second")
    apply(kubectl, config_map(), manager="first")
    assert found(kubectl)["data"] == {"b": "1"}
    apply(kubectl, config_map(), manager="second")
    assert "b" not in found(kubectl).get("data", {})


def test_edits_take_fields_over(kubectl: Run) -> None:
    apply(kubectl, config_map(a="1"))
    kubectl("patch", "configmap", "c", "--field-manager=hand", "-p", '{"data":{"a":"2"}}')
    assert owned(found(kubectl))["hand", "Update"] == {"f:data": {"f:a": {}}}
    refused = apply(kubectl, config_map(a="3"), check=False)
    assert 'conflict with "hand" using v1: .data.a' in refused.stderr
    assert apply(kubectl, config_map(a="2")).returncode == 0, "who agrees shares"


def test_lists_are_owned_by_their_keys(kubectl: Run) -> None:
    apply(kubectl, json.dumps(WEB), manager="first")
    other = json.loads(json.dumps(WEB))
    other["spec"] = {"selector": WEB["spec"]["selector"], "template": {"spec": {"containers": [
        {"name": "two", "image": "busybox:1"}]}, "metadata": WEB["spec"]["template"]["metadata"]}}  # type: ignore[index]  # fmt: skip
    apply(kubectl, json.dumps(other), manager="second")
    item = found(kubectl, "deployment/web")
    assert [container["name"] for container in item["spec"]["template"]["spec"]["containers"]] == ["one", "two"]
    mine = owned(item)["second", "Apply"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert mine == {'k:{"name":"two"}': {".": {}, "f:image": {}, "f:name": {}}}
    other["spec"]["template"]["spec"]["containers"] = []
    apply(kubectl, json.dumps(other), manager="second")
    containers = found(kubectl, "deployment/web")["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["one"]


def test_the_scale_subresource_and_apply_share_replicas(kubectl: Run) -> None:
    apply(kubectl, json.dumps(WEB))
    kubectl("scale", "deployment/web", "--replicas=2")
    refused = apply(kubectl, json.dumps(WEB), check=False)
    # The manager is named after the file of the binary.
    text = r'conflict with "kubectl\S*" with subresource "scale" using apps/v1: .spec.replicas\n'
    assert re.search(text, refused.stderr)
    without = json.loads(json.dumps(WEB))
    del without["spec"]["replicas"]
    apply(kubectl, json.dumps(without))
    assert found(kubectl, "deployment/web")["spec"]["replicas"] == 2


def test_what_the_client_applied_moves_to_the_server(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=config_map(a="1", b="2"))
    assert ("kubectl-client-side-apply", "Update") in owned(found(kubectl))
    apply(kubectl, config_map(a="9"))
    item = found(kubectl)
    assert item["data"] == {"a": "9"}, "it counts as applied before"
    assert ("kubectl-client-side-apply", "Update") not in owned(item)
    annotation = item["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(annotation)["data"] == {"a": "9"}
    # And back again: the client's merge sees what the server's apply left.
    assert kubectl("apply", "-f", "-", stdin=config_map(c="3")).stdout == "configmap/c configured\n"
    assert found(kubectl)["data"] == {"c": "3"}


def test_a_dry_run_tells_and_does_nothing(kubectl: Run) -> None:
    dry = apply(kubectl, config_map(a="1"), "--dry-run=server")
    assert dry.stdout == "configmap/c serverside-applied (server dry run)\n"
    assert 'configmaps "c" not found' in kubectl("get", "configmap", "c", check=False).stderr


def test_mistakes_are_told(kubectl: Run) -> None:
    odd = config_map(a="1").replace('"data"', '"dato"')
    refused = apply(kubectl, odd, check=False)
    assert refused.returncode == 1
    assert "failed to create typed patch object" in refused.stderr or 'unknown field "dato"' in refused.stderr
    managed = json.loads(config_map(a="1"))
    managed["metadata"]["managedFields"] = [{"manager": "x", "operation": "Apply"}]
    assert "metadata.managedFields must be nil" in apply(kubectl, json.dumps(managed), check=False).stderr
