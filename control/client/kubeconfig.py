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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.api.objects import Object
from control.client.http_transport import HttpTransport

LOCK_TRIES = 40
LOCK_TRY_SECONDS = 0.05


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used; the text names file and reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach a cluster as somebody: all PEM. Either a client certificate with its key, or a token, or neither."""

    server: str
    ca_pem: str = ""
    client_certificate_pem: str = ""
    client_key_pem: str = ""
    token: str = ""
    insecure: bool = False
    namespace: str = ""
    tls_server_name: str = ""

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
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(f"user {user_name} of {where} needs a credential plugin, which is not supported")
    return Access(
        server=cluster.get("server", ""),
        ca_pem=_pem(cluster, "certificate-authority", cluster_directory),
        client_certificate_pem=_pem(user, "client-certificate", user_directory),
        client_key_pem=_pem(user, "client-key", user_directory),
        token=_token(user, user_directory),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace", ""),
        tls_server_name=cluster.get("tls-server-name", ""),
    )


def transport_from_kubeconfig(
    path: Path | None = None, context: str | None = None, *, user_agent: str = "podling"
) -> HttpTransport:
    """Open a transport for a context of a kubeconfig file (default: what kubectl would use)."""
    access = read_access(path, context)
    if not access.server:
        raise KubeconfigError("the chosen context's cluster has no server")
    return HttpTransport(
        access.server,
        access.ssl_context(),
        access.token or None,
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
        write_private_file(path, format_kubeconfig(config))


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
            write_private_file(path, format_kubeconfig(config))
        else:
            path.resolve().unlink()
        return True


def write_private_file(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner alone; a symbolic link keeps pointing at it."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
    if token := user.get("token"):
        return str(token)
    if file := user.get("tokenFile"):
        try:
            return (directory / str(file)).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise KubeconfigError(f"cannot read tokenFile: {error}") from error
    return ""


def _encode(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()
