"""Names of sysctls: the form they are compared in, and the kernel namespace each belongs to.

Upstream: component-helpers/node/util/sysctl (v1.36), which the API server and the kubelet share as well.
"""

from __future__ import annotations

import re
from typing import Final

IPC_NAMESPACE: Final = "IPC"
NET_NAMESPACE: Final = "Net"

_IPC_NAMES: Final = frozenset(
    {
        "kernel.sem",
        # Without an ending: the patterns `kernel.shm*` and `kernel.msg*`, which clusters have always allowed.
        *(f"kernel.shm{rest}" for rest in ("all", "max", "mni", "_rmid_forced", "")),
        *(f"kernel.msg{rest}" for rest in ("max", "mnb", "mni", "")),
    }
)


def normalize_name(name: str) -> str:
    """`net/ipv4/conf/eth0.1/x` as `net.ipv4.conf.eth0/1.x`: whichever separator comes first is the separator."""
    first = re.search(r"[./]", name)
    if first is None or first[0] == ".":
        return name
    return name.translate(str.maketrans("./", "/."))


def namespace_of(name: str) -> str:
    """`IPC` or `Net`, of a sysctl or of a pattern (`net.core.*`); empty for what is the whole node's."""
    prefix = normalize_name(name).partition("*")[0]
    if prefix in _IPC_NAMES or prefix.startswith("fs.mqueue."):
        return IPC_NAMESPACE
    return NET_NAMESPACE if prefix.startswith("net.") else ""
