"""What of a Pod's security a node must be able to do before the Pod is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.node.admission import NodeAdmission
from agent.node.host_facts import HostFacts
from agent.node.node_features import NodeFeatures, compute_node_features
from agent.node.security_admission import SecurityPolicy
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.sysctls import SysctlAllowlist
from control.api.clock import FakeClock
from control.api.objects import ReadOnlyObject

ABLE = NodeFeatures(app_armor=True, recursive_read_only=True, supplemental_groups_policy=True)
NO_APP_ARMOR = ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
FACTS = HostFacts(machine_id="", system_uuid="", boot_id="", os_image="", kernel_version="6.1")


def make_pod(container: dict[str, Any] | None = None, **context: Any) -> dict[str, Any]:
    containers = [{"name": "main", "securityContext": container or {}}]
    return {"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": containers, "securityContext": context}}


@pytest.mark.parametrize(
    ("features", "pod", "expected"),
    [
        pytest.param(NodeFeatures(), make_pod(), None, id="nothing is asked for"),
        pytest.param(
            ABLE,
            make_pod(sysctls=[{"name": "vm.swappiness", "value": "1"}]),
            ("SysctlForbidden", 'forbidden sysctl: "vm.swappiness" not allowlisted'),
            id="a sysctl",
        ),
        pytest.param(NodeFeatures(), make_pod(appArmorProfile={"type": "RuntimeDefault"}), NO_APP_ARMOR, id="AppArmor"),
        pytest.param(
            NodeFeatures(),
            make_pod({"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}),
            NO_APP_ARMOR,
            id="AppArmor for one container",
        ),
        pytest.param(
            NodeFeatures(), make_pod(appArmorProfile={"type": "Unconfined"}), None, id="no AppArmor is no AppArmor"
        ),
        pytest.param(ABLE, make_pod(appArmorProfile={"type": "RuntimeDefault"}), None, id="AppArmor that is there"),
        pytest.param(
            NodeFeatures(),
            make_pod(supplementalGroupsPolicy="Strict"),
            (
                "SupplementalGroupsPolicyNotSupported",
                "SupplementalGroupsPolicy=Strict is not supported in this node",
            ),
            id="groups",
        ),
        pytest.param(NodeFeatures(), make_pod(supplementalGroupsPolicy="Merge"), None, id="groups of the image too"),
        pytest.param(ABLE, make_pod(supplementalGroupsPolicy="Strict"), None, id="groups, of an image that is read"),
    ],
)
async def test_admission(features: NodeFeatures, pod: dict[str, Any], expected: tuple[str, str] | None) -> None:
    async def preempt(pods: Sequence[ReadOnlyObject]) -> None:
        raise AssertionError("no Pod is in the way")

    policy = SecurityPolicy(sysctls=SysctlAllowlist.of([], "6.1"), features=features)
    admission = NodeAdmission(
        lambda: None, list, policy, pressures=frozenset, preempt=preempt, judge_shutdown=lambda pod: None
    )
    rejection = await admission.admit(pod)
    assert (rejection and (rejection.reason, rejection.message)) == expected


@pytest.mark.parametrize(
    ("engine", "facts", "expected"),
    [
        pytest.param({}, {}, NodeFeatures(), id="an old engine out of reach"),
        pytest.param({"app_armor": True}, {}, NodeFeatures(app_armor=True), id="AppArmor"),
        pytest.param({}, {"can_recurse": True}, NodeFeatures(recursive_read_only=True), id="the agent's own mounts"),
        pytest.param({"api_version": "1.44"}, {}, NodeFeatures(recursive_read_only=True), id="the engine's mounts"),
        pytest.param({"storage_driver": "overlay2"}, {}, NodeFeatures(), id="layers out of reach"),
        pytest.param(
            {"storage_driver": "overlay2"},
            {"sees_engine_files": True},
            NodeFeatures(supplemental_groups_policy=True),
            id="layers that can be read",
        ),
        pytest.param({"storage_driver": "btrfs"}, {"sees_engine_files": True}, NodeFeatures(), id="no layers"),
    ],
)
async def test_features(engine: dict[str, Any], facts: dict[str, Any], expected: NodeFeatures) -> None:
    info = await FakeRuntime(FakeClock()).info()
    assert compute_node_features(replace(info, **engine), replace(FACTS, **facts)) == expected
