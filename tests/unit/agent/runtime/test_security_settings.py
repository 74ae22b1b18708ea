"""Who a container runs as: users and groups of the Pod, of the container and of the image. What confines its calls."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtime.accounts import Accounts
from agent.runtime.security_settings import needs_accounts, seccomp_profile, user_settings

ACCOUNTS = Accounts(
    passwd="root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:www:/:/bin/false\nbroken\n",
    group="root:x:0:\nstaff:x:50:games,www\nwheel:x:10:root\nvideo:x:44:www\nbad:x:y:www\n",
)


def settings_of(
    container: dict[str, Any], pod: dict[str, Any], image_user: str, accounts: Accounts | None = ACCOUNTS
) -> tuple[str, list[str]]:
    """What Docker is told; it is told nothing about accounts that are not needed."""
    body = {"spec": {"securityContext": pod}}
    if not needs_accounts(body, {"securityContext": container}, image_user):
        accounts = None
    return user_settings(body, {"securityContext": container}, image_user, accounts)


def test_groups_of_volumes_come_after_the_pods_own_and_once() -> None:
    pod = {"spec": {"securityContext": {"supplementalGroups": [7], "fsGroup": 8}}}
    assert user_settings(pod, {}, "", None, (8, 9, 9)) == ("", ["7", "8", "9"])


MERGE = [
    pytest.param({}, {}, "", ("", []), id="nothing is said"),
    pytest.param({}, {}, "www", ("", []), id="the image's user: Docker adds its groups"),
    pytest.param({}, {}, "www:root", ("", ["50", "44"]), id="the image's user and group"),
    pytest.param({"runAsUser": 33}, {}, "", ("33", []), id="a user without a group: Docker adds the image's"),
    pytest.param({"runAsUser": 33}, {"runAsGroup": 7}, "", ("33:7", ["50", "44"]), id="a user with a group"),
    pytest.param({}, {"runAsGroup": 7}, "www:root", ("www:7", ["50", "44"]), id="another group for the image's user"),
    pytest.param({}, {"runAsGroup": 7}, "", ("0:7", ["10"]), id="a group for root"),
    pytest.param({"runAsUser": 99, "runAsGroup": 7}, {}, "www", ("99:7", []), id="a user that the image does not know"),
    pytest.param(
        {"runAsUser": 33, "runAsGroup": 7},
        {"supplementalGroups": [44, 60], "fsGroup": 5},
        "",
        ("33:7", ["44", "60", "5", "50"]),
        id="the Pod's groups first, each once",
    ),
]
STRICT = [
    pytest.param({}, "", ("0:0", []), id="root"),
    pytest.param({}, "www", ("www:34", []), id="the image's user with the group that is its own"),
    pytest.param({}, "www:root", ("", []), id="the image's user and group"),
    pytest.param({"runAsUser": 33}, "root:root", ("33:34", []), id="a user by its number"),
    pytest.param({"runAsUser": 99}, "", ("99:0", []), id="a user that the image does not know"),
    pytest.param({"runAsUser": 33, "runAsGroup": 7}, "", ("33:7", []), id="a user with a group"),
]


@pytest.mark.parametrize(("container", "pod", "image_user", "expected"), MERGE)
def test_groups_of_the_image_are_added(
    container: dict[str, Any], pod: dict[str, Any], image_user: str, expected: tuple[str, list[str]]
) -> None:
    assert settings_of(container, pod, image_user) == expected


@pytest.mark.parametrize(("container", "image_user", "expected"), STRICT)
def test_strictly_no_group_of_the_image_is_added(
    container: dict[str, Any], image_user: str, expected: tuple[str, list[str]]
) -> None:
    pod = {"supplementalGroupsPolicy": "Strict", "supplementalGroups": [60]}
    user, groups = settings_of(container, pod, image_user)
    assert (user, groups) == (expected[0], ["60"])


def test_an_image_that_cannot_be_read_adds_nothing() -> None:
    assert settings_of({"runAsUser": 33, "runAsGroup": 7}, {}, "", None) == ("33:7", [])


OWN = {"type": "Localhost", "localhostProfile": "own.json"}
OF_POD = {"type": "RuntimeDefault"}


@pytest.mark.parametrize("is_confined_by_default", [False, True])
@pytest.mark.parametrize(
    ("container", "pod", "expected"),
    [
        pytest.param({}, {}, None, id="nothing is said"),
        pytest.param({"seccompProfile": OWN}, {"seccompProfile": OF_POD}, OWN, id="the container's own wins"),
        pytest.param({}, {"seccompProfile": OF_POD}, OF_POD, id="the Pod's"),
        pytest.param(
            {"privileged": True, "seccompProfile": OWN},
            {},
            {"type": "Unconfined"},
            id="nothing confines the privileged",
        ),
    ],
)
def test_the_seccomp_profile_of_a_container(
    container: dict[str, Any], pod: dict[str, Any], expected: dict[str, Any] | None, is_confined_by_default: bool
) -> None:
    found = seccomp_profile(
        {"spec": {"securityContext": pod}},
        {"securityContext": container},
        is_confined_by_default=is_confined_by_default,
    )
    assert found == (expected or {"type": "RuntimeDefault" if is_confined_by_default else "Unconfined"})
