"""Strategies of admissionregistration.k8s.io (upstream: pkg/apis/admissionregistration)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from control.api.errors import FieldError
from control.api.names import dns1123_subdomain_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    judged,
    label_selector,
    one_of,
    port_number,
)
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_URL_FORMAT = "; desired format: https://host[/path]"


def _default_rules(rules: Any) -> None:
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def _default_match(match: Object | None) -> None:
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
        errors: list[FieldError] = []
        names: set[str] = set()
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            errors.extend(self._webhook(f"webhooks[{index}]", webhook))
            name = webhook.get("name") or ""
            if name in names:
                errors.append(FieldError.duplicate(f"webhooks[{index}].name", name))
            names.add(name)
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            errors.extend(_review_versions(f"webhooks[{index}].admissionReviewVersions", webhook))
        return errors

    def _webhook(self, path: str, webhook: Item) -> Errors:
        yield from _qualified_name(f"{path}.name", webhook.get("name") or "")
        for index, rule in enumerate(webhook.get("rules") or ()):
            yield from _rule(f"{path}.rules[{index}]", rule)
        for name, supported in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
            if webhook.get(name) is not None:
                yield from one_of(f"{path}.{name}", webhook[name], supported)
        effects = webhook.get("sideEffects")
        if effects is None:
            listing = ", ".join(self.side_effects)
            yield FieldError.required(f"{path}.sideEffects", f"must specify one of {listing}")
        else:
            yield from one_of(f"{path}.sideEffects", effects, self.side_effects)
        seconds = webhook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            detail = "the timeout value must be between 1 and 30 seconds"
            yield FieldError.invalid(f"{path}.timeoutSeconds", seconds, detail)
        for name in ("namespaceSelector", "objectSelector"):
            yield from label_selector(f"{path}.{name}", webhook.get(name))
        yield from _client(f"{path}.clientConfig", webhook.get("clientConfig") or {})


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
    for message in broken:
        yield FieldError.invalid(path, name, message)
    if not broken and name.count(".") < 2:
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
    yield from _resources(f"{path}.resources", rule.get("resources") or [])
    if rule.get("scope") is not None:
        yield from one_of(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced"))


def _resources(path: str, values: list[str]) -> Errors:
    if not values:
        yield FieldError.required(path)
    if len(values) > 1 and "*/*" in values:
        yield FieldError.invalid(path, values, "if '*/*' is present, must not specify other resources")
        return
    for index, value in enumerate(values):
        if not value:
            yield FieldError.required(f"{path}[{index}]")
        resource, _, subresource = value.partition("/")
        if resource != "*" and subresource and f"{resource}/*" in values[:index]:
            detail = f"if '{resource}/*' is present, must not specify {value}"
            yield FieldError.invalid(f"{path}[{index}]", value, detail)


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
    if service.get("path") and not service["path"].startswith("/"):
        yield FieldError.invalid(f"{path}.service.path", service["path"], "must start with a '/'")
    yield from port_number(f"{path}.service.port", service.get("port") or 0)


def _url(path: str, url: str) -> Errors:
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield FieldError.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_URL_FORMAT}")
    if not parts.netloc:
        yield FieldError.invalid(path, "", f"host must be specified{_URL_FORMAT}")
    if parts.username is not None:
        yield FieldError.invalid(path, parts.username, "user information is not permitted in the URL")
    for name, value in (("fragments", parts.fragment), ("query parameters", parts.query)):
        if value:
            yield FieldError.invalid(path, value, f"{name} are not permitted in the URL")


def _review_versions(path: str, webhook: Item) -> Errors:
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        yield FieldError.required(path, f"must specify one of {', '.join(_REVIEW_VERSIONS)}")
    elif not set(versions) & set(_REVIEW_VERSIONS):
        detail = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        yield FieldError.invalid(path, versions, detail)


class AdmissionPolicyStrategy(StatusStrategy):
    """Rules of validating admission policies. Expressions are judged where they are compiled."""

    allow_unconditional_update = False
    rules_field = "validations"

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        _default_match(spec.get("matchConstraints"))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a policy."""
        return list(self._policy("spec", obj["spec"]))

    def _policy(self, path: str, spec: Item) -> Errors:
        yield from one_of(f"{path}.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
        match = spec.get("matchConstraints")
        if match is None:
            yield FieldError.required(f"{path}.matchConstraints")
        else:
            yield from _match(f"{path}.matchConstraints", match, needs_rules=True)
        if not spec.get(self.rules_field) and not spec.get("auditAnnotations"):
            detail = f"{self.rules_field} or auditAnnotations must contain at least one item"
            yield FieldError.required(f"{path}.{self.rules_field}", detail)
        for index, rule in enumerate(spec.get("validations") or ()):
            if not (rule.get("expression") or "").strip():
                yield FieldError.required(f"{path}.validations[{index}].expression", "expression is not specified")


class MutatingAdmissionPolicyStrategy(AdmissionPolicyStrategy):
    """Rules of mutating admission policies, which have no status."""

    has_status = False
    rules_field = "mutations"

    def default(self, obj: Object) -> None:
        """Mutations run once unless told."""
        super().default(obj)
        obj.pop("status", None)
        if obj["spec"].get("reinvocationPolicy") is None:
            obj["spec"]["reinvocationPolicy"] = "Never"

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """There is no status."""

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """There is no status."""


def _match(path: str, match: Item, *, needs_rules: bool) -> Errors:
    if match.get("matchPolicy") is not None:
        yield from one_of(f"{path}.matchPolicy", match["matchPolicy"], ("Equivalent", "Exact"))
    for name in ("namespaceSelector", "objectSelector"):
        yield from label_selector(f"{path}.{name}", match.get(name))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(name) or ()):
            yield from _rule(f"{path}.{name}[{index}]", rule)
    if needs_rules and not match.get("resourceRules"):
        yield FieldError.required(f"{path}.resourceRules")


class AdmissionPolicyBindingStrategy(Strategy):
    """Rules of bindings of admission policies."""

    allow_unconditional_update = False
    has_actions = True

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        _default_match(obj.setdefault("spec", {}).get("matchResources"))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a binding."""
        spec = obj["spec"]
        errors: list[FieldError] = []
        if not spec.get("policyName"):
            errors.append(FieldError.required("spec.policyName"))
        else:
            errors.extend(judged("spec.policyName", spec["policyName"], dns1123_subdomain_errors))
        if spec.get("matchResources") is not None:
            errors.extend(_match("spec.matchResources", spec["matchResources"], needs_rules=False))
        if self.has_actions:
            errors.extend(_actions("spec.validationActions", spec.get("validationActions") or []))
        return errors


class MutatingAdmissionPolicyBindingStrategy(AdmissionPolicyBindingStrategy):
    """Rules of bindings of mutating policies."""

    has_actions = False


def _actions(path: str, actions: list[str]) -> Errors:
    if not actions:
        yield FieldError.required(path, "at least one validation action is required")
    for index, action in enumerate(actions):
        yield from one_of(f"{path}[{index}]", action, ("Audit", "Deny", "Warn"))
        if action in actions[:index]:
            yield FieldError.duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        detail = "must not contain both Deny and Warn (repeating the same validation failure information in the "
        yield FieldError.invalid(path, actions, f"{detail}API response and headers serves no purpose)")
