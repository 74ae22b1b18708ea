"""Which sysctls a Pod may have on a node, and whose namespace they belong to."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtime.sysctls import SAFE_SYSCTLS, SysctlAllowlist, SysctlPatternError, network_sysctls

KERNEL = "6.1.0-18-amd64"


def make_pod(*names: str, **spec: Any) -> dict[str, Any]:
    sysctls = [{"name": name, "value": "1"} for name in names]
    return {"spec": {"securityContext": {"sysctls": sysctls}, **spec}}


@pytest.mark.parametrize(
    ("allowed", "pod", "expected"),
    [
        pytest.param([], {"spec": {}}, "", id="none is asked for"),
        pytest.param([], make_pod(*SAFE_SYSCTLS), "", id="all that are safe"),
        pytest.param([], make_pod("net/ipv4/tcp_syncookies"), "", id="safe, written with slashes"),
        pytest.param([], make_pod("net.core.somaxconn"), '"net.core.somaxconn" not allowlisted', id="unsafe"),
        pytest.param([], make_pod("vm.swappiness"), '"vm.swappiness" not allowlisted', id="of the whole node"),
        pytest.param(["net.core.somaxconn"], make_pod("net.core.somaxconn"), "", id="unsafe and allowed by name"),
        pytest.param(["kernel.msg*"], make_pod("kernel.msgmax", "kernel.msgmnb"), "", id="allowed by a prefix"),
        pytest.param(["kernel/msg*"], make_pod("kernel.msgmax"), "", id="by a prefix with slashes"),
        pytest.param(["kernel.sem"], make_pod("kernel.sem"), "", id="allowed: semaphores"),
        pytest.param(
            ["kernel.msg*"], make_pod("kernel.shmmax"), '"kernel.shmmax" not allowlisted', id="of another prefix"
        ),
        pytest.param(
            [],
            make_pod("net.ipv4.tcp_syncookies", hostNetwork=True),
            '"net.ipv4.tcp_syncookies" not allowed with host Net enabled',
            id="in the host's network",
        ),
        pytest.param(
            ["kernel.msg*"],
            make_pod("kernel.msgmax", hostIPC=True),
            '"kernel.msgmax" not allowed with host IPC enabled',
            id="in the host's IPC",
        ),
        pytest.param(
            ["kernel.msg*"], make_pod("kernel.msgmax", hostNetwork=True), "", id="in another namespace than the host's"
        ),
    ],
)
def test_objection(allowed: list[str], pod: dict[str, Any], expected: str) -> None:
    objection = SysctlAllowlist.of(allowed, KERNEL).objection(pod)
    assert objection == (f"forbidden sysctl: {expected}" if expected else "")


@pytest.mark.parametrize(
    ("kernel", "is_safe"), [("4.5.0", False), ("4.6", True), ("4.14.3", True), ("10.0", True), ("", False)]
)
def test_what_is_safe_depends_on_the_kernel(kernel: str, is_safe: bool) -> None:
    objection = SysctlAllowlist.of([], kernel).objection(make_pod("net.ipv4.tcp_fin_timeout"))
    assert (not objection) == is_safe


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("vm.swappiness", 'the sysctls "vm.swappiness" are not known to be namespaced'),
        ("kernel.*", 'the sysctls "kernel." are not known to be namespaced'),
        ("net.*.x", 'sysctl "net.*.x" must have at most 253 characters and match regex'),
        ("Net.core", "must have at most 253 characters"),
        ("net." + "x" * 250, "must have at most 253 characters"),
    ],
)
def test_patterns_that_can_never_be_allowed(pattern: str, message: str) -> None:
    with pytest.raises(SysctlPatternError, match=message.replace("net.*.x", r"net\.\*\.x")):
        SysctlAllowlist.of([pattern], KERNEL)


def test_a_link_with_a_dot_in_its_name_keeps_it() -> None:
    pod = make_pod("net/ipv4/conf/eth0.1/rp_filter")
    assert network_sysctls(pod) == {"net.ipv4.conf.eth0/1.rp_filter": "1"}
