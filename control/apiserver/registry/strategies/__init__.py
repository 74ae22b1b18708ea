"""Strategies by kind: what a kind adds to the one engine. A kind without an entry has no rules of its own."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from control.api.kinds import Kind
from control.apiserver.registry.strategy import Strategy

_PACKAGE = "control.apiserver.registry.strategies"

#: (group, kind) -> "module.Class"; modules are imported when their kind is first asked for
STRATEGIES: dict[tuple[str, str], str] = {
    ("", "ConfigMap"): "config_maps_and_secrets.ConfigMapStrategy",
    ("", "Endpoints"): "endpoints.EndpointsStrategy",
    ("", "Event"): "events.EventStrategy",
    ("", "LimitRange"): "quotas.LimitRangeStrategy",
    ("", "Namespace"): "namespaces.NamespaceStrategy",
    ("", "Node"): "nodes.NodeStrategy",
    ("", "PersistentVolume"): "persistent_volumes.PersistentVolumeStrategy",
    ("", "PersistentVolumeClaim"): "persistent_volume_claims.PersistentVolumeClaimStrategy",
    ("", "Pod"): "pods.PodStrategy",
    ("", "PodTemplate"): "pods.PodTemplateStrategy",
    ("", "ReplicationController"): "replication_controllers.ReplicationControllerStrategy",
    ("", "ResourceQuota"): "quotas.ResourceQuotaStrategy",
    ("", "Secret"): "config_maps_and_secrets.SecretStrategy",
    ("", "Service"): "services.ServiceStrategy",
    ("", "ServiceAccount"): "quotas.ServiceAccountStrategy",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): ("admission_policies.MutatingAdmissionPolicyStrategy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): (
        "admission_policies.MutatingAdmissionPolicyBindingStrategy"
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (
        "admission_registration.MutatingWebhookConfigurationStrategy"
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): "admission_policies.AdmissionPolicyStrategy",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): (
        "admission_policies.AdmissionPolicyBindingStrategy"
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (
        "admission_registration.WebhookConfigurationStrategy"
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "extensions.CustomResourceDefinitionStrategy",
    ("apiregistration.k8s.io", "APIService"): "extensions.ApiServiceStrategy",
    ("apps", "ControllerRevision"): "extensions.ControllerRevisionStrategy",
    ("apps", "DaemonSet"): "daemon_sets.DaemonSetStrategy",
    ("apps", "Deployment"): "deployments.DeploymentStrategy",
    ("apps", "ReplicaSet"): "deployments.ReplicaSetStrategy",
    ("apps", "StatefulSet"): "stateful_sets.StatefulSetStrategy",
    ("autoscaling", "HorizontalPodAutoscaler"): "autoscaling.HorizontalPodAutoscalerStrategy",
    ("batch", "CronJob"): "cron_jobs.CronJobStrategy",
    ("batch", "Job"): "jobs.JobStrategy",
    ("certificates.k8s.io", "CertificateSigningRequest"): "certificates.CertificateSigningRequestStrategy",
    ("coordination.k8s.io", "Lease"): "policy_and_scheduling.LeaseStrategy",
    ("discovery.k8s.io", "EndpointSlice"): "endpoints.EndpointSliceStrategy",
    ("events.k8s.io", "Event"): "events.NewEventStrategy",
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): "flowcontrol.FlowSchemaStrategy",
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): "flowcontrol.PriorityLevelConfigurationStrategy",
    ("networking.k8s.io", "Ingress"): "ingresses.IngressStrategy",
    ("networking.k8s.io", "IngressClass"): "ingresses.IngressClassStrategy",
    ("networking.k8s.io", "IPAddress"): "networking.IpAddressStrategy",
    ("networking.k8s.io", "NetworkPolicy"): "networking.NetworkPolicyStrategy",
    ("networking.k8s.io", "ServiceCIDR"): "networking.ServiceCidrStrategy",
    ("node.k8s.io", "RuntimeClass"): "policy_and_scheduling.RuntimeClassStrategy",
    ("policy", "PodDisruptionBudget"): "policy_and_scheduling.PodDisruptionBudgetStrategy",
    ("rbac.authorization.k8s.io", "ClusterRole"): "rbac_rules.ClusterRoleStrategy",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "rbac_rules.ClusterRoleBindingStrategy",
    ("rbac.authorization.k8s.io", "Role"): "rbac_rules.RoleStrategy",
    ("rbac.authorization.k8s.io", "RoleBinding"): "rbac_rules.RoleBindingStrategy",
    ("resource.k8s.io", "DeviceClass"): "device_pools.DeviceClassStrategy",
    ("resource.k8s.io", "ResourceClaim"): "resource_claims.ResourceClaimStrategy",
    ("resource.k8s.io", "ResourceClaimTemplate"): "resource_claims.ResourceClaimTemplateStrategy",
    ("resource.k8s.io", "ResourceSlice"): "device_pools.ResourceSliceStrategy",
    ("scheduling.k8s.io", "PriorityClass"): "policy_and_scheduling.PriorityClassStrategy",
    ("storage.k8s.io", "CSIDriver"): "storage_kinds.CsiDriverStrategy",
    ("storage.k8s.io", "CSINode"): "storage_kinds.CsiNodeStrategy",
    ("storage.k8s.io", "CSIStorageCapacity"): "storage_kinds.CsiStorageCapacityStrategy",
    ("storage.k8s.io", "StorageClass"): "storage_kinds.StorageClassStrategy",
    ("storage.k8s.io", "VolumeAttachment"): "storage_kinds.VolumeAttachmentStrategy",
    ("storage.k8s.io", "VolumeAttributesClass"): "storage_kinds.VolumeAttributesClassStrategy",
}


@cache
def strategy_for(kind: Kind) -> Strategy:
    """The strategy of a kind; strategies hold no state and are shared."""
    place = STRATEGIES.get((kind.group, kind.kind))
    if place is None:
        return Strategy()
    module, _, name = place.partition(".")
    strategy: type[Strategy] = getattr(import_module(f"{_PACKAGE}.{module}"), name)
    return strategy()
