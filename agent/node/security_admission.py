"""What of a Pod's security the node itself must be able to do, judged before anything of the Pod is started. Pure.

Reasons and texts are the kubelet's (pkg/kubelet/sysctl, pkg/kubelet/lifecycle, pkg/security/apparmor, v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.node.node_features import NodeFeatures
from agent.pods.pod_spec import all_containers
from agent.runtime.sysctls import FORBIDDEN_REASON, SysctlAllowlist
from control.api.fit import AdmissionFailure
from control.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPolicy:
    """What the node allows, and what it can enforce."""

    sysctls: SysctlAllowlist
    features: NodeFeatures = field(default_factory=NodeFeatures)

    def judge_sysctls(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        """Refuse sysctls that are neither safe nor allowed, or that would be the host's."""
        objection = self.sysctls.objection(pod)
        return AdmissionFailure(FORBIDDEN_REASON, objection) if objection else None

    def judge_groups(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        """Refuse to leave out the image's groups where the image cannot be read (KEP-3619)."""
        policy = (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy")
        if policy != "Strict" or self.features.supplemental_groups_policy:
            return None
        return AdmissionFailure(
            "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
        )

    def judge_app_armor(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        """Refuse any profile but `Unconfined` where the engine has no AppArmor."""
        if self.features.app_armor or not _wants_app_armor(pod):
            return None
        return AdmissionFailure("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def _wants_app_armor(pod: ReadOnlyObject) -> bool:
    contexts = [pod["spec"].get("securityContext"), *(item.get("securityContext") for item in all_containers(pod))]
    profiles = [(context or {}).get("appArmorProfile") or {} for context in contexts]
    return any(profile.get("type", "Unconfined") != "Unconfined" for profile in profiles)
