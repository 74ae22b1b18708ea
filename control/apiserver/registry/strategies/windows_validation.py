"""Rules of `windowsOptions` in security contexts (upstream: validateWindowsSecurityContextOptions)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from control.api.names import dns1123_subdomain_errors
from control.apiserver.registry.strategies.field_rules import Errors, judged

_SPEC_KIB_MAX = 64
_DOMAIN_MAX = 256
_USER_MAX = 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r"[^\\/:*?\"<>|.][^\\/:*?\"<>|]{0,14}")
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS_NAME = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_FORBIDDEN_IN_USER = re.compile(r"[\"/\\:;|=,+*?<>@\[\]]")


def windows_options(path: str, options: Mapping[str, Any] | None) -> Errors:
    """Credentials and user name of Windows containers."""
    if options is None:
        return
    if options.get("gmsaCredentialSpecName") is not None:
        yield from judged(f"{path}.gmsaCredentialSpecName", options["gmsaCredentialSpecName"], dns1123_subdomain_errors)
    spec = options.get("gmsaCredentialSpec")
    if spec is not None:
        yield from judged(f"{path}.gmsaCredentialSpec", spec, _credential_spec_errors)
    if options.get("runAsUserName") is not None:
        yield from judged(f"{path}.runAsUserName", options["runAsUserName"], _user_name_errors)


def _credential_spec_errors(text: str) -> Iterator[str]:
    if not text:
        yield "gmsaCredentialSpec cannot be an empty string"
    elif len(text.encode()) > _SPEC_KIB_MAX * 1024:
        yield f"gmsaCredentialSpec size must be under {_SPEC_KIB_MAX} KiB"


def _user_name_errors(text: str) -> Iterator[str]:
    parts = text.split("\\")
    if not text:
        yield "runAsUserName cannot be an empty string"
    elif _CONTROL.search(text):
        yield "runAsUserName cannot contain control characters"
    elif len(parts) > 2:
        yield "runAsUserName cannot contain more than one backslash"
    else:
        yield from _user_errors(parts[0] if len(parts) == 2 else None, parts[-1])


def _user_errors(domain: str | None, user: str) -> Iterator[str]:
    if domain is not None:
        if len(domain.encode()) >= _DOMAIN_MAX:
            yield f"runAsUserName's Domain length must be under {_DOMAIN_MAX} characters"
        if not _NETBIOS.fullmatch(domain) and not _DNS_NAME.fullmatch(domain):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "runAsUserName's User cannot be empty"
    elif len(user.encode()) > _USER_MAX:
        yield f"runAsUserName's User length must not be longer than {_USER_MAX} characters"
    if user and not user.strip(". "):
        yield "runAsUserName's User cannot contain only periods or spaces"
    if _FORBIDDEN_IN_USER.search(user):
        yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
