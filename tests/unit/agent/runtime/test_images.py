"""Pull policy, back-off, sharing of pulls, and the kubelet's words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.images.credential_records import Verification
from agent.images.pull_records import PullRecords
from agent.images.pulled_images import PulledImages
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.image_reference import default_pull_policy, is_image_reference, qualified_reference
from agent.runtime.images import ImagePuller
from agent.runtime.protocol import ImageRecord, RegistryCredentials, RuntimeFailure, SecretReference
from control.api.clock import FakeClock


class Node:
    """A puller over the fake engine, and the Events it made."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(self.clock)
        self.pulled = PulledImages(directory)
        self.records = PullRecords(directory, Verification())
        self.puller = ImagePuller(
            runtime=self.runtime, pulled=self.pulled, credential_records=self.records, clock=self.clock
        )
        self.events: list[tuple[str, str, str]] = []

    async def ensure(
        self, image: str, policy: str = "", *, pod_uid: str = "u", credentials: tuple[RegistryCredentials, ...] = ()
    ) -> ImageRecord:
        return await self.puller.ensure_image(
            image,
            policy=policy,
            pod_uid=pod_uid,
            credentials=credentials,
            record_event=lambda *event: self.events.append(event),
        )

    async def failure(self, image: str, policy: str = "", *, pod_uid: str = "u") -> tuple[str, str]:
        """(reason, message) of an image that cannot be had."""
        with pytest.raises(RuntimeFailure) as caught:
            await self.ensure(image, policy, pod_uid=pod_uid)
        return caught.value.reason, str(caught.value)

    def pulls(self) -> int:
        return self.runtime.verbs().count("pull_image")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("image", "policy", "pulls"),
    [
        pytest.param("pulled:1", "IfNotPresent", 0, id="present"),
        pytest.param("pulled:1", "Never", 0, id="present, never"),
        pytest.param("pulled:1", "Always", 1, id="always asks the registry"),
        pytest.param("pulled", "", 1, id="no tag is latest is always"),
        pytest.param("built:1", "Always", 0, id="built here, always"),
        pytest.param("built", "", 0, id="built here, latest"),
        pytest.param("remote:1", "IfNotPresent", 1, id="absent"),
    ],
)
async def test_the_policy_decides_whether_to_pull(node: Node, image: str, policy: str, pulls: int) -> None:
    for name in ("pulled:1", "pulled:latest", "remote:1"):
        node.runtime.add_registry_image(name)
    for name in ("pulled:1", "pulled:latest"):
        await node.runtime.pull_image(name)
    node.runtime.trace.clear()
    for name in ("built:1", "built:latest"):
        node.runtime.add_image(name)

    assert (await node.ensure(image, policy)).tags == (qualified_reference(image),)

    assert node.pulls() == pulls


async def test_events_of_a_pull_and_of_a_present_image(node: Node) -> None:
    node.runtime.add_registry_image("remote:1")

    await node.ensure("remote:1")
    await node.ensure("remote:1")

    assert node.events == [
        ("Normal", "Pulling", 'Pulling image "remote:1"'),
        (
            "Normal",
            "Pulled",
            'Successfully pulled image "remote:1" in 0s (0s including waiting). Image size: 0 bytes.',
        ),
        ("Normal", "Pulled", 'Container image "remote:1" already present on machine and can be accessed by the pod'),
    ]


async def test_never_does_not_pull(node: Node) -> None:
    node.runtime.add_registry_image("remote:1")
    message = 'Container image "remote:1" is not present with pull policy of Never'

    assert await node.failure("remote:1", "Never") == ("ErrImageNeverPull", message)
    assert node.events == [("Warning", "ErrImageNeverPull", message)]
    assert node.pulls() == 0


@pytest.mark.parametrize("image", ["", "UPPER", "a b", "x:", "x@sha256:12", "/x", "x//y"])
async def test_a_malformed_reference_is_an_invalid_image_name(node: Node, image: str) -> None:
    reason, message = await node.failure(image)

    assert reason == "InvalidImageName"
    assert "invalid reference format" in message
    assert node.runtime.trace == []


async def test_a_failed_pull_backs_off_longer_and_longer(node: Node) -> None:
    waited = []
    for _ in range(8):
        assert (await node.failure("gone:1"))[0] == "ErrImagePull"
        pulls = node.pulls()
        reason, message = await node.failure("gone:1")
        assert reason == "ImagePullBackOff"
        assert message.startswith('Back-off pulling image "gone:1": ErrImagePull: Error response from daemon: ')
        assert node.pulls() == pulls
        seconds = node.puller.backoff_seconds_left("gone:1", "u")
        waited.append(seconds)
        await node.clock.advance(seconds)

    assert waited == [10, 20, 40, 80, 160, 300, 300, 300]
    assert node.events[1][:2] == ("Warning", "Failed")
    assert node.events[1][2].startswith('Failed to pull image "gone:1": ')
    assert node.events[2] == ("Normal", "BackOff", 'Back-off pulling image "gone:1"')


async def test_a_pull_that_succeeds_ends_the_back_off(node: Node) -> None:
    await node.failure("late:1")
    node.runtime.add_registry_image("late:1")
    await node.clock.advance(10)

    await node.ensure("late:1")

    assert node.puller.backoff_seconds_left("late:1", "u") == 0


async def test_the_back_off_of_one_pod_is_not_anothers(node: Node) -> None:
    await node.failure("gone:1")

    with pytest.raises(RuntimeFailure) as caught:
        await node.ensure("gone:1", pod_uid="other")
    node.puller.forget_pod("u")

    assert caught.value.reason == "ErrImagePull"
    assert node.puller.backoff_seconds_left("gone:1", "u") == 0
    assert node.puller.backoff_seconds_left("gone:1", "other") == 10


async def test_pods_that_want_an_image_at_once_share_one_pull_unless_their_credentials_differ(node: Node) -> None:
    node.runtime.add_registry_image("remote:1")
    secret = (RegistryCredentials(username="a", password="b"),)

    await asyncio.gather(*(node.ensure("remote:1", "Always", pod_uid=str(number)) for number in range(5)))
    assert node.pulls() == 1
    await asyncio.gather(node.ensure("remote:1", "Always"), node.ensure("remote:1", "Always", credentials=secret))

    assert node.pulls() == 3


async def test_an_engine_that_cannot_look_is_an_inspect_error(node: Node) -> None:
    node.runtime.inject_error("find_image", RuntimeFailure("broken"))

    assert await node.failure("remote:1") == ("ImageInspectError", 'Failed to inspect image "remote:1": broken')


@pytest.mark.parametrize(
    ("reference", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        (f"nginx@sha256:{'a' * 64}", "IfNotPresent"),
    ],
)
def test_default_pull_policy(reference: str, policy: str) -> None:
    assert is_image_reference(reference)
    assert default_pull_policy(reference) == policy


@pytest.mark.parametrize(
    ("reference", "qualified"),
    [
        ("nginx", "nginx:latest"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("nginx:1", "nginx:1"),
        (f"nginx@sha256:{'a' * 64}", f"nginx@sha256:{'a' * 64}"),
    ],
)
def test_qualified_reference(reference: str, qualified: str) -> None:
    assert qualified_reference(reference) == qualified


ARM = "linux/arm64"


def strange(node: Node) -> ImagePuller:
    """A puller of a node that runs nothing of arm64."""
    return ImagePuller(
        runtime=node.runtime,
        pulled=node.pulled,
        credential_records=node.records,
        clock=node.clock,
        platform="linux/amd64",
        can_run=lambda platform: platform != ARM,
    )


async def test_a_pulled_image_of_another_platform_is_refused(node: Node) -> None:
    node.puller = strange(node)
    node.runtime.add_registry_image("arm:1", platform=ARM)
    message = (
        "image with reference arm:1 was found but does not match the specified platform: "
        "wanted linux/amd64, actual: linux/arm64"
    )

    assert await node.failure("arm:1") == ("ErrImagePull", message)
    assert node.events[-1] == ("Warning", "Failed", f'Failed to pull image "arm:1": {message}')
    assert (await node.failure("arm:1"))[0] == "ImagePullBackOff"


async def test_a_present_image_of_another_platform_counts_as_absent(node: Node) -> None:
    node.runtime.add_registry_image("both:1", platform=ARM)
    await node.runtime.pull_image("both:1")
    node.runtime.add_registry_image("both:1", platform="linux/amd64")
    node.puller = strange(node)

    assert (await node.failure("both:1", "Never"))[0] == "ErrImageNeverPull"
    assert (await node.ensure("both:1", "IfNotPresent")).platform == "linux/amd64"


def login_of(name: str, password: str = "right") -> tuple[RegistryCredentials, ...]:
    source = SecretReference(namespace="default", name=name, uid=f"uid-of-{name}")
    return (RegistryCredentials(username="me", password=password, source=source),)


@pytest.fixture
async def private(node: Node) -> Node:
    """An image that a Pod has pulled with the login of its Secret."""
    node.runtime.add_registry_image("private:1")
    node.runtime.passwords["private:1"] = "right"
    await node.ensure("private:1", "IfNotPresent", pod_uid="first", credentials=login_of("secret"))
    return node


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param(login_of("secret"), id="the same Secret"),
        pytest.param(login_of("other"), id="another Secret with the same login"),
        pytest.param(login_of("secret", "new"), id="the same Secret with another login"),
    ],
)
async def test_who_has_the_login_of_a_pull_uses_its_image(
    private: Node, credentials: tuple[RegistryCredentials, ...]
) -> None:
    await private.ensure("private:1", "IfNotPresent", credentials=credentials)
    await private.ensure("private:1", "Never", credentials=credentials)
    assert private.pulls() == 1


async def test_a_pod_without_the_login_has_to_pull_what_is_there(private: Node) -> None:
    reason, message = await private.failure("private:1", "IfNotPresent")
    assert reason == "ErrImagePull"
    assert "pull access denied for private:1" in message
    assert (await private.failure("private:1", "IfNotPresent"))[0] == "ImagePullBackOff"
    reason, message = await private.failure("private:1", "Never", pod_uid="v")
    assert reason == "ErrImageNeverPull"
    assert message == 'Container image "private:1" is not present with pull policy of Never'


async def test_a_pod_with_another_login_that_the_registry_takes_may_use_the_image_from_then_on(private: Node) -> None:
    private.runtime.passwords["private:1"] = "changed"
    await private.ensure("private:1", "IfNotPresent", credentials=login_of("other", "changed"))
    await private.ensure("private:1", "IfNotPresent", credentials=login_of("other", "changed"))
    assert private.pulls() == 2


async def test_an_image_that_a_registry_gives_to_anybody_is_everybodys(private: Node) -> None:
    del private.runtime.passwords["private:1"]
    await private.ensure("private:1", "IfNotPresent")
    private.runtime.passwords["private:1"] = "right"
    await private.ensure("private:1", "IfNotPresent", pod_uid="v")
    assert private.pulls() == 2


async def test_an_image_that_nobody_pulled_here_is_everybodys(node: Node) -> None:
    node.runtime.add_registry_image("preloaded:1")
    await node.runtime.pull_image("preloaded:1")
    node.runtime.passwords["preloaded:1"] = "right"
    await node.ensure("preloaded:1", "IfNotPresent")
    assert node.pulls() == 1, "the one before"
