"""The largest object that can be stored: what etcd takes, so that objects fit wherever a cluster is moved to.

etcd refuses requests over 1.5 MiB, and its client does not even send more than 2 MiB; kube-apiserver passes both
errors on as they are. Built-in kinds count in protobuf, the form upstream keeps them in, which is a good deal smaller
than JSON; custom ones in JSON.
"""

from __future__ import annotations

from control.api.errors import ApiError
from control.api.objects import ReadOnlyObject
from control.schema.stored_form import GROUPS_STORED_AS_JSON

#: etcd's --max-request-bytes.
REQUEST_BYTES_MAX = 1536 * 1024
#: What etcd's client sends at most.
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
#: What a request has beside the value: the key, three times, and the frame of a transaction.
_KEY_COUNT, _FRAME_BYTES = 3, 64


def check_stored_size(key: str, obj: ReadOnlyObject, encoded: bytes, *, is_custom: bool) -> None:
    """Refuse an object that etcd would not take. Raises a bare 500 with the words of etcd."""
    overhead = _KEY_COUNT * len(f"/registry{key}".encode()) + _FRAME_BYTES
    if len(encoded) + overhead <= REQUEST_BYTES_MAX:
        return
    size = _stored_bytes(obj, encoded, is_custom=is_custom) + overhead
    if size > MESSAGE_BYTES_MAX:
        reason = f"trying to send message larger than max ({size} vs. {MESSAGE_BYTES_MAX})"
        raise ApiError(500, "", f"rpc error: code = ResourceExhausted desc = {reason}")
    if size > REQUEST_BYTES_MAX:
        raise ApiError(500, "", "etcdserver: request is too large")


def _stored_bytes(obj: ReadOnlyObject, encoded: bytes, *, is_custom: bool) -> int:
    group = obj["apiVersion"].rpartition("/")[0]
    if is_custom or group in GROUPS_STORED_AS_JSON:
        return len(encoded)
    from control.schema.protobuf_encoder import encode_protobuf  # few objects are that large

    return len(encode_protobuf(obj))
