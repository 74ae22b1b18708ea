from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from control.api.exchange import ApiRequest
from tests.fakes.api_server import ADMIN, RunningApiServer, running_api_server
from tests.unit.apiserver.api_calls import ApiCalls, config_map, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


class Watching:
    """An open watch, read event by event."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    async def next(self) -> dict[str, Any]:
        while not self._lines:
            chunk = await asyncio.wait_for(anext(self._stream), 5)
            self._lines = chunk.splitlines()
        event: dict[str, Any] = orjson.loads(self._lines.pop(0))
        return event

    async def read(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


@asynccontextmanager
async def watching(api: ApiCalls, path: str, *, accept: str = "", **query: str) -> AsyncIterator[Watching]:
    response = await api.send("GET", path, query={"watch": "1", **query}, headers={"accept": accept})
    assert response.stream is not None, response.body
    try:
        yield Watching(response.stream)
    finally:
        await response.stream.aclose()  # type: ignore[attr-defined]


async def make_maps(api: ApiCalls, names: Mapping[str, str] | list[str]) -> list[dict[str, Any]]:
    labels = names if isinstance(names, Mapping) else dict.fromkeys(names, "x")
    return [
        await api.call("POST", MAPS, config_map(name, labels={"l": label}), expect=201)
        for name, label in labels.items()
    ]


async def test_pages_are_one_consistent_list(api: ApiCalls) -> None:
    await make_maps(api, [f"m{number}" for number in range(5)])
    first = await api.call("GET", MAPS, query={"limit": "2", "labelSelector": "l=x"})
    assert "remainingItemCount" not in first["metadata"]  # unknown when a selector is applied
    first = await api.call("GET", MAPS, query={"limit": "2"})
    assert first["metadata"]["remainingItemCount"] == 3
    await api.call("DELETE", f"{MAPS}/m3")
    second = await api.call("GET", MAPS, query={"limit": "2", "continue": first["metadata"]["continue"]})
    third = await api.call("GET", MAPS, query={"limit": "2", "continue": second["metadata"]["continue"]})
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert names == ["m0", "m1", "m2", "m3", "m4"]
    assert {page["metadata"]["resourceVersion"] for page in (first, second, third)} == {
        first["metadata"]["resourceVersion"]
    }


@pytest.mark.requirement(
    "[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if "
    "the original version has been compacted away, though the list is inconsistent"
)
async def test_compacted_page_is_expired_and_offers_to_go_on(api: ApiCalls, server: RunningApiServer) -> None:
    await make_maps(api, ["a", "b", "c"])
    first = await api.call("GET", MAPS, query={"limit": "1"})
    assert first["metadata"]["remainingItemCount"] == 2
    await make_maps(api, ["d", "e"])
    await server.storage.compact(server.storage.revision)
    status = await api.call("GET", MAPS, query={"limit": "2", "continue": first["metadata"]["continue"]}, expect=410)
    assert status["reason"] == "Expired"
    second = await api.call("GET", MAPS, query={"limit": "2", "continue": status["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in second["items"]] == ["b", "c"]
    assert second["metadata"]["remainingItemCount"] == 2
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    third = await api.call("GET", MAPS, query={"limit": "2", "continue": second["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in third["items"]] == ["d", "e"]
    assert third["metadata"] == {"resourceVersion": second["metadata"]["resourceVersion"]}


async def test_exact_list_shows_the_past(api: ApiCalls) -> None:
    made = (await make_maps(api, ["a"]))[0]
    await make_maps(api, ["b"])
    query = {"resourceVersion": made["metadata"]["resourceVersion"], "resourceVersionMatch": "Exact"}
    past = await api.call("GET", MAPS, query=query)
    assert [item["metadata"]["name"] for item in past["items"]] == ["a"]


async def test_list_from_the_future_times_out(api: ApiCalls) -> None:
    status = await api.call("GET", MAPS, query={"resourceVersion": "999999999"}, expect=504)
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"labelSelector": "l=x"}, ["a", "c"]),
        ({"labelSelector": "l!=x"}, ["b"]),
        ({"fieldSelector": "metadata.name=b"}, ["b"]),
        ({"fieldSelector": "metadata.name!=b"}, ["a", "c"]),
        ({"fieldSelector": "metadata.name=a", "labelSelector": "l=y"}, []),
    ],
)
async def test_selectors_choose(api: ApiCalls, query: dict[str, str], names: list[str]) -> None:
    await make_maps(api, {"a": "x", "b": "y", "c": "x"})
    listed = await api.call("GET", MAPS, query=query)
    assert [item["metadata"]["name"] for item in listed["items"]] == names


async def test_pods_are_selected_by_node(api: ApiCalls) -> None:
    for name, node in (("p", "n1"), ("q", "n2")):
        await api.call("POST", PODS, pod(name, nodeName=node), expect=201)
    listed = await api.call("GET", "/api/v1/pods", query={"fieldSelector": "spec.nodeName=n2"})
    assert [item["metadata"]["name"] for item in listed["items"]] == ["q"]


async def test_unknown_field_of_a_selector_is_refused(api: ApiCalls) -> None:
    status = await api.call("GET", MAPS, query={"fieldSelector": "data.a=b"}, expect=400)
    assert status["message"].startswith('"data.a" is not a known field selector')


async def test_items_of_a_list_have_no_kind_and_a_table_has_columns(api: ApiCalls) -> None:
    await make_maps(api, ["a"])
    listed = await api.call("GET", MAPS)
    assert (listed["kind"], "kind" in listed["items"][0]) == ("ConfigMapList", False)
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = await api.call("GET", MAPS, headers=accept)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 1]
    accept = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    partial = await api.call("GET", MAPS, headers=accept)
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_watch_tells_what_happens_after_its_revision(api: ApiCalls) -> None:
    made = (await make_maps(api, ["a"]))[0]
    await make_maps(api, ["b"])
    async with watching(api, MAPS, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        await api.patch(f"{MAPS}/b", {"data": {"a": "2"}})
        await api.call("DELETE", f"{MAPS}/b")
        assert await watch.read(3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_watch_without_revision_starts_with_what_is_there(api: ApiCalls) -> None:
    await make_maps(api, ["a"])
    async with watching(api, MAPS, labelSelector="l=x") as watch:
        assert await watch.read(1) == [("ADDED", "a")]


async def test_object_that_leaves_a_selector_is_deleted_for_its_watcher(
    api: ApiCalls, server: RunningApiServer
) -> None:
    await make_maps(api, {"a": "x"})
    revision = str(server.storage.revision)
    async with watching(api, MAPS, labelSelector="l=x", resourceVersion=revision) as watch:
        await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"l": "y"}}})
        await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"l": "x"}}})
        assert await watch.read(2) == [("DELETED", "a"), ("ADDED", "a")]


async def test_initial_events_end_with_a_marked_bookmark(api: ApiCalls) -> None:
    await make_maps(api, ["a"])
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with watching(api, MAPS, labelSelector="l", **query) as watch:
        assert await watch.read(1) == [("ADDED", "a")]
        bookmark = await watch.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await make_maps(api, ["b"])
        assert await watch.read(1) == [("ADDED", "b")]


async def test_watch_older_than_the_window_is_gone(api: ApiCalls, server: RunningApiServer) -> None:
    made = (await make_maps(api, ["a", "b"]))[0]
    async with running_api_server(storage=server.storage, https=False) as restarted:
        version = made["metadata"]["resourceVersion"]
        async with watching(ApiCalls(restarted.endpoint), MAPS, resourceVersion=version) as watch:
            event = await watch.next()
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert event["object"]["message"].startswith(f"too old resource version: {version} (")


async def test_table_watch_sends_columns_once(api: ApiCalls) -> None:
    await make_maps(api, ["a", "b"])
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with watching(api, MAPS, accept=accept, labelSelector="l") as watch:
        first, second = await watch.next(), await watch.next()
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] is None


async def test_watch_ends_with_the_server(api: ApiCalls, server: RunningApiServer) -> None:
    response = await api.send("GET", MAPS, query={"watch": "1", "resourceVersion": str(server.storage.revision)})
    assert response.stream is not None
    reader = asyncio.ensure_future(anext(response.stream, None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await server.server.stop()
    assert await asyncio.wait_for(reader, 60) is None


async def test_in_process_watch_yields_objects(api: ApiCalls, server: RunningApiServer) -> None:
    await make_maps(api, ["a"])
    query = [("watch", "1"), ("labelSelector", "l")]
    request = ApiRequest(method="GET", path=MAPS, query=query, user=ADMIN, in_process=True)
    response = await server.endpoint(request)
    assert response.events is not None
    batch = await anext(response.events)
    assert [(event.type, event.object["metadata"]["name"]) for event in batch] == [("ADDED", "a")]
    await response.events.aclose()  # type: ignore[attr-defined]


async def test_in_process_list_gives_whole_objects(api: ApiCalls, server: RunningApiServer) -> None:
    await make_maps(api, ["a"])
    query = [("labelSelector", "l")]
    response = await server.endpoint(ApiRequest(method="GET", path=MAPS, query=query, user=ADMIN, in_process=True))
    assert response.object is not None
    assert response.object["items"][0]["kind"] == "ConfigMap"
