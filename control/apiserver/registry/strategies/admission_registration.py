"""Strategies of admission webhooks, and rules that policies share (upstream: pkg/apis/admissionregistration)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from control.api.errors import FieldError
from control.api.names import dns1035_label_errors, dns1123_subdomain_errors, path_segment_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    judged,
    label_selector,
    one_of,
    port_number,
    qualified_name,
)
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_ALL_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_URL_FORMAT = "; desired format: https://host[/path]"


def _default_rules(rules: Any) -> None:
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def default_match(match: Object | None) -> None:
    if match is None:
        return
    for name in ("namespaceSelector", "objectSelector"):
        if match.get(name) is None:
            match[name] = {}
    if match.get("matchPolicy") is None:
        match["matchPolicy"] = "Equivalent"
    for name in ("resourceRules", "excludeResourceRules"):
        _default_rules(match.get(name))


class WebhookConfigurationStrategy(Strategy):
    """Rules of validating webhook configurations."""

    allow_unconditional_update = False
    side_effects: tuple[str, ...] = ("None", "NoneOnDryRun")

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        for webhook in obj.get("webhooks") or ():
            for name, value in (("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("timeoutSeconds", 10)):
                if webhook.get(name) is None:
                    webhook[name] = value
            for name in ("namespaceSelector", "objectSelector"):
                if webhook.get(name) is None:
                    webhook[name] = {}
            _default_rules(webhook.get("rules"))
            service = (webhook.get("clientConfig") or {}).get("service")
            if service is not None and service.get("port") is None:
                service["port"] = 443

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the webhooks."""
        return list(self._webhooks(obj.get("webhooks") or (), ()))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change; what an old webhook did not keep to, others need not either."""
        return list(self._webhooks(obj.get("webhooks") or (), old.get("webhooks") or ()))

    def _webhooks(self, webhooks: Sequence[Item], old: Sequence[Item]) -> Errors:
        names = [webhook.get("name") or "" for webhook in old]
        is_unique, seen = len(set(names)) == len(names), set[str]()
        is_quiet = all(webhook.get("sideEffects") in self.side_effects for webhook in old)
        is_understood = all(_is_accepted(webhook.get("admissionReviewVersions") or ()) for webhook in old)
        effects = self.side_effects if is_quiet else _ALL_SIDE_EFFECTS
        for index, webhook in enumerate(webhooks):
            path, name = f"webhooks[{index}]", webhook.get("name") or ""
            yield from self._webhook(path, webhook, effects)
            versions = webhook.get("admissionReviewVersions") or []
            yield from _review_versions(f"{path}.admissionReviewVersions", versions, must_be_known=is_understood)
            if is_unique and name in seen:
                yield FieldError.duplicate(f"{path}.name", name)
            if name:
                seen.add(name)

    def _webhook(self, path: str, webhook: Item, side_effects: tuple[str, ...]) -> Errors:
        yield from _qualified_name(f"{path}.name", webhook.get("name") or "")
        for index, rule in enumerate(webhook.get("rules") or ()):
            yield from _rule(f"{path}.rules[{index}]", rule)
        for name, supported in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
            if webhook.get(name) is not None:
                yield from one_of(f"{path}.{name}", webhook[name], supported)
        effects = webhook.get("sideEffects")
        if effects is None:
            listing = ", ".join(side_effects)
            yield FieldError.required(f"{path}.sideEffects", f"must specify one of {listing}")
        else:
            yield from one_of(f"{path}.sideEffects", effects, side_effects)
        seconds = webhook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            detail = "the timeout value must be between 1 and 30 seconds"
            yield FieldError.invalid(f"{path}.timeoutSeconds", seconds, detail)
        for name in ("namespaceSelector", "objectSelector"):
            yield from label_selector(f"{path}.{name}", webhook.get(name))
        if webhook.get("reinvocationPolicy") is not None:
            yield from one_of(f"{path}.reinvocationPolicy", webhook["reinvocationPolicy"], ("IfNeeded", "Never"))
        yield from _client(f"{path}.clientConfig", webhook.get("clientConfig") or {})
        yield from match_conditions(f"{path}.matchConditions", webhook.get("matchConditions") or ())


class MutatingWebhookConfigurationStrategy(WebhookConfigurationStrategy):
    """Rules of mutating webhook configurations."""

    def default(self, obj: Object) -> None:
        """Webhooks are called once unless told."""
        super().default(obj)
        for webhook in obj.get("webhooks") or ():
            if webhook.get("reinvocationPolicy") is None:
                webhook["reinvocationPolicy"] = "Never"


def _qualified_name(path: str, name: str) -> Errors:
    if not name:
        yield FieldError.required(path)
        return
    broken = dns1123_subdomain_errors(name)
    if broken:
        yield FieldError.invalid(path, name, ",".join(broken))
    elif name.count(".") < 2:
        yield FieldError.invalid(path, name, "should be a domain with at least three segments separated by dots")


def _rule(path: str, rule: Item) -> Errors:
    operations = rule.get("operations") or []
    if not operations:
        yield FieldError.required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        detail = "if '*' is present, must not specify other operations"
        yield FieldError.invalid(f"{path}.operations", operations, detail)
    for index, operation in enumerate(operations):
        yield from one_of(f"{path}.operations[{index}]", operation, _OPERATIONS)
    for name, noun in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(name) or []
        if not values:
            yield FieldError.required(f"{path}.{name}")
        if len(values) > 1 and "*" in values:
            yield FieldError.invalid(f"{path}.{name}", values, f"if '*' is present, must not specify other {noun}")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            yield FieldError.required(f"{path}.apiVersions[{index}]")
    yield from _resources(f"{path}.resources", rule.get("resources") or [])
    if rule.get("scope") is not None:
        yield from one_of(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced"))


def _resources(path: str, values: list[str]) -> Errors:
    if not values:
        yield FieldError.required(path)
    of_resource: set[str] = set()
    of_subresource: set[str] = set()
    is_bare = False
    for index, value in enumerate(values):
        if not value:
            yield FieldError.required(f"{path}[{index}]")
            continue
        resource, slash, subresource = value.partition("/")
        if not slash:
            is_bare = value != "*"
            continue
        for wildcard, is_hidden in (
            (f"{resource}/*", resource in of_resource),
            (f"*/{subresource}", subresource in of_subresource),
        ):
            if is_hidden:
                detail = f"if '{wildcard}' is present, must not specify {value}"
                yield FieldError.invalid(f"{path}[{index}]", value, detail)
        if subresource == "*":
            of_resource.add(resource)
        if resource == "*":
            of_subresource.add(subresource)
    if len(values) > 1 and "*/*" in values:
        yield FieldError.invalid(path, values, "if '*/*' is present, must not specify other resources")
    if "*" in values and is_bare:
        detail = "if '*' is present, must not specify other resources without subresources"
        yield FieldError.invalid(path, values, detail)


def _client(path: str, client: Item) -> Errors:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield FieldError.required(path, "exactly one of url or service is required")
        return
    if url is not None:
        yield from _url(f"{path}.url", url)
        return
    assert service is not None
    for name in ("name", "namespace"):
        if not service.get(name):
            yield FieldError.required(f"{path}.service.{name}", f"service {name} is required")
    problems = list(port_number("", service.get("port") or 0))
    if problems:
        text = ",".join(problem.message.partition(": ")[2].partition(": ")[2] for problem in problems)
        yield FieldError.invalid(f"{path}.service.port", service.get("port") or 0, f"port is not valid: {text}")
    yield from _service_path(f"{path}.service.path", service.get("path") or "")


def _service_path(path: str, value: str) -> Errors:
    if value in ("", "/"):
        return
    if value == "//":
        yield FieldError.invalid(path, value, "segment[0] may not be empty")
        return
    if not value.startswith("/"):
        yield FieldError.invalid(path, value, "must start with a '/'")
    for index, step in enumerate(value[1:].removesuffix("/").split("/")):
        if not step:
            yield FieldError.invalid(path, value, f"segment[{index}] may not be empty")
            continue
        for message in dns1123_subdomain_errors(step):
            yield FieldError.invalid(path, value, f"segment[{index}]: {message}")


def _url(path: str, url: str) -> Errors:
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield FieldError.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_URL_FORMAT}")
    if not parts.netloc:
        yield FieldError.invalid(path, "", f"host must be specified{_URL_FORMAT}")
    user, at, _ = parts.netloc.rpartition("@")
    if at:
        yield FieldError.invalid(path, user, "user information is not permitted in the URL")
    for name, value in (("fragments", parts.fragment), ("query parameters", parts.query)):
        if value:
            yield FieldError.invalid(path, value, f"{name} are not permitted in the URL")


def _is_accepted(versions: Sequence[str]) -> bool:
    return not versions or bool(set(versions) & set(_REVIEW_VERSIONS))


def _review_versions(path: str, versions: list[str], *, must_be_known: bool) -> Errors:
    listing = ", ".join(_REVIEW_VERSIONS)
    if not versions:
        yield FieldError.required(path, f"must specify one of {listing}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield FieldError.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            yield from judged(f"{path}[{index}]", version, dns1035_label_errors)
    if must_be_known and not _is_accepted(versions):
        yield FieldError.invalid(path, versions, f"must include at least one of {listing}")


def match_resources(path: str, match: Item, *, needs_rules: bool) -> Errors:
    """What a policy or a binding is about."""
    if match.get("matchPolicy") is not None:
        yield from one_of(f"{path}.matchPolicy", match["matchPolicy"], ("Equivalent", "Exact"))
    for name in ("namespaceSelector", "objectSelector"):
        yield from label_selector(f"{path}.{name}", match.get(name))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(name) or ()):
            names = rule.get("resourceNames") or []
            for number, value in enumerate(names):
                where = f"{path}.{name}[{index}].resourceNames[{number}]"
                yield from judged(where, value, path_segment_name_errors)
                if value in names[:number]:
                    yield FieldError.duplicate(where, value)
            yield from _rule(f"{path}.{name}[{index}]", rule)
    if needs_rules and not match.get("resourceRules"):
        yield FieldError.required(f"{path}.resourceRules")


_CONDITIONS_MAX = 64


def match_conditions(path: str, conditions: Sequence[Item]) -> Errors:
    """Expressions that must hold before anything else is done; each with a name of its own."""
    if len(conditions) > _CONDITIONS_MAX:
        yield FieldError.too_many(path, len(conditions), _CONDITIONS_MAX)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        item, name = f"{path}[{index}]", condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            yield FieldError.required(f"{item}.expression")
        if not name:
            yield FieldError.required(f"{item}.name")
            continue
        yield from qualified_name(f"{item}.name", name)
        if name in seen:
            yield FieldError.duplicate(f"{item}.name", name)
        seen.add(name)
