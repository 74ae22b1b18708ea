"""The admission plugins in upstream's order (pkg/kubeapiserver/options/plugins.go): the order is behaviour."""

from __future__ import annotations

from control.api.clock import Clock
from control.api.names import Chooser
from control.apiserver.admission.chain import AdmissionPlugin, ObjectReader
from control.apiserver.admission.plugins.default_ingress_class import DefaultIngressClass
from control.apiserver.admission.plugins.default_toleration_seconds import DefaultTolerationSeconds
from control.apiserver.admission.plugins.limit_ranger import LimitRanger
from control.apiserver.admission.plugins.namespace_lifecycle import NamespaceLifecycle
from control.apiserver.admission.plugins.node_declared_feature_validator import NodeDeclaredFeatureValidator
from control.apiserver.admission.plugins.node_restriction import NodeRestriction
from control.apiserver.admission.plugins.pod_resize_validator import PodResizeValidator
from control.apiserver.admission.plugins.pod_security import PodSecurity
from control.apiserver.admission.plugins.priority import Priority
from control.apiserver.admission.plugins.runtime_class import RuntimeClass
from control.apiserver.admission.plugins.service_account import ServiceAccount
from control.apiserver.admission.plugins.share_process_namespace import ShareProcessNamespace
from control.apiserver.admission.plugins.storage_defaults import (
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from control.apiserver.admission.plugins.taint_nodes_by_condition import TaintNodesByCondition

UPSTREAM_PROFILE = "upstream"
UPSTREAM_TOLERATION_SECONDS = 300
#: Podling's default profile reschedules the Pods of a dead node within seconds
DEFAULT_TOLERATION_SECONDS = 1


def make_plugins(
    reader: ObjectReader, *, profile: str, random: Chooser, clock: Clock, toleration_seconds: int | None = None
) -> list[AdmissionPlugin]:
    """All plugins of a profile. `toleration_seconds` overrides the profile's own."""
    is_upstream = profile == UPSTREAM_PROFILE
    if toleration_seconds is None:
        toleration_seconds = UPSTREAM_TOLERATION_SECONDS if is_upstream else DEFAULT_TOLERATION_SECONDS
    plugins: list[AdmissionPlugin] = [
        NamespaceLifecycle(reader),
        LimitRanger(reader),
        ServiceAccount(reader, random, clock),
        NodeRestriction(reader),
        TaintNodesByCondition(),
        PodSecurity(reader),
        Priority(reader),
        DefaultTolerationSeconds(toleration_seconds),
        DefaultStorageClass(reader),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(reader),
        RuntimeClass(reader),
        DefaultIngressClass(reader),
        NodeDeclaredFeatureValidator(reader),
        PodResizeValidator(reader),
    ]
    if not is_upstream:
        plugins.append(ShareProcessNamespace())
    return plugins
