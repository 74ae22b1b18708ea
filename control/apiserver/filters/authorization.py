"""May the user do this? Refuses with 403 in upstream's words."""

from __future__ import annotations

from control.api.selectors import FieldRequirement, SelectorError, parse_field_selector
from control.apiserver.request_context import RequestContext
from control.auth.attributes import Authorizer, RequestAttributes, forbidden_error

_SELECTING_VERBS = frozenset({"list", "watch", "deletecollection"})


class AuthorizationFilter:
    """Asks the authorizer."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, context: RequestContext) -> None:
        """Judge the request."""
        attributes = attributes_of(context)
        decision = self._authorizer.authorize(context.user, attributes)
        if not decision.allowed:
            raise forbidden_error(context.user, attributes, decision.reason)


def attributes_of(context: RequestContext) -> RequestAttributes:
    """What the authorizer is asked about a request."""
    info = context.info
    if not info.is_resource:
        return RequestAttributes(verb=info.verb, is_resource=False, path=info.path)
    return RequestAttributes(
        verb=info.verb,
        group=info.group,
        version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
        field_requirements=_field_requirements(context) if info.verb in _SELECTING_VERBS else (),
    )


def _field_requirements(context: RequestContext) -> tuple[FieldRequirement, ...]:
    text = context.query("fieldSelector")
    if not text:
        return ()
    try:
        return parse_field_selector(text).requirements
    except SelectorError:
        return ()  # the handler refuses it with the reason
