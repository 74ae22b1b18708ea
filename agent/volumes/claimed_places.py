"""Where the local volumes behind a Pod's claims are: noted when they are mounted, for whoever tells how full they are.

The API could tell too, at the price of two requests for each claim and each look.
"""

from __future__ import annotations

from pathlib import Path

from agent.volumes.pod_directory import PodDirectory


def note_place(directory: PodDirectory, volume_name: str, place: Path) -> None:
    """Keep it with the Pod, so that the next agent knows it as well. A volume never moves while its Pod lives."""
    note = directory.claimed_place(volume_name)
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(place))


def find_place(directory: PodDirectory, volume_name: str) -> Path | None:
    """The place of one of the Pod's volumes; None where it is not mounted, or is no such volume."""
    try:
        text = directory.claimed_place(volume_name).read_text()
    except FileNotFoundError:
        return None
    return Path(text) if text else None
