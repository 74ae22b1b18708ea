"""The options of a request (CreateOptions, ListOptions, DeleteOptions, ...), read and judged as upstream does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from control.api.errors import ApiError, FieldError, bad_request, invalid, quote
from control.api.objects import Object
from control.api.records import record
from control.api.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)
from control.apiserver.patch.manager_names import FIELD_MANAGER_BYTES_MAX, field_manager_errors
from control.apiserver.request_context import RequestContext
from control.apiserver.request_info import is_true
from control.schema.builtin import definition_schema
from control.schema.validate import DecodeError, decode_value

_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
NO_FIELDS = FieldSelector()
_PROPAGATION_POLICIES = ("Foreground", "Background", "Orphan")
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
#: Python refuses to read numbers of some thousand digits; what is longer than this is out of every range.
_DIGITS_READ = 1000


@record(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """What a create, update or patch may say. `field_manager` is never empty; `is_forced` belongs to apply."""

    dry_run: bool = False
    field_manager: str
    field_validation: str = "Warn"
    is_forced: bool = False


def read_write_options(context: RequestContext, kind: str, *, is_apply: bool = False) -> WriteOptions:
    """Read CreateOptions, UpdateOptions or PatchOptions (`kind`). Raises an Invalid error that names them."""
    manager = context.query("fieldManager")
    dry_run = [value for value in context.query_all("dryRun") if value]
    validation = context.query("fieldValidation")
    force = context.query("force")
    errors: list[FieldError] = []
    if kind == "PatchOptions":
        if is_apply and not manager:
            errors.append(FieldError.required("fieldManager", "is required for apply patch"))
        if not is_apply and force:
            errors.append(FieldError.forbidden("force", "may not be specified for non-apply patch"))
    errors += field_manager_errors("fieldManager", manager)
    errors += dry_run_errors(dry_run)
    if validation not in _FIELD_VALIDATIONS:
        errors.append(FieldError.not_supported("fieldValidation", validation, _FIELD_VALIDATIONS))
    if errors:
        raise invalid("meta.k8s.io", kind, "", errors)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager or _manager_of_user_agent(context.request.headers.get("user-agent", "")),
        field_validation=validation or "Warn",
        is_forced=bool(force) and is_true(force),
    )


def dry_run_errors(dry_run: list[str]) -> list[FieldError]:
    """Judge the values of a dryRun parameter."""
    if all(value == "All" for value in dry_run):
        return []
    return [FieldError.not_supported("dryRun", dry_run, ["All"])]


def _manager_of_user_agent(user_agent: str) -> str:
    prefix = user_agent.partition("/")[0]
    if not prefix.isprintable():
        prefix = "".join(char for char in prefix if char.isprintable())
    return prefix[:FIELD_MANAGER_BYTES_MAX] or "unknown"


@dataclass(slots=True, kw_only=True)
class DeleteOptions:
    """What a delete may say. `grace_period_seconds` is set to the period in force once that is known."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    uid: str | None = None
    resource_version: str | None = None

    def to_object(self) -> Object:
        """Return the options as admission plugins see them."""
        fields: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if self.grace_period_seconds is not None:
            fields["gracePeriodSeconds"] = self.grace_period_seconds
        if self.propagation_policy is not None:
            fields["propagationPolicy"] = self.propagation_policy
        if self.orphan_dependents is not None:
            fields["orphanDependents"] = self.orphan_dependents
        return fields


def read_delete_options(context: RequestContext, body: Object | None) -> DeleteOptions:
    """Read DeleteOptions from the body if there is one, else from the query."""
    fields = _decode_delete_fields(body) if body is not None else _delete_fields_of_query(context)
    preconditions = fields.get("preconditions") or {}
    dry_run = list(fields.get("dryRun") or [])
    options = DeleteOptions(
        dry_run=bool(dry_run),
        grace_period_seconds=fields.get("gracePeriodSeconds"),
        orphan_dependents=fields.get("orphanDependents"),
        propagation_policy=fields.get("propagationPolicy"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
    )
    errors = _propagation_errors(options) + dry_run_errors(dry_run)
    if errors:
        raise invalid("meta.k8s.io", "DeleteOptions", "", errors)
    if options.grace_period_seconds is not None and options.grace_period_seconds < 0:
        options.grace_period_seconds = 1  # upstream treats a negative period as one second
    return options


def _decode_delete_fields(body: Object) -> Object:
    try:
        return decode_value(body, definition_schema(_DELETE_OPTIONS)).object
    except DecodeError as error:
        raise bad_request(str(error)) from None


def _delete_fields_of_query(context: RequestContext) -> Object:
    fields: Object = {"dryRun": [value for value in context.query_all("dryRun") if value]}
    if (period := _integer(context, "gracePeriodSeconds")) is not None:
        fields["gracePeriodSeconds"] = period
    if policies := context.query_all("propagationPolicy"):
        fields["propagationPolicy"] = policies[0]
    if orphans := context.query_all("orphanDependents"):
        fields["orphanDependents"] = is_true(orphans[0])
    return fields


def _propagation_errors(options: DeleteOptions) -> list[FieldError]:
    policy = options.propagation_policy
    if policy is None:
        return []
    errors = []
    if options.orphan_dependents is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(FieldError.invalid("propagationPolicy", policy, detail))
    if policy not in _PROPAGATION_POLICIES:
        errors.append(FieldError.not_supported("propagationPolicy", policy, [*_PROPAGATION_POLICIES, "nil"]))
    return errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What a list or watch may say. `resource_version` is None if unset, as "0" means something of its own."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = NO_FIELDS
    resource_version: int | None = None
    resource_version_match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_seconds: int | None = None
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None


def read_list_options(context: RequestContext, *, is_watch: bool) -> ListOptions:
    """Read ListOptions from the query. Raises the errors upstream gives for combinations that mean nothing.

    What cannot be read is refused before what is read but means nothing, and a resourceVersion is read last, by the
    store.
    """
    labels, fields = _read_selectors(context)
    timeout, limit = _integer(context, "timeoutSeconds"), _integer(context, "limit")
    version, match = context.query("resourceVersion"), context.query("resourceVersionMatch")
    continue_token = context.query("continue")
    send_initial = context.query_all("sendInitialEvents")
    judge = _watch_match_errors if is_watch else _list_match_errors
    errors = judge(version, match, continue_token, sends_initial=bool(send_initial))
    if errors:
        raise invalid("meta.k8s.io", "ListOptions", "", errors)
    return ListOptions(
        labels=labels,
        fields=fields,
        resource_version=_list_revision(version, is_watch=is_watch),
        resource_version_match=match,
        limit=limit or 0,
        continue_token=continue_token,
        timeout_seconds=timeout,
        allow_bookmarks=context.flag("allowWatchBookmarks"),
        send_initial_events=is_true(send_initial[0]) if send_initial else None,
    )


def _read_selectors(context: RequestContext) -> tuple[LabelSelector, FieldSelector]:
    try:
        labels = parse_label_selector(context.query("labelSelector"))
        text = context.query("fieldSelector")
        return labels, parse_field_selector(text) if text else NO_FIELDS
    except SelectorError as error:
        raise bad_request(str(error)) from error


def _integer(context: RequestContext, name: str) -> int | None:
    values = context.query_all(name)
    return read_integer(values[0]) if values else None


def _list_match_errors(version: str, match: str, continue_token: str, *, sends_initial: bool) -> list[FieldError]:
    field = "resourceVersionMatch"
    errors = []
    if match and not version:
        errors.append(
            FieldError.forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        )
    if match and continue_token:
        errors.append(FieldError.forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan", ""):
        errors.append(FieldError.not_supported(field, match, ["Exact", "NotOlderThan", ""]))
    if match == "Exact" and version == "0":
        errors.append(FieldError.forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if sends_initial:
        errors.append(FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_match_errors(version: str, match: str, continue_token: str, *, sends_initial: bool) -> list[FieldError]:
    field = "resourceVersionMatch"
    errors = []
    if sends_initial and match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(FieldError.forbidden(field, detail))
    if match:
        if not sends_initial:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            errors.append(FieldError.forbidden(field, detail))
        if match != "NotOlderThan":
            errors.append(FieldError.not_supported(field, match, ["NotOlderThan"]))
        if continue_token:
            errors.append(FieldError.forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
    return errors


def parse_resource_version(text: str) -> int | None:
    """Parse a resourceVersion; None if empty. Raises ValueError with the text of upstream's versioner."""
    if not text:
        return None
    try:
        return parse_unsigned(text)
    except ValueError as error:
        raise ValueError(str(FieldError.invalid("resourceVersion", text, str(error)))) from None


def parse_unsigned(text: str) -> int:
    """Parse an unsigned integer of 64 bits. Raises ValueError in Go's words."""
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    if len(text) > _DIGITS_READ or int(text) >= 2**64:
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: value out of range")
    return int(text)


def _list_revision(text: str, *, is_watch: bool) -> int | None:
    try:
        return parse_resource_version(text)
    except ValueError as error:
        # Upstream's watch passes the store's error on as it is; its list says what it was about.
        if is_watch:
            raise ApiError(500, "", str(error)) from error
        raise bad_request(f"invalid resource version: {error}") from error


def read_integer(text: str) -> int:
    """Read an integer query parameter. Raises BadRequest in the words of upstream's conversion."""
    if not _INTEGER.fullmatch(text):
        raise bad_request(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    value = int(text[:_DIGITS_READ])
    if len(text) > _DIGITS_READ or not -(2**63) <= value < 2**63:
        raise bad_request(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def too_large_resource_version(requested: int, current: int) -> ApiError:
    """504: the client has seen a revision this server has not reached."""
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {requested}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
        headers=[("Retry-After", "1")],
    )
