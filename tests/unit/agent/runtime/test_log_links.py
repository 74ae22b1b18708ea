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


def test_a_removed_pod_is_unlinked_and_others_keep_theirs(tmp_path: Path) -> None:
    links = LogLinks(tmp_path)
    other = replace(IDENTITY, pod_uid="other")
    links.link(IDENTITY, RECORD)
    links.link(replace(IDENTITY, attempt=1), replace(RECORD, id="def"))
    links.link(other, replace(RECORD, id="xyz"))

    links.remove_pod(namespace="shop", name="web", uid="u")
    links.remove_pod(namespace="shop", name="web", uid="u")

    assert sorted(links_below(tmp_path)) == ["containers/web_shop_main-xyz.log", "pods/shop_web_other/main/0.log"]


def test_a_sweep_removes_the_links_of_containers_that_are_gone(tmp_path: Path) -> None:
    links = LogLinks(tmp_path / "log")
    records = {}
    for attempt, container_id in enumerate(("old", "rotating", "new")):
        directory = tmp_path / "docker" / container_id
        directory.mkdir(parents=True)
        (directory / "json.log").touch()
        records[container_id] = replace(RECORD, id=container_id, log_path=str(directory / "json.log"))
        links.link(replace(IDENTITY, attempt=attempt), records[container_id])
    gone = replace(IDENTITY, pod_uid="gone")
    links.link(gone, replace(RECORD, id="gone", log_path=str(tmp_path / "docker/gone/json.log")))
    foreign = tmp_path / "log/containers/foreign.log"
    foreign.symlink_to("/somewhere/else.log")
    (tmp_path / "docker/old/json.log").unlink()
    (tmp_path / "docker/old").rmdir()
    (tmp_path / "docker/rotating/json.log").unlink()

    links.sweep()

    assert sorted(links_below(tmp_path / "log")) == [
        "containers/foreign.log",
        "containers/web_shop_main-new.log",
        "containers/web_shop_main-rotating.log",
        "pods/shop_web_u/main/1.log",
        "pods/shop_web_u/main/2.log",
    ]
    assert not (tmp_path / "log/pods/shop_web_gone").exists()
