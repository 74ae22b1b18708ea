"""Image pull secrets to registry logins. Pure. Upstream: pkg/credentialprovider/keyring.go, v1.36."""

from __future__ import annotations

import fnmatch
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from agent.runtime.protocol import RegistryCredentials
from control.api.objects import ReadOnlyObject

DEFAULT_REGISTRY = "docker.io"


def credentials_from_secrets(secrets: Iterable[ReadOnlyObject], image: str) -> list[RegistryCredentials]:
    """The logins of dockerconfigjson and dockercfg Secrets that are meant for the image, most specific first."""
    found: list[tuple[int, RegistryCredentials]] = []
    target = _target(image)
    for secret in secrets:
        for server, entry in _entries(secret).items():
            pattern = _normalize(server)
            if _matches(pattern, target):
                found.append((len(pattern), _credentials(server, entry)))
    return [credentials for _, credentials in sorted(found, key=lambda item: -item[0])]


def _entries(secret: ReadOnlyObject) -> Mapping[str, Any]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            return dict(json.loads(b64decode(data[".dockerconfigjson"])).get("auths") or {})
        if ".dockercfg" in data:
            return dict(json.loads(b64decode(data[".dockercfg"])))
    except ValueError:
        return {}
    return {}


def _credentials(server: str, entry: Mapping[str, Any]) -> RegistryCredentials:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        username, _, password = b64decode(entry["auth"]).decode("utf-8", "replace").partition(":")
    token = str(entry.get("identitytoken") or "")
    return RegistryCredentials(username=username, password=password, identity_token=token, server=server)


def _target(image: str) -> str:
    """`registry/repository` of an image reference, Docker Hub named."""
    first, slash, _ = image.partition("/")
    if not slash or ("." not in first and ":" not in first and first != "localhost"):
        return f"{DEFAULT_REGISTRY}/{image}"
    return image


def _normalize(server: str) -> str:
    name = server.removeprefix("https://").removeprefix("http://").rstrip("/")
    for suffix in ("/v1", "/v2"):
        name = name.removesuffix(suffix)
    return DEFAULT_REGISTRY if name in ("index.docker.io", "registry-1.docker.io", "docker.io") else name


def _matches(pattern: str, target: str) -> bool:
    host, _, path = pattern.partition("/")
    target_host, _, target_path = target.partition("/")
    return fnmatch.fnmatchcase(target_host, host) and (not path or target_path.startswith(path))
