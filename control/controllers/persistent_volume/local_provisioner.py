"""Podling's own provisioner: a claim of a class of `podling.io/local` gets a directory of the node its Pod runs on.

A cluster elsewhere brings such a provisioner as a workload of its own (kind's is rancher's local-path); this one makes
the same objects: a `local` volume that only its node can reach. The node's agent makes the directory when the volume
is first mounted, and removes it when this controller asks for that through the node's API.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from control.api.kinds import Kind
from control.api.meta import (
    annotations_of,
    is_condition_true,
    is_deleting,
    labels_of,
    name_of,
    object_key,
    uid_of,
)
from control.api.objects import Object, ReadOnlyObject
from control.api.volumes import (
    HOSTNAME_LABEL,
    LOCAL_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    VOLUME_ROOT,
    allows_topology,
    claim_reference,
    class_of_claim,
)
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Create, CreateSubresource, Delete, Notice, Result, Update
from control.controllers.context import ControllerContext, RecordingController, Runnable, Together
from control.controllers.persistent_volume.default_class import DefaultClass

#: keeps a volume's object until its directory is gone
FINALIZER = "podling.io/local-volume"


def reconcile_claim(key: str, view: View, now: datetime) -> Result:
    """Make the volume of a claim that asks for one."""
    claim = view.find_key(PERSISTENT_VOLUME_CLAIMS, key)
    if claim is None or not _asks_for_volume(claim):
        return Result()
    storage_class = view.find(STORAGE_CLASSES, class_of_claim(claim))
    if storage_class is None or view.find(PERSISTENT_VOLUMES, _volume_name(claim)) is not None:
        return Result()
    obstacle = _obstacle(claim)
    if obstacle:
        return Result(steps=[_failed(claim, obstacle)])
    selected = annotations_of(claim).get(SELECTED_NODE)
    node = view.find(NODES, selected) if selected else _choose_node(storage_class, view)
    if node is None and not selected:
        return Result()
    root = annotations_of(node).get(VOLUME_ROOT) if node is not None else None
    if node is None or not root:
        return Result(steps=[_failed(claim, f"node {selected} offers no local volumes"), _without_node(claim)])
    what = f'External provisioner is provisioning volume for claim "{object_key(claim)}"'
    begun = Notice(regarding=claim, reason="Provisioning", message=what)
    return Result(steps=[begun, _create_volume(claim, storage_class, node, root)])


def reconcile_volume(key: str, view: View, now: datetime) -> Result:
    """Remove a released volume whose policy is Delete: first its directory, then its object."""
    volume = view.find_key(PERSISTENT_VOLUMES, key)
    if volume is None or annotations_of(volume).get(PROVISIONED_BY) != LOCAL_PROVISIONER:
        return Result()
    has_finalizer = FINALIZER in (volume["metadata"].get("finalizers") or ())
    is_released = (volume.get("status") or {}).get("phase") == "Released"
    if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete" or not (is_released or is_deleting(volume)):
        return Result(steps=[_without_finalizer(volume)]) if is_deleting(volume) and has_finalizer else Result()
    if (volume.get("status") or {}).get("phase") == "Bound":
        return Result()
    name = name_of(volume)
    if not is_deleting(volume):
        return Result(steps=[Delete(kind=PERSISTENT_VOLUMES, name=name, uid=uid_of(volume), cause="it is released")])
    if not has_finalizer:
        return Result()
    node = next((one for one in view.list(NODES) if labels_of(one).get(HOSTNAME_LABEL) == _host_name(volume)), None)
    if node is None:  # its disk has gone with it
        return Result(steps=[_without_finalizer(volume)])
    failed = Notice(regarding=volume, type="Warning", reason="VolumeFailedDelete", message="{error}")
    removal = CreateSubresource(
        kind=NODES,
        name=name_of(node),
        subresource=f"proxy/podling/volumes/{name}/removal",
        obj={},
        cause="the volume is released",
        failure=failed,
    )
    return Result(steps=[removal, _without_finalizer(volume)])


# --- provisioning -----------------------------------------------------------------------------------------------------


def _asks_for_volume(claim: ReadOnlyObject) -> bool:
    is_ours = annotations_of(claim).get(STORAGE_PROVISIONER) == LOCAL_PROVISIONER
    return is_ours and not claim["spec"].get("volumeName") and not is_deleting(claim)


def _obstacle(claim: ReadOnlyObject) -> str:
    spec = claim["spec"]
    if spec.get("volumeMode") == "Block":
        return "local volumes are directories: volumeMode Block is not supported"
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return "local volumes cannot be made from a data source"
    if spec.get("selector"):
        return "claim.Spec.Selector is not supported"
    return ""


def _choose_node(storage_class: ReadOnlyObject, view: View) -> ReadOnlyObject | None:
    """For a claim that is bound at once: the Ready node with the fewest volumes."""
    counts: dict[str, int] = {}
    for volume in view.list(PERSISTENT_VOLUMES):
        counts[_host_name(volume)] = counts.get(_host_name(volume), 0) + 1
    fitting = [
        node
        for node in view.list(NODES)
        if VOLUME_ROOT in annotations_of(node) and _is_ready(node) and allows_topology(storage_class, labels_of(node))
    ]
    return min(fitting, key=lambda node: (counts.get(_host_label(node), 0), name_of(node)), default=None)


def _create_volume(claim: ReadOnlyObject, storage_class: ReadOnlyObject, node: ReadOnlyObject, root: str) -> Create:
    name = _volume_name(claim)
    expression = {"key": HOSTNAME_LABEL, "operator": "In", "values": [_host_label(node)]}
    spec: Object = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": list(claim["spec"]["accessModes"]),
        "claimRef": claim_reference(claim),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": name_of(storage_class),
        "volumeMode": "Filesystem",
        "local": {"path": f"{root}/{name}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = list(storage_class["mountOptions"])
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: LOCAL_PROVISIONER}, "finalizers": [FINALIZER]},
        "spec": spec,
    }
    return Create(
        kind=PERSISTENT_VOLUMES,
        obj=volume,
        cause="the claim asks for a local volume",
        success=Notice(
            regarding=claim, reason="ProvisioningSucceeded", message="Successfully provisioned volume {name}"
        ),
        failure=_failed(claim, "{error}"),
    )


def _failed(claim: ReadOnlyObject, why: str) -> Notice:
    class_name = class_of_claim(claim)
    message = f'failed to provision volume with StorageClass "{class_name}": {why}'
    return Notice(regarding=claim, type="Warning", reason="ProvisioningFailed", message=message)


def _without_node(claim: ReadOnlyObject) -> Update:
    """Hand the claim back to the scheduler, which then looks for another node."""
    annotations = {name: value for name, value in annotations_of(claim).items() if name != SELECTED_NODE}
    metadata = {**claim["metadata"], "annotations": annotations}
    cause = "no volume can be made on the selected node"
    return Update(kind=PERSISTENT_VOLUME_CLAIMS, obj={**claim, "metadata": metadata}, cause=cause)


def _without_finalizer(volume: ReadOnlyObject) -> Update:
    kept = [one for one in volume["metadata"]["finalizers"] if one != FINALIZER]
    metadata = {**volume["metadata"], "finalizers": kept}
    return Update(kind=PERSISTENT_VOLUMES, obj={**volume, "metadata": metadata}, cause="its directory is dealt with")


def _volume_name(claim: ReadOnlyObject) -> str:
    return f"pvc-{uid_of(claim)}"


def _host_label(node: ReadOnlyObject) -> str:
    return labels_of(node).get(HOSTNAME_LABEL) or name_of(node)


def _host_name(volume: ReadOnlyObject) -> str:
    """The host a volume of this provisioner is on; empty for other volumes."""
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for term in terms:
        for expression in term.get("matchExpressions") or ():
            if expression.get("key") == HOSTNAME_LABEL and expression.get("values"):
                return str(expression["values"][0])
    return ""


# --- what wakes them --------------------------------------------------------------------------------------------------


def _keys_when_node_changes(kind: Kind) -> Watch:
    """A node that comes may take what waits for one; one that goes releases what was on it."""

    def keys(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
        before, after = (annotations_of(one).get(VOLUME_ROOT) if one is not None else None for one in (old, new))
        if before == after and _is_ready(old) == _is_ready(new):
            return ()
        return [object_key(one) for one in view.list(kind) if _concerns_us(one)]

    return Watch(kind=NODES, keys=keys)


def _is_ready(node: ReadOnlyObject | None) -> bool:
    return node is not None and is_condition_true((node.get("status") or {}).get("conditions"), "Ready")


def _concerns_us(obj: ReadOnlyObject) -> bool:
    annotations = annotations_of(obj)
    return LOCAL_PROVISIONER in (annotations.get(STORAGE_PROVISIONER), annotations.get(PROVISIONED_BY))


CLAIM_PROVISIONER = Controller(
    name="local-volume-provisioner",
    watches=(Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=present_key), _keys_when_node_changes(PERSISTENT_VOLUME_CLAIMS)),
    reads=(PERSISTENT_VOLUMES, STORAGE_CLASSES),
    reconcile=reconcile_claim,
)
VOLUME_REMOVER = Controller(
    name="local-volume-provisioner",
    watches=(Watch(kind=PERSISTENT_VOLUMES, keys=present_key), _keys_when_node_changes(PERSISTENT_VOLUMES)),
    reconcile=reconcile_volume,
)


def make_local_provisioner(context: ControllerContext) -> Runnable:
    """Build the provisioner: its class, the making of volumes, their removal."""
    service_account = "local-volume-provisioner"
    controllers = [RecordingController(one, context, service_account) for one in (CLAIM_PROVISIONER, VOLUME_REMOVER)]
    return Together(DefaultClass(context, context.client_for(service_account)), *controllers)
