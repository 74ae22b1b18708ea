"""The engine's own volumes: made by the container that names them, kept while one exists, mounted when one starts."""

from __future__ import annotations

import pytest

from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import RuntimeFailure
from tests.contract.runtime.conftest import TEST_LABEL, Engine


def mount_of(engine: Engine, name: str, **options: str) -> dict[str, object]:
    driver = {"Name": "local", "Options": options}
    return {
        "Type": "volume",
        "Source": engine.name(name),
        "Target": "/data",
        "VolumeOptions": {"NoCopy": True, "Labels": engine.labels, "DriverConfig": driver},
    }


async def test_a_volume_is_made_by_the_container_that_names_it_and_lives_until_it_is_removed(engine: Engine) -> None:
    runtime, name = engine.runtime, engine.name("volume")
    assert await runtime.find_volume(name) is None
    mount = mount_of(engine, "volume", type="tmpfs", device="tmpfs", o="size=1m")
    container_id = await runtime.create_container(engine.name("user"), engine.body("sleep", "60", Mounts=[mount]))

    volume = await runtime.find_volume(name)

    assert volume is not None
    assert (volume.name, volume.driver) == (name, "local")
    assert volume.options == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    assert volume.labels[TEST_LABEL] == engine.labels[TEST_LABEL]
    assert volume.mountpoint.endswith(f"/{name}/_data")
    assert [one.name for one in await runtime.list_volumes(engine.labels)] == [name]
    assert await runtime.list_volumes({TEST_LABEL: "nobody"}) == []
    assert not await runtime.remove_volume(name), "a container uses it"
    await runtime.remove_container(container_id)
    assert await runtime.find_volume(name) == volume
    assert await runtime.remove_volume(name)
    assert await runtime.remove_volume(name), "gone is gone"
    assert await runtime.list_volumes(engine.labels) == []


async def test_a_volume_that_cannot_be_mounted_fails_the_start_in_the_engines_words(engine: Engine) -> None:
    runtime, name = engine.runtime, engine.name("bad")
    if isinstance(runtime, FakeRuntime):
        runtime.volumes.mount_errors[name] = "failed to mount local volume: no such device"
    mount = mount_of(engine, "bad", type="no-such-file-system", device="nothing")
    container_id = await runtime.create_container(engine.name("user"), engine.body("sleep", "60", Mounts=[mount]))
    with pytest.raises(
        RuntimeFailure, match=r"error while mounting volume '.*': failed to mount local volume: .*no such"
    ):
        await runtime.start_container(container_id)
    await runtime.remove_container(container_id)
    assert await runtime.remove_volume(name)
