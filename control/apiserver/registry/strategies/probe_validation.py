"""Rules of probes and lifecycle hooks (upstream: validateProbe, validateHandler, validateLifecycle)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import http_header_name_errors
from control.apiserver.registry.strategies.field_rules import Errors, judged, nonnegative, one_of, port_or_name

_PROBE_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def probes(path: str, container: Mapping[str, Any]) -> Errors:
    """The three probes of a container."""
    for name in PROBES:
        probe = container.get(name)
        if probe is None:
            continue
        yield from _probe(f"{path}.{name}", probe)
        if name == "readinessProbe":
            if probe.get("terminationGracePeriodSeconds") is not None:
                grace = probe["terminationGracePeriodSeconds"]
                field = f"{path}.{name}.terminationGracePeriodSeconds"
                yield FieldError.invalid(field, grace, "must not be set for readinessProbes")
        elif probe.get("successThreshold") != 1:
            yield FieldError.invalid(f"{path}.{name}.successThreshold", probe.get("successThreshold"), "must be 1")


def _probe(path: str, probe: Mapping[str, Any]) -> Errors:
    yield from _handler(path, probe, None, ("exec", "httpGet", "tcpSocket", "grpc"))
    for name in _PROBE_COUNTS:
        yield from nonnegative(f"{path}.{name}", probe.get(name))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield FieldError.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def lifecycle(path: str, hooks: Mapping[str, Any] | None, grace_seconds: int | None) -> Errors:
    """The postStart and preStop hooks."""
    for name in ("postStart", "preStop"):
        if hooks and hooks.get(name) is not None:
            handlers = ("exec", "httpGet", "tcpSocket", "sleep")
            yield from _handler(f"{path}.{name}", hooks[name], grace_seconds, handlers)


def _handler(path: str, handler: Mapping[str, Any], grace_seconds: int | None, known: tuple[str, ...]) -> Errors:
    given = [name for name in known if handler.get(name) is not None]
    for index, name in enumerate(given):
        if index:
            yield FieldError.forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
        elif name == "sleep":
            yield from _sleep(f"{path}.sleep", handler["sleep"].get("seconds", 0), grace_seconds)
        else:
            yield from _action(f"{path}.{name}", name, handler[name])
    if not given:
        yield FieldError.required(path, "must specify a handler type")


def _action(path: str, name: str, action: Mapping[str, Any]) -> Errors:
    if name == "exec":
        if not action.get("command"):
            yield FieldError.required(f"{path}.command")
        return
    if name == "httpGet" and not action.get("path"):
        yield FieldError.required(f"{path}.path")
    yield from port_or_name(f"{path}.port", action.get("port", 0))
    if name == "httpGet":
        yield from one_of(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
        for header in action.get("httpHeaders") or ():
            yield from judged(f"{path}.httpHeaders", header.get("name", ""), http_header_name_errors)


def _sleep(path: str, seconds: int, grace_seconds: int | None) -> Errors:
    if grace_seconds is not None and not 0 <= seconds <= grace_seconds:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
        yield FieldError.invalid(path, seconds, detail)
