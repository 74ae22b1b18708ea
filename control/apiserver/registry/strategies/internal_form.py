"""API objects as upstream's internal Go structs print them, for messages that show a whole struct.

Upstream validates internal types, which have no JSON names: a bad struct is shown with its Go field names, every field
in the order of its declaration (pkg/apis/core/types.go and others), absent ones as their zero value. `_TYPES` holds
those declarations in one line each; a word is `GoName[@jsonName]:code`:

    s i b      string, number, bool with a zero value        p        pointer to a scalar, or anything shown as it is
    Type       a struct                                      *Type    a pointer to a struct
    []Type     a list of structs                             +Type    an embedded struct: its fields follow
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from functools import cache
from typing import Any

_ZEROS: dict[str, Any] = {"s": "", "i": 0, "b": False, "p": None}

_TYPES: dict[str, str] = {
    "PodSpec": (
        "Volumes:[]Volume InitContainers:[]Container Containers:[]Container EphemeralContainers:[]EphemeralContainer "
        "RestartPolicy:s TerminationGracePeriodSeconds:p ActiveDeadlineSeconds:p DNSPolicy@dnsPolicy:s NodeSelector:p "
        "ServiceAccountName:s AutomountServiceAccountToken:p NodeName:s SecurityContext:*PodSecurityContext "
        "ImagePullSecrets:[]LocalObjectReference Hostname:s Subdomain:s SetHostnameAsFQDN:p Affinity:*Affinity "
        "SchedulerName:s Tolerations:[]Toleration HostAliases:[]HostAlias PriorityClassName:s Priority:p "
        "PreemptionPolicy:p DNSConfig@dnsConfig:*PodDNSConfig ReadinessGates:[]PodReadinessGate RuntimeClassName:p "
        "Overhead:p EnableServiceLinks:p TopologySpreadConstraints:[]TopologySpreadConstraint OS@os:*PodOS "
        "SchedulingGates:[]PodSchedulingGate ResourceClaims:[]PodResourceClaim Resources:*ResourceRequirements "
        "HostnameOverride:p"
    ),
    "Container": (
        "Name:s Image:s Command:p Args:p WorkingDir:s Ports:[]ContainerPort EnvFrom:[]EnvFromSource Env:[]EnvVar "
        "Resources:ResourceRequirements ResizePolicy:[]ContainerResizePolicy RestartPolicy:p "
        "RestartPolicyRules:[]ContainerRestartRule VolumeMounts:[]VolumeMount VolumeDevices:[]VolumeDevice "
        "LivenessProbe:*Probe ReadinessProbe:*Probe StartupProbe:*Probe Lifecycle:*Lifecycle TerminationMessagePath:s "
        "TerminationMessagePolicy:s ImagePullPolicy:s SecurityContext:*SecurityContext Stdin:b StdinOnce:b TTY@tty:b"
    ),
    "EphemeralContainer": "+Container TargetContainerName:s",
    "ContainerPort": "Name:s HostPort:i ContainerPort:i Protocol:s HostIP@hostIP:s",
    "EnvVar": "Name:s Value:s ValueFrom:*EnvVarSource",
    "EnvVarSource": (
        "FieldRef:*ObjectFieldSelector ResourceFieldRef:*ResourceFieldSelector ConfigMapKeyRef:*KeySelector "
        "SecretKeyRef:*KeySelector FileKeyRef:*FileKeySelector"
    ),
    "ObjectFieldSelector": "APIVersion@apiVersion:s FieldPath:s",
    "ResourceFieldSelector": "ContainerName:s Resource:s Divisor:p",
    "KeySelector": "Name:s Key:s Optional:p",
    "FileKeySelector": "VolumeName:s Path:s Key:s Optional:p",
    "EnvFromSource": "Prefix:s ConfigMapRef:*OptionalReference SecretRef:*OptionalReference",
    "OptionalReference": "Name:s Optional:p",
    "ResourceRequirements": "Limits:p Requests:p Claims:[]ResourceClaim",
    "ResourceClaim": "Name:s Request:s",
    "ContainerResizePolicy": "ResourceName:s RestartPolicy:s",
    "ContainerRestartRule": "Action:s ExitCodes:*ExitCodes",
    "ExitCodes": "Operator:s Values:p",
    "VolumeMount": ("Name:s ReadOnly:b RecursiveReadOnly:p MountPath:s SubPath:s MountPropagation:p SubPathExpr:s"),
    "VolumeDevice": "Name:s DevicePath:s",
    "Probe": (
        "+ProbeHandler InitialDelaySeconds:i TimeoutSeconds:i PeriodSeconds:i SuccessThreshold:i FailureThreshold:i "
        "TerminationGracePeriodSeconds:p"
    ),
    "ProbeHandler": "Exec:*ExecAction HTTPGet@httpGet:*HTTPGetAction TCPSocket@tcpSocket:*TCPSocket GRPC@grpc:*GRPC",
    "Lifecycle": "PostStart:*LifecycleHandler PreStop:*LifecycleHandler StopSignal:p",
    "LifecycleHandler": (
        "Exec:*ExecAction HTTPGet@httpGet:*HTTPGetAction TCPSocket@tcpSocket:*TCPSocket Sleep:*SleepAction"
    ),
    "ExecAction": "Command:p",
    "HTTPGetAction": "Path:s Port:i Host:s Scheme:s HTTPHeaders@httpHeaders:[]HTTPHeader",
    "HTTPHeader": "Name:s Value:s",
    "TCPSocket": "Port:i Host:s",
    "GRPC": "Port:i Service:p",
    "SleepAction": "Seconds:i",
    "SecurityContext": (
        "Capabilities:*Capabilities Privileged:p SELinuxOptions@seLinuxOptions:*SELinuxOptions "
        "WindowsOptions:*WindowsOptions RunAsUser:p RunAsGroup:p RunAsNonRoot:p ReadOnlyRootFilesystem:p "
        "AllowPrivilegeEscalation:p ProcMount:p SeccompProfile:*SeccompProfile AppArmorProfile:*SeccompProfile"
    ),
    "PodSecurityContext": (
        "HostNetwork:b HostPID:b HostIPC:b ShareProcessNamespace:p HostUsers:p "
        "SELinuxOptions@seLinuxOptions:*SELinuxOptions WindowsOptions:*WindowsOptions RunAsUser:p RunAsGroup:p "
        "RunAsNonRoot:p SupplementalGroups:p SupplementalGroupsPolicy:p FSGroup@fsGroup:p "
        "FSGroupChangePolicy@fsGroupChangePolicy:p Sysctls:[]Sysctl SeccompProfile:*SeccompProfile "
        "AppArmorProfile:*SeccompProfile SELinuxChangePolicy@seLinuxChangePolicy:p"
    ),
    "Sysctl": "Name:s Value:s",
    "Capabilities": "Add:p Drop:p",
    "SELinuxOptions": "User:s Role:s Type:s Level:s",
    "WindowsOptions": (
        "GMSACredentialSpecName@gmsaCredentialSpecName:p GMSACredentialSpec@gmsaCredentialSpec:p RunAsUserName:p "
        "HostProcess:p"
    ),
    "SeccompProfile": "Type:s LocalhostProfile:p",
    "LocalObjectReference": "Name:s",
    "Affinity": "NodeAffinity:*NodeAffinity PodAffinity:*PodAffinity PodAntiAffinity:*PodAffinity",
    "NodeAffinity": (
        "RequiredDuringSchedulingIgnoredDuringExecution:*NodeSelector "
        "PreferredDuringSchedulingIgnoredDuringExecution:[]PreferredSchedulingTerm"
    ),
    "NodeSelector": "NodeSelectorTerms:[]NodeSelectorTerm",
    "NodeSelectorTerm": "MatchExpressions:[]NodeSelectorRequirement MatchFields:[]NodeSelectorRequirement",
    "NodeSelectorRequirement": "Key:s Operator:s Values:p",
    "PreferredSchedulingTerm": "Weight:i Preference:NodeSelectorTerm",
    "PodAffinity": (
        "RequiredDuringSchedulingIgnoredDuringExecution:[]PodAffinityTerm "
        "PreferredDuringSchedulingIgnoredDuringExecution:[]WeightedPodAffinityTerm"
    ),
    "PodAffinityTerm": (
        "LabelSelector:p Namespaces:p TopologyKey:s NamespaceSelector:p MatchLabelKeys:p MismatchLabelKeys:p"
    ),
    "WeightedPodAffinityTerm": "Weight:i PodAffinityTerm:PodAffinityTerm",
    "Toleration": "Key:s Operator:s Value:s Effect:s TolerationSeconds:p",
    "HostAlias": "IP@ip:s Hostnames:p",
    "PodDNSConfig": "Nameservers:p Searches:p Options:[]DNSOption",
    "DNSOption": "Name:s Value:p",
    "PodReadinessGate": "ConditionType:s",
    "TopologySpreadConstraint": (
        "MaxSkew:i TopologyKey:s WhenUnsatisfiable:s LabelSelector:p MinDomains:p NodeAffinityPolicy:p "
        "NodeTaintsPolicy:p MatchLabelKeys:p"
    ),
    "PodOS": "Name:s",
    "PodSchedulingGate": "Name:s",
    "PodResourceClaim": "Name:s ResourceClaimName:p ResourceClaimTemplateName:p",
    "Volume": (
        "Name:s HostPath:*HostPath EmptyDir:*EmptyDir GCEPersistentDisk@gcePersistentDisk:p "
        "AWSElasticBlockStore@awsElasticBlockStore:p GitRepo:p Secret:*SecretSource NFS@nfs:*NFS ISCSI@iscsi:p "
        "Glusterfs:p PersistentVolumeClaim:*ClaimSource RBD@rbd:p Quobyte:p FlexVolume:p Cinder:p CephFS@cephfs:p "
        "Flocker:p DownwardAPI@downwardAPI:*DownwardSource FC@fc:p AzureFile:p ConfigMap:*ConfigMapSource "
        "VsphereVolume:p AzureDisk:p PhotonPersistentDisk:p Projected:*ProjectedSource PortworxVolume:p ScaleIO:p "
        "StorageOS@storageos:p CSI@csi:p Ephemeral:p Image:*ImageSource"
    ),
    "HostPath": "Path:s Type:p",
    "EmptyDir": "Medium:s SizeLimit:p",
    "NFS": "Server:s Path:s ReadOnly:b",
    "ClaimSource": "ClaimName:s ReadOnly:b",
    "SecretSource": "SecretName:s Items:[]KeyToPath DefaultMode:p Optional:p",
    "ConfigMapSource": "Name:s Items:[]KeyToPath DefaultMode:p Optional:p",
    "KeyToPath": "Key:s Path:s Mode:p",
    "DownwardSource": "Items:[]DownwardFile DefaultMode:p",
    "DownwardFile": "Path:s FieldRef:*ObjectFieldSelector ResourceFieldRef:*ResourceFieldSelector Mode:p",
    "ImageSource": "Reference:s PullPolicy:s",
    "ProjectedSource": "Sources:[]Projection DefaultMode:p",
    "Projection": (
        "Secret:*NamedProjection DownwardAPI@downwardAPI:*DownwardProjection ConfigMap:*NamedProjection "
        "ServiceAccountToken:*TokenProjection ClusterTrustBundle:p PodCertificate:p"
    ),
    "NamedProjection": "Name:s Items:[]KeyToPath Optional:p",
    "DownwardProjection": "Items:[]DownwardFile",
    "TokenProjection": "Audience:s ExpirationSeconds:i Path:s",
    "ServicePort": "Name:s Protocol:s AppProtocol:p Port:i TargetPort:i NodePort:i",
    "DeploymentStrategy": "Type:s RollingUpdate:*RollingUpdate",
    "RollingUpdate": "MaxUnavailable:i MaxSurge:i",
    "StatefulSetUpdateStrategy": "Type:s RollingUpdate:*StatefulSetRollingUpdate",
    "StatefulSetRollingUpdate": "Partition:i MaxUnavailable:p",
    "SuccessPolicy": "Rules:[]SuccessPolicyRule",
    "SuccessPolicyRule": "SucceededIndexes:p SucceededCount:p",
    "PersistentVolumeClaimSpec": (
        "AccessModes:p Selector:p Resources:VolumeResources VolumeName:s StorageClassName:p VolumeMode:p "
        "DataSource:*DataSource DataSourceRef:*DataSourceRef VolumeAttributesClassName:p"
    ),
    "VolumeResources": "Limits:p Requests:p",
    "DataSource": "APIGroup@apiGroup:p Kind:s Name:s",
    "DataSourceRef": "APIGroup@apiGroup:p Kind:s Name:s Namespace:p",
    "ObjectReference": ("Kind:s Namespace:s Name:s UID@uid:s APIVersion@apiVersion:s ResourceVersion:s FieldPath:s"),
    "EventSource": "Component:s Host:s",
    "ScopeSelector": "MatchExpressions:[]ScopedSelectorRequirement",
    "ScopedSelectorRequirement": "ScopeName:s Operator:s Values:p",
    "VolumeAttachmentSpec": "Attacher:s Source:AttachmentSource NodeName:s",
    "AttachmentSource": "PersistentVolumeName:p InlineVolumeSpec:p",
    "CSINodeDriver": "Name:s NodeID@nodeID:s TopologyKeys:p Allocatable:*NodeResources",
    "NodeResources": "Count:p",
    "NonResourceAttributes": "Path:s Verb:s",
    "FlowSchemaSpec": (
        "PriorityLevelConfiguration:Named MatchingPrecedence:i DistinguisherMethod:*FlowDistinguisherMethod "
        "Rules:[]PolicyRulesWithSubjects"
    ),
    "Named": "Name:s",
    "FlowDistinguisherMethod": "Type:s",
    "PolicyRulesWithSubjects": (
        "Subjects:[]FlowSubject ResourceRules:[]ResourcePolicyRule NonResourceRules:[]NonResourcePolicyRule"
    ),
    "FlowSubject": "Kind:s User:*Named Group:*Named ServiceAccount:*ServiceAccountSubject",
    "ServiceAccountSubject": "Namespace:s Name:s",
    "ResourcePolicyRule": "Verbs:p APIGroups@apiGroups:p Resources:p ClusterScope:b Namespaces:p",
    "NonResourcePolicyRule": "Verbs:p NonResourceURLs:p",
    "PriorityLevelConfigurationSpec": "Type:s Limited:*LimitedPriorityLevel Exempt:*ExemptPriorityLevel",
    "LimitedPriorityLevel": (
        "NominalConcurrencyShares:i LimitResponse:LimitResponse LendablePercent:p BorrowingLimitPercent:p"
    ),
    "LimitResponse": "Type:s Queuing:*QueuingConfiguration",
    "QueuingConfiguration": "Queues:i HandSize:i QueueLengthLimit:i",
    "ExemptPriorityLevel": "NominalConcurrencyShares:p LendablePercent:p",
    "ResourceClaimSpec": "Devices:DeviceClaim",
    "DeviceClaim": "Requests:[]DeviceRequest Constraints:[]DeviceConstraint Config:[]DeviceClaimConfiguration",
    "DeviceRequest": "Name:s Exactly:*ExactDeviceRequest FirstAvailable:[]DeviceSubRequest",
    "ExactDeviceRequest": (
        "DeviceClassName:s Selectors:[]DeviceSelector AllocationMode:s Count:i AdminAccess:p "
        "Tolerations:[]Toleration Capacity:*CapacityRequirements"
    ),
    "DeviceSubRequest": (
        "Name:s DeviceClassName:s Selectors:[]DeviceSelector AllocationMode:s Count:i Tolerations:[]Toleration "
        "Capacity:*CapacityRequirements"
    ),
    "DeviceSelector": "CEL@cel:*CELDeviceSelector",
    "CELDeviceSelector": "Expression:s",
    "CapacityRequirements": "Requests:p",
    "DeviceConstraint": "Requests:p MatchAttribute:p DistinctAttribute:p",
    "DeviceClaimConfiguration": "Requests:p Opaque:*OpaqueDeviceConfiguration",
    "OpaqueDeviceConfiguration": "Driver:s Parameters:p",
    "AllocationResult": "Devices:DeviceAllocationResult NodeSelector:*NodeSelector AllocationTimestamp:p",
    "DeviceAllocationResult": "Results:[]DeviceRequestAllocationResult Config:[]DeviceAllocationConfiguration",
    "DeviceRequestAllocationResult": (
        "Request:s Driver:s Pool:s Device:s AdminAccess:p Tolerations:[]Toleration BindingConditions:p "
        "BindingFailureConditions:p ShareID@shareID:p ConsumedCapacity:p"
    ),
    "DeviceAllocationConfiguration": "Source:s Requests:p Opaque:*OpaqueDeviceConfiguration",
    "DeviceAttribute": (
        "IntValue@int:p BoolValue@bool:p StringValue@string:p VersionValue@version:p IntValues@ints:p "
        "BoolValues@bools:p StringValues@strings:p VersionValues@versions:p"
    ),
    "CustomResourceDefinitionVersion": (
        "Name:s Served:b Storage:b Deprecated:b DeprecationWarning:p Schema:p Subresources:p "
        "AdditionalPrinterColumns:p SelectableFields:p"
    ),
}


@cache
def _fields(type_name: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(_parse_fields(type_name))


def _parse_fields(type_name: str) -> Iterator[tuple[str, str, str]]:
    for word in _TYPES[type_name].split():
        if word.startswith("+"):
            yield from _parse_fields(word[1:])
            continue
        names, code = word.split(":")
        go_name, _, json_name = names.partition("@")
        yield go_name, json_name or go_name[0].lower() + go_name[1:], code


def internal_form(type_name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """The struct with Go's field names and zero values."""
    value = value or {}
    return {go_name: _field(code, value.get(json_name)) for go_name, json_name, code in _fields(type_name)}


def _field(code: str, value: Any) -> Any:
    if code in _ZEROS:
        if isinstance(value, dict):
            return dict(sorted(value.items())) or None
        return _ZEROS[code] if value is None or value == [] else value
    if code.startswith("[]"):
        return [internal_form(code[2:], item) for item in value] if value else None
    if code.startswith("*"):
        return None if value is None else internal_form(code[1:], value)
    return internal_form(code, value)


def printed_struct(type_name: str, value: Mapping[str, Any]) -> str:
    """A struct of scalars as Go's %+v prints it: `{Name:http HostPort:0 ...}`."""
    fields = internal_form(type_name, value)
    return "{" + " ".join(f"{name}:{'' if item is None else item}" for name, item in fields.items()) + "}"


def pod_spec_form(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A PodSpec; the host namespaces are part of the internal security context."""
    context = dict(spec.get("securityContext") or {})
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"):
        context[name] = spec.get(name)
    return internal_form("PodSpec", {**spec, "securityContext": context})


def difference(old: Any, new: Any) -> str:
    """The unified diff of two values printed as indented JSON, as upstream appends it to a message."""
    import json  # only refused updates need it

    before, after = (json.dumps(value, indent=1, ensure_ascii=False).splitlines() for value in (old, new))
    lines = unified_diff(before, after, lineterm="", n=3)
    return "".join(f"{line}\n" for line in list(lines)[2:])
