"""Kubeconfig files: a context becomes a transport; our own contexts are merged in and taken out again.

Foreign entries always survive (comments do not: YAML has no place for them in data). A file that cannot be read as a
kubeconfig is refused, never overwritten. Files are written atomically with mode 0600, under kubectl's own lock file.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from control.api.clock import Clock, SystemClock
from control.api.objects import Object
from control.client.bearer_token import FixedToken, IssuedToken, RenewedToken, TokenSource
from control.client.credential_plugin import API_VERSIONS, CredentialPlugin
from control.client.http_transport import HttpTransport
from control.client.transport import ServerUnavailableError
from control.private_file import write_private_file

LOCK_TRIES = 40
LOCK_TRY_SECONDS = 0.05
#: client-go reads token files again after this long
TOKEN_FILE_SECONDS = 60.0
PLUGIN_EXTENSION = "client.authentication.k8s.io/exec"
_UNSUPPORTED_CLUSTER_FIELDS = {"proxy-url": "a proxy"}
_UNSUPPORTED_USER_FIELDS = {
    "auth-provider": "an auth provider",
    "username": "a password",
    "as": "impersonation",
    "as-uid": "impersonation",
    "as-groups": "impersonation",
    "as-user-extra": "impersonation",
}


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used; the text names file and reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach a cluster as somebody: all PEM. A client certificate with its key, a token, or a plugin for one."""

    server: str
    ca_pem: str = ""
    client_certificate_pem: str = ""
    client_key_pem: str = ""
    token: str = ""
    insecure: bool = False
    namespace: str = ""
    tls_server_name: str = ""
    #: what the file calls the cluster
    cluster_name: str = field(default="", compare=False)
    #: where `token` came from; read again now and then, as tokens of mounted files are replaced
    token_file: Path | None = None
    plugin: CredentialPlugin | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS settings for a client, None for plain http."""
        if not self.server.startswith("https://"):
            return None
        context = ssl.create_default_context(cadata=self.ca_pem or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate_pem:
            # OpenSSL reads certificate chains from files only; this one exists for an instant and is ours alone.
            with tempfile.NamedTemporaryFile(prefix="podling-", suffix=".pem") as file:
                file.write(f"{self.client_certificate_pem}\n{self.client_key_pem}\n".encode())
                file.flush()
                context.load_cert_chain(file.name)
        return context

    def token_source(self, clock: Clock) -> TokenSource | None:
        """Where a transport gets its token, None for an identity without one. A file goes before a text."""
        if self.token_file is not None:
            return RenewedToken(partial(_read_token_file, self.token_file), clock)
        if self.token:
            return FixedToken(self.token)
        return RenewedToken(partial(self.plugin.fetch, clock), clock) if self.plugin is not None else None

    def without_identity(self) -> Access:
        """The same server for nobody: to be used with another's token."""
        return replace(
            self, client_certificate_pem="", client_key_pem="", token="", token_file=None, plugin=None, namespace=""
        )


def kubeconfig_paths(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files kubectl would merge: KUBECONFIG's list, else `~/.kube/config`."""
    listed = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path.home() / ".kube" / "config"]


def writable_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The file to merge into: the first that exists, else the last of the list, as kubectl chooses."""
    paths = kubeconfig_paths(environment)
    return next((path for path in paths if path.exists()), paths[-1])


def read_access(path: Path | None = None, context: str | None = None) -> Access:
    """Resolve a context (default: the current one) of a file, or of what KUBECONFIG names. Raises KubeconfigError."""
    if path is not None and not path.exists():
        raise KubeconfigError(f"there is no kubeconfig {path}")
    paths = [path] if path is not None else kubeconfig_paths()
    merged, origin = _merge_files(paths)
    where = os.pathsep.join(map(str, paths))
    context_name = context or merged.get("current-context") or ""
    if not context_name:
        raise KubeconfigError(f"{where} has no current context")
    chosen = _entry(merged, "contexts", context_name, where)
    cluster_name, user_name = chosen.get("cluster", ""), chosen.get("user", "")
    cluster = _entry(merged, "clusters", cluster_name, where)
    user = _entry(merged, "users", user_name, where) if user_name else {}
    cluster_directory = origin.get(("clusters", cluster_name), Path.cwd())
    user_directory = origin.get(("users", user_name), Path.cwd())
    _refuse_unsupported(cluster, _UNSUPPORTED_CLUSTER_FIELDS, f"cluster {cluster_name} of {where}")
    _refuse_unsupported(user, _UNSUPPORTED_USER_FIELDS, f"user {user_name} of {where}")
    return Access(
        server=cluster.get("server", ""),
        ca_pem=_pem(cluster, "certificate-authority", cluster_directory),
        client_certificate_pem=_pem(user, "client-certificate", user_directory),
        client_key_pem=_pem(user, "client-key", user_directory),
        token=_token(user, user_directory),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace", ""),
        cluster_name=cluster_name,
        tls_server_name=cluster.get("tls-server-name", ""),
        token_file=user_directory / str(user["tokenFile"]) if user.get("tokenFile") else None,
        plugin=_plugin(user, user_directory, f"user {user_name} of {where}", _told_cluster(cluster, cluster_directory)),
    )


def transport_from_kubeconfig(
    path: Path | None = None, context: str | None = None, *, user_agent: str = "podling"
) -> HttpTransport:
    """Open a transport for a context of a kubeconfig file (default: what kubectl would use). Raises KubeconfigError."""
    return open_transport(read_access(path, context), user_agent=user_agent)


def open_transport(access: Access, *, user_agent: str, tokens: TokenSource | None = None) -> HttpTransport:
    """Open a transport to a server, with the access's own identity or another's tokens. Raises KubeconfigError."""
    if not access.server:
        raise KubeconfigError("the chosen context's cluster has no server")
    try:
        context = access.ssl_context()
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigError(f"cannot use the certificates for {access.server}: {error}") from error
    return HttpTransport(
        access.server,
        context,
        tokens or access.token_source(SystemClock()),
        user_agent=user_agent,
        server_name=access.tls_server_name or None,
    )


def make_kubeconfig(name: str, access: Access) -> Object:
    """Return a whole kubeconfig with one cluster, user and context of that name."""
    cluster: Object = {"server": access.server}
    if access.ca_pem:
        cluster["certificate-authority-data"] = _encode(access.ca_pem)
    if access.insecure:
        cluster["insecure-skip-tls-verify"] = True
    user: Object = {}
    if access.client_certificate_pem:
        user["client-certificate-data"] = _encode(access.client_certificate_pem)
        user["client-key-data"] = _encode(access.client_key_pem)
    if access.token:
        user["token"] = access.token
    context: Object = {"cluster": name, "user": name}
    if access.namespace:
        context["namespace"] = access.namespace
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def format_kubeconfig(config: Object) -> str:
    """The YAML text of a kubeconfig."""
    import yaml

    return yaml.safe_dump(config, sort_keys=False, default_flow_style=False)


def merge_context(path: Path, name: str, access: Access, *, make_current: bool = True) -> None:
    """Write our cluster, user and context into a file, replacing entries of that name and keeping all others."""
    ours = make_kubeconfig(name, access)
    with _locked(path):
        config = _read_file(path) or {"apiVersion": "v1", "kind": "Config"}
        for section in ("clusters", "users", "contexts"):
            entries = list(config.get(section) or [])
            position = next((i for i, entry in enumerate(entries) if entry.get("name") == name), None)
            if position is None:
                entries.append(ours[section][0])
            else:
                entries[position] = ours[section][0]
            config[section] = entries
        if make_current or not config.get("current-context"):
            config["current-context"] = name
        write_private_file(path, format_kubeconfig(config).encode())


def remove_context(path: Path, name: str) -> bool:
    """Take our entries out again; a file in which nothing remains is removed. Returns whether there were any."""
    if not path.exists():
        return False
    with _locked(path):
        config = _read_file(path)
        found = False
        for section in ("clusters", "users", "contexts"):
            entries = list(config.get(section) or [])
            kept = [entry for entry in entries if entry.get("name") != name]
            found = found or len(kept) != len(entries)
            config[section] = kept
        if not found:
            return False
        if config.get("current-context") == name:
            config["current-context"] = ""
        if any(config.get(key) for key in config if key not in ("apiVersion", "kind")):
            write_private_file(path, format_kubeconfig(config).encode())
        else:
            path.resolve().unlink()
        return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold `<file>.lock` as kubectl does, so that a kubectl at work and we do not overwrite each other."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_name(f"{path.name}.lock")
    for attempt in range(LOCK_TRIES):
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            if attempt == LOCK_TRIES - 1:
                raise KubeconfigError(f"{path} is locked: remove {lock} if no kubectl is at work") from None
            time.sleep(LOCK_TRY_SECONDS)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _read_file(path: Path) -> Object:
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeconfigError(f"cannot read {path}: {error}") from error
    if config is None:
        return {}
    sections = ("clusters", "users", "contexts")
    if not isinstance(config, dict) or not all(isinstance(config.get(key) or [], list) for key in sections):
        raise KubeconfigError(f"{path} is not a kubeconfig")
    return config


def _merge_files(paths: list[Path]) -> tuple[Object, dict[tuple[str, str], Path]]:
    """Merge as kubectl does (the first file that has a name wins); tells each entry's directory for relative paths."""
    merged: Object = {"clusters": [], "users": [], "contexts": []}
    origin: dict[tuple[str, str], Path] = {}
    for path in paths:
        config = _read_file(path)
        if not merged.get("current-context") and config.get("current-context"):
            merged["current-context"] = config["current-context"]
        for section in ("clusters", "users", "contexts"):
            for entry in config.get(section) or []:
                if (section, entry.get("name", "")) not in origin:
                    origin[(section, entry.get("name", ""))] = path.resolve().parent
                    merged[section].append(entry)
    return merged, origin


def _entry(config: Object, section: str, name: str, where: str) -> Object:
    for entry in config[section]:
        if entry.get("name") == name:
            found: Object = entry.get(section[:-1]) or {}
            return found
    raise KubeconfigError(f"{where} has no {section[:-1]} named {name!r}")


def _pem(entry: Mapping[str, Any], field: str, directory: Path) -> str:
    encoded = entry.get(f"{field}-data")
    try:
        if encoded:
            return base64.b64decode(encoded).decode()
        if file := entry.get(field):
            return (directory / str(file)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise KubeconfigError(f"cannot read {field}: {error}") from error
    return ""


def _token(user: Mapping[str, Any], directory: Path) -> str:
    if file := user.get("tokenFile"):
        return _read_token(directory / str(file))
    return str(user.get("token") or "")


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"cannot read tokenFile: {error}") from error


async def _read_token_file(path: Path) -> IssuedToken:
    try:
        return IssuedToken(token=_read_token(path), lifetime_seconds=TOKEN_FILE_SECONDS)
    except KubeconfigError as error:
        raise ServerUnavailableError(str(error)) from error


def _refuse_unsupported(entry: Mapping[str, Any], fields: Mapping[str, str], where: str) -> None:
    for name, meaning in fields.items():
        if entry.get(name):
            raise KubeconfigError(f"{where} needs {meaning} ({name}), which is not supported")


def _plugin(
    user: Mapping[str, Any], directory: Path, where: str, cluster: Mapping[str, Any]
) -> CredentialPlugin | None:
    settings = user.get("exec")
    if not settings:
        return None
    api_version = settings.get("apiVersion")
    if api_version not in API_VERSIONS:
        raise KubeconfigError(f"{where}: exec.apiVersion must be one of {', '.join(API_VERSIONS)}, not {api_version!r}")
    if settings.get("interactiveMode") == "Always":
        raise KubeconfigError(f"{where} needs a credential plugin with a terminal, which is not supported")
    command = str(settings.get("command") or "")
    if not command:
        raise KubeconfigError(f"{where}: exec.command must be specified")
    return CredentialPlugin(
        command=str(directory / command) if "/" in command else command,
        arguments=tuple(str(item) for item in settings.get("args") or ()),
        environment={str(item["name"]): str(item["value"]) for item in settings.get("env") or ()},
        api_version=api_version,
        install_hint=str(settings.get("installHint") or ""),
        cluster=cluster if settings.get("provideClusterInfo") else None,
    )


def _told_cluster(cluster: Mapping[str, Any], directory: Path) -> Mapping[str, Any]:
    """What a plugin that asks for it is told of the cluster: the fields of ExecCredential's `spec.cluster`."""
    told = {
        field: cluster[field]
        for field in ("server", "tls-server-name", "insecure-skip-tls-verify")
        if cluster.get(field)
    }
    if authority := _pem(cluster, "certificate-authority", directory):
        told["certificate-authority-data"] = _encode(authority)
    extensions = cluster.get("extensions") or ()
    configuration = [item.get("extension") for item in extensions if item.get("name") == PLUGIN_EXTENSION]
    return {**told, "config": configuration[0]} if configuration else told


def _encode(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()
