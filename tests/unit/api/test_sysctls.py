"""The form in which sysctls are compared, and the namespace each belongs to."""

from __future__ import annotations

import pytest

from control.api.sysctls import IPC_NAMESPACE, NET_NAMESPACE, namespace_of, normalize_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("swappiness", "swappiness", id="no separator"),
        pytest.param("net/ipv4/tcp_syncookies", "net.ipv4.tcp_syncookies", id="slashes"),
        pytest.param("net/ipv4/conf/eth0.1/rp_filter", "net.ipv4.conf.eth0/1.rp_filter", id="a slash comes first"),
        pytest.param("net.ipv4.conf.eth0/1.rp_filter", "net.ipv4.conf.eth0/1.rp_filter", id="a dot comes first"),
    ],
)
def test_normalize_name(name: str, expected: str) -> None:
    assert normalize_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, IPC_NAMESPACE) for name in ("kernel.shmmax", "kernel.shm_rmid_forced", "kernel.msgmnb", "kernel.sem")),
        *((name, IPC_NAMESPACE) for name in ("kernel.shm*", "kernel.msg", "fs/mqueue/msg_max", "fs.mqueue.*")),
        *((name, NET_NAMESPACE) for name in ("net.core.somaxconn", "net/core/somaxconn", "net.*", "net.core.*")),
        *(
            (name, "")
            for name in ("net", "net*", "netfilter.x", "fs.mqueue", "kernel.shmx", "kernel.shma*", "kernel.*")
        ),
        *((name, "") for name in ("vm.swappiness", "x/net.core")),
    ],
)
def test_namespace_of(name: str, expected: str) -> None:
    assert namespace_of(name) == expected
