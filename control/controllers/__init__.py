"""The controllers, as kube-controller-manager has them. `CONTROLLERS` is the catalogue: one entry is one controller.

A controller is a file (or a folder) with a pure `reconcile`; `context.py` says what it is built from and runs them.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.controllers.context import Factory, joint_factory, runtime_factory
from control.controllers.deployment import DEPLOYMENT
from control.controllers.disruption.budget import BUDGETS
from control.controllers.disruption.stale_target import STALE_TARGETS
from control.controllers.garbage_collector.collector import GarbageCollector
from control.controllers.namespace import NamespaceController
from control.controllers.node_ipam import make_node_ipam
from control.controllers.node_lifecycle.monitor import NodeMonitor
from control.controllers.node_lifecycle.taint_eviction import make_taint_eviction
from control.controllers.persistent_volume.claims import CLAIM_BINDER
from control.controllers.persistent_volume.ephemeral import EPHEMERAL_VOLUMES
from control.controllers.persistent_volume.expansion import VOLUME_EXPANDER
from control.controllers.persistent_volume.local_provisioner import make_local_provisioner
from control.controllers.persistent_volume.volumes import VOLUME_BINDER
from control.controllers.pod_gc import make_pod_garbage_collector
from control.controllers.replica_set import REPLICA_SET, REPLICATION
from control.controllers.root_ca_publisher import make_root_ca_publisher
from control.controllers.service_account import SERVICE_ACCOUNT
from control.controllers.service_endpoints.endpoint_slice import ENDPOINT_SLICE
from control.controllers.service_endpoints.endpoints import ENDPOINTS_CONTROLLER
from control.controllers.storage_protection import ATTRIBUTES_PROTECTION, CLAIM_PROTECTION, VOLUME_PROTECTION

CONTROLLERS: Mapping[str, Factory] = {
    "deployment": runtime_factory(DEPLOYMENT, "deployment-controller"),
    "replicaset": runtime_factory(REPLICA_SET, "replicaset-controller"),
    "replicationcontroller": runtime_factory(REPLICATION, "replication-controller"),
    "garbagecollector": GarbageCollector,
    "namespace": NamespaceController,
    "nodelifecycle": NodeMonitor,
    "taint-eviction": make_taint_eviction,
    "podgc": make_pod_garbage_collector,
    "disruption": joint_factory((BUDGETS, STALE_TARGETS), "disruption-controller", "controllermanager"),
    "serviceaccount": runtime_factory(SERVICE_ACCOUNT, "service-account-controller"),
    "root-ca-certificate-publisher": make_root_ca_publisher,
    "node-ipam": make_node_ipam,
    "endpointslice": runtime_factory(ENDPOINT_SLICE, "endpointslice-controller"),
    "endpoints": runtime_factory(ENDPOINTS_CONTROLLER, "endpoint-controller"),
    "persistentvolume-binder": joint_factory(
        (CLAIM_BINDER, VOLUME_BINDER), "persistent-volume-binder", "persistentvolume-controller"
    ),
    "persistentvolume-expander": runtime_factory(VOLUME_EXPANDER, "expand-controller", "volume_expand"),
    "ephemeral-volume": runtime_factory(EPHEMERAL_VOLUMES, "ephemeral-volume-controller", "ephemeral_volume"),
    "local-volume-provisioner": make_local_provisioner,
    "pvc-protection": runtime_factory(CLAIM_PROTECTION, "pvc-protection-controller"),
    "pv-protection": runtime_factory(VOLUME_PROTECTION, "pv-protection-controller"),
    "volumeattributesclass-protection": runtime_factory(
        ATTRIBUTES_PROTECTION, "volumeattributesclass-protection-controller"
    ),
}
