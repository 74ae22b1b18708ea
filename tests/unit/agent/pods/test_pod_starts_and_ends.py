"""Hooks, back-off, ephemeral containers and whole-Pod restarts on a node of fakes, the agent's restarts included."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.pods.probe_attempt import ProbeResult
from agent.runtime.fake_runtime import ExecOutcome, Program
from agent.runtime.protocol import ContainerRecord
from control.api.builtin_kinds import PODS
from tests.fakes.agent_node import HollowNode

HOOK = {"exec": {"command": ["hook"]}}


def hooked(**lifecycle: Any) -> list[dict[str, Any]]:
    return [{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "lifecycle": lifecycle}]


async def debug(node: HollowNode, **fields: Any) -> None:
    """What `kubectl debug` does."""
    container = {"name": "debug", "image": "web:1", "imagePullPolicy": "IfNotPresent", **fields}
    await node.client.patch(PODS, "web", {"spec": {"ephemeralContainers": [container]}}, namespace="default")
    await node.settle()


# --- back-off ---------------------------------------------------------------------------------------------------------


async def test_a_restarted_agent_goes_on_with_the_delay(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=1, exit_code=1)
    await node.create()
    await node.settle(30)
    before = (await node.status())["containerStatuses"][0]
    await node.crash()
    await node.start()
    after = (await node.status())["containerStatuses"][0]
    assert before["state"]["waiting"]["message"].startswith("back-off 20s")
    assert after["state"] == before["state"]
    assert after["restartCount"] == before["restartCount"]


# --- hooks ------------------------------------------------------------------------------------------------------------


async def test_a_failed_post_start_hook_stops_the_container_gracefully(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(exit_code=1, output=b"secret")
    await node.create(containers=hooked(postStart=HOOK), terminationGracePeriodSeconds=5)
    assert node.event_messages("FailedPostStartHook") == ["PostStartHook failed"]
    assert node.event_messages("Killing") == ["FailedPostStartHook"]
    assert len(await node.running("web")) == 1
    await node.settle(4)
    assert [record.name[-2:] for record in await node.running("web")] == ["_0"]
    await node.settle(2)
    state = (await node.status())["containerStatuses"][0]
    assert state["lastState"]["terminated"]["exitCode"] == 137


async def test_a_deletion_ends_a_post_start_hook_that_hangs(node: HollowNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    await node.create(containers=hooked(postStart=HOOK))
    status = await node.status()
    assert (status["phase"], status["containerStatuses"][0]["state"]) == (
        "Pending",
        {"waiting": {"reason": "ContainerCreating"}},
    )
    assert status["startTime"]
    await node.delete()
    await node.settle()
    assert await node.find() is None
    assert await node.containers() == []


async def test_hooks_that_hang_do_not_keep_other_pods_from_starting(node: HollowNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    for number in range(8):
        await node.create(f"hangs-{number}", containers=hooked(postStart=HOOK))
    await node.create("other")
    assert (await node.status("other"))["phase"] == "Running"


async def test_a_pre_stop_hook_that_takes_all_the_time_leaves_two_seconds(node: HollowNode) -> None:
    signals: list[str] = []
    original = node.runtime.kill_container

    async def kill(container_id: str, signal: str = "SIGKILL") -> None:
        if container_id == web.id:
            signals.append(signal)
        await original(container_id, signal)

    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create(containers=hooked(preStop={"sleep": {"seconds": 60}}))
    (web,) = await node.running("web")
    node.runtime.kill_container = kill  # type: ignore[method-assign]
    await node.delete(grace=5)
    await node.settle(4)
    assert signals == []
    await node.settle(2)
    assert signals == ["SIGTERM"]
    await node.settle(3)
    assert signals == ["SIGTERM", "SIGKILL"]
    assert await node.find() is None


@pytest.mark.parametrize(("handler", "expected"), [(HOOK, ["PreStopHook failed"]), ({"sleep": {"seconds": 60}}, [])])
async def test_a_pre_stop_hook_that_is_cut_short_has_failed_unless_it_sleeps(
    node: HollowNode, handler: dict[str, Any], expected: list[str]
) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    await node.create(containers=hooked(preStop=handler))
    await node.delete(grace=5)
    await node.settle(8)
    assert await node.find() is None
    assert node.event_messages("FailedPreStopHook") == expected


@pytest.mark.parametrize("grace", [0, 1])
async def test_a_program_always_has_two_seconds_to_stop(node: HollowNode, grace: int) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create()
    await node.delete(grace=grace)
    await node.settle(1.5)
    assert len(await node.running("web")) == 1
    await node.settle(1)
    assert await node.running("web") == []


async def test_the_hook_of_a_sidecar_runs_once_and_at_once(node: HollowNode) -> None:
    ran: list[str] = []

    def outcome(record: ContainerRecord, command: Any) -> ExecOutcome:
        ran.append(record.name.split("_")[1])
        return ExecOutcome()

    node.runtime.exec_outcome = outcome
    node.runtime.add_image("deaf:1", program=Program(ignores_sigterm=True))
    sidecar = {"name": "proxy", "image": "web:1", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"}
    deaf = {"name": "web", "image": "deaf:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(initContainers=[{**sidecar, "lifecycle": {"preStop": HOOK}}], containers=[deaf])
    await node.delete(grace=5)
    await node.settle(1)
    assert ran == ["proxy"]
    assert len(await node.running("proxy")) == 1
    await node.settle(6)
    assert ran == ["proxy"]
    assert await node.find() is None


async def test_hooks_of_sidecars_that_never_end_are_killed_with_them_all_at_once(node: HollowNode) -> None:
    """Conformance of nodes: "should terminate sidecars simultaneously if prestop doesn't exit"."""
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    node.runtime.add_image("deaf:1", program=Program(ignores_sigterm=True))
    node.runtime.add_image("short:1", program=Program(runs_seconds=1))
    deaf = {"image": "deaf:1", "imagePullPolicy": "IfNotPresent", "lifecycle": {"preStop": HOOK}}
    sidecars = [{**deaf, "name": name, "restartPolicy": "Always"} for name in ("one", "two", "three")]
    short = {"name": "web", "image": "short:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(initContainers=sidecars, containers=[short], restartPolicy="Never")
    await node.settle(31.5)
    assert [len(await node.running(name)) for name in ("one", "two", "three")] == [1, 1, 1]
    await node.settle(2)
    status = await node.status()
    assert status["phase"] == "Succeeded"
    assert [item["state"]["terminated"]["exitCode"] for item in status["initContainerStatuses"]] == [137, 137, 137]
    assert node.event_messages("FailedPreStopHook") == ["PreStopHook failed"] * 3


async def test_what_a_pre_stop_hook_runs_is_not_killed_before_its_container(node: HollowNode) -> None:
    closed: list[bool] = []

    def outcome(record: ContainerRecord, command: Any) -> ExecOutcome:
        return ExecOutcome(runs_forever=True)

    async def run(container_id: str, command: Any, *, timeout_seconds: float) -> Any:
        try:
            return await original(container_id, command, timeout_seconds=timeout_seconds)
        finally:
            closed.append(bool(await node.running("web")))

    original = node.runtime.run_exec
    node.runtime.exec_outcome = outcome
    node.runtime.run_exec = run  # type: ignore[method-assign]
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create(containers=hooked(preStop=HOOK))
    await node.delete(grace=5)
    await node.settle(6.5)
    assert closed == []
    await node.settle(2)
    assert closed == [False]
    assert await node.find() is None


async def test_a_shorter_grace_period_cuts_a_pre_stop_hook_short(node: HollowNode) -> None:
    await node.create(containers=hooked(preStop={"sleep": {"seconds": 200}}))
    await node.delete(grace=300)
    await node.settle(5)
    assert len(await node.running("web")) == 1
    await node.delete(grace=1)
    await node.settle(4)
    assert await node.find() is None


# --- ephemeral containers ---------------------------------------------------------------------------------------------


async def test_an_ephemeral_container_runs_beside_the_others_and_is_reported(node: HollowNode) -> None:
    await node.create()
    await debug(node)
    (running,) = await node.running("debug")
    (status,) = (await node.status())["ephemeralContainerStatuses"]
    assert "running" in status["state"]
    assert status["ready"] is False
    assert "started" not in status
    node.runtime.exit_container(running.id, exit_code=3)
    await node.settle(60)
    (status,) = (await node.status())["ephemeralContainerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == 0
    assert (await node.status())["phase"] == "Running"
    await node.crash()
    await node.start()
    await node.settle(5)
    assert await node.running("debug") == []


async def test_an_ephemeral_container_sees_the_processes_of_its_target(node: HollowNode) -> None:
    await node.create(shareProcessNamespace=False)
    await debug(node, targetContainerName="web")
    (web,) = await node.running("web")
    (running,) = await node.running("debug")
    assert node.runtime.create_body(running.id)["HostConfig"]["PidMode"] == f"container:{web.id}"


async def test_a_target_that_does_not_run_is_named(node: HollowNode) -> None:
    await node.create()
    await debug(node, targetContainerName="other")
    (status,) = (await node.status())["ephemeralContainerStatuses"]
    assert status["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": "unable to find target container other",
    }


# --- RestartAllContainers ---------------------------------------------------------------------------------------------


async def test_a_rule_starts_the_whole_pod_over(node: HollowNode) -> None:
    node.runtime.add_image("init:1", program=Program(runs_seconds=0))
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    present = {"imagePullPolicy": "IfNotPresent"}
    await node.create(
        restartPolicy="Never",
        initContainers=[{"name": "init", "image": "init:1", **present}],
        containers=[
            {"name": "web", "image": "web:1", **present},
            {"name": "worker", "image": "web:1", "restartPolicy": "Never", "restartPolicyRules": rules, **present},
        ],
    )
    await node.settle(1)
    (sandbox,) = await node.running("POD")
    for count in (1, 2):
        (worker,) = await node.running("worker")
        node.runtime.exit_container(worker.id, exit_code=42)
        await node.settle(15)
        status = await node.status()
        assert status["phase"] == "Running"
        restarts = [item["restartCount"] for item in (*status["initContainerStatuses"], *status["containerStatuses"])]
        assert restarts == [count, count, count]
    conditions = {item["type"]: item["status"] for item in status["conditions"]}
    assert conditions["AllContainersRestarting"] == "False"
    assert [record.id for record in await node.running("POD")] == [sandbox.id]
    (worker,) = await node.running("worker")
    node.runtime.exit_container(worker.id, exit_code=1)
    (web,) = await node.running("web")
    node.runtime.exit_container(web.id, exit_code=0)
    await node.settle(1)
    assert (await node.status())["phase"] == "Failed"


# --- status -----------------------------------------------------------------------------------------------------------


async def test_a_pod_has_not_failed_before_its_processes_have_ended(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create(activeDeadlineSeconds=10, terminationGracePeriodSeconds=8)
    await node.settle(14)
    assert (await node.status())["phase"] == "Running"
    await node.settle(8)
    status = await node.status()
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


async def test_a_deadline_may_be_set_and_shortened_while_the_pod_runs(node: HollowNode) -> None:
    await node.create()
    for seconds in (1000, 20):
        await node.client.patch(PODS, "web", {"spec": {"activeDeadlineSeconds": seconds}}, namespace="default")
        await node.settle(5)
        assert (await node.status())["phase"] == "Running"
    await node.settle(12)
    assert (await node.status())["reason"] == "DeadlineExceeded"


async def test_a_container_says_who_it_runs_as_also_when_it_has_ended(node: HollowNode) -> None:
    security = {"runAsUser": 1001, "runAsGroup": 2002}
    await node.create(securityContext=security | {"supplementalGroups": [7]}, restartPolicy="Never")
    (status,) = (await node.status())["containerStatuses"]
    assert status["user"] == {"linux": {"uid": 1001, "gid": 2002, "supplementalGroups": [7]}}
    (record,) = await node.running("web")
    node.runtime.exit_container(record.id)
    await node.settle(1)
    (ended,) = (await node.status())["containerStatuses"]
    assert (ended["user"], list(ended["state"])) == (status["user"], ["terminated"])


async def test_termination_messages_of_a_pod_share_twelve_kibibytes(node: HollowNode) -> None:
    names = [f"c{number}" for number in range(6)]
    await node.create(
        restartPolicy="Never",
        containers=[{"name": name, "image": "web:1", "imagePullPolicy": "IfNotPresent"} for name in names],
    )
    await node.settle(1)
    for name in names:
        (running,) = await node.running(name)
        uid = running.labels["io.kubernetes.pod.uid"]
        (node.directory / "pods" / uid / f"termination-{name}-0").write_text("x" * 4096 + "end")
        node.runtime.exit_container(running.id)
    await node.settle(1)
    messages = [item["state"]["terminated"]["message"] for item in (await node.status())["containerStatuses"]]
    assert [len(message) for message in messages] == [2048] * 6


async def test_a_variable_comes_from_a_file_of_a_volume(node: HollowNode) -> None:
    node.volumes.files[("config", "app.env")] = "COLOUR='red'\n"
    selector = {"volumeName": "config", "path": "app.env", "key": "COLOUR"}
    variables = [
        {"name": "C", "valueFrom": {"fileKeyRef": selector}},
        {"name": "NONE", "valueFrom": {"fileKeyRef": {**selector, "key": "SHAPE", "optional": True}}},
        {"name": "TWICE", "value": "$(C)$(C)"},
    ]
    await node.create(
        volumes=[{"name": "config", "emptyDir": {}}],
        containers=[{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "env": variables}],
    )
    (running,) = await node.running("web")
    assert node.runtime.create_body(running.id)["Env"] == ["C=red", "TWICE=redred"]
    bad = [{"name": "C", "valueFrom": {"fileKeyRef": {**selector, "key": "SHAPE"}}}]
    await node.create(
        "bad",
        volumes=[{"name": "config", "emptyDir": {}}],
        containers=[{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "env": bad}],
    )
    waiting = (await node.status("bad"))["containerStatuses"][0]["state"]["waiting"]
    assert waiting["message"] == 'environment variable key "SHAPE" not found in file "app.env"'


async def test_dns_settings_beyond_the_limits_are_named_once(node: HollowNode) -> None:
    await node.create(dnsConfig={"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]})
    (web,) = await node.running("web")
    node.runtime.exit_container(web.id, exit_code=1)
    await node.settle(1)
    assert node.event_messages("DNSConfigForming") == ["too many nameservers"]


# --- probes -----------------------------------------------------------------------------------------------------------


def probed(**probe: Any) -> list[dict[str, Any]]:
    return [{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", **probe}]


async def test_a_probe_that_cannot_be_carried_out_restarts_nothing(node: HollowNode) -> None:
    node.probes.answers["web"] = ProbeResult(passed=False, output="no such port", errored=True)
    await node.create(containers=probed(livenessProbe={"httpGet": {"port": 80}, "periodSeconds": 1}))
    await node.settle(10)
    assert (await node.status())["containerStatuses"][0]["restartCount"] == 0
    assert "Liveness probe errored and resulted in unknown state: no such port" in node.event_messages("Unhealthy")


async def test_a_probe_that_warns_passes(node: HollowNode) -> None:
    node.probes.answers["web"] = ProbeResult(passed=True, output="went away", warns=True)
    await node.create(containers=probed(readinessProbe={"httpGet": {"port": 80}, "periodSeconds": 100}))
    await node.settle(1)
    assert (await node.status())["containerStatuses"][0]["ready"]
    assert node.event_messages("ProbeWarning")[0] == "Readiness probe warning: went away"


async def test_exec_and_hooks_of_a_record(node: HollowNode) -> None:
    ran: list[list[str]] = []

    def outcome(record: ContainerRecord, command: Any) -> ExecOutcome:
        ran.append(list(command))
        return ExecOutcome()

    node.runtime.exec_outcome = outcome
    await node.create(containers=hooked(postStart=HOOK, preStop={"exec": {"command": ["bye"]}}))
    await node.delete()
    await asyncio.sleep(0)
    assert ran == [["hook"], ["bye"]]
