from __future__ import annotations

import pytest

from agent.program_path import with_administration


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(
            "/usr/local/bin:/usr/bin:/bin", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", id="user"
        ),
        pytest.param("/usr/sbin:/usr/bin", "/usr/sbin:/usr/bin", id="root"),
        pytest.param("/tools:/srv/own/bin", "/tools:/srv/own/bin:/srv/own/sbin", id="own places"),
        pytest.param("/tools", "/tools", id="no place of users"),
        pytest.param("", "", id="empty"),
    ],
)
def test_programs_of_administration_are_found_beside_those_of_users(path: str, expected: str) -> None:
    assert with_administration(path) == expected
