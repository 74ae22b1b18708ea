"""The name of a template: `pod-template-hash`. Equal templates have equal hashes in every version of this program.

Upstream hashes a dump of its Go structures, which nobody else can repeat; only alphabet and shape are the contract.
Which ReplicaSet belongs to a template is decided by comparing templates, never by the hash.
"""

from __future__ import annotations

import json
from typing import Any

from control.api.objects import ReadOnlyObject

HASH_LABEL = "pod-template-hash"
_SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def compute_template_hash(template: ReadOnlyObject, collision_count: int | None = None) -> str:
    """Return the hash of a Pod template; a collision count moves it out of the way of an unrelated object."""
    text = json.dumps(_meaning(template), sort_keys=True, separators=(",", ":"))
    data = text.encode()
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little", signed=True)
    return "".join(_SAFE_ALPHABET[ord(digit) % len(_SAFE_ALPHABET)] for digit in str(_fnv32a(data)))


def is_same_template(one: ReadOnlyObject, other: ReadOnlyObject) -> bool:
    """Whether two templates ask for the same Pods; the hash label and absent against empty do not count."""
    return bool(_meaning(one) == _meaning(other))


def _meaning(value: Any, *, depth: int = 0) -> Any:
    """Drop what means nothing: empty containers, nulls and, in metadata.labels, the hash itself."""
    if isinstance(value, dict):
        kept = {key: _meaning(item, depth=depth + 1) for key, item in value.items()}
        if depth == 2:
            kept.pop(HASH_LABEL, None)
        return {key: item for key, item in kept.items() if item is not None and item != {} and item != []}
    if isinstance(value, list):
        return [_meaning(item, depth=depth + 1) for item in value]
    return value


def _fnv32a(data: bytes) -> int:
    number = 2166136261
    for byte in data:
        number = ((number ^ byte) * 16777619) & 0xFFFFFFFF
    return number
