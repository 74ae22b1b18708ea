"""ServiceAccount: every Pod runs as a ServiceAccount that exists, with a token to talk to the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.builtin_kinds import PODS, SERVICE_ACCOUNTS
from control.api.clock import Clock
from control.api.names import Chooser, random_suffix
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of, refusal

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
DEFAULT_ACCOUNT = "default"
#: A controller makes the default account of a namespace soon after the namespace: as long as upstream, its Pods wait.
_LOOKUPS, _LOOKUP_SECONDS = 30, 0.05
#: an hour and a little, so that clients can tell this default from an hour that was asked for
_TOKEN_SECONDS = 3607


class ServiceAccount(Plugin):
    """Upstream: plugin/pkg/admission/serviceaccount."""

    name = "ServiceAccount"

    def __init__(self, reader: ObjectReader, random: Chooser, clock: Clock) -> None:
        self._reader = reader
        self._random = random
        self._clock = clock

    async def admit(self, attributes: Attributes) -> None:
        """Name the default account, mount its token, take over its pull secrets."""
        if not is_write_of(attributes, PODS, "CREATE"):
            return
        pod = attributes.object
        assert pod is not None
        if MIRROR_ANNOTATION in ((pod.get("metadata") or {}).get("annotations") or {}):
            self._check_mirror_pod(attributes, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._get_account(attributes, name)
        if _mounts_token(account, spec):
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]

    async def _get_account(self, attributes: Attributes, name: str) -> ReadOnlyObject:
        account = self._reader.find(SERVICE_ACCOUNTS, attributes.namespace, name)
        for _ in range(_LOOKUPS if name == DEFAULT_ACCOUNT else 0):
            if account is not None:
                break
            await self._clock.sleep(_LOOKUP_SECONDS)
            account = self._reader.find(SERVICE_ACCOUNTS, attributes.namespace, name)
        if account is not None:
            return account
        where = f"{attributes.namespace}/{name}"
        raise refusal(attributes, f'error looking up service account {where}: serviceaccount "{name}" not found')

    def _check_mirror_pod(self, attributes: Attributes, pod: ReadOnlyObject) -> None:
        spec = pod["spec"]
        if spec.get("serviceAccountName"):
            raise refusal(attributes, "a mirror pod may not reference service accounts")
        for volume in spec.get("volumes") or ():
            if volume.get("secret") is not None:
                raise refusal(attributes, "a mirror pod may not reference secrets")
            for source in (volume.get("projected") or {}).get("sources") or ():
                if source.get("serviceAccountToken") is not None:
                    raise refusal(attributes, "a mirror pod may not use ServiceAccountToken volume projections")

    def _mount_token(self, spec: Object) -> None:
        volumes = spec.get("volumes") or []
        existing = next((v["name"] for v in volumes if _is_token_volume(v)), "")
        name = existing or VOLUME_PREFIX + random_suffix(self._random)
        is_needed = False
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                mounts = container.get("volumeMounts") or []
                if any(mount.get("mountPath") == TOKEN_PATH for mount in mounts):
                    continue
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}]
                is_needed = True
        if is_needed and not existing:
            spec["volumes"] = [*volumes, {"name": name, "projected": _token_source()}]


def _is_token_volume(volume: Mapping[str, Any]) -> bool:
    return str(volume.get("name") or "").startswith(VOLUME_PREFIX) and volume.get("projected") is not None


def _mounts_token(account: ReadOnlyObject, spec: ReadOnlyObject) -> bool:
    """The Pod's word counts before the account's; without either the token is mounted."""
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def _token_source() -> Object:
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {
                            "path": "namespace",
                            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                        }
                    ]
                }
            },
        ],
        "defaultMode": 0o644,
    }
