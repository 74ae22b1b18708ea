"""Credential plugins of kubeconfig files (`users[].user.exec`): a command that prints an ExecCredential.

The contract is that of client.authentication.k8s.io/v1 and v1beta1, without terminals and without client certificates:
a plugin that needs or gives those is refused by name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from control.api.clock import Clock
from control.api.objects import Object
from control.api.timestamps import parse_time
from control.client.bearer_token import IssuedToken
from control.client.transport import ServerUnavailableError

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
PLUGIN_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialPlugin:
    """The command of a user. `cluster` is what the plugin is told of the cluster, if it asked for that."""

    command: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    api_version: str = API_VERSIONS[0]
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None

    async def fetch(self, clock: Clock) -> IssuedToken:
        """Run the command. Raises ServerUnavailableError, which says what failed, never what was printed."""
        return parse_credential(await self._run(), self, clock)

    async def _run(self) -> bytes:
        spec: Object = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = dict(self.cluster)
        info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        environment = {**os.environ, **self.environment, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}
        try:
            process = await asyncio.create_subprocess_exec(
                self.command,
                *self.arguments,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f"; {self.install_hint.strip()}" if self.install_hint else ""
            raise self._failure(f"{error.strerror or error}{hint}") from error
        try:
            async with asyncio.timeout(PLUGIN_SECONDS_MAX):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise self._failure(f"no answer within {PLUGIN_SECONDS_MAX:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise self._failure(f"it failed with exit code {process.returncode}")
        return output

    def _failure(self, cause: str) -> ServerUnavailableError:
        return ServerUnavailableError(f"cannot get credentials from {self.command}: {cause}")


def parse_credential(output: bytes, plugin: CredentialPlugin, clock: Clock) -> IssuedToken:
    """Read what a plugin printed. Raises ServerUnavailableError for anything but a token of the asked version."""

    def failure(cause: str) -> ServerUnavailableError:
        return ServerUnavailableError(f"cannot use the credentials from {plugin.command}: {cause}")

    try:
        credential = orjson.loads(output)
        given = (credential.get("kind"), credential.get("apiVersion"))
        status = credential.get("status") or {}
        token, expiry = status.get("token"), status.get("expirationTimestamp")
        expires = parse_time(expiry) if expiry else None
    except (AttributeError, TypeError, ValueError) as error:  # orjson's error is a ValueError
        raise failure("they are no ExecCredential") from error
    if given != ("ExecCredential", plugin.api_version):
        raise failure(f"they are not of {plugin.api_version}")
    if not token or not isinstance(token, str):
        detail = "client certificates of plugins are not supported" if status.get("clientCertificateData") else "none"
        raise failure(f"they hold no token ({detail})")
    lifetime = None if expires is None else max(0.0, (expires - clock.now()).total_seconds())
    return IssuedToken(token=token, lifetime_seconds=lifetime)
