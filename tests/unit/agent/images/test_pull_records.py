"""By whom images were pulled: remembered over restarts, crashes and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.images.credential_records import Verification, VerificationPolicy
from agent.images.pull_records import PullRecords
from agent.runtime.protocol import ImageRecord, RegistryCredentials, SecretReference

IMAGE = ImageRecord(id="sha256:1", tags=("private:1",), digests=("private@sha256:9",))
OTHER = ImageRecord(id="sha256:2", tags=("other:1",), digests=("other@sha256:8",))
SOURCE = SecretReference(namespace="default", name="secret", uid="u")
LOGIN = RegistryCredentials(username="me", password="pw", source=SOURCE)
STRANGER = RegistryCredentials(username="you", password="pw")


def records(directory: Path, policy: VerificationPolicy = VerificationPolicy.PRELOADED) -> PullRecords:
    return PullRecords(directory, Verification(policy=policy))


def files(directory: Path, name: str = "*.json") -> list[Path]:
    return list(directory.rglob(name))


async def test_records_outlive_the_agent_and_tell_no_password(tmp_path: Path) -> None:
    await records(tmp_path).add("private:1", IMAGE, LOGIN)
    again = records(tmp_path)
    assert await again.must_pull("private:1", IMAGE, [])
    assert await again.must_pull("private:1", IMAGE, [STRANGER])
    assert not await again.must_pull("private:1", IMAGE, [STRANGER, LOGIN])
    (file,) = files(tmp_path)
    assert '"pw"' not in file.read_text()


async def test_another_name_of_an_image_is_to_be_proved_for_itself(tmp_path: Path) -> None:
    one = records(tmp_path)
    await one.add("private:1", IMAGE, LOGIN)
    assert not await one.must_pull("docker.io/library/private:2", IMAGE, [LOGIN]), "tags and short names do not matter"
    assert await one.must_pull("elsewhere.example/private:1", IMAGE, [LOGIN])


async def test_a_login_seen_in_another_secret_makes_that_known_too(tmp_path: Path) -> None:
    one = records(tmp_path)
    await one.add("private:1", IMAGE, LOGIN)
    other = SecretReference(namespace="default", name="copy", uid="v")
    copy = RegistryCredentials(username="me", password="pw", source=other)
    assert not await one.must_pull("private:1", IMAGE, [copy])
    changed = RegistryCredentials(username="me", password="new", source=other)
    assert not await records(tmp_path).must_pull("private:1", IMAGE, [changed])


async def test_an_image_whose_pull_ended_with_the_agent_is_nobodys_yet(tmp_path: Path) -> None:
    async with records(tmp_path).pulling("docker.io/library/private:1", [LOGIN]):
        crashed = records(tmp_path)
        assert await crashed.must_pull("private:1", IMAGE, [LOGIN])
        assert not await crashed.must_pull("other:1", OTHER, [])
        assert await records(tmp_path).must_pull("private:1", IMAGE, [LOGIN])
    await crashed.add("private:1", IMAGE, LOGIN)
    assert not await crashed.must_pull("private:1", IMAGE, [LOGIN])


async def test_an_image_that_is_being_pulled_with_a_login_is_not_everybodys(tmp_path: Path) -> None:
    one = records(tmp_path)
    async with one.pulling("private:1", [LOGIN]):
        assert await one.must_pull("private:1", IMAGE, [])
    assert not await one.must_pull("private:1", IMAGE, [])
    async with one.pulling("private:1", []):
        assert not await one.must_pull("private:1", IMAGE, []), "a pull without a login keeps nobody from what is there"
    assert not files(tmp_path)


async def test_a_damaged_record_is_a_record_that_admits_nobody(tmp_path: Path) -> None:
    one = records(tmp_path)
    for name, image in (("private:1", IMAGE), ("other:1", OTHER)):
        await one.add(name, image, LOGIN)
    (file,) = files(tmp_path, "sha256-1.json")
    file.write_text("{")
    again = records(tmp_path)
    assert await again.must_pull("private:1", IMAGE, [LOGIN])
    assert not await again.must_pull("other:1", OTHER, [LOGIN])


async def test_images_that_are_gone_are_forgotten_but_not_those_that_came_meanwhile(tmp_path: Path) -> None:
    one = records(tmp_path)
    await one.add("private:1", IMAGE, LOGIN)
    as_of = one.change
    await one.add("other:1", OTHER, LOGIN)
    await one.keep([], as_of=as_of)
    for each in (one, records(tmp_path)):
        assert not await each.must_pull("private:1", IMAGE, [])
        assert await each.must_pull("other:1", OTHER, [])


@pytest.mark.parametrize(
    ("policy", "pulled", "present"),
    [
        (VerificationPolicy.NEVER_VERIFY, False, False),
        (VerificationPolicy.PRELOADED, True, False),
        (VerificationPolicy.ALLOWLISTED, True, True),
        (VerificationPolicy.ALWAYS_VERIFY, True, True),
    ],
)
async def test_the_policy_says_which_images_need_a_proof(
    tmp_path: Path, policy: VerificationPolicy, pulled: bool, present: bool
) -> None:
    one = records(tmp_path, policy)
    await one.add("private:1", IMAGE, LOGIN)
    assert await one.must_pull("private:1", IMAGE, []) is pulled
    assert await one.must_pull("other:1", OTHER, []) is present
