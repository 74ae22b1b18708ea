"""Every active namespace has a ConfigMap `kube-root-ca.crt`: how Pods verify the API server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import CONFIG_MAPS, NAMESPACES
from control.api.meta import is_deleting
from control.api.objects import Object
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Create, Result, Update
from control.controllers.context import ControllerContext, RecordingController

NAME = "kube-root-ca.crt"
ANNOTATIONS = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using "
    "internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
}


def plan_config_map(key: str, view: View, ca_pem: str) -> Result:
    """Decide whether a namespace's ConfigMap is missing or was changed."""
    namespace = view.find_key(NAMESPACES, key)
    if namespace is None or is_deleting(namespace):
        return Result()
    data = {"ca.crt": ca_pem}
    present = view.find(CONFIG_MAPS, NAME, key)
    if present is None:
        metadata = {"name": NAME, "namespace": key, "annotations": ANNOTATIONS}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        return Result(steps=[Create(kind=CONFIG_MAPS, obj=config_map, cause="the namespace has no root certificate")])
    annotations = present["metadata"].get("annotations") or {}
    if present.get("data") == data and annotations.items() >= ANNOTATIONS.items():
        return Result()
    metadata = {**present["metadata"], "annotations": {**annotations, **ANNOTATIONS}}
    restored = {**present, "metadata": metadata, "data": data}
    return Result(steps=[Update(kind=CONFIG_MAPS, obj=restored, cause="the published certificate was changed")])


def make_root_ca_publisher(context: ControllerContext) -> RecordingController:
    """Make the publisher of the cluster's certificate."""

    def reconcile(key: str, view: View, now: datetime) -> Result:
        return plan_config_map(key, view, context.options.ca_pem)

    controller = Controller(
        name="root-ca-certificate-publisher",
        watches=(Watch(kind=NAMESPACES, keys=_keys_of_namespace), Watch(kind=CONFIG_MAPS, keys=_keys_of_config_map)),
        reconcile=reconcile,
    )
    return RecordingController(controller, context, "root-ca-cert-publisher")


def _keys_of_namespace(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (new["metadata"]["name"],) if new is not None else ()


def _keys_of_config_map(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    metadata = (new or old or {})["metadata"]
    return (metadata["namespace"],) if metadata["name"] == NAME else ()
