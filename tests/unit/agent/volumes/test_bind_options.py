"""What the mountOptions of a directory mean."""

from __future__ import annotations

import pytest

from agent.volumes.bind_options import BindAttributes, parse_bind_options
from agent.volumes.protocol import VolumeError

READ_ONLY, NO_SUID, NO_EXEC, ATIME, NO_ATIME = 0x1, 0x2, 0x8, 0x70, 0x10


@pytest.mark.parametrize(
    ("options", "attributes", "cleared"),
    [
        pytest.param([], 0, 0, id="none"),
        pytest.param(["ro", "noexec"], READ_ONLY | NO_EXEC, 0, id="several"),
        pytest.param(["bind,ro", "defaults"], READ_ONLY, 0, id="several in one, some of which say nothing"),
        pytest.param(["exec"], 0, NO_EXEC, id="what is allowed again"),
        pytest.param(["nosuid", "suid"], 0, NO_SUID, id="the last one counts"),
        pytest.param(["suid", "nosuid"], NO_SUID, 0, id="the last one counts, the other way round"),
        pytest.param(
            ["noatime"], NO_ATIME, ATIME, id="times of access, a field that the kernel wants cleared as a whole"
        ),
    ],
)
def test_options(options: list[str], attributes: int, cleared: int) -> None:
    assert parse_bind_options(options) == BindAttributes(attributes=attributes, cleared=cleared)


@pytest.mark.parametrize("option", ["discard", "uid=5", "RO"])
def test_options_of_a_file_system_are_none_of_a_directory(option: str) -> None:
    with pytest.raises(VolumeError, match=f'"{option}" is not one of a directory'):
        parse_bind_options(["ro", option])
