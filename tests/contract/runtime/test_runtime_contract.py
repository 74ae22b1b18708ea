"""What every engine behind the runtime seam does, the fake and the real one alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.runtime.protocol import (
    ContainerNotFoundError,
    ContainerState,
    EngineUnavailableError,
    ImageNotFoundError,
    NameConflictError,
    RuntimeFailure,
)
from tests.contract.runtime.conftest import Engine

FOREVER = ("sleep", "1000")


async def test_a_created_container_is_listed_by_its_labels_and_not_yet_started(engine: Engine) -> None:
    container_id = await engine.runtime.create_container(engine.name("a"), engine.body(*FOREVER))

    [record] = await engine.runtime.list_containers(engine.labels)

    assert record.id == container_id
    assert record.name == engine.name("a")
    assert record.state is ContainerState.CREATED
    assert record.labels == engine.labels
    assert (record.started_at, record.finished_at, record.pid) == (None, None, 0)
    assert record.image_id.startswith("sha256:")


async def test_a_name_can_be_created_only_once(engine: Engine) -> None:
    await engine.runtime.create_container(engine.name("a"), engine.body(*FOREVER))

    with pytest.raises(NameConflictError):
        await engine.runtime.create_container(engine.name("a"), engine.body(*FOREVER))


async def test_creating_from_a_missing_image_names_it(engine: Engine) -> None:
    body = {**engine.body(*FOREVER), "Image": "podling-test/missing:1"}

    with pytest.raises(ImageNotFoundError, match="podling-test/missing:1"):
        await engine.runtime.create_container(engine.name("a"), body)


async def test_a_started_container_runs_with_a_pid_and_can_be_found_by_name(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)

    record = await engine.runtime.inspect_container(engine.name("a"))

    assert record.id == container_id
    assert record.state is ContainerState.RUNNING
    assert record.pid > 0
    assert record.started_at is not None
    assert record.started_at >= record.created_at


async def test_starting_a_running_container_again_does_nothing(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)
    before = await engine.runtime.inspect_container(container_id)

    await engine.runtime.start_container(container_id)

    assert await engine.runtime.inspect_container(container_id) == before


async def test_a_container_that_ignores_sigterm_is_killed_after_the_grace_period(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)

    await engine.runtime.stop_container(container_id, signal="SIGKILL", grace_seconds=5)

    record = await engine.runtime.inspect_container(container_id)
    assert record.state is ContainerState.EXITED
    assert record.exit_code == 137
    assert record.finished_at is not None
    assert record.pid == 0


async def test_stopping_without_grace_kills_at_once(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)

    await engine.runtime.stop_container(container_id, signal="SIGTERM", grace_seconds=0)

    assert (await engine.runtime.inspect_container(container_id)).exit_code == 137


async def test_killing_a_stopped_or_missing_container_succeeds(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)
    await engine.runtime.stop_container(container_id, signal="SIGKILL", grace_seconds=5)

    await engine.runtime.kill_container(container_id)
    await engine.runtime.kill_container("0123456789abcdef")


async def test_a_running_container_gets_other_resources_and_runs_on(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER, Memory=64 << 20, MemorySwap=64 << 20)
    settings = {"CpuShares": 512, "CpuPeriod": 100_000, "CpuQuota": 20_000, "Memory": 32 << 20, "MemorySwap": 32 << 20}

    await engine.runtime.update_container(container_id, settings)

    assert (await engine.runtime.inspect_container(container_id)).state is ContainerState.RUNNING
    with pytest.raises(ContainerNotFoundError):
        await engine.runtime.update_container("0123456789abcdef", settings)


async def test_removing_kills_and_is_idempotent(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)

    await engine.runtime.remove_container(container_id)
    await engine.runtime.remove_container(container_id)

    assert await engine.runtime.list_containers(engine.labels) == []
    with pytest.raises(ContainerNotFoundError):
        await engine.runtime.inspect_container(container_id)


async def test_an_exited_container_is_listed_the_same_every_time(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)
    await engine.runtime.stop_container(container_id, signal="SIGKILL", grace_seconds=5)

    first = await engine.runtime.list_containers(engine.labels)
    second = await engine.runtime.list_containers(engine.labels)

    assert first == second
    assert [record.id for record in first] == [container_id]


async def test_starting_a_missing_container_says_so(engine: Engine) -> None:
    with pytest.raises(ContainerNotFoundError):
        await engine.runtime.start_container("0123456789abcdef")


async def test_joining_a_stopped_container_fails_to_run(engine: Engine) -> None:
    sandbox_id = await engine.run("pause", *FOREVER, IpcMode="shareable", NetworkMode="none")
    joined = dict.fromkeys(("NetworkMode", "IpcMode", "PidMode"), f"container:{sandbox_id}")
    container_id = await engine.runtime.create_container(engine.name("a"), engine.body(*FOREVER, **joined))
    await engine.runtime.kill_container(sandbox_id)
    await engine.runtime.stop_container(sandbox_id, signal="SIGKILL", grace_seconds=5)

    with pytest.raises(RuntimeFailure) as caught:
        await engine.runtime.start_container(container_id)

    assert caught.value.reason == "RunContainerError"


async def test_the_death_of_the_pid_namespace_ends_every_container_that_joined_it(engine: Engine) -> None:
    sandbox_id = await engine.run("pause", *FOREVER, IpcMode="shareable", NetworkMode="none")
    joined = dict.fromkeys(("NetworkMode", "IpcMode", "PidMode"), f"container:{sandbox_id}")
    container_id = await engine.run("a", *FOREVER, **joined)

    watching = await engine.runtime.open_attach(container_id)

    await engine.runtime.kill_container(sandbox_id)

    async with asyncio.timeout(60):
        assert await watching.read() is None
    await watching.close()
    record = await engine.runtime.inspect_container(container_id)
    assert (record.state, record.exit_code) == (ContainerState.EXITED, 137)


async def test_events_tell_a_containers_life(engine: Engine) -> None:
    seen: list[tuple[str, int | None]] = []

    async def watch() -> None:
        async for event in engine.runtime.events(engine.labels):
            assert event.labels.items() >= engine.labels.items()
            seen.append((event.action, event.exit_code))
            if event.action == "destroy":
                return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    container_id = await engine.run("a", *FOREVER)
    await engine.runtime.run_exec(container_id, ["true"], timeout_seconds=60)
    await engine.runtime.kill_container(container_id)
    await engine.runtime.stop_container(container_id, signal="SIGKILL", grace_seconds=5)
    await engine.runtime.remove_container(container_id)

    async with asyncio.timeout(60):
        await watching
    assert seen == [("start", None), ("die", 137), ("destroy", None)]


async def test_a_command_is_run_to_its_end(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)

    result = await engine.runtime.run_exec(container_id, ["sh", "-c", "echo said; exit 3"], timeout_seconds=60)

    assert (result.exit_code, result.output) == (3, b"said\n")


@pytest.mark.docker
async def test_a_command_that_closes_its_output_is_waited_for(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    command = ["sh", "-c", "exec >&- 2>&-; sleep 1.5; exit 7"]

    assert (await docker_engine.runtime.run_exec(container_id, command, timeout_seconds=60)).exit_code == 7


@pytest.mark.docker
async def test_what_a_container_writes_is_found_and_told(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    write = ["dd", "if=/dev/zero", "of=/file", "bs=1M", "count=2"]
    await docker_engine.runtime.run_exec(container_id, write, timeout_seconds=60)

    record = await docker_engine.runtime.inspect_container(container_id, with_size=True)
    assert 2 << 20 <= record.written_bytes < 3 << 20
    if record.writable_layer:  # only overlay2 tells
        assert (Path(record.writable_layer) / "file").stat().st_size == 2 << 20
    assert (await docker_engine.runtime.inspect_container(container_id)).written_bytes == 0


@pytest.mark.docker
async def test_output_is_cut_at_ten_kibibytes(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    command = ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; exit 4"]

    result = await docker_engine.runtime.run_exec(container_id, command, timeout_seconds=60)

    assert (result.exit_code, result.output) == (4, b"x" * 10240)


@pytest.mark.docker
async def test_a_terminal_merges_output_and_has_a_size(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    stream = await docker_engine.runtime.open_exec(
        container_id, ["sh", "-c", "read go; stty size; echo error >&2"], stdin=True, tty=True
    )
    await stream.resize(101, 31)
    await stream.write(b"go\n")
    output = b""
    while (chunk := await stream.read()) is not None:
        assert chunk[0] == 1
        output += chunk[1]

    assert output == b"go\r\n31 101\r\nerror\r\n"
    assert await stream.exit_code() == 0
    await stream.close()


@pytest.mark.docker
async def test_an_abandoned_command_is_killed(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    stream = await docker_engine.runtime.open_exec(container_id, ["sh", "-c", "echo on; exec sleep 4242"])
    assert await stream.read() == (1, b"on\n")

    await stream.close()

    count = ["sh", "-c", "while ps | grep -q 'sleep 424[2]'; do :; done; echo gone"]
    assert (await docker_engine.runtime.run_exec(container_id, count, timeout_seconds=60)).output == b"gone\n"


@pytest.mark.docker
async def test_a_command_that_is_left_sees_the_end_of_its_input_and_goes_on(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    script = "echo on; cat >/input; sleep 0.1; echo still here >/after"
    stream = await docker_engine.runtime.open_exec(container_id, ["sh", "-c", script], stdin=True)
    assert await stream.read() == (1, b"on\n")
    await stream.write(b"typed ")

    await stream.detach()

    look = ["sh", "-c", "until [ -s /after ]; do :; done; cat /input /after"]
    result = await docker_engine.runtime.run_exec(container_id, look, timeout_seconds=60)
    assert result.output == b"typed still here\n"


@pytest.mark.docker
async def test_stdout_and_stderr_are_told_apart(docker_engine: Engine) -> None:
    container_id = await docker_engine.run("a", *FOREVER)
    stream = await docker_engine.runtime.open_exec(container_id, ["sh", "-c", "echo out; echo err >&2"])
    received: dict[int, bytes] = {1: b"", 2: b""}
    while (chunk := await stream.read()) is not None:
        received[chunk[0]] += chunk[1]

    assert received == {1: b"out\n", 2: b"err\n"}
    await stream.close()


async def test_a_command_that_exceeds_its_time_raises_timeout(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)

    with pytest.raises(TimeoutError):
        await engine.runtime.run_exec(container_id, ["sleep", "999"], timeout_seconds=0.5)


async def test_a_command_reads_its_input_to_the_half_close(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)
    stream = await engine.runtime.open_exec(container_id, ["cat"], stdin=True)

    await stream.write(b"some ")
    await stream.write(b"words")
    await stream.close_stdin()
    received = b""
    while (chunk := await stream.read()) is not None:
        received += chunk[1]

    assert received == b"some words"
    assert await stream.exit_code() == 0
    assert await stream.read() is None
    await stream.close()


async def test_a_command_in_a_container_that_does_not_run_is_refused(engine: Engine) -> None:
    container_id = await engine.runtime.create_container(engine.name("a"), engine.body(*FOREVER))

    with pytest.raises(RuntimeFailure, match="is not running"):
        await engine.runtime.open_exec(container_id, ["cat"])


async def test_a_stream_ends_when_its_containers_first_process_dies(engine: Engine) -> None:
    sandbox_id = await engine.run("pause", *FOREVER, IpcMode="shareable", NetworkMode="none")
    joined = dict.fromkeys(("NetworkMode", "IpcMode", "PidMode"), f"container:{sandbox_id}")
    container_id = await engine.run("a", *FOREVER, **joined)
    stream = await engine.runtime.open_exec(container_id, ["sh", "-c", "echo said; sleep 999"])
    assert await stream.read() == (1, b"said\n")

    await engine.runtime.kill_container(container_id)

    async with asyncio.timeout(60):
        assert await stream.read() is None
        assert await stream.exit_code() == 137
    await stream.close()


async def test_an_attachment_ends_with_its_container(engine: Engine) -> None:
    container_id = await engine.run("a", *FOREVER)
    stream = await engine.runtime.open_attach(container_id)

    await engine.runtime.kill_container(container_id)

    async with asyncio.timeout(60):
        assert await stream.read() is None
    await stream.close()


async def test_a_missing_image_is_none_and_removing_it_succeeds(engine: Engine) -> None:
    assert await engine.runtime.find_image("podling-test/missing:1") is None
    await engine.runtime.remove_image("podling-test/missing:1")


async def test_a_local_image_is_found_by_name_and_by_id(engine: Engine) -> None:
    image = await engine.runtime.find_image("podling-test/busybox:1")

    assert image is not None
    assert image.tags == ("podling-test/busybox:1",)
    assert image.digests == ()
    assert await engine.runtime.find_image(image.id) == image
    assert image.id in [one.id for one in await engine.runtime.list_images()]


async def test_images_of_all_containers_are_in_use_whether_they_run_or_not(engine: Engine) -> None:
    image = await engine.runtime.find_image("podling-test/busybox:1")
    assert image is not None
    await engine.runtime.create_container(engine.name("idle"), engine.body("true"))

    assert image.id in await engine.runtime.images_in_use()
    with pytest.raises(RuntimeFailure, match="container"):
        await engine.runtime.remove_image("podling-test/busybox:1")
    assert await engine.runtime.find_image(image.id) is not None


async def test_pulling_what_no_registry_has_is_err_image_pull(engine: Engine) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        await engine.runtime.pull_image("127.0.0.1:1/podling-test/missing:1")

    assert caught.value.reason == "ErrImagePull"


async def test_the_engine_describes_itself(engine: Engine) -> None:
    info = await engine.runtime.info()

    assert info.cpus > 0
    assert info.memory_bytes > 1 << 20
    assert info.cgroup_version in ("1", "2")


@pytest.mark.docker
async def test_a_dead_engine_is_unavailable() -> None:
    from agent.runtime.docker_runtime import DockerRuntime

    runtime = DockerRuntime("unix:///nonexistent/docker.sock")
    with pytest.raises(EngineUnavailableError):
        await runtime.info()
    with pytest.raises(EngineUnavailableError):
        await anext(aiter(runtime.events({})))
    await runtime.close()
