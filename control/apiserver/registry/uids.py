"""UIDs of new objects: random UUIDs (version 4) from bytes that are fetched a few hundred at a time.

Asking the system for sixteen bytes releases the interpreter's lock, and the writer thread of the store, which waits for
it, keeps it for a while: a third of the time of a create was spent there.
"""

from __future__ import annotations

import os
import uuid

_UIDS_PER_READ = 256
_BYTES = 16

_pool: list[bytes] = []


def new_uid() -> str:
    """A UID that no other object has or had."""
    if not _pool:
        data = os.urandom(_UIDS_PER_READ * _BYTES)
        _pool.extend(data[start : start + _BYTES] for start in range(0, len(data), _BYTES))
    return str(uuid.UUID(bytes=_pool.pop(), version=4))
