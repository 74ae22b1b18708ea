"""Every active namespace has a ServiceAccount `default`, the identity of Pods that name none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import NAMESPACES, SERVICE_ACCOUNTS
from control.api.meta import is_deleting
from control.api.objects import Object
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Create, Result

NAME = "default"


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide whether a namespace lacks its ServiceAccount."""
    namespace = view.find_key(NAMESPACES, key)
    if namespace is None or is_deleting(namespace) or view.find(SERVICE_ACCOUNTS, NAME, key) is not None:
        return Result()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": key}}
    create = Create(kind=SERVICE_ACCOUNTS, obj=account, cause="the namespace has no default ServiceAccount")
    return Result(steps=[create])


def _keys_of_namespace(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (new["metadata"]["name"],) if new is not None else ()


def _keys_of_account(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    gone = old is not None and new is None and old["metadata"]["name"] == NAME
    return (old["metadata"]["namespace"],) if gone and old is not None else ()


SERVICE_ACCOUNT = Controller(
    name="serviceaccount",
    watches=(Watch(kind=NAMESPACES, keys=_keys_of_namespace), Watch(kind=SERVICE_ACCOUNTS, keys=_keys_of_account)),
    reconcile=reconcile,
)
