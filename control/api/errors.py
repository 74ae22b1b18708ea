"""The catalogue of API errors: `ApiError` and its wire form, metav1.Status.

Reasons, codes and message texts are upstream's (k8s.io/apimachinery/pkg/api/errors); clients match on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from control.api.objects import Object


@dataclass(frozen=True, slots=True)
class Printed:
    """A value that is shown without quotes, as Go shows what can print itself (times, quantities)."""

    text: str


@dataclass(frozen=True, slots=True)
class FieldError:
    """One cause of an Invalid error: field path, upstream's cause reason and message (`Required value: ...`)."""

    reason: str
    field: str
    message: str

    @classmethod
    def required(cls, field: str, detail: str = "") -> FieldError:
        """A missing value."""
        return cls("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")

    @classmethod
    def invalid(cls, field: str, value: Any, detail: str) -> FieldError:
        """A value that breaks a rule."""
        return cls("FieldValueInvalid", field, _with_detail(f"Invalid value: {format_value(value)}", detail))

    @classmethod
    def invalid_unshown(cls, field: str, detail: str) -> FieldError:
        """A value that breaks a rule and is not repeated in the message."""
        return cls("FieldValueInvalid", field, f"Invalid value: {detail}")

    @classmethod
    def not_supported(cls, field: str, value: Any, supported: Sequence[str]) -> FieldError:
        """A value outside an enumeration; the supported values are quoted in the order given."""
        listing = ", ".join(quote(item) for item in supported)
        detail = f": supported values: {listing}" if supported else ""
        return cls("FieldValueNotSupported", field, f"Unsupported value: {format_value(value)}{detail}")

    @classmethod
    def duplicate(cls, field: str, value: Any, detail: str = "") -> FieldError:
        """A value that must be unique and is not."""
        return cls("FieldValueDuplicate", field, _with_detail(f"Duplicate value: {format_value(value)}", detail))

    @classmethod
    def forbidden(cls, field: str, detail: str) -> FieldError:
        """A value that may not be set here."""
        return cls("FieldValueForbidden", field, _with_detail("Forbidden", detail))

    @classmethod
    def not_found(cls, field: str, value: Any, detail: str = "") -> FieldError:
        """A reference to nothing."""
        return cls("FieldValueNotFound", field, _with_detail(f"Not found: {format_value(value)}", detail))

    @classmethod
    def too_long(cls, field: str, detail_max: int) -> FieldError:
        """A text over its limit in bytes."""
        return cls("FieldValueTooLong", field, f"Too long: may not be more than {detail_max} bytes")

    @classmethod
    def too_many(cls, field: str, actual: int, maximum: int) -> FieldError:
        """A list over its limit."""
        plural = "item" if maximum == 1 else "items"
        return cls("FieldValueTooMany", field, f"Too many: {actual}: must have at most {maximum} {plural}")

    @classmethod
    def type_invalid(cls, field: str, value: Any, detail: str) -> FieldError:
        """A value of the wrong type."""
        return cls("FieldValueTypeInvalid", field, f"Invalid value: {format_value(value)}: {detail}")

    @classmethod
    def internal(cls, field: str, detail: str) -> FieldError:
        """A rule that could not be judged."""
        return cls("InternalError", field, f"Internal error: {detail}")

    def __str__(self) -> str:
        """`spec.replicas: Invalid value: ...`, as in the message of an Invalid error."""
        return f"{self.field}: {self.message}"


_ESCAPES = {char: f"\\{letter}" for char, letter in zip('"\\\n\t\r\a\b\f\v', '"\\ntrabfv', strict=True)}


def quote(text: str) -> str:
    """Quote a text as Go's %q does: printable characters stay, control characters are escaped."""
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _escape(char)) for char in text) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _with_detail(message: str, detail: str) -> str:
    return f"{message}: {detail}" if detail else message


def quoted_list(values: Sequence[str]) -> str:
    """A list of texts as Go's %q prints it."""
    return "[" + " ".join(quote(value) for value in values) + "]"


def format_value(value: Any) -> str:
    """Format a bad value as upstream's field errors do: strings quoted, null, JSON for the rest."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Printed):
        return value.text
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int | float):
        return str(value)
    import json  # only composite values need it

    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # Go's encoder escapes these three for HTML.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class ApiError(Exception):
    """An API failure with its Status. `to_status` gives the wire object."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        headers: Sequence[tuple[str, str]] = (),
        metadata: Object | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = tuple(headers)
        self.metadata = metadata

    def to_status(self) -> Object:
        """Return the metav1.Status object that clients see."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata or {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Object, *, code: int) -> ApiError:
        """Rebuild an error from a Status a server sent; `code` is used where the Status has none."""
        return cls(
            int(status.get("code") or code),
            str(status.get("reason") or ""),
            str(status.get("message") or ""),
            details=status.get("details"),
        )


def _details(group: str, kind_or_plural: str, name: str = "", **more: Any) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind_or_plural:
        details["kind"] = kind_or_plural
    details.update(more)
    return details


def _qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404: the object does not exist."""
    return ApiError(
        404,
        "NotFound",
        f'{_qualified(group, plural)} "{name}" not found',
        details=_details(group, plural, name),
    )


def path_not_found() -> ApiError:
    """404: no such API path (upstream's generic text)."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409: create of a name that is taken."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{_qualified(group, plural)} "{name}" already exists',
        details=_details(group, plural, name),
    )


def generate_name_conflict(group: str, plural: str, name: str) -> ApiError:
    """409: no free name was found; another try may find one."""
    error = already_exists(group, plural, name)
    return ApiError(
        409,
        "AlreadyExists",
        f"{error.message}, the server was not able to generate a unique name for the object",
        details=_details(group, plural, name, retryAfterSeconds=1),
        headers=[("Retry-After", "1")],
    )


def conflict(group: str, plural: str, name: str, detail: str) -> ApiError:
    """409: optimistic concurrency failed, or a precondition did."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {detail}',
        details=_details(group, plural, name),
    )


MODIFIED_DETAIL = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(group: str, kind: str, name: str, causes: Sequence[FieldError]) -> ApiError:
    """422 with one cause per broken rule. `kind` is the kind (`Pod`), not the resource."""
    texts = list(dict.fromkeys(str(cause) for cause in causes))  # each text once, but every cause in the details
    summary = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{kind}.{group}" if group else kind
    details = _details(group, kind, name)
    details["causes"] = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {summary}', details=details)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no known identity."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, detail: str) -> ApiError:
    """403 of an admission plugin or the authorizer; `detail` follows `<resource> "<name>" is forbidden: `."""
    subject = f'{_qualified(group, plural)} "{name}"' if name else _qualified(group, plural)
    message = f"{subject} is forbidden: {detail}" if plural else f"forbidden: {detail}"
    return ApiError(403, "Forbidden", message, details=_details(group, plural, name))


def method_not_supported(group: str, plural: str, action: str) -> ApiError:
    """405."""
    return ApiError(
        405,
        "MethodNotAllowed",
        f'{action} is not supported on resources of kind "{_qualified(group, plural)}"',
        details=_details(group, plural),
    )


def gone(message: str) -> ApiError:
    """410 Expired: the requested resourceVersion or continue token is too old."""
    return ApiError(410, "Expired", message)


def internal_error(message: str) -> ApiError:
    """500."""
    return ApiError(
        500,
        "InternalError",
        f"Internal error occurred: {message}",
        details={"causes": [{"message": message}]},
    )
