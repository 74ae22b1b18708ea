"""What the node remembers of its pulls."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.images.pulled_images import FILE_NAME, PulledImages
from agent.runtime.protocol import ImageRecord

IMAGE = ImageRecord(id="sha256:1", tags=("nginx:1",), digests=("nginx@sha256:1",))


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("nginx:1", IMAGE),
        ("docker.io/library/nginx:1", IMAGE),
        ("index.docker.io/nginx:1", IMAGE),
        ("docker.io/some/app", ImageRecord(id="a", tags=("some/app:latest",))),
        ("localhost:5000/app", ImageRecord(id="a", tags=("localhost:5000/app:latest",))),
        (f"nginx@sha256:{'1' * 64}", ImageRecord(id="a", digests=(f"nginx@sha256:{'1' * 64}",))),
        (f"nginx:1@sha256:{'1' * 64}", ImageRecord(id="a", digests=(f"nginx@sha256:{'1' * 64}",))),
    ],
)
async def test_a_pulled_image_is_remembered_over_restarts(tmp_path: Path, reference: str, image: ImageRecord) -> None:
    await PulledImages(tmp_path).add(reference, image, was_absent=True)

    assert PulledImages(tmp_path).includes(image)


async def test_an_image_that_was_there_before_is_not_ours(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    await pulled.add("nginx:1", IMAGE, was_absent=False)

    assert not pulled.includes(IMAGE)
    assert not (tmp_path / FILE_NAME).exists()


async def test_a_name_given_by_somebody_else_keeps_the_image(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    await pulled.add("nginx:1", IMAGE, was_absent=True)
    named = ImageRecord(id=IMAGE.id, tags=("nginx:1", "mine:1"), digests=IMAGE.digests)
    assert not pulled.includes(named)

    await pulled.add("mine:1", named, was_absent=False)

    assert pulled.includes(named)


async def test_an_image_whose_tag_has_moved_on_stays_ours(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    await pulled.add("nginx:1", IMAGE, was_absent=True)

    assert pulled.includes(ImageRecord(id=IMAGE.id, digests=IMAGE.digests))


async def test_an_image_that_went_and_came_back_is_its_owners(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    await pulled.add("nginx:1", IMAGE, was_absent=True)

    await pulled.keep(["sha256:2"])

    assert not pulled.includes(IMAGE)
    assert not PulledImages(tmp_path).includes(IMAGE)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{", "\0"])
def test_a_damaged_file_makes_no_image_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)

    assert not PulledImages(tmp_path).includes(IMAGE)
