"""Pulling from a registry, with and without credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.protocol import ImageNotFoundError, PullProgress, RegistryCredentials, RuntimeFailure
from tests.fakes.image_registry import ImageRegistry

pytestmark = pytest.mark.docker


@pytest.fixture
async def runtime() -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime()
    yield made
    await made.close()


async def test_a_pulled_image_is_local_and_knows_its_digest(runtime: DockerRuntime) -> None:
    with ImageRegistry() as registry:
        reference = f"{registry.address}/podling-test/hello:1"
        try:
            image = (await runtime.pull_image(reference)).image

            assert image.tags == (reference,)
            assert image.digests[0].startswith(f"{registry.address}/podling-test/hello@sha256:")
            assert await runtime.find_image(reference) == image
        finally:
            await runtime.remove_image(reference)
        assert await runtime.find_image(reference) is None


async def test_an_unknown_tag_is_not_found(runtime: DockerRuntime) -> None:
    with ImageRegistry() as registry, pytest.raises(ImageNotFoundError, match="manifest unknown") as caught:
        await runtime.pull_image(f"{registry.address}/podling-test/hello:2")

    assert caught.value.reason == "ErrImagePull"


async def test_credentials_are_tried_in_turn(runtime: DockerRuntime) -> None:
    with ImageRegistry(username="me", password="pw") as registry:
        reference = f"{registry.address}/podling-test/secret:1"
        wrong = RegistryCredentials(username="me", password="guess", server=registry.address)
        right = RegistryCredentials(username="me", password="pw", server=registry.address)
        with pytest.raises(RuntimeFailure, match="no basic auth credentials") as caught:
            await runtime.pull_image(reference)
        assert caught.value.reason == "ErrImagePull"
        with pytest.raises(RuntimeFailure):
            await runtime.pull_image(reference, [wrong])
        try:
            pulled = await runtime.pull_image(reference, [wrong, right])
            assert (pulled.image.tags, pulled.login) == ((reference,), right)
        finally:
            await runtime.remove_image(reference)


async def test_the_engine_gives_up_a_pull_that_is_cancelled_and_the_next_one_succeeds(runtime: DockerRuntime) -> None:
    with ImageRegistry() as registry:
        reference = f"{registry.address}/podling-test/slow:1"
        registry.may_send.clear()
        pull = asyncio.ensure_future(runtime.pull_image(reference))
        assert await asyncio.to_thread(registry.asked.wait, 30)
        pull.cancel()
        await asyncio.gather(pull, return_exceptions=True)
        registry.may_send.set()

        heard: list[PullProgress] = []
        image = (await runtime.pull_image(reference, (), heard.append)).image
        try:
            assert image.tags == (reference,)
            assert image.platform == "linux/amd64"
            assert heard
        finally:
            await runtime.remove_image(reference)


async def test_a_digest_beside_a_tag_decides_and_gives_the_image_no_tag(runtime: DockerRuntime) -> None:
    with ImageRegistry() as registry:
        reference = f"{registry.address}/podling-test/digest:1"
        (named,) = (await runtime.pull_image(reference)).image.digests
        await runtime.remove_image(reference)
        both = f"{reference}@{named.partition('@')[2]}"
        try:
            image = (await runtime.pull_image(both)).image
            assert (image.tags, image.digests) == ((), (named,))
            assert await runtime.find_image(both) == image
        finally:
            await runtime.remove_image(named)
        assert await runtime.find_image(both) is None
