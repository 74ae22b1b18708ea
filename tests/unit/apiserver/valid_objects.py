# ruff: noqa: E501
"""A valid object of many kinds, rich in fields, for tests that change one thing of it."""

from __future__ import annotations

from typing import Any

import yaml

_TEMPLATE = """
metadata: {labels: {app: x}, annotations: {controller.kubernetes.io/pod-deletion-cost: "5"}}
spec:
  restartPolicy: %s
  containers:
  - name: c
    image: i:1
    command: [a]
    env: [{name: A, value: b}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    ports: [{name: http, containerPort: 80}]
    resources: {requests: {cpu: 100m, memory: 1Mi}, limits: {cpu: "1"}}
    livenessProbe: {httpGet: {path: /, port: http}}
    volumeMounts: [{name: v, mountPath: /v}]
    securityContext: {runAsUser: 1, capabilities: {add: [NET_ADMIN]}}
    lifecycle: {preStop: {exec: {command: [a]}}}
  initContainers: [{name: i, image: i, restartPolicy: Always}]
  volumes:
  - {name: v, emptyDir: {sizeLimit: 1Mi}}
  - {name: p, projected: {sources: [{configMap: {name: x, items: [{key: a, path: b}]}}, {serviceAccountToken: {path: t}}]}}
  affinity:
    nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]}}
    podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: a, labelSelector: {matchLabels: {a: b}}}}]}
  tolerations: [{key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 5}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]
  hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]
  dnsConfig: {nameservers: [10.0.0.1], options: [{name: ndots, value: "1"}]}
  securityContext: {fsGroup: 1, sysctls: [{name: net.a, value: b}]}
"""

_KINDS = {
    "v1 Pod": None,
    "v1 ConfigMap": "{data: {a: b}, binaryData: {c: AAAA}}",
    "v1 Secret": "{type: Opaque, data: {a: AAAA}, stringData: {b: c}}",
    "v1 Service": "{spec: {type: NodePort, selector: {a: b}, ports: [{name: a, port: 80, targetPort: http}, {name: b, port: 81}]}}",
    "v1 Namespace": "{}",
    "v1 Node": "{spec: {taints: [{key: a, effect: NoSchedule}]}, status: {capacity: {cpu: '1'}, addresses: [{type: InternalIP, address: 127.0.0.1}], daemonEndpoints: {kubeletEndpoint: {Port: 1}}}}",
    "v1 Event": "{involvedObject: {kind: Pod, name: x, namespace: default}, reason: R, message: m, type: Normal, count: 1}",
    "v1 Endpoints": "{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}]}",
    "v1 ServiceAccount": "{secrets: [{name: x}], imagePullSecrets: [{name: y}]}",
    "v1 LimitRange": "{spec: {limits: [{type: Container, max: {cpu: '2'}, min: {cpu: '1'}, default: {cpu: '2'}, defaultRequest: {cpu: '1'}}]}}",
    "v1 ResourceQuota": "{spec: {hard: {pods: '5', requests.cpu: '1'}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [a]}]}}}",
    "v1 PersistentVolume": "{spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}, claimRef: {name: x, namespace: default}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}",
    "v1 PersistentVolumeClaim": "{spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, storageClassName: x}}",
    "apps/v1 Deployment": "{spec: {replicas: 2, selector: {matchLabels: {app: x}}, strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}, template: TEMPLATE}}",
    "apps/v1 StatefulSet": "{spec: {serviceName: x, selector: {matchLabels: {app: x}}, template: TEMPLATE, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}",
    "apps/v1 DaemonSet": "{metadata: {annotations: {deprecated.daemonset.template.generation: '1'}}, spec: {selector: {matchLabels: {app: x}}, template: TEMPLATE}}",
    "apps/v1 ReplicaSet": "{spec: {selector: {matchExpressions: [{key: app, operator: In, values: [x]}]}, template: TEMPLATE}}",
    "apps/v1 ControllerRevision": "{revision: 1, data: {a: {b: c}}}",
    "batch/v1 Job": "{spec: {completions: 2, parallelism: 1, completionMode: Indexed, backoffLimitPerIndex: 1, podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [1]}}]}, template: ONCE}}",
    "batch/v1 CronJob": "{spec: {schedule: '*/5 * * * *', timeZone: Etc/UTC, jobTemplate: {spec: {template: ONCE}}}}",
    "autoscaling/v2 HorizontalPodAutoscaler": "{spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}, maxReplicas: 3, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}], behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 15}]}}}}",
    "autoscaling/v1 HorizontalPodAutoscaler": "{metadata: {annotations: {autoscaling.alpha.kubernetes.io/metrics: '[]'}}, spec: {scaleTargetRef: {kind: Deployment, name: x}, maxReplicas: 3, targetCPUUtilizationPercentage: 5}}",
    "policy/v1 PodDisruptionBudget": "{spec: {minAvailable: 50%, selector: {matchLabels: {a: b}}}}",
    "networking.k8s.io/v1 NetworkPolicy": "{spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, {podSelector: {}}], ports: [{port: 80, endPort: 90}]}]}}",
    "networking.k8s.io/v1 Ingress": "{spec: {ingressClassName: x, tls: [{hosts: [a.b]}], rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: x, port: {number: 80}}}}]}}]}}",
    "networking.k8s.io/v1 ServiceCIDR": "{spec: {cidrs: [10.99.0.0/16]}}",
    "rbac.authorization.k8s.io/v1 ClusterRole": "{rules: [{apiGroups: [''], resources: [pods], verbs: [get], resourceNames: [x]}, {nonResourceURLs: [/x], verbs: [get]}], aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}}",
    "rbac.authorization.k8s.io/v1 RoleBinding": "{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: x}, subjects: [{kind: ServiceAccount, name: x, namespace: default}, {kind: User, name: y}]}",
    "storage.k8s.io/v1 StorageClass": "{provisioner: x, parameters: {a: b}, allowedTopologies: [{matchLabelExpressions: [{key: a, values: [b]}]}], volumeBindingMode: Immediate}",
    "storage.k8s.io/v1 CSINode": "{spec: {drivers: [{name: x, nodeID: y, topologyKeys: [a], allocatable: {count: 1}}]}}",
    "scheduling.k8s.io/v1 PriorityClass": "{value: 5}",
    "coordination.k8s.io/v1 Lease": "{spec: {holderIdentity: a, leaseDurationSeconds: 1, renewTime: '2026-01-01T00:00:00.000000Z'}}",
    "discovery.k8s.io/v1 EndpointSlice": "{addressType: IPv4, endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}, hints: {forZones: [{name: a}]}}], ports: [{name: a, port: 80}]}",
    "events.k8s.io/v1 Event": "{eventTime: '2026-01-01T00:00:00.000000Z', action: a, reason: r, type: Normal, reportingController: x/y, reportingInstance: z, regarding: {kind: Pod, name: x, namespace: default}}",
    "node.k8s.io/v1 RuntimeClass": "{handler: x, overhead: {podFixed: {cpu: 1m}}, scheduling: {nodeSelector: {a: b}, tolerations: [{key: a}]}}",
    "certificates.k8s.io/v1 CertificateSigningRequest": "{spec: {request: AAAA, signerName: a.b/c, usages: [client auth]}}",
    "flowcontrol.apiserver.k8s.io/v1 FlowSchema": "{spec: {priorityLevelConfiguration: {name: x}, rules: [{subjects: [{kind: User, user: {name: a}}], resourceRules: [{verbs: [get], apiGroups: [''], resources: [pods], namespaces: ['*']}]}]}}",
    "flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration": "{spec: {type: Limited, limited: {nominalConcurrencyShares: 5, limitResponse: {type: Queue, queuing: {queues: 4, handSize: 2, queueLengthLimit: 5}}}}}",
    "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration": "{webhooks: [{name: a.b.c, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: 'https://a/b'}, rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}], matchConditions: [{name: a, expression: 'true'}]}]}",
    "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy": "{spec: {matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}, validations: [{expression: 'true', messageExpression: '\"a\"'}], variables: [{name: a, expression: '1'}]}}",
    "apiextensions.k8s.io/v1 CustomResourceDefinition": "{metadata: {name: foos.x.io}, spec: {group: x.io, scope: Namespaced, names: {plural: foos, kind: Foo, shortNames: [fo]}, versions: [{name: v1, served: true, storage: true, subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}, additionalPrinterColumns: [{name: a, type: string, jsonPath: .spec.a}], schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {a: {type: string, pattern: a+}}, x-kubernetes-validations: [{rule: self.a != 'b'}]}}}}}]}}",
    "resource.k8s.io/v1 ResourceClaim": "{spec: {devices: {requests: [{name: a, exactly: {deviceClassName: x, selectors: [{cel: {expression: 'true'}}]}}], constraints: [{requests: [a], matchAttribute: a.b/c}]}}}",
    "resource.k8s.io/v1 DeviceClass": "{spec: {selectors: [{cel: {expression: 'true'}}], config: [{opaque: {driver: a.b, parameters: {a: b}}}]}}",
    "resource.k8s.io/v1 ResourceSlice": "{spec: {driver: a.b, pool: {name: p, generation: 1, resourceSliceCount: 1}, nodeName: n, devices: [{name: d, attributes: {a: {string: b}}, capacity: {m: {value: 1Gi}}}]}}",
}  # fmt: skip


def _make(title: str, text: str | None) -> dict[str, Any]:
    api_version, _, kind = title.partition(" ")
    if text is None:
        made = yaml.safe_load(_TEMPLATE % "Always")
    else:
        made = yaml.safe_load(text.replace("TEMPLATE", '"TEMPLATE"').replace("ONCE", '"ONCE"'))
        _fill(made)
    metadata = {"name": "x", **(made.pop("metadata", None) or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **made}


def _fill(holder: Any) -> None:
    for name, value in holder.items():
        if value in ("TEMPLATE", "ONCE"):
            holder[name] = yaml.safe_load(_TEMPLATE % ("Always" if value == "TEMPLATE" else "Never"))
        elif isinstance(value, dict):
            _fill(value)


def valid_objects() -> list[dict[str, Any]]:
    """One object a kind, named x (but for a CustomResourceDefinition), without a namespace."""
    return [_make(title, text) for title, text in _KINDS.items()]
