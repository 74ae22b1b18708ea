"""Image pull secrets to registry logins. Pure. Upstream: pkg/credentialprovider/keyring.go and secrets/, v1.36."""

from __future__ import annotations

import fnmatch
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from agent.runtime.image_reference import HUB, HUB_KEY, repository_name
from agent.runtime.protocol import RegistryCredentials, SecretReference
from control.api.objects import ReadOnlyObject

# The types of Secrets that hold logins, with the key of their data.
_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}


def credentials_from_secrets(secrets: Iterable[ReadOnlyObject], image: str) -> list[RegistryCredentials]:
    """The logins that are meant for the image: of each Secret in turn, the most specific first."""
    target = repository_name(image)
    found: list[RegistryCredentials] = []
    for secret in secrets:
        by_key: dict[str, list[RegistryCredentials]] = {}
        for server, entry in _entries(secret).items():
            credentials = _credentials(server, entry, _reference(secret))
            if credentials is not None:
                by_key.setdefault(_key(server), []).append(credentials)
        matching = [key for key in sorted(by_key, reverse=True) if _matches(key, target)]
        if not matching and target.startswith(f"{HUB}/") and HUB_KEY in by_key:
            matching = [HUB_KEY]
        found += [credentials for key in matching for credentials in by_key[key]]
    return found


def _entries(secret: ReadOnlyObject) -> Mapping[str, Any]:
    data, key = secret.get("data") or {}, _KEYS.get(str(secret.get("type")))
    if key is None or key not in data:
        return {}
    try:
        content = json.loads(b64decode(data[key]))
        entries = content.get("auths") if key == ".dockerconfigjson" else content
        return dict(entries or {})
    except (ValueError, AttributeError, TypeError):
        return {}


def _reference(secret: ReadOnlyObject) -> SecretReference:
    metadata = secret.get("metadata") or {}
    return SecretReference(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
    )


def _credentials(server: str, entry: Any, source: SecretReference) -> RegistryCredentials | None:
    """None for an entry that says nothing that could be used."""
    if not isinstance(entry, Mapping):
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            decoded = b64decode(str(entry["auth"])).decode()
        except ValueError:
            return None
        username, colon, password = decoded.partition(":")
        if not colon:
            return None
    token = str(entry.get("identitytoken") or "")
    return RegistryCredentials(username=username, password=password, identity_token=token, server=server, source=source)


def _key(server: str) -> str:
    """Host, port and path of an entry, without its scheme and the version of the registry's API."""
    host, slash, path = server.removeprefix("https://").removeprefix("http://").partition("/")
    for version in ("v1/", "v2/"):
        path = path.removeprefix(version)
    return f"{host}{slash}{path}" if path else host


def _matches(key: str, target: str) -> bool:
    """Equal ports; as many parts of the host, of which each may have wildcards; the path is a beginning."""
    (key_host, key_port, key_path), (host, port, path) = _split(key), _split(target)
    if key_port != port or len(key_host) != len(host) or not path.startswith(key_path):
        return False
    return all(fnmatch.fnmatchcase(part, pattern) for part, pattern in zip(host, key_host, strict=True))


def _split(text: str) -> tuple[list[str], str, str]:
    address, _, path = text.partition("/")
    host, colon, port = address.rpartition(":")
    return (host if colon else address).split("."), port if colon else "", path
