"""The users and groups that an image knows, as its /etc/passwd and /etc/group say. Pure.

The rules are those of Docker, which resolves a container's user with libcontainer: a user is found by its number or its
name, its groups by its name; a number that no user has stands for itself, in group 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The texts of both files; empty where the image has none."""

    passwd: str = ""
    group: str = ""

    def primary_group(self, user: str) -> int:
        """The group of a user (name or number)."""
        return int((self._entry(user) or ("", "", "", "0"))[3])

    def further_groups(self, user: str) -> list[int]:
        """The groups that list the user (name or number), in the file's order."""
        entry = self._entry(user)
        if entry is None:
            return []
        rows = (line.split(":") for line in self.group.splitlines())
        return [
            int(row[2]) for row in rows if len(row) >= 4 and row[2].isdigit() and entry[0] in row[3].strip().split(",")
        ]

    def _entry(self, user: str) -> list[str] | None:
        column = 2 if user.isdigit() else 0
        rows = (line.split(":") for line in self.passwd.splitlines())
        return next((row for row in rows if len(row) >= 4 and row[3].isdigit() and row[column] == user), None)
