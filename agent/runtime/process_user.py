"""Who a process runs as, read from the kernel: Docker itself does not say which ids a user's name stands for."""

from __future__ import annotations

from agent.runtime.protocol import ProcessUser


def read_process_user(pid: int) -> ProcessUser | None:
    """The ids of a process; None if it is gone, or on another machine than this."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            return parse_process_user(file.read().decode())
    except OSError:
        return None


def parse_process_user(status: str) -> ProcessUser | None:
    """The ids in the text of /proc/PID/status: the effective ones, and the supplementary groups."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if line.startswith(("Uid:", "Gid:", "Groups:")))
    try:
        return ProcessUser(
            user_id=int(fields["Uid"].split()[1]),
            group_id=int(fields["Gid"].split()[1]),
            supplementary_group_ids=tuple(int(group) for group in fields.get("Groups", "").split()),
        )
    except (KeyError, IndexError, ValueError):
        return None
