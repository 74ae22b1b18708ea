"""Static Pods on a fake engine: they run without an API, and the API shows their mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.runtime.fake_runtime import Program
from agent.static_pods.manifest_directory import ManifestDirectory
from agent.static_pods.mirror_pods import FREE_SECONDS, MirrorAction, MirrorPods, compute_mirror_action, mirror_of
from agent.static_pods.pod_router import route_pods
from agent.static_pods.static_pods import StaticPods
from control.api.builtin_kinds import PODS
from control.api.objects import Object
from control.client.informer import Informer
from tests.fakes.agent_node import HollowNode, make_pod

NODE: Object = {"kind": "Node", "metadata": {"name": "node-1", "uid": "node-uid"}}
MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  terminationGracePeriodSeconds: {grace}
  containers: [{{name: web, image: "{image}"}}]
"""


class StaticNode:
    """A hollow node with a directory of manifests."""

    def __init__(self, node: HollowNode, manifests: Path) -> None:
        self.node = node
        self.manifests = manifests
        self.problems: list[str] = []

    async def start(self) -> None:
        """Static Pods first, as the agent does; `join` is what follows."""
        self.node.before_adoption = self._begin
        await self.node.start()

    async def _begin(self) -> None:
        node = self.node
        directory = ManifestDirectory(
            self.manifests, node_name="node-1", shares_processes=False, clock=node.clock, report=self.problems.append
        )
        self.mirrors = MirrorPods(node.client, node.reporter, node=lambda: NODE, clock=node.clock)
        services = replace(node.worker_services, reporter=self.mirrors)
        self.static = StaticPods(
            directory, workers=node.workers, services=services, mirrors=self.mirrors, clock=node.clock
        )
        await self.static.start()

    async def join(self) -> None:
        """The API is there."""
        node = self.node
        informer = Informer(node.client, PODS, clock=node.clock, random=Random(2))
        informer.add_handler(route_pods(pods=lambda old, new: None, mirrors=self.mirrors.on_pod_change))
        stop = asyncio.Event()
        self.tasks = [asyncio.ensure_future(informer.run(stop)), asyncio.ensure_future(self.mirrors.run())]
        await node.settle(1)

    def write(self, image: str = "web:1", grace: int = 30) -> None:
        (self.manifests / "web.yaml").write_text(MANIFEST.format(image=image, grace=grace))

    async def reread(self) -> None:
        await self.static.start()
        await self.node.settle()

    async def images(self) -> list[str]:
        return [record.image for record in await self.node.running("web")]

    async def mirror(self) -> Object | None:
        return await self.node.find("web-node-1")

    async def close(self) -> None:
        for task in getattr(self, "tasks", []):
            task.cancel()
        await self.node.crash()


@pytest.fixture
async def static(tmp_path: Path) -> AsyncIterator[StaticNode]:
    (tmp_path / "manifests").mkdir()
    made = StaticNode(HollowNode(tmp_path), tmp_path / "manifests")
    yield made
    await made.close()


async def test_a_static_pod_runs_before_anything_is_known_of_an_api(static: StaticNode) -> None:
    static.write()
    await static.start()
    assert await static.images() == ["web:1"]
    assert await static.mirror() is None


async def test_its_mirror_shows_its_status_and_belongs_to_the_node(static: StaticNode) -> None:
    static.write()
    await static.start()
    await static.join()
    mirror = await static.mirror()
    assert mirror is not None
    annotations = mirror["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
    assert mirror["metadata"]["uid"] != annotations["kubernetes.io/config.hash"]
    assert [(item["kind"], item["uid"]) for item in mirror["metadata"]["ownerReferences"]] == [("Node", "node-uid")]
    assert mirror["status"]["phase"] == "Running"


@pytest.mark.parametrize("grace", [0, None], ids=["at once", "gracefully"])
async def test_a_mirror_that_is_deleted_comes_back_and_the_pod_runs_on(static: StaticNode, grace: int | None) -> None:
    static.write()
    await static.start()
    await static.join()
    before, running = await static.mirror(), await static.node.running("web")
    await static.node.delete("web-node-1", grace=grace)
    await static.node.settle(FREE_SECONDS / 2)
    assert await static.mirror() is None, "who watches for its end by its name sees it"
    await static.node.settle(FREE_SECONDS / 2)
    after = await static.mirror()
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    assert after["status"]["phase"] == "Running"
    assert await static.node.running("web") == running


async def test_a_changed_file_ends_the_pod_gracefully_before_the_next_begins(static: StaticNode) -> None:
    static.node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    static.write()
    await static.start()
    await static.join()
    old = await static.mirror()
    static.write("web:2")
    await static.reread()
    assert await static.images() == ["web:1"]
    await static.node.settle(32)
    assert await static.images() == ["web:2"]
    new = await static.mirror()
    assert old is not None
    assert new is not None
    assert new["metadata"]["annotations"] != old["metadata"]["annotations"]
    assert new["spec"]["containers"][0]["image"] == "web:2"


async def test_a_removed_file_ends_the_pod_and_its_mirror_and_may_come_back(static: StaticNode) -> None:
    static.write()
    await static.start()
    await static.join()
    (static.manifests / "web.yaml").unlink()
    await static.reread()
    await static.node.settle(2)
    assert await static.node.containers() == []
    assert await static.mirror() is None
    static.write()
    await static.reread()
    await static.node.settle(1)
    assert await static.images() == ["web:1"]
    assert await static.mirror() is not None


async def test_a_restarted_agent_adopts_the_pod(static: StaticNode) -> None:
    static.write()
    await static.start()
    running = await static.node.running("web")
    await static.node.crash()
    await static.start()
    await static.join()
    assert await static.node.running("web") == running
    mirror = await static.mirror()
    assert mirror is not None
    assert mirror["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_the_mirror_of_no_pod_goes(static: StaticNode) -> None:
    stray = mirror_of({**make_pod("stray"), "metadata": {
        "name": "stray", "namespace": "default", "annotations": {"kubernetes.io/config.hash": "x"}}}, NODE)  # fmt: skip
    await static.node.client.create(PODS, stray)
    await static.start()
    await static.join()
    assert await static.node.find("stray") is None


@pytest.mark.parametrize(
    ("shown", "known", "action"),
    [
        pytest.param("Failed", "Running", MirrorAction.DELETE, id="the Pod runs again"),
        pytest.param("Failed", "Failed", MirrorAction.NONE, id="it has failed"),
        pytest.param("Running", "Failed", MirrorAction.NONE, id="it fails now"),
    ],
)
def test_a_mirror_of_a_pod_that_had_ended_is_made_anew(shown: str, known: str, action: MirrorAction) -> None:
    mirror = {**annotated("mirror", "1"), "status": {"phase": shown}}
    assert compute_mirror_action(annotated("hash", "1"), mirror, {"phase": known}) is action


def annotated(hash_name: str, value: str, **metadata: str) -> Object:
    return {"metadata": {"annotations": {f"kubernetes.io/config.{hash_name}": value}, **metadata}}


@pytest.mark.parametrize(
    ("static_pod", "mirror", "action"),
    [
        pytest.param(None, None, MirrorAction.NONE, id="neither"),
        pytest.param(annotated("hash", "1"), None, MirrorAction.CREATE, id="no mirror yet"),
        pytest.param(None, annotated("mirror", "1"), MirrorAction.DELETE, id="the Pod has gone"),
        pytest.param(annotated("hash", "1"), annotated("mirror", "1"), MirrorAction.NONE, id="equal"),
        pytest.param(annotated("hash", "2"), annotated("mirror", "1"), MirrorAction.DELETE, id="another form"),
        pytest.param(
            annotated("hash", "1"), annotated("mirror", "1", deletionTimestamp="now"), MirrorAction.DELETE,
            id="somebody deletes it",
        ),
    ],
)  # fmt: skip
def test_what_a_mirror_needs(static_pod: Object | None, mirror: Object | None, action: MirrorAction) -> None:
    assert compute_mirror_action(static_pod, mirror) is action


async def test_a_restarted_agent_tells_since_when_things_are_as_the_mirror_does(static: StaticNode) -> None:
    static.write()
    await static.start()
    await static.join()
    before = await static.mirror()
    await static.close()
    await static.node.clock.advance(60)
    await static.start()
    await static.join()
    after = await static.mirror()
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["startTime"] == before["status"]["startTime"]
    assert after["status"]["conditions"] == before["status"]["conditions"]


async def test_a_mirror_that_goes_before_the_answer_to_its_making_comes_is_made_again(static: StaticNode) -> None:
    static.write()
    await static.start()
    create, made = static.node.client.create, []

    async def create_late(*arguments: Any, **options: Any) -> Object:
        mirror = await create(*arguments, **options)
        made.append(mirror["metadata"]["uid"])
        if len(made) == 1:
            static.mirrors.on_pod_change(None, mirror)
            await static.node.delete("web-node-1", grace=0)
            static.mirrors.on_pod_change(mirror, None)
        return mirror

    static.node.client.create = create_late  # type: ignore[method-assign]
    await static.join()
    await static.node.settle(FREE_SECONDS + 1)
    mirror = await static.mirror()
    assert mirror is not None
    assert [mirror["metadata"]["uid"]] == made[1:]
