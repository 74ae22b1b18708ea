"""Rules of Pods beyond the recorded ones: every cause of one odd field, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PODS
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from control.apiserver.registry.strategies.resource_lists import quantity
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, texts, updated

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
CONTAINER = "spec.containers.0"
C = "spec.containers[0]"


def causes(*changes: tuple[str, Any]) -> list[str]:
    """What is wrong with the Pod after the changes."""
    body = POD
    for path, value in changes:
        body = change(body, path, value)
    return texts(created(PODS, body)[1])


def case(sentence: str, path: str, value: Any, *expected: str) -> Any:
    return pytest.param(path, value, list(expected), id=sentence)


RESTART_RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}

CONTAINERS = [
    case(
        "restart rules know two actions and two operators",
        CONTAINER,
        {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [
            {"action": "", "exitCodes": {"operator": "Eq", "values": []}}]},
        f'{C}.restartPolicyRules[0].action: Unsupported value: "": supported values: "Restart", '
        '"RestartAllContainers"',
        f'{C}.restartPolicyRules[0].exitCodes.operator: Unsupported value: "Eq": supported values: "In", "NotIn"',
    ),
    case(
        "restart rules are at most twenty",
        CONTAINER,
        {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [RESTART_RULE] * 21},
        f"{C}.restartPolicyRules: Too many: 21: must have at most 20 items",
    ),
    case(
        "a stop signal needs a gate that is off",
        f"{CONTAINER}.lifecycle",
        {"stopSignal": "SIGFOO", "preStop": {"exec": {"command": ["true"]}}},
    ),
    case(
        "only a volume of the Pod can hold an environment file, and only an emptyDir",
        f"{CONTAINER}.env",
        [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "X", "path": "../a", "key": "a=b"}}}],
        f'{C}.env[0].valueFrom.fileKeyRef.key: Invalid value: "a=b": a valid environment variable name must consist '
        "only of printable ASCII characters other than '='",
        f"{C}.env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"X\": a lowercase RFC 1123 label must consist "
        "of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. "
        "'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        f"{C}.env[0].valueFrom.fileKeyRef.path: Invalid value: \"../a\": must not contain '..'",
        f'{C}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "X"',
    ),
    case(
        "a source of an environment may end with a dash",
        f"{CONTAINER}.envFrom",
        [{"configMapRef": {"name": "settings-"}}],
    ),
    case(
        "requests of claims are labels, and named once",
        f"{CONTAINER}.resources",
        {"claims": [{"name": "gpu", "request": "A"}]},
        f"{C}.resources.claims[0].request: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower "
        "case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. "
        "'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        f'{C}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is '
        "empty",
    ),
]  # fmt: skip

VOLUMES = [
    case(
        "an image volume of a Pod needs a reference",
        "spec.volumes",
        [{"name": "v", "image": {}}],
        "spec.volumes[0].image.reference: Required value",
    ),
    case(
        "projections behind gates that are off vanish",
        "spec.volumes",
        [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": ""}}, {"podCertificate": {}}]}}],
    ),
    case(
        "a CSI volume without a driver is missing no more than that",
        "spec.volumes",
        [{"name": "v", "csi": {"driver": ""}}],
        "spec.volumes[0].csi.driver: Required value",
    ),
    case(
        "metadata of a claim template is labels and annotations",
        "spec.volumes",
        [{"name": "v", "ephemeral": {"volumeClaimTemplate": {
            "metadata": {"uid": "1", "name": "n"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}],
        "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
        "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.uID: Forbidden: cannot be set",
    ),
]  # fmt: skip

PODS_AS_A_WHOLE = [
    case(
        "an overriding hostname excludes others",
        "spec",
        {**POD["spec"], "hostnameOverride": "a" * 65, "setHostnameAsFQDN": True, "hostNetwork": True},
        "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
        "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
        "spec.hostnameOverride: Too long: may not be more than 64 bytes",
    ),
    case(
        "a user namespace of its own excludes the host's namespaces",
        "spec",
        {**POD["spec"], "hostUsers": False, "hostNetwork": True, "hostPID": True},
        "spec.hostNetwork: Forbidden: when `hostUsers` is false",
        "spec.HostPID: Forbidden: when `hostUsers` is false",
    ),
    case("an operating system has a name", "spec.os", {"name": ""}, "spec.os.name: Required value"),
    case(
        "a Pod of the host's namespaces leaves their sysctls alone, however they are written",
        "spec",
        {**POD["spec"], "hostNetwork": True, "hostIPC": True, "securityContext": {"sysctls": [
            {"name": name, "value": "1"}
            for name in ("net/core/somaxconn", "netfilter.x", "kernel/shmmax", "kernel.shmx", "vm.swappiness")]}},
        'spec.securityContext.sysctls[0].name: Invalid value: "net/core/somaxconn": may not be specified when '
        "'hostNetwork' is true",
        'spec.securityContext.sysctls[2].name: Invalid value: "kernel/shmmax": may not be specified when '
        "'hostIPC' is true",
    ),
    case(
        "comparing tolerations need a gate that is off",
        "spec.tolerations",
        [{"key": "a", "operator": "Gt", "value": "1"}],
        'spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"',
    ),
    case(
        "Windows credentials and users have forms",
        "spec.securityContext",
        {"windowsOptions": {"gmsaCredentialSpec": "", "runAsUserName": "a\\b\\c"}},
        'spec.securityContext.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an '
        "empty string",
        'spec.securityContext.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot '
        "contain more than one backslash",
    ),
    case(
        "a Windows user is not of dots, nor its domain",
        "spec.securityContext",
        {"windowsOptions": {"runAsUserName": "-.\\.."}},
        'spec.securityContext.windowsOptions.runAsUserName: Invalid value: "-.\\\\..": runAsUserName\'s User cannot '
        "contain only periods or spaces",
    ),
    case(
        "resources of a Windows Pod are its containers'",
        "spec",
        {**POD["spec"], "os": {"name": "windows"}, "resources": {"limits": {"cpu": "1"}}},
        "spec.resources: Forbidden: may not be set for a windows pod",
    ),
    case(
        "resources of the Pod cover its containers'",
        "spec",
        {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}, "containers": [
            {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "3"}}}]},
        'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container '
        "requests of 1500m",
        'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ),
    case(
        "addresses are written strictly",
        "spec.hostAliases",
        [{"ip": "010.0.0.1", "hostnames": ["a"]}],
        'spec.hostAliases[0].ip: Invalid value: "010.0.0.1": must not have leading 0s',
    ),
    case(
        "static Pods take no claims",
        "metadata.annotations",
        {"kubernetes.io/config.mirror": "x"},
        'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod '
        "annotation is set",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), CONTAINERS + VOLUMES + PODS_AS_A_WHOLE)
def test_an_odd_field_has_upstreams_causes(path: str, value: Any, expected: list[str]) -> None:
    assert causes((path, value)) == expected


def test_label_keys_of_a_spread_constraint_become_a_requirement() -> None:
    body = change(POD, "metadata.labels", {"app": "a", "hash": "1"})
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                  "labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["hash"]}  # fmt: skip
    pod, errors = created(PODS, change(body, "spec.topologySpreadConstraints", [constraint]))
    assert texts(errors) == []
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchExpressions"] == [{"key": "hash", "operator": "In", "values": ["1"]}]


def test_a_label_key_is_not_also_in_the_selector() -> None:
    body = change(POD, "metadata.labels", {"app": "a"})
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                  "labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["app"]}  # fmt: skip
    _, errors = created(PODS, change(body, "spec.topologySpreadConstraints", [constraint]))
    assert texts(errors) == [
        'spec.topologySpreadConstraints[0][0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector'
    ]


ARMOR = "container.apparmor.security.beta.kubernetes.io/c"


def test_an_annotated_profile_becomes_a_field() -> None:
    pod, errors = created(PODS, change(POD, "metadata.annotations", {ARMOR: "localhost/web"}))
    assert texts(errors) == []
    profile = pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"]
    assert profile == {"type": "Localhost", "localhostProfile": "web"}
    deprecated = f'metadata.annotations[{ARMOR}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    assert strategy_for(PODS).warnings_on_create(CONTEXT, pod) == [deprecated]


def test_annotations_and_fields_name_the_same_profiles() -> None:
    seccomp = "container.seccomp.security.alpha.kubernetes.io/c"
    context = {"seccompProfile": {"type": "RuntimeDefault"}, "appArmorProfile": {"type": "Unconfined"}}
    assert causes(
        ("metadata.annotations", {ARMOR: "runtime/default", f"{ARMOR}2": "other", seccomp: "unconfined"}),
        (f"{CONTAINER}.securityContext", context),
    ) == [
        f'metadata.annotations[{ARMOR}2]: Invalid value: "c2": container not found',
        f'metadata.annotations[{ARMOR}2]: Invalid value: "other": invalid AppArmor profile name: "other"',
        f"{C}.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
        f"{C}.securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match",
    ]


def _warnings(*changes: tuple[str, Any]) -> list[str]:
    body = POD
    for path, value in changes:
        body = change(body, path, value)
    pod, errors = created(PODS, body)
    assert texts(errors) == []
    return strategy_for(PODS).warnings_on_create(CONTEXT, pod)


ZONE = "failure-domain.beta.kubernetes.io/zone"
ZONE_TEXT = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
TERMS = [{"matchExpressions": [{"key": ZONE, "operator": "Exists"}]}]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        case(
            "old node labels, wherever they are named",
            "spec",
            {**POD["spec"], "nodeSelector": {ZONE: "a"}, "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": TERMS},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": TERMS[0]}]}}},
            f"spec.nodeSelector[{ZONE}]: {ZONE_TEXT}",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
            f".matchExpressions[0].key: {ZONE} is {ZONE_TEXT}",
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference"
            f".matchExpressions[0].key: {ZONE} is {ZONE_TEXT}",
        ),
        case(
            "a constraint without a selector finds nothing",
            "spec.topologySpreadConstraints",
            [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}],
            f"spec.topologySpreadConstraints[0].topologyKey: {ZONE} is {ZONE_TEXT}",
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        case(
            "an affinity without a selector finds nothing",
            "spec.affinity",
            {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}},
            "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null "
            "labelSelector results in matching no pod",
        ),
        case(
            "annotations without function",
            "metadata.annotations",
            {"security.alpha.kubernetes.io/sysctls": "a", "seccomp.security.alpha.kubernetes.io/pod": "unconfined"},
            'metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the "sysctls" '
            "field instead",
            "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "
            '"seccompProfile" field instead',
        ),
        case(
            "host aliases given twice",
            "spec.hostAliases",
            [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}, {"ip": "2001:DB8::1"}],
            'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"',
            'spec.hostAliases[2].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format '
            '("2001:db8::1")',
        ),
        case(
            "a variable that extends its former self is no doubt",
            f"{CONTAINER}.env",
            [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "$(A)"}],
            f'{C}.env[2]: hides previous definition of "A", which may be dropped when using apply',
        ),
        case(
            "ports that meet",
            f"{CONTAINER}.ports",
            [{"containerPort": 80}, {"containerPort": 80, "hostPort": 81}, {"containerPort": 80, "hostIP": "1.2.3.4"}],
            f"{C}.ports[1]: overlapping port definition with {C}.ports[0]",
            f"{C}.ports[2]: hostIP set without hostPort: {{Name: HostPort:0 ContainerPort:80 Protocol:TCP "
            "HostIP:1.2.3.4}",
            f"{C}.ports[2]: overlapping port definition with {C}.ports[0]",
            f"{C}.ports[2]: overlapping port definition with {C}.ports[1]",
        ),
        case(
            "files of a volume that hide each other",
            "spec.volumes",
            [{"name": "v", "configMap": {"name": "m", "items": [
                {"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}]}}],
            'volume "v" (ConfigMap "m"): overlapping paths: "x/y" with "x"',
        ),
        case(
            "a projected volume with nothing in a source",
            "spec.volumes",
            [{"name": "v", "projected": {"sources": [{}, {"secret": {"name": "s", "items": [
                {"key": "a", "path": "x"}]}}, {"downwardAPI": {"items": [
                {"path": "x/y", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}],
            'volume "v" (Projected) has no sources provided',
            'volume "v" (Projected DownwardAPI): overlapping paths: "x/y" with "x"',
        ),
        case(
            "a claim template for part of a byte",
            "spec.volumes",
            [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}}}}],
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "
            '"1500m" is invalid, must be an integer',
        ),
        case(
            "a name that is no hostname",
            "metadata.name",
            "a.b",
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label "
            "is recommended: [must not contain dots]",
        ),
        case(
            "plugins that are gone",
            "spec.volumes",
            [{"name": "v", "flocker": {"datasetName": "d"}}],
            "spec.volumes[0].flocker: deprecated in v1.22, non-functional in v1.25+",
        ),
    ],
)  # fmt: skip
def test_doubtful_fields_are_warned_of(path: str, value: Any, expected: list[str]) -> None:
    assert _warnings((path, value)) == expected


def _stored(body: Object = POD) -> Object:
    pod, errors = created(PODS, body)
    assert texts(errors) == []
    return pod


@pytest.mark.parametrize(
    ("spec", "old_state", "new_state", "allowed"),
    [
        pytest.param({"restartPolicy": "Never"}, 1, {"running": {}}, False, id="never means never"),
        pytest.param({"restartPolicy": "OnFailure"}, 1, {"running": {}}, True, id="a failure may be tried again"),
        pytest.param({"restartPolicy": "OnFailure"}, 0, {"waiting": {}}, False, id="a success stays one"),
        pytest.param({"restartPolicy": "Always"}, 0, {"running": {}}, True, id="always means always"),
        pytest.param(
            {"restartPolicy": "Never", "containers": [
                {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [RESTART_RULE]}]},
            1, {"running": {}}, True, id="a rule of the container restarts it",
        ),
        pytest.param(
            {"restartPolicy": "Never", "containers": [
                {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [
                    {"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0]}}]}]},
            0, {"running": {}}, True, id="where all may be restarted each may",
        ),
        pytest.param(
            {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i", "restartPolicy": "Never"}]},
            1, {"running": {}}, False, id="the container's policy comes before the Pod's",
        ),
    ],
)  # fmt: skip
def test_a_container_comes_back_from_its_end_only_by_its_policy(
    spec: Object, old_state: int, new_state: Object, allowed: bool
) -> None:
    old = _stored(change(POD, "spec", {**POD["spec"], **spec}))
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": old_state}}}]
    new: Object = copy_object(old)
    new["status"]["containerStatuses"] = [{"name": "c", "state": new_state}]
    errors = texts(strategy_for(PODS).validate_status_update(CONTEXT, new, old))
    refused = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    assert errors == ([] if allowed else [refused])


def test_a_bound_pod_is_nominated_no_more() -> None:
    old = _stored(change(POD, "spec.nodeName", "n"))
    new = change(old, "status.nominatedNodeName", "m")
    assert texts(strategy_for(PODS).validate_status_update(CONTEXT, new, old)) == [
        "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"
    ]


def test_custom_conditions_have_qualified_types() -> None:
    old = _stored()
    new = change(old, "status.conditions", [{"type": "Ready"}, {"type": "a b", "observedGeneration": -1}])
    found = texts(strategy_for(PODS).validate_status_update(CONTEXT, new, old))
    assert [text.partition(": ")[0] for text in found] == [
        "status.conditions[1].observedGeneration",
        "status.conditions[1].Type",
    ]


RESIZE = type(CONTEXT)(user=CONTEXT.user, now=CONTEXT.now, namespace="ns", subresource="resize")


def _resize(old: Object, *changes: tuple[str, Any]) -> list[str]:
    new: Object = copy_object(old)
    for path, value in changes:
        new = change(new, path, value)
    strategy = strategy_for(PODS)
    strategy.prepare_for_update(RESIZE, new, old)
    return texts(strategy.validate_update(RESIZE, new, old))


def _resizable() -> Object:
    resources = {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}}
    return _stored(change(POD, f"{CONTAINER}.resources", resources))


RESIZABLE = _resizable()["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        case("more cpu", f"{CONTAINER}.resources.requests.cpu", "2"),
        case("what is no resource is left as it was", "spec.nodeName", "n"),
        case(
            "a request taken away",
            f"{CONTAINER}.resources.requests",
            {"cpu": "2"},
            f"{C}.resources.requests: Forbidden: resource requests cannot be removed",
            "spec: Forbidden: only cpu and memory resources are mutable",
        ),
        case(
            "a container more",
            "spec.containers",
            [RESIZABLE, {**RESIZABLE, "name": "d"}],
            "spec.containers: Forbidden: containers may not be added or removed on resize",
        ),
        case(
            "another name",
            f"{CONTAINER}.name",
            "d",
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
        ),
        case(
            "limits that change the class",
            f"{CONTAINER}.resources",
            {},
            'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
            f"{C}.resources.requests: Forbidden: resource requests cannot be removed",
            "spec: Forbidden: only cpu and memory resources are mutable",
        ),
    ],
)
def test_a_resize_changes_cpu_and_memory(path: str, value: Any, expected: list[str]) -> None:
    assert _resize(_resizable(), (path, value)) == expected


INIT = "spec.initContainers.0"
AN_INIT = "spec.initContainers[0]"
MOVABLE = {
    "name": "i",
    "image": "i",
    "resources": {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}},
}
RESTARTS = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
ONLY_COMPUTE = f"{AN_INIT}: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"


@pytest.mark.parametrize("sidecar", [{}, {"restartPolicy": "Always"}])
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        case("more cpu", f"{INIT}.resources.requests.cpu", "2"),
        case(
            "a request taken away",
            f"{INIT}.resources.requests",
            {"memory": "1Gi", "ephemeral-storage": "1Gi"},
            f"{AN_INIT}.resources.requests: Forbidden: resource requests cannot be removed",
        ),
        case("storage", f"{INIT}.resources.requests.ephemeral-storage", "2Gi", ONLY_COMPUTE),
        case("the policy", f"{INIT}.resizePolicy", RESTARTS, ONLY_COMPUTE),
    ],
)
def test_a_resize_changes_cpu_and_memory_of_init_containers(
    path: str, value: Any, expected: list[str], sidecar: Object
) -> None:
    if value is RESTARTS and not sidecar:
        detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
        expected = [*expected, f"{AN_INIT}: Forbidden: {detail}"]
    old = _stored(change(POD, "spec.initContainers", [{**MOVABLE, **sidecar}]))
    assert _resize(old, (path, value)) == expected


def test_an_init_container_does_not_restart_to_be_resized() -> None:
    new = change(POD, "spec.initContainers", [{**MOVABLE, "resizePolicy": RESTARTS}])
    detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
    field = f"{AN_INIT}.resizePolicy[0].restartPolicy"
    assert texts(created(PODS, new)[1]) == [f'{field}: Invalid value: "RestartContainer": {detail}']
    assert not texts(created(PODS, change(new, f"{INIT}.restartPolicy", "Always"))[1])
    old = _stored(change(POD, "spec.initContainers", [MOVABLE]))
    old["spec"]["initContainers"][0]["resizePolicy"] = RESTARTS
    assert _resize(old, (f"{CONTAINER}.resources.requests", {"cpu": "1"})) == []
    assert _resize(old, (f"{INIT}.resources.requests.cpu", "2")) == [
        f"{AN_INIT}: Forbidden: non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
    ]


def test_a_node_that_cannot_resize_is_told_by_its_statuses() -> None:
    old = _resizable()
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    assert _resize(old, (f"{CONTAINER}.resources.requests.cpu", "2")) == [
        "spec: Forbidden: Pod running on node without support for resize"
    ]


def test_a_resize_of_the_pod_as_a_whole() -> None:
    old = _stored(change(POD, "spec.resources", {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}))
    assert quantity(old["spec"]["resources"]["requests"]["memory"]) == quantity("1Gi")
    assert _resize(old, ("spec.resources.requests.cpu", "2")) == []
    assert _resize(old, ("spec.resources", {"requests": {"cpu": "1", "memory": "1Gi"}})) == [
        "spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"
    ]


def test_app_armor_annotations_are_as_fixed_as_the_pod() -> None:
    old = _stored(change(POD, "metadata.annotations", {ARMOR: "unconfined"}))
    assert texts(updated(PODS, old, change(old, "metadata.annotations", {}))) == [
        f"metadata.annotations[{ARMOR}]: Forbidden: may not remove or update AppArmor annotations"
    ]
