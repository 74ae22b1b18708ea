"""The links that log collectors look for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent.runtime.identity import ContainerIdentity, ContainerRole
from agent.runtime.log_links import LogLinks
from agent.runtime.protocol import ContainerRecord, ContainerState

IDENTITY = ContainerIdentity(
    role=ContainerRole.CONTAINER, pod_name="web", pod_namespace="shop", pod_uid="u", container_name="main", attempt=0
)
RECORD = ContainerRecord(
    id="abc",
    name="n",
    labels={},
    state=ContainerState.RUNNING,
    image="i",
    image_id="sha256:1",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    log_path="/docker/abc-json.log",
)


def links_below(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): str(path.readlink()) for path in root.rglob("*") if path.is_symlink()}


def test_a_container_is_linked_as_the_kubelet_does(tmp_path: Path) -> None:
    links = LogLinks(tmp_path)

    links.link(IDENTITY, RECORD)
    links.link(IDENTITY, RECORD)

    own = tmp_path / "pods/shop_web_u/main/0.log"
    assert links_below(tmp_path) == {
        "pods/shop_web_u/main/0.log": "/docker/abc-json.log",
        "containers/web_shop_main-abc.log": str(own),
    }


def test_what_is_removed_is_unlinked_and_other_pods_keep_theirs(tmp_path: Path) -> None:
    links = LogLinks(tmp_path)
    other = replace(IDENTITY, pod_uid="other")
    links.link(IDENTITY, RECORD)
    links.link(replace(IDENTITY, attempt=1), replace(RECORD, id="def"))
    links.link(other, replace(RECORD, id="xyz"))

    links.unlink(IDENTITY, "abc")
    assert sorted(links_below(tmp_path)) == [
        "containers/web_shop_main-def.log",
        "containers/web_shop_main-xyz.log",
        "pods/shop_web_other/main/0.log",
        "pods/shop_web_u/main/1.log",
    ]
    links.remove_pod(namespace="shop", name="web", uid="u")
    links.remove_pod(namespace="shop", name="web", uid="u")

    assert sorted(links_below(tmp_path)) == ["containers/web_shop_main-xyz.log", "pods/shop_web_other/main/0.log"]
