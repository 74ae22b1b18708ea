"""Lists with upstream's semantics of resourceVersion, resourceVersionMatch, limit and continue.

The present comes from the watch cache, the past (Exact, later pages of a list that changed meanwhile) from the store.
Repeated whole lists of an unchanged kind reuse the selection and the joined bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from control.api.errors import ApiError, FieldError, bad_request, gone
from control.apiserver.cache.continue_token import INCONSISTENT, decode_continue, encode_continue, expired_continue
from control.apiserver.cache.encoding import CachedObject
from control.apiserver.cache.watch_cache import WatchCache
from control.apiserver.cache.watcher import WatchScope
from control.storage.protocol import CompactedError, FutureRevisionError

EXACT = "Exact"
NOT_OLDER_THAN = "NotOlderThan"

#: Selections kept per cache until its next change.
SELECTIONS_MAX = 8
#: Rows read at a time from the store when a selector filters them.
PAST_PAGE_SIZE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """What a list asks for. `selector_text` identifies `matches` among all selectors; both empty: everything."""

    scope: WatchScope = WatchScope()  # noqa: RUF009 - frozen
    matches: Callable[[CachedObject], bool] | None = None
    selector_text: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""


@dataclass(slots=True)
class Selection:
    """Objects in key order, with their joined encodings once asked for."""

    objects: list[CachedObject]
    _joined: dict[bool, bytes] = field(default_factory=dict)

    def encoded_items(self, *, with_type: bool = False) -> bytes:
        """The items as the inside of a JSON array; typed lists leave out each item's kind and apiVersion."""
        joined = self._joined.get(with_type)
        if joined is None:
            pieces = [item.encoded if with_type else item.list_item for item in self.objects]
            joined = self._joined[with_type] = b",".join(pieces)
        return joined


@dataclass(slots=True, kw_only=True)
class ListPage:
    """One page. `continue_token` is empty on the last page; `remaining` is None where upstream does not count."""

    selection: Selection
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    @property
    def objects(self) -> list[CachedObject]:
        """The page's objects in key order."""
        return self.selection.objects


class Lister:
    """Answers lists of one watch cache."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache
        self._selections: dict[tuple[WatchScope, str], Selection] = {}
        self._selections_revision = -1

    async def list_page(self, request: ListRequest) -> ListPage:
        """Return the page asked for. Raises 400, 410 Expired or 504 in upstream's words."""
        if request.continue_token:
            return await self._continue(request)
        revision = parse_resource_version(request.resource_version)
        if revision > self._cache.revision:
            raise too_large_resource_version(revision, self._cache.revision)
        # With a limit and no match upstream means the exact version, as it did before there was a match.
        is_exact = request.resource_version_match == EXACT or (
            revision > 0 and request.limit > 0 and not request.resource_version_match
        )
        if is_exact and not self._cache.changed_revision <= revision <= self._cache.revision:
            return await self._list_past(request, "", revision, is_continued=False)
        # Upstream serves "any version" from its cache whole, whatever the limit.
        ignores_limit = request.resource_version == "0"
        shown_revision = revision if is_exact else self._cache.revision
        return self._list_present(request, "", 0 if ignores_limit else request.limit, shown_revision)

    async def _continue(self, request: ListRequest) -> ListPage:
        start, revision = decode_continue(request.continue_token)
        if request.resource_version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        if revision == INCONSISTENT:
            return self._list_present(request, start, request.limit, self._cache.revision)
        if revision < 0:
            raise bad_request(f"invalid continue token: invalid resource version {revision}")
        if self._cache.changed_revision <= revision <= self._cache.revision:
            return self._list_present(request, start, request.limit, revision)
        return await self._list_past(request, start, revision, is_continued=True)

    # -- the present ---------------------------------------------------------------------------------------------

    def _list_present(self, request: ListRequest, start: str, limit: int, revision: int) -> ListPage:
        selection = self._select(request)
        if not start and (not limit or len(selection.objects) <= limit):
            return ListPage(selection=selection, revision=revision)
        first_key = self._list_prefix(request) + start
        objects = [item for item in selection.objects if item.key >= first_key]
        if not limit or len(objects) <= limit:
            return ListPage(selection=Selection(objects), revision=revision)
        return self._page(request, objects[:limit], revision, len(objects) - limit)

    def _select(self, request: ListRequest) -> Selection:
        if self._selections_revision != self._cache.changed_revision:
            self._selections.clear()
            self._selections_revision = self._cache.changed_revision
        identity = (request.scope, request.selector_text)
        selection = self._selections.get(identity)
        if selection is None:
            objects = self._cache.select(request.scope)
            if request.matches is not None:
                objects = [item for item in objects if request.matches(item)]
            selection = Selection(objects)
            if len(self._selections) >= SELECTIONS_MAX:
                self._selections.pop(next(iter(self._selections)))
            self._selections[identity] = selection
        return selection

    # -- the past ------------------------------------------------------------------------------------------------

    async def _list_past(self, request: ListRequest, start: str, revision: int, *, is_continued: bool) -> ListPage:
        try:
            objects, has_more, remaining = await self._read_past(request, start, revision)
        except CompactedError:
            if is_continued:
                raise expired_continue(encode_continue(start.rstrip("\0"), INCONSISTENT)) from None
            raise gone("The resourceVersion for the provided list is too old.") from None
        except FutureRevisionError as error:
            raise too_large_resource_version(error.requested, error.current) from None
        if not has_more:
            return ListPage(selection=Selection(objects), revision=revision)
        return self._page(request, objects, revision, remaining)

    async def _read_past(self, request: ListRequest, start: str, revision: int) -> tuple[list[CachedObject], bool, int]:
        """Objects up to the limit, whether there are more, and how many rows follow the last one."""
        prefix = self._list_prefix(request)
        # A start key ends in NUL, so that nothing lies between it and the key before it.
        after = prefix + start.removesuffix("\0") if start else ""
        row_limit = (request.limit if not request.matches else max(request.limit, PAST_PAGE_SIZE)) or None
        objects: list[CachedObject] = []
        while True:
            rows = await self._cache.storage.list_prefix(prefix, limit=row_limit, start_after=after, revision=revision)
            for position, row in enumerate(rows.items):
                if request.limit and len(objects) == request.limit:
                    return objects, True, len(rows.items) - position + rows.remaining
                item = CachedObject(row.key, row.value, row.revision)
                if self._is_in(request.scope, item) and (request.matches is None or request.matches(item)):
                    objects.append(item)
            if not rows.remaining:
                return objects, False, 0
            if request.limit and len(objects) == request.limit:
                return objects, True, rows.remaining
            after = rows.items[-1].key

    def _is_in(self, scope: WatchScope, item: CachedObject) -> bool:
        if scope.key and item.key != scope.key:
            return False
        return scope.index is None or self._cache.is_indexed_as(item, scope.index)

    # -- pages ---------------------------------------------------------------------------------------------------

    def _list_prefix(self, request: ListRequest) -> str:
        namespace = request.scope.namespace
        return f"{self._cache.prefix}{namespace}/" if namespace else self._cache.prefix

    def _page(self, request: ListRequest, objects: list[CachedObject], revision: int, remaining: int) -> ListPage:
        last_key = objects[-1].key.removeprefix(self._list_prefix(request))
        is_filtered = request.matches is not None or request.scope.key or request.scope.index
        return ListPage(
            selection=Selection(objects),
            revision=revision,
            continue_token=encode_continue(last_key, revision),
            remaining=None if is_filtered else remaining,
        )


def parse_resource_version(text: str) -> int:
    """Parse a resourceVersion query parameter of a list; 400 in upstream's words. Unset is 0."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"invalid resource version: {describe_bad_version(text)}")
    return int(text)


def describe_bad_version(text: str) -> str:
    """The field error of a resourceVersion that is no number."""
    error = FieldError.invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return str(error)


def too_large_resource_version(requested: int, current: int) -> ApiError:
    """504 of a resourceVersion that has not been reached."""
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
