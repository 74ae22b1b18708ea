"""Strategies by kind: what a kind adds to the one engine. A kind without an entry has no rules of its own."""

from __future__ import annotations

from functools import cache

from control.api.kinds import Kind
from control.apiserver.registry.strategies.config_maps_and_secrets import ConfigMapStrategy, SecretStrategy
from control.apiserver.registry.strategies.daemon_sets import DaemonSetStrategy
from control.apiserver.registry.strategies.deployments import DeploymentStrategy, ReplicaSetStrategy
from control.apiserver.registry.strategies.namespaces import NamespaceStrategy
from control.apiserver.registry.strategies.nodes import NodeStrategy
from control.apiserver.registry.strategies.pods import PodStrategy, PodTemplateStrategy
from control.apiserver.registry.strategies.replication_controllers import ReplicationControllerStrategy
from control.apiserver.registry.strategies.services import ServiceStrategy
from control.apiserver.registry.strategies.stateful_sets import StatefulSetStrategy
from control.apiserver.registry.strategy import Strategy

STRATEGIES: dict[tuple[str, str], type[Strategy]] = {
    ("", "ConfigMap"): ConfigMapStrategy,
    ("", "Namespace"): NamespaceStrategy,
    ("", "Node"): NodeStrategy,
    ("", "Pod"): PodStrategy,
    ("", "PodTemplate"): PodTemplateStrategy,
    ("", "ReplicationController"): ReplicationControllerStrategy,
    ("", "Secret"): SecretStrategy,
    ("", "Service"): ServiceStrategy,
    ("apps", "DaemonSet"): DaemonSetStrategy,
    ("apps", "Deployment"): DeploymentStrategy,
    ("apps", "ReplicaSet"): ReplicaSetStrategy,
    ("apps", "StatefulSet"): StatefulSetStrategy,
}


@cache
def strategy_for(kind: Kind) -> Strategy:
    """The strategy of a kind; strategies hold no state and are shared."""
    return STRATEGIES.get((kind.group, kind.kind), Strategy)()
