"""Every built-in kind that kube-apiserver 1.36 serves with its default feature gates, as plain `Kind` records.

The order is upstream's: groups by descending priority (as `kubectl api-versions` and aggregated discovery show them),
resources by name within a version. The discovery documents, the routes and the in-process clients are made of this
table; a kind that is not here does not exist until a CustomResourceDefinition makes it.
"""

from __future__ import annotations

from control.api.kinds import Kind, Subresource

_UPDATE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")
_ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

#: group -> where its Go types live, as the names of upstream's definitions spell it
_DEFINITION_PREFIXES = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def _definition(group: str, version: str, kind: str) -> str:
    prefix = _DEFINITION_PREFIXES.get(group) or f"io.k8s.api.{group.partition('.')[0]}"
    return f"{prefix}.{version}.{kind}"


def _kind(
    group: str,
    version: str,
    kind: str,
    plural: str,
    *,
    namespaced: bool = False,
    short: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    verbs: tuple[str, ...] = _ALL,
    subresources: tuple[Subresource, ...] = (),
    storage: tuple[str, str] | None = None,
) -> Kind:
    return Kind(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=namespaced,
        short_names=short,
        categories=categories,
        verbs=verbs,
        subresources=subresources,
        list_kind=f"{kind}List" if "list" in verbs else "",
        definition=_definition(group, version, kind),
        storage_group=storage[0] if storage else None,
        storage_version=storage[1] if storage else None,
    )


def _status(kind: str) -> Subresource:
    return Subresource(name="status", kind=kind, verbs=_UPDATE)


def _scale() -> Subresource:
    return Subresource(name="scale", kind="Scale", group="autoscaling", version="v1", verbs=_UPDATE)


def _review(group: str, kind: str, *, namespaced: bool = False) -> Kind:
    return _kind(group, "v1", kind, kind.lower() + "s", namespaced=namespaced, verbs=("create",))


def _read_write(group: str, kind: str, plural: str, *, namespaced: bool = False, short: str = "") -> Kind:
    """Make a v1 kind with all verbs and neither status nor other subresources."""
    return _kind(group, "v1", kind, plural, namespaced=namespaced, short=(short,) if short else ())


# ---- core ----------------------------------------------------------------------------------------------------------

BINDINGS = _kind("", "v1", "Binding", "bindings", namespaced=True, verbs=("create",))
COMPONENT_STATUSES = _kind("", "v1", "ComponentStatus", "componentstatuses", short=("cs",), verbs=("get", "list"))
CONFIG_MAPS = _read_write("", "ConfigMap", "configmaps", namespaced=True, short="cm")
ENDPOINTS = _read_write("", "Endpoints", "endpoints", namespaced=True, short="ep")
EVENTS = _read_write("", "Event", "events", namespaced=True, short="ev")
LIMIT_RANGES = _read_write("", "LimitRange", "limitranges", namespaced=True, short="limits")
NAMESPACES = _kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    short=("ns",),
    verbs=tuple(verb for verb in _ALL if verb != "deletecollection"),
    subresources=(Subresource(name="finalize", kind="Namespace", verbs=("update",)), _status("Namespace")),
)
NODES = _kind(
    "",
    "v1",
    "Node",
    "nodes",
    short=("no",),
    subresources=(Subresource(name="proxy", kind="NodeProxyOptions", verbs=_PROXY), _status("Node")),
)
PERSISTENT_VOLUME_CLAIMS = _kind(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    namespaced=True,
    short=("pvc",),
    subresources=(_status("PersistentVolumeClaim"),),
)
PERSISTENT_VOLUMES = _kind(
    "", "v1", "PersistentVolume", "persistentvolumes", short=("pv",), subresources=(_status("PersistentVolume"),)
)
PODS = _kind(
    "",
    "v1",
    "Pod",
    "pods",
    namespaced=True,
    short=("po",),
    categories=("all",),
    subresources=(
        Subresource(name="attach", kind="PodAttachOptions", verbs=_CONNECT),
        Subresource(name="binding", kind="Binding", verbs=("create",)),
        Subresource(name="ephemeralcontainers", kind="Pod", verbs=_UPDATE),
        Subresource(name="eviction", kind="Eviction", group="policy", version="v1", verbs=("create",)),
        Subresource(name="exec", kind="PodExecOptions", verbs=_CONNECT),
        Subresource(name="log", kind="Pod", verbs=("get",)),
        Subresource(name="portforward", kind="PodPortForwardOptions", verbs=_CONNECT),
        Subresource(name="proxy", kind="PodProxyOptions", verbs=_PROXY),
        Subresource(name="resize", kind="Pod", verbs=_UPDATE),
        _status("Pod"),
    ),
)
POD_TEMPLATES = _read_write("", "PodTemplate", "podtemplates", namespaced=True)
REPLICATION_CONTROLLERS = _kind(
    "",
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    namespaced=True,
    short=("rc",),
    categories=("all",),
    subresources=(_scale(), _status("ReplicationController")),
)
RESOURCE_QUOTAS = _kind(
    "",
    "v1",
    "ResourceQuota",
    "resourcequotas",
    namespaced=True,
    short=("quota",),
    subresources=(_status("ResourceQuota"),),
)
SECRETS = _read_write("", "Secret", "secrets", namespaced=True)
SERVICE_ACCOUNTS = _kind(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    namespaced=True,
    short=("sa",),
    subresources=(
        Subresource(name="token", kind="TokenRequest", group="authentication.k8s.io", version="v1", verbs=("create",)),
    ),
)
SERVICES = _kind(
    "",
    "v1",
    "Service",
    "services",
    namespaced=True,
    short=("svc",),
    categories=("all",),
    subresources=(Subresource(name="proxy", kind="ServiceProxyOptions", verbs=_PROXY), _status("Service")),
)

# ---- apiregistration.k8s.io ----------------------------------------------------------------------------------------

API_SERVICES = _kind(
    "apiregistration.k8s.io",
    "v1",
    "APIService",
    "apiservices",
    categories=("api-extensions",),
    subresources=(_status("APIService"),),
)

# ---- apps ----------------------------------------------------------------------------------------------------------

CONTROLLER_REVISIONS = _read_write("apps", "ControllerRevision", "controllerrevisions", namespaced=True)


def _workload(kind: str, plural: str, short: str, *subresources: Subresource) -> Kind:
    return _kind(
        "apps",
        "v1",
        kind,
        plural,
        namespaced=True,
        short=(short,),
        categories=("all",),
        subresources=(*subresources, _status(kind)),
    )


DAEMON_SETS = _workload("DaemonSet", "daemonsets", "ds")
DEPLOYMENTS = _workload("Deployment", "deployments", "deploy", _scale())
REPLICA_SETS = _workload("ReplicaSet", "replicasets", "rs", _scale())
STATEFUL_SETS = _workload("StatefulSet", "statefulsets", "sts", _scale())

# ---- events, authentication, authorization -------------------------------------------------------------------------

EVENTS_V1 = _kind("events.k8s.io", "v1", "Event", "events", namespaced=True, short=("ev",), storage=("", "v1"))

SELF_SUBJECT_REVIEWS = _review("authentication.k8s.io", "SelfSubjectReview")
TOKEN_REVIEWS = _review("authentication.k8s.io", "TokenReview")
LOCAL_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "LocalSubjectAccessReview", namespaced=True)
SELF_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "SelfSubjectAccessReview")
SELF_SUBJECT_RULES_REVIEWS = _review("authorization.k8s.io", "SelfSubjectRulesReview")
SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "SubjectAccessReview")

# ---- autoscaling, batch, certificates ------------------------------------------------------------------------------


def _autoscaler(version: str) -> Kind:
    return _kind(
        "autoscaling",
        version,
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        namespaced=True,
        short=("hpa",),
        categories=("all",),
        subresources=(_status("HorizontalPodAutoscaler"),),
        storage=("autoscaling", "v2"),
    )


HORIZONTAL_POD_AUTOSCALERS = _autoscaler("v2")
HORIZONTAL_POD_AUTOSCALERS_V1 = _autoscaler("v1")
CRON_JOBS = _kind(
    "batch",
    "v1",
    "CronJob",
    "cronjobs",
    namespaced=True,
    short=("cj",),
    categories=("all",),
    subresources=(_status("CronJob"),),
)
JOBS = _kind("batch", "v1", "Job", "jobs", namespaced=True, categories=("all",), subresources=(_status("Job"),))
CERTIFICATE_SIGNING_REQUESTS = _kind(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    short=("csr",),
    subresources=(
        Subresource(name="approval", kind="CertificateSigningRequest", verbs=_UPDATE),
        _status("CertificateSigningRequest"),
    ),
)

# ---- networking, policy, rbac --------------------------------------------------------------------------------------

INGRESS_CLASSES = _read_write("networking.k8s.io", "IngressClass", "ingressclasses")
INGRESSES = _kind(
    "networking.k8s.io",
    "v1",
    "Ingress",
    "ingresses",
    namespaced=True,
    short=("ing",),
    subresources=(_status("Ingress"),),
)
IP_ADDRESSES = _read_write("networking.k8s.io", "IPAddress", "ipaddresses", short="ip")
NETWORK_POLICIES = _read_write("networking.k8s.io", "NetworkPolicy", "networkpolicies", namespaced=True, short="netpol")
SERVICE_CIDRS = _kind("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", subresources=(_status("ServiceCIDR"),))
POD_DISRUPTION_BUDGETS = _kind(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    namespaced=True,
    short=("pdb",),
    subresources=(_status("PodDisruptionBudget"),),
)
CLUSTER_ROLE_BINDINGS = _read_write("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings")
CLUSTER_ROLES = _read_write("rbac.authorization.k8s.io", "ClusterRole", "clusterroles")
ROLE_BINDINGS = _read_write("rbac.authorization.k8s.io", "RoleBinding", "rolebindings", namespaced=True)
ROLES = _read_write("rbac.authorization.k8s.io", "Role", "roles", namespaced=True)

# ---- storage.k8s.io ------------------------------------------------------------------------------------------------

CSI_DRIVERS = _read_write("storage.k8s.io", "CSIDriver", "csidrivers")
CSI_NODES = _read_write("storage.k8s.io", "CSINode", "csinodes")
CSI_STORAGE_CAPACITIES = _read_write("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities", namespaced=True)
STORAGE_CLASSES = _read_write("storage.k8s.io", "StorageClass", "storageclasses", short="sc")
VOLUME_ATTACHMENTS = _kind(
    "storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", subresources=(_status("VolumeAttachment"),)
)
VOLUME_ATTRIBUTES_CLASSES = _read_write(
    "storage.k8s.io", "VolumeAttributesClass", "volumeattributesclasses", short="vac"
)

# ---- admissionregistration.k8s.io, apiextensions.k8s.io ------------------------------------------------------------


def _admission(kind: str, plural: str, *subresources: Subresource) -> Kind:
    return _kind(
        "admissionregistration.k8s.io",
        "v1",
        kind,
        plural,
        categories=("api-extensions",),
        subresources=subresources,
    )


MUTATING_ADMISSION_POLICIES = _admission("MutatingAdmissionPolicy", "mutatingadmissionpolicies")
MUTATING_ADMISSION_POLICY_BINDINGS = _admission("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings")
MUTATING_WEBHOOK_CONFIGURATIONS = _admission("MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
VALIDATING_ADMISSION_POLICIES = _admission(
    "ValidatingAdmissionPolicy", "validatingadmissionpolicies", _status("ValidatingAdmissionPolicy")
)
VALIDATING_ADMISSION_POLICY_BINDINGS = _admission(
    "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"
)
VALIDATING_WEBHOOK_CONFIGURATIONS = _admission("ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
CUSTOM_RESOURCE_DEFINITIONS = _kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    short=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(_status("CustomResourceDefinition"),),
)

# ---- scheduling, coordination, node, discovery, resource, flowcontrol ----------------------------------------------

PRIORITY_CLASSES = _read_write("scheduling.k8s.io", "PriorityClass", "priorityclasses", short="pc")
LEASES = _read_write("coordination.k8s.io", "Lease", "leases", namespaced=True)
RUNTIME_CLASSES = _read_write("node.k8s.io", "RuntimeClass", "runtimeclasses")
ENDPOINT_SLICES = _read_write("discovery.k8s.io", "EndpointSlice", "endpointslices", namespaced=True)
DEVICE_CLASSES = _read_write("resource.k8s.io", "DeviceClass", "deviceclasses")
RESOURCE_CLAIMS = _kind(
    "resource.k8s.io",
    "v1",
    "ResourceClaim",
    "resourceclaims",
    namespaced=True,
    subresources=(_status("ResourceClaim"),),
)
RESOURCE_CLAIM_TEMPLATES = _read_write(
    "resource.k8s.io", "ResourceClaimTemplate", "resourceclaimtemplates", namespaced=True
)
RESOURCE_SLICES = _read_write("resource.k8s.io", "ResourceSlice", "resourceslices")
FLOW_SCHEMAS = _kind(
    "flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", subresources=(_status("FlowSchema"),)
)
PRIORITY_LEVEL_CONFIGURATIONS = _kind(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    subresources=(_status("PriorityLevelConfiguration"),),
)

BUILTIN_KINDS: tuple[Kind, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Kind))
