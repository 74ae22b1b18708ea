"""Lists: resourceVersion semantics, pages, tokens, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from control.api.errors import ApiError
from control.apiserver.cache.continue_token import decode_continue, encode_continue
from control.apiserver.cache.encoding import encode_for_storage
from control.apiserver.cache.list_pages import Lister, ListPage, ListRequest
from control.apiserver.cache.watch_cache import WatchCache
from control.apiserver.cache.watcher import WatchScope
from control.storage.memory import MemoryStorage

PREFIX = "/core/configmaps/"


def config_map(name: str, value: str = "") -> bytes:
    return encode_for_storage(
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"v": value}}
    )


@pytest.fixture
async def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
async def cache(storage: MemoryStorage) -> AsyncIterator[WatchCache]:
    cache = WatchCache(storage, PREFIX)
    await cache.start()
    for number in range(5):
        await storage.create(f"{PREFIX}a/c{number}", config_map(f"c{number}"))
    await storage.create(f"{PREFIX}b/other", config_map("other"))
    yield cache
    cache.stop()


@pytest.fixture
async def lister(cache: WatchCache) -> Lister:
    return Lister(cache)


IN_A = WatchScope(namespace="a")


def names(page: ListPage) -> list[str]:
    return [item.object["metadata"]["name"] for item in page.objects]


async def test_an_unpaged_list_has_all_and_the_stores_revision(lister: Lister, storage: MemoryStorage) -> None:
    await storage.create("/core/nodes/x", config_map("x"))
    page = await lister.list_page(ListRequest(scope=IN_A))
    assert names(page) == ["c0", "c1", "c2", "c3", "c4"]
    assert (page.revision, page.continue_token, page.remaining) == (storage.revision, "", None)


async def test_pages_are_consistent_though_the_state_changes(lister: Lister, storage: MemoryStorage) -> None:
    first = await lister.list_page(ListRequest(scope=IN_A, limit=2))
    assert (names(first), first.remaining) == (["c0", "c1"], 3)
    await storage.delete(f"{PREFIX}a/c3")
    await storage.create(f"{PREFIX}a/c21", config_map("c21"))
    second = await lister.list_page(ListRequest(scope=IN_A, limit=2, continue_token=first.continue_token))
    assert (names(second), second.remaining, second.revision) == (["c2", "c3"], 1, first.revision)
    last = await lister.list_page(ListRequest(scope=IN_A, limit=2, continue_token=second.continue_token))
    assert (names(last), last.remaining, last.continue_token) == (["c4"], None, "")
    assert last.revision == first.revision


async def test_pages_of_an_unchanged_kind_do_not_touch_the_store(
    lister: Lister, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await lister.list_page(ListRequest(scope=IN_A, limit=2))
    monkeypatch.setattr(storage, "list_prefix", None)
    second = await lister.list_page(ListRequest(scope=IN_A, limit=3, continue_token=first.continue_token))
    assert (names(second), second.continue_token) == (["c2", "c3", "c4"], "")


@pytest.mark.parametrize("is_changed", [False, True])
async def test_filtered_pages_fill_up_and_do_not_count(
    lister: Lister, storage: MemoryStorage, is_changed: bool
) -> None:
    def is_even(item: object) -> bool:
        return str(item).split(",")[0].endswith(("0'", "2'", "4'"))

    request = ListRequest(scope=IN_A, limit=2, matches=is_even, selector_text="even")
    first = await lister.list_page(request)
    assert (names(first), first.remaining) == (["c0", "c2"], None)
    if is_changed:
        await storage.delete(f"{PREFIX}a/c4")
    rest = ListRequest(scope=IN_A, limit=2, matches=is_even, selector_text="even", continue_token=first.continue_token)
    assert names(await lister.list_page(rest)) == ["c4"]


async def test_an_exact_list_shows_the_old_state(lister: Lister, storage: MemoryStorage) -> None:
    stored = await storage.get(f"{PREFIX}a/c0")
    assert stored is not None
    then = storage.revision
    await storage.update(f"{PREFIX}a/c0", config_map("c0", "new"), expected_revision=stored.revision)
    await storage.delete(f"{PREFIX}a/c1")
    request = ListRequest(scope=IN_A, resource_version=str(then), resource_version_match="Exact")
    page = await lister.list_page(request)
    assert names(page) == ["c0", "c1", "c2", "c3", "c4"]
    assert page.objects[0].object["data"] == {"v": ""}
    assert page.revision == then
    newer = ListRequest(scope=IN_A, resource_version=str(then), resource_version_match="NotOlderThan")
    assert names(await lister.list_page(newer)) == ["c0", "c2", "c3", "c4"]
    legacy = ListRequest(scope=IN_A, resource_version=str(then), limit=2)
    assert names(await lister.list_page(legacy)) == ["c0", "c1"]


async def test_any_version_ignores_the_limit(lister: Lister) -> None:
    assert len((await lister.list_page(ListRequest(scope=IN_A, limit=2, resource_version="0"))).objects) == 5


async def test_a_compacted_exact_version_is_expired(lister: Lister, storage: MemoryStorage) -> None:
    then = storage.revision
    await storage.delete(f"{PREFIX}a/c1")
    await storage.compact(storage.revision)
    with pytest.raises(ApiError) as error:
        await lister.list_page(ListRequest(resource_version=str(then), resource_version_match="Exact"))
    assert (error.value.code, error.value.message) == (410, "The resourceVersion for the provided list is too old.")


async def test_a_compacted_token_is_expired_and_offers_an_inconsistent_rest(
    lister: Lister, storage: MemoryStorage
) -> None:
    first = await lister.list_page(ListRequest(scope=IN_A, limit=2))
    await storage.delete(f"{PREFIX}a/c3")
    await storage.compact(storage.revision)
    with pytest.raises(ApiError) as error:
        await lister.list_page(ListRequest(scope=IN_A, limit=2, continue_token=first.continue_token))
    status = error.value.to_status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old to display a consistent list")
    rest = await lister.list_page(ListRequest(scope=IN_A, continue_token=status["metadata"]["continue"]))
    assert names(rest) == ["c2", "c4"]


async def test_a_future_version_times_out(lister: Lister, storage: MemoryStorage) -> None:
    with pytest.raises(ApiError) as error:
        await lister.list_page(ListRequest(resource_version="999999999", resource_version_match="NotOlderThan"))
    status = error.value.to_status()
    assert status["message"] == f"Timeout: Too large resource version: 999999999, current: {storage.revision}"
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert status["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    assert error.value.headers == (("Retry-After", "1"),)


@pytest.mark.parametrize("text", ["abc", "-1", "1.5"])
async def test_a_version_that_is_no_number_is_refused(lister: Lister, text: str) -> None:
    with pytest.raises(ApiError) as error:
        await lister.list_page(ListRequest(resource_version=text))
    assert error.value.message == (
        f'invalid resource version: resourceVersion: Invalid value: "{text}": '
        f'strconv.ParseUint: parsing "{text}": invalid syntax'
    )


INVALID = "invalid continue token: continue key is not valid: "


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("garbage", INVALID + "invalid character '\\u0081' looking for beginning of value"),
        ("bm9wZQ", INVALID + "invalid character 'o' in literal null (expecting 'u')"),
        ("a!b", INVALID + "illegal base64 data at input byte 1"),
        (
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJzdGFydCI6ImEifQ",
            INVALID + "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0", INVALID + "encoded start key empty (version meta.k8s.io/v1)"),
        (encode_continue("../x", 1), INVALID + "../x\0"),
    ],
)
async def test_a_bad_token_is_refused_in_upstreams_words(lister: Lister, token: str, message: str) -> None:
    with pytest.raises(ApiError) as error:
        await lister.list_page(ListRequest(scope=IN_A, limit=2, continue_token=token))
    assert (error.value.code, error.value.message) == (400, message)


async def test_a_token_excludes_a_resource_version(lister: Lister) -> None:
    with pytest.raises(ApiError, match="specifying resource version is not allowed when using continue"):
        await lister.list_page(ListRequest(limit=1, continue_token=encode_continue("a", 1), resource_version="5"))


def test_token_round_trip() -> None:
    assert decode_continue(encode_continue("ns/name", 12)) == ("ns/name\0", 12)


async def test_joined_items_are_reused_until_the_kind_changes(lister: Lister, storage: MemoryStorage) -> None:
    request = ListRequest(scope=IN_A)
    first = (await lister.list_page(request)).selection.encoded_items()
    await storage.create("/core/nodes/x", config_map("x"))
    assert (await lister.list_page(request)).selection.encoded_items() is first
    await storage.delete(f"{PREFIX}a/c0")
    changed = (await lister.list_page(request)).selection.encoded_items()
    assert [item["metadata"]["name"] for item in orjson.loads(b"[" + changed + b"]")] == ["c1", "c2", "c3", "c4"]
    typed = (await lister.list_page(request)).selection.encoded_items(with_type=True)
    assert {item["kind"] for item in orjson.loads(b"[" + typed + b"]")} == {"ConfigMap"}
