"""The ClusterRoles, Roles and bindings every cluster starts with: upstream's names and rules.

Source of the facts: kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy (v1.36). The API server creates what is
missing at start and leaves the rest alone; objects carry upstream's label and autoupdate annotation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control.api.builtin_kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from control.api.kinds import Kind
from control.api.objects import Object
from control.auth.controller_policy import CONTROLLER_RULES
from control.auth.policy_rules import EVENTS, parse_rules

_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_API_GROUP = "rbac.authorization.k8s.io"
_WRITE = "create delete deletecollection patch update"
_READ = "get list watch"

_APPS = "daemonsets deployments replicasets statefulsets"
_EXTENSIONS_WRITE = (
    "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets"
    " replicasets/scale replicationcontrollers/scale"
)

#: rules of a node beyond what the node authorizer decides by relation
_NODE = (
    "create | authentication.k8s.io | tokenreviews",
    "create | authorization.k8s.io | localsubjectaccessreviews subjectaccessreviews",
    f"{_READ} | core | services",
    "create get list watch | core | nodes",
    "patch update | core | nodes/status",
    "patch update | core | nodes",
    "create patch update | core | events",
    f"{_READ} | core | pods",
    "create delete | core | pods",
    "patch update | core | pods/status",
    "create | core | pods/eviction",
    f"{_READ} | core | configmaps secrets",
    "get | core | persistentvolumeclaims persistentvolumes",
    "get | core | endpoints",
    "create get list watch | certificates.k8s.io | certificatesigningrequests",
    "create delete get patch update | coordination.k8s.io | leases",
    "get | storage.k8s.io | volumeattachments",
    "create | core | serviceaccounts/token",
    "get patch update | core | persistentvolumeclaims/status",
    f"{_READ} | storage.k8s.io | csidrivers",
    "create delete get patch update | storage.k8s.io | csinodes",
    f"{_READ} | node.k8s.io | runtimeclasses",
    "get | resource.k8s.io | resourceclaims",
    f"{_WRITE} {_READ} | resource.k8s.io | resourceslices",
)
NODE_RULES: Sequence[Object] = parse_rules(_NODE)

_SCHEDULER = (
    EVENTS,
    "create | coordination.k8s.io | leases",
    "get list update watch | coordination.k8s.io | leases | kube-scheduler",
    f"{_READ} | core | nodes",
    "delete get list watch | core | pods",
    "create | core | bindings pods/binding",
    "patch update | core | pods/status",
    f"{_READ} | core | replicationcontrollers services",
    f"{_READ} | apps extensions | replicasets",
    f"{_READ} | apps | statefulsets",
    f"{_READ} | policy | poddisruptionbudgets",
    f"{_READ} | core | persistentvolumeclaims persistentvolumes",
    "create | authentication.k8s.io | tokenreviews",
    "create | authorization.k8s.io | subjectaccessreviews",
    f"{_READ} | storage.k8s.io | csinodes",
    f"{_READ} | storage.k8s.io | volumeattachments",
    f"{_READ} | core | namespaces",
    f"{_READ} | storage.k8s.io | csidrivers",
    f"{_READ} | storage.k8s.io | csistoragecapacities",
    f"{_READ} | resource.k8s.io | deviceclasses",
    f"patch update {_READ} | resource.k8s.io | resourceclaims",
    "patch update | resource.k8s.io | resourceclaims/status",
    f"{_READ} | resource.k8s.io | resourceslices",
)
_VOLUME_SCHEDULER = (
    "get list patch update watch | core | persistentvolumes",
    f"{_READ} | storage.k8s.io | storageclasses",
    "get list patch update watch | core | persistentvolumeclaims",
)
_CONTROLLER_MANAGER = (
    EVENTS,
    "create | coordination.k8s.io | leases",
    "get list update watch | coordination.k8s.io | leases | kube-controller-manager",
    "create | core | secrets serviceaccounts",
    "delete | core | secrets",
    "get | core | configmaps namespaces secrets serviceaccounts",
    "update | core | secrets serviceaccounts",
    "create | authentication.k8s.io | tokenreviews",
    "create | authorization.k8s.io | subjectaccessreviews",
    "list watch | * | *",
    "create | core | serviceaccounts/token",
)
SCHEDULER_RULES: Sequence[Object] = parse_rules((*_SCHEDULER, *_VOLUME_SCHEDULER))
CONTROLLER_MANAGER_RULES: Sequence[Object] = parse_rules(_CONTROLLER_MANAGER)

_TO_ADMIN = (
    "create | authorization.k8s.io | localsubjectaccessreviews",
    f"{_WRITE} {_READ} | rbac.authorization.k8s.io | rolebindings roles",
)
_TO_EDIT = (
    f"{_READ} | core | pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
    "impersonate | core | serviceaccounts",
    f"{_WRITE} | core | pods pods/attach pods/exec pods/portforward pods/proxy",
    "create | core | pods/eviction",
    f"{_WRITE} | core | configmaps events persistentvolumeclaims replicationcontrollers"
    " replicationcontrollers/scale secrets serviceaccounts services services/proxy",
    "create | core | serviceaccounts/token",
    f"{_WRITE} | apps | {_APPS} deployments/rollback deployments/scale replicasets/scale statefulsets/scale",
    f"{_WRITE} | autoscaling | horizontalpodautoscalers",
    f"{_WRITE} | batch | cronjobs jobs",
    f"{_WRITE} | extensions | {_EXTENSIONS_WRITE}",
    f"{_WRITE} | policy | poddisruptionbudgets",
    f"{_WRITE} | networking.k8s.io | ingresses networkpolicies",
    f"{_WRITE} {_READ} | coordination.k8s.io | leases",
    f"{_WRITE} | resource.k8s.io | resourceclaims resourceclaimtemplates",
)
_TO_VIEW = (
    f"{_READ} | core | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods"
    " replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
    f"{_READ} | core | bindings events limitranges namespaces/status pods/log pods/status"
    " replicationcontrollers/status resourcequotas resourcequotas/status",
    f"{_READ} | core | namespaces",
    f"{_READ} | discovery.k8s.io | endpointslices",
    f"{_READ} | apps | controllerrevisions {_APPS} daemonsets/status deployments/scale deployments/status"
    " replicasets/scale replicasets/status statefulsets/scale statefulsets/status",
    f"{_READ} | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status",
    f"{_READ} | batch | cronjobs cronjobs/status jobs jobs/status",
    f"{_READ} | extensions | daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses"
    " ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    f"{_READ} | policy | poddisruptionbudgets poddisruptionbudgets/status",
    f"{_READ} | networking.k8s.io | ingresses ingresses/status networkpolicies",
    f"{_READ} | resource.k8s.io | resourceclaims resourceclaims/status resourceclaimtemplates",
)

_CLUSTER_ROLES: Mapping[str, tuple[str, ...]] = {
    "cluster-admin": ("* | * | *", "* | *"),
    "system:aggregate-to-admin": _TO_ADMIN,
    "system:aggregate-to-edit": _TO_EDIT,
    "system:aggregate-to-view": _TO_VIEW,
    "system:auth-delegator": (
        "create | authentication.k8s.io | tokenreviews",
        "create | authorization.k8s.io | subjectaccessreviews",
    ),
    "system:basic-user": (
        "create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews",
        "create | authentication.k8s.io | selfsubjectreviews",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create | certificates.k8s.io | certificatesigningrequests/nodeclient",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create | certificates.k8s.io | certificatesigningrequests/selfnodeclient",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet",
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving",
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown",
    ),
    "system:discovery": (
        "get | /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
    ),
    "system:heapster": (
        f"{_READ} | core | events namespaces nodes pods",
        f"{_READ} | extensions | deployments",
    ),
    "system:kube-aggregator": (f"{_READ} | core | endpoints services",),
    "system:kube-controller-manager": _CONTROLLER_MANAGER,
    "system:kube-dns": ("list watch | core | endpoints services",),
    "system:kube-scheduler": _SCHEDULER,
    "system:kubelet-api-admin": (
        f"{_READ} | core | nodes",
        "proxy | core | nodes",
        "* | core | nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
    ),
    "system:monitoring": ("get | /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",),
    "system:node": _NODE,
    "system:node-bootstrapper": ("create get list watch | certificates.k8s.io | certificatesigningrequests",),
    "system:node-problem-detector": ("get | core | nodes", "patch | core | nodes/status", EVENTS),
    "system:node-proxier": (
        "list watch | core | endpoints services",
        f"{_READ} | core | nodes",
        EVENTS,
        "list watch | discovery.k8s.io | endpointslices",
        f"{_READ} | networking.k8s.io | servicecidrs",
    ),
    "system:persistent-volume-provisioner": (
        "create delete get list watch | core | persistentvolumes",
        "get list update watch | core | persistentvolumeclaims",
        f"{_READ} | storage.k8s.io | storageclasses",
        "watch | core | events",
        EVENTS,
    ),
    "system:public-info-viewer": ("get | /healthz /livez /readyz /version /version/",),
    "system:service-account-issuer-discovery": ("get | /.well-known/openid-configuration /openid/v1/jwks",),
    "system:volume-scheduler": _VOLUME_SCHEDULER,
}
#: roles whose rules are collected from others by label
_AGGREGATED = {
    "admin": "system:aggregate-to-admin",
    "edit": "system:aggregate-to-edit",
    "view": "system:aggregate-to-view",
}
_AGGREGATION_LABELS = {
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
    "edit": "admin",
    "view": "edit",
}

_CLUSTER_BINDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "cluster-admin": (("Group", "system:masters"),),
    "system:basic-user": (("Group", "system:authenticated"),),
    "system:discovery": (("Group", "system:authenticated"),),
    "system:kube-controller-manager": (("User", "system:kube-controller-manager"),),
    "system:kube-dns": (("ServiceAccount", "kube-dns"),),
    "system:kube-scheduler": (("User", "system:kube-scheduler"),),
    "system:monitoring": (("Group", "system:monitoring"),),
    "system:node": (),
    "system:node-proxier": (("User", "system:kube-proxy"),),
    "system:public-info-viewer": (("Group", "system:authenticated"), ("Group", "system:unauthenticated")),
    "system:service-account-issuer-discovery": (("Group", "system:serviceaccounts"),),
    "system:volume-scheduler": (("User", "system:kube-scheduler"),),
}

#: namespace -> role -> rules
_ROLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "kube-public": {
        "system:controller:bootstrap-signer": (
            f"{_READ} | core | configmaps",
            "update | core | configmaps | cluster-info",
            EVENTS,
        ),
    },
    "kube-system": {
        "extension-apiserver-authentication-reader": (
            f"{_READ} | core | configmaps | extension-apiserver-authentication",
        ),
        "system::leader-locking-kube-controller-manager": (
            "watch | core | configmaps",
            "get update | core | configmaps | kube-controller-manager",
        ),
        "system::leader-locking-kube-scheduler": (
            "watch | core | configmaps",
            "get update | core | configmaps | kube-scheduler",
        ),
        "system:controller:bootstrap-signer": (f"{_READ} | core | secrets",),
        "system:controller:cloud-provider": ("create get list update watch | core | configmaps",),
        "system:controller:token-cleaner": ("delete get list watch | core | secrets", EVENTS),
    },
}
_CONTROLLER_MANAGER_USER = ("User", "system:kube-controller-manager")
_SCHEDULER_USER = ("User", "system:kube-scheduler")
#: (namespace, binding, role, subjects)
_ROLE_BINDINGS: Sequence[tuple[str, str, str, tuple[tuple[str, str], ...]]] = (
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        (("ServiceAccount", "bootstrap-signer"),),
    ),
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        (_CONTROLLER_MANAGER_USER, _SCHEDULER_USER),
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        (_CONTROLLER_MANAGER_USER, ("ServiceAccount", "kube-controller-manager")),
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        (_SCHEDULER_USER, ("ServiceAccount", "kube-scheduler")),
    ),
    (
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        (("ServiceAccount", "bootstrap-signer"),),
    ),
    (
        "kube-system",
        "system:controller:cloud-provider",
        "system:controller:cloud-provider",
        (("ServiceAccount", "cloud-provider"),),
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        (("ServiceAccount", "token-cleaner"),),
    ),
)


def bootstrap_objects() -> list[tuple[Kind, Object]]:
    """All policy objects of a new cluster with their kinds, roles before the bindings that refer to them."""
    objects: list[tuple[Kind, Object]] = [(CLUSTER_ROLES, role) for role in bootstrap_cluster_roles()]
    for namespace, roles in _ROLES.items():
        objects.extend(
            (ROLES, _object(ROLES, name, namespace, rules=parse_rules(lines))) for name, lines in roles.items()
        )
    for name, subjects in _CLUSTER_BINDINGS.items():
        objects.append(
            (CLUSTER_ROLE_BINDINGS, _binding(CLUSTER_ROLE_BINDINGS, name, "", "ClusterRole", name, subjects))
        )
    for controller in CONTROLLER_RULES:
        name = f"system:controller:{controller}"
        binding = _binding(CLUSTER_ROLE_BINDINGS, name, "", "ClusterRole", name, (("ServiceAccount", controller),))
        objects.append((CLUSTER_ROLE_BINDINGS, binding))
    for namespace, name, role, subjects in _ROLE_BINDINGS:
        objects.append((ROLE_BINDINGS, _binding(ROLE_BINDINGS, name, namespace, "Role", role, subjects)))
    return objects


def bootstrap_cluster_roles() -> list[Object]:
    """The ClusterRoles; admin, edit and view come with the rules their selectors collect."""
    roles = [_object(CLUSTER_ROLES, name, "", rules=parse_rules(lines)) for name, lines in _CLUSTER_ROLES.items()]
    for name, source in _AGGREGATED.items():
        role = _object(CLUSTER_ROLES, name, "", rules=_collected_rules(source))
        selector = {"matchLabels": {f"{_AGGREGATE}{name}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
        roles.append(role)
    for role in roles:
        if (target := _AGGREGATION_LABELS.get(role["metadata"]["name"])) is not None:
            role["metadata"]["labels"][f"{_AGGREGATE}{target}"] = "true"
    roles.extend(
        _object(CLUSTER_ROLES, f"system:controller:{name}", "", rules=parse_rules(lines))
        for name, lines in CONTROLLER_RULES.items()
    )
    return sorted(roles, key=lambda role: str(role["metadata"]["name"]))


def _collected_rules(source: str) -> list[Object]:
    """Rules that aggregation gives: admin holds those of edit, edit those of view; collected in role name order."""
    order = ("system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view")
    rules: list[Object] = []
    for name in order[order.index(source) :]:
        rules.extend(rule for rule in parse_rules(_CLUSTER_ROLES[name]) if rule not in rules)
    return rules


def _object(kind: Kind, name: str, namespace: str, **fields: object) -> Object:
    metadata: Object = {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


def _binding(
    kind: Kind, name: str, namespace: str, role_kind: str, role: str, subjects: tuple[tuple[str, str], ...]
) -> Object:
    fields: Object = {"roleRef": {"apiGroup": _API_GROUP, "kind": role_kind, "name": role}}
    if subjects:
        fields["subjects"] = [_subject(subject_kind, subject) for subject_kind, subject in subjects]
    return _object(kind, name, namespace, **fields)


def _subject(kind: str, name: str) -> Object:
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": "kube-system"}
    return {"kind": kind, "apiGroup": _API_GROUP, "name": name}
