"""Which of several classes marked as default is the default: the newest, then the first by name."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.objects import ReadOnlyObject


def newest_default(classes: Iterable[ReadOnlyObject], annotations: tuple[str, ...]) -> ReadOnlyObject | None:
    """The default class, or None."""
    marked = [
        item
        for item in classes
        if any((item["metadata"].get("annotations") or {}).get(key) == "true" for key in annotations)
    ]
    marked.sort(key=lambda item: str(item["metadata"].get("name")))
    marked.sort(key=lambda item: str(item["metadata"].get("creationTimestamp") or ""), reverse=True)
    return marked[0] if marked else None
