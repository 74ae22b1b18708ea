"""Where programs are looked for: beside those of users, those of administration (`nft`, `iptables`, `blkid`, `mkfs`).

Root by `su` alone, by cron, or started by a desktop keeps a PATH without them.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath


def with_administration(path: str) -> str:
    """A PATH whose every `bin` is followed, at its end, by the `sbin` beside it."""
    named = path.split(os.pathsep)
    beside = [str(PurePosixPath(name).with_name("sbin")) for name in named if PurePosixPath(name).name == "bin"]
    return os.pathsep.join(dict.fromkeys([*named, *beside]))
