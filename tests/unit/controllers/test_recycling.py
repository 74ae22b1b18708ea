"""Volumes of the reclaim policy Recycle: a Pod empties them, then they are free again."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PODS
from control.api.objects import Object
from control.client.writes import Create, Delete, Notice, Result
from control.controllers.persistent_volume.volumes import VOLUME_BINDER
from tests.unit.controllers.builders import make_object
from tests.unit.controllers.test_persistent_volumes import (
    BOUND,
    REFERENCE,
    decide_volume,
    make_volume,
    notices,
    the_update,
    view_of,
)


def released_volume(**spec: Any) -> Object:
    fields = {"persistentVolumeReclaimPolicy": "Recycle", "hostPath": {"path": "/srv/v", "type": ""}, **spec}
    mark = {"pv.kubernetes.io/bound-by-controller": BOUND["pv.kubernetes.io/bound-by-controller"]}
    return make_volume(annotations=mark, phase="Released", claimRef=REFERENCE, **fields)


def recycler(phase: str, *, message: str = "", metadata: Any = None) -> Object:
    status = {"phase": phase, **({"message": message} if message else {})}
    return make_object(
        "v1", "Pod", "recycler-for-v", "default", metadata={"uid": "u-r", **(metadata or {})}, status=status
    )


def created(result: Result) -> Object:
    (step,) = result.steps
    assert isinstance(step, Create)
    assert step.kind == PODS
    return dict(step.obj)


@pytest.mark.parametrize(
    ("source", "mounted", "size", "seconds"),
    [
        pytest.param("hostPath", {"path": "/srv/v"}, "1Gi", 60, id="a small directory"),
        pytest.param("hostPath", {"path": "/srv/v"}, "10Gi", 300, id="a large directory"),
        pytest.param("nfs", {"server": "s", "path": "/x"}, "1Gi", 300, id="NFS"),
    ],
)
def test_a_pod_is_made_that_empties_the_volume(source: str, mounted: Any, size: str, seconds: int) -> None:
    volume = released_volume(hostPath=None, capacity={"storage": size})
    volume["spec"][source] = {**mounted, "readOnly": True}
    pod = created(decide_volume(volume))
    assert (pod["metadata"]["namespace"], pod["metadata"]["name"]) == ("default", "recycler-for-v")
    assert pod["spec"]["volumes"] == [{"name": "vol", source: mounted}]
    assert (pod["spec"]["activeDeadlineSeconds"], pod["spec"]["restartPolicy"]) == (seconds, "Never")


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(recycler("Running"), id="works"),
        pytest.param(recycler("Succeeded", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), id="goes"),
    ],
)
def test_a_pod_that_works_or_is_of_a_former_time_is_waited_for(pod: Object) -> None:
    assert not decide_volume(released_volume(), pod).steps


def test_an_emptied_volume_is_free_once_its_pod_is_deleted() -> None:
    result = decide_volume(released_volume(), recycler("Succeeded"))
    removal = result.steps[0]
    assert isinstance(removal, Delete)
    assert (removal.name, removal.uid) == ("recycler-for-v", "u-r")
    freed = the_update(result)
    assert "claimRef" not in freed["spec"]
    assert "pv.kubernetes.io/bound-by-controller" not in freed["metadata"]["annotations"]
    told = getattr(result.steps[1], "success", None)
    assert isinstance(told, Notice)
    assert (told.reason, told.message) == ("VolumeRecycled", "Volume recycled")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("Pod was active on the node longer than the specified deadline",) * 2,
        ("", "pod failed, pod.Status.Message unknown"),
    ],
)
def test_a_volume_that_could_not_be_emptied_fails(message: str, why: str) -> None:
    result = decide_volume(released_volume(), recycler("Failed", message=message))
    assert isinstance(result.steps[0], Delete)
    assert the_update(result, "status")["status"] == {"phase": "Failed", "message": f"Recycle failed: {why}"}
    assert notices(result) == [("Warning", "VolumeFailedRecycle", f"Recycle failed: {why}")]


def test_a_volume_of_another_type_cannot_be_emptied() -> None:
    result = decide_volume(released_volume(hostPath=None, local={"path": "/srv/v"}))
    assert notices(result) == [("Warning", "VolumeFailedRecycle", "No recycler plugin found for the volume!")]


def test_the_end_of_the_pod_wakes_its_volume() -> None:
    (keys,) = (watch.keys for watch in VOLUME_BINDER.watches if watch.kind == PODS)
    assert list(keys(recycler("Running"), recycler("Succeeded"), view_of())) == ["v"]
    assert list(keys(recycler("Succeeded"), None, view_of())) == ["v"]
    assert not list(keys(None, make_object("v1", "Pod", "recycler-for-v", "elsewhere"), view_of()))
    assert not list(keys(None, make_object("v1", "Pod", "another", "default"), view_of()))
