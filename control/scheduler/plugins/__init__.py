"""The scheduler's plugins, one per file, in the order in which they are asked.

A new plugin is a file here and a line in `default_profile`.
"""

from __future__ import annotations

from control.scheduler.framework import Profile
from control.scheduler.plugins.balanced_allocation import BalancedAllocation
from control.scheduler.plugins.image_locality import ImageLocality
from control.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control.scheduler.plugins.node_affinity import NodeAffinity
from control.scheduler.plugins.node_declared_features import NodeDeclaredFeatures
from control.scheduler.plugins.node_name import NodeName
from control.scheduler.plugins.node_ports import NodePorts
from control.scheduler.plugins.node_resources_fit import NodeResourcesFit
from control.scheduler.plugins.node_unschedulable import NodeUnschedulable
from control.scheduler.plugins.pod_topology_spread import PodTopologySpread
from control.scheduler.plugins.scheduling_gates import SchedulingGates
from control.scheduler.plugins.taint_toleration import TaintToleration
from control.scheduler.plugins.volume_binding import VolumeBinding
from control.scheduler.plugins.volume_restrictions import VolumeRestrictions
from control.scheduler.plugins.volume_zone import VolumeZone


def default_profile() -> Profile:
    """The plugins of `default-scheduler`."""
    node_affinity = NodeAffinity()
    taint_toleration = TaintToleration()
    fit = NodeResourcesFit()
    inter_pod_affinity = InterPodAffinity()
    volume_binding = VolumeBinding()
    return Profile(
        pre_enqueue=(SchedulingGates(),),
        pre_filter=(node_affinity, volume_binding),
        # The first plugin that refuses a node gives the reason, so the order is part of the messages.
        filter=(
            NodeUnschedulable(),
            NodeName(),
            taint_toleration,
            node_affinity,
            NodePorts(),
            fit,
            VolumeRestrictions(),
            volume_binding,
            VolumeZone(),
            PodTopologySpread(),
            InterPodAffinity(),
            NodeDeclaredFeatures(),
        ),
        score=(taint_toleration, node_affinity, inter_pod_affinity, fit, BalancedAllocation(), ImageLocality()),
    )
