"""Which size of page a volume of huge pages has."""

from __future__ import annotations

from typing import Any

import pytest

from agent.volumes.empty_dir import memory_size
from agent.volumes.huge_pages import is_huge_pages, page_bytes
from agent.volumes.protocol import VolumeError

MI = 1 << 20


def make_pod(*containers: dict[str, str], whole: dict[str, str] | None = None) -> dict[str, Any]:
    listed = [{"name": f"c{number}", "resources": {"requests": item}} for number, item in enumerate(containers)]
    return {"metadata": {"name": "p"}, "spec": {"containers": listed, "resources": {"requests": whole or {}}}}


SMALL, LARGE = {"hugepages-2Mi": "4Mi"}, {"hugepages-1Gi": "1Gi"}


@pytest.mark.parametrize(
    ("medium", "expected"),
    [("", False), ("Memory", False), ("HugePages", True), ("HugePages-2Mi", True), ("HugePagesOfTomorrow", False)],
)
def test_is_huge_pages(medium: str, expected: bool) -> None:
    assert is_huge_pages(medium) == expected


@pytest.mark.parametrize(
    ("pod", "medium", "expected"),
    [
        pytest.param(make_pod(SMALL), "HugePages", 2 * MI, id="the one that is asked for"),
        pytest.param(make_pod({}, whole=LARGE), "HugePages", 1024 * MI, id="by the Pod as a whole"),
        pytest.param(make_pod(SMALL, LARGE), "HugePages-1Gi", 1024 * MI, id="the one that is named"),
        pytest.param(make_pod(SMALL, SMALL), "HugePages-2048Ki", 2 * MI, id="written in another way"),
    ],
)
def test_page_bytes(pod: dict[str, Any], medium: str, expected: int) -> None:
    assert page_bytes(pod, medium) == expected


@pytest.mark.parametrize(
    ("pod", "medium", "message"),
    [
        pytest.param(make_pod({}), "HugePages", "there is no resource request for huge pages", id="nobody asked"),
        pytest.param(make_pod(SMALL), "HugePages-1Gi", "there is no resource request for", id="for another size"),
        pytest.param(make_pod(SMALL, LARGE), "HugePages", "requests multiple huge page sizes", id="for two sizes"),
        pytest.param(make_pod(SMALL), "HugePages-big", "medium not supported: HugePages-big", id="no size"),
    ],
)
def test_a_volume_of_pages_that_the_pod_does_not_ask_for_fails(pod: dict[str, Any], medium: str, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        page_bytes(pod, medium)


def test_a_volume_in_memory_is_no_larger_than_its_pod_may_be() -> None:
    pod = {"spec": {"containers": [{"name": "c"}], "resources": {"limits": {"memory": "8Mi"}}}}

    assert memory_size(pod, None, None) == 8 * MI
    assert memory_size(pod, "2Mi", "4Mi") == 2 * MI
    assert memory_size(pod, "0", "4Mi") == 4 * MI
    assert memory_size({"spec": {"containers": [{"name": "c"}]}}, None, "1Gi") == 1 << 30
    assert memory_size({"spec": {"containers": [{"name": "c"}]}}, None, None) is None
