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
    """The logins of dockerconfigjson and dockercfg Secrets that are meant for the image, most specific first.

    What cannot be read is no login.
    """
    found: list[tuple[int, RegistryCredentials]] = []
    target = _target(image)
    for secret in secrets:
        for server, entry in _entries(secret).items():
            pattern = _normalize(server)
            credentials = _credentials(server, entry) if _matches(pattern, target) else None
            if credentials is not None:
                found.append((len(pattern), credentials))
    return [credentials for _, credentials in sorted(found, key=lambda item: -item[0])]


def _entries(secret: ReadOnlyObject) -> Mapping[str, Any]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            return dict(json.loads(b64decode(data[".dockerconfigjson"])).get("auths") or {})
        if ".dockercfg" in data:
            return dict(json.loads(b64decode(data[".dockercfg"])))
    except (ValueError, TypeError, AttributeError):
        return {}  # anybody may write a Secret: what is none of these forms holds no login
    return {}


def _credentials(server: str, entry: Any) -> RegistryCredentials | None:
    if not isinstance(entry, Mapping):
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, _, password = b64decode(str(entry["auth"])).decode("utf-8", "replace").partition(":")
        except ValueError:
            return None
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
    return _host_matches(host, target_host) and target_path.startswith(path)


def _host_matches(pattern: str, host: str) -> bool:
    """A wildcard stands for part of one label: a login for `*.example.com` is none for `a.b.example.com`."""
    pattern_name, _, pattern_port = pattern.partition(":")
    name, _, port = host.partition(":")
    labels, wanted = name.split("."), pattern_name.split(".")
    return (
        port == pattern_port
        and len(labels) == len(wanted)
        and all(fnmatch.fnmatchcase(label, one) for label, one in zip(labels, wanted, strict=True))
    )
