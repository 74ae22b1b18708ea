"""The life of Pods on a node of fakes: start, restart, back-off, sandbox loss, deletion, crashes of the agent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.network.protocol import PortMapping
from agent.pods.actions import Action, StartSandbox
from agent.pods.executor import Outcome, PodExecutor
from agent.pods.pod_record import PodRecord
from agent.pods.probe_attempt import ProbeResult
from agent.pods.rejection import Rejection
from agent.runtime.fake_runtime import Program
from agent.runtime.protocol import EngineUnavailableError, RuntimeFailure
from control.api.builtin_kinds import PODS
from control.api.errors import ApiError
from tests.fakes.agent_node import HollowNode


async def test_a_bound_pod_runs_and_says_so(node: HollowNode) -> None:
    await node.create()
    status = await node.status()
    assert status["phase"] == "Running"
    assert status["podIP"] == "10.244.0.2"
    assert status["hostIP"] == "10.244.0.1"
    (container,) = status["containerStatuses"]
    assert container["ready"]
    assert container["started"]
    assert container["restartCount"] == 0
    assert "running" in container["state"]
    conditions = {item["type"]: item["status"] for item in status["conditions"]}
    assert conditions == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert [event[:2] for event in node.events] == [("Normal", "Pulled"), ("Normal", "Created"), ("Normal", "Started")]


async def test_a_settled_pod_costs_no_more_writes_and_no_engine_calls(node: HollowNode) -> None:
    await node.create()
    await node.settle(5)
    requests, calls = len(node.api.requests), len(node.runtime.trace)
    await node.settle(30)
    assert len(node.api.requests) == requests
    assert len(node.runtime.trace) == calls


async def test_the_first_restart_is_immediate_and_the_second_waits(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program()
    await node.create()
    (first,) = await node.running("web")
    node.runtime.exit_container(first.id, exit_code=1)
    await node.settle()
    (second,) = await node.running("web")
    assert second.name.endswith("_1")
    status = (await node.status())["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    node.runtime.exit_container(second.id, exit_code=1)
    await node.settle()
    assert await node.running("web") == []
    waiting = (await node.status())["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 10s restarting failed container=web pod=web_default(")
    await node.settle(9)
    assert await node.running("web") == []
    await node.settle(2)
    (third,) = await node.running("web")
    assert third.name.endswith("_2")
    assert len([record for record in await node.containers() if "_web_web_" in record.name]) == 2


async def test_the_delay_doubles_and_is_forgotten_after_ten_healthy_minutes(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=1, exit_code=1)
    await node.create()
    await node.settle(60)
    message = (await node.status())["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith("back-off 40s")
    node.runtime.programs["web:1"] = Program()
    await node.settle(60)
    for _ in range(3):
        await node.clock.advance(300)
        await node.settle()
    (healthy,) = await node.running("web")
    node.runtime.exit_container(healthy.id, exit_code=1)
    await node.settle()
    assert len(await node.running("web")) == 1


async def test_a_dead_sandbox_takes_the_containers_with_it_and_comes_back_with_the_next_attempt(
    node: HollowNode,
) -> None:
    await node.create()
    (pause,) = await node.running("POD")
    node.runtime.exit_container(pause.id, exit_code=137)
    await node.settle(1)
    (new_pause,) = await node.running("POD")
    (web,) = await node.running("web")
    assert new_pause.name.endswith("_1")
    assert web.name.endswith("_1")
    status = await node.status()
    assert status["phase"] == "Running"
    assert status["containerStatuses"][0]["restartCount"] == 1
    assert len([record for record in await node.containers() if "_POD_" in record.name]) == 1
    assert node.event_messages("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]


async def test_a_pod_whose_sandbox_died_is_pending_until_it_is_initialized_again(node: HollowNode) -> None:
    node.runtime.add_image("init:1", program=Program(runs_seconds=2))
    init = {"name": "init", "image": "init:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(initContainers=[init])
    await node.settle(3)
    (pause,) = await node.running("POD")
    node.runtime.exit_container(pause.id, exit_code=137)
    await node.settle(1)
    assert len(await node.running("init")) == 1
    assert (await node.status())["phase"] == "Pending"
    await node.settle(3)
    assert (await node.status())["phase"] == "Running"


async def test_a_pod_whose_containers_were_all_removed_is_rebuilt(node: HollowNode) -> None:
    await node.create()
    for record in await node.containers():
        await node.runtime.remove_container(record.id)
    await node.settle(1)
    assert len(await node.running("POD")) == 1
    assert len(await node.running("web")) == 1
    status = (await node.status())["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


async def test_a_completed_pod_gets_no_new_sandbox(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=1, exit_code=0)
    await node.create(restartPolicy="Never")
    await node.settle(5)
    status = await node.status()
    assert status["phase"] == "Succeeded"
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert {item["type"]: item.get("reason") for item in status["conditions"]}["Ready"] == "PodCompleted"
    assert await node.running("POD") == []
    assert not node.volumes.mounted
    await node.crash()
    await node.start()
    await node.settle(5)
    assert await node.running("POD") == []
    assert (await node.status())["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("policy", "exit_code", "phase", "restarts"),
    [
        pytest.param("Never", 1, "Failed", 0, id="policy Never leaves a failure alone"),
        pytest.param("OnFailure", 0, "Succeeded", 0, id="policy OnFailure leaves a success alone"),
        pytest.param("OnFailure", 1, "Running", 1, id="policy OnFailure restarts a failure"),
        pytest.param("Always", 0, "Running", 1, id="policy Always restarts a success"),
    ],
)
async def test_restart_policy(node: HollowNode, policy: str, exit_code: int, phase: str, restarts: int) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=1, exit_code=exit_code)
    await node.create(restartPolicy=policy)
    await node.settle(1.5)
    status = await node.status()
    assert status["phase"] == phase
    assert status["containerStatuses"][0]["restartCount"] == restarts


async def test_init_containers_run_in_order_before_the_rest(node: HollowNode) -> None:
    node.runtime.add_image("init:1", program=Program(runs_seconds=2))
    initial = [{"name": name, "image": "init:1", "imagePullPolicy": "IfNotPresent"} for name in ("one", "two")]
    await node.create(initContainers=initial)
    await node.settle(1)
    assert len(await node.running("one")) == 1
    assert await node.running("two") == []
    status = await node.status()
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    message = next(item["message"] for item in status["conditions"] if item["type"] == "Initialized")
    assert message == "containers with incomplete status: [one two]"
    await node.settle(2)
    assert len(await node.running("two")) == 1
    await node.settle(2)
    assert len(await node.running("web")) == 1
    status = await node.status()
    assert status["phase"] == "Running"
    assert [item["ready"] for item in status["initContainerStatuses"]] == [True, True]


async def test_a_failed_init_container_fails_a_pod_that_never_restarts(node: HollowNode) -> None:
    node.runtime.add_image("init:1", program=Program(runs_seconds=1, exit_code=3))
    initial = [{"name": "one", "image": "init:1", "imagePullPolicy": "IfNotPresent"}]
    await node.create(initContainers=initial, restartPolicy="Never")
    await node.settle(3)
    assert (await node.status())["phase"] == "Failed"
    assert await node.running("POD") == []


async def test_a_sidecar_starts_first_stays_and_ends_last(node: HollowNode) -> None:
    node.runtime.add_image("job:1", program=Program(runs_seconds=2))
    sidecar = {"name": "proxy", "image": "web:1", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"}
    job = {"name": "job", "image": "job:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(initContainers=[sidecar], containers=[job], restartPolicy="Never")
    await node.settle(1)
    assert len(await node.running("proxy")) == 1
    assert len(await node.running("job")) == 1
    await node.settle(3)
    assert await node.running("proxy") == []
    assert (await node.status())["phase"] == "Succeeded"


async def test_graceful_deletion_signals_waits_and_removes_everything(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create()
    await node.delete(grace=5)
    await node.settle(3)
    assert len(await node.running("web")) == 1
    assert await node.find() is not None
    await node.settle(4)
    assert await node.find() is None
    assert await node.containers() == []
    assert not node.volumes.mounted
    assert node.event_messages("Killing") == ["Stopping container web"]


async def test_a_shorter_second_grace_period_counts(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create()
    await node.delete(grace=300)
    await node.settle(5)
    await node.delete(grace=1)
    await node.settle(4)
    assert await node.find() is None
    assert await node.containers() == []


async def test_a_pod_deleted_while_its_program_obeys_is_gone_at_once(node: HollowNode) -> None:
    await node.create()
    await node.delete()
    await node.settle()
    assert await node.find() is None
    assert await node.containers() == []


async def test_force_deletion_stops_a_pod_whose_object_is_gone(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create()
    await node.delete(grace=0)
    assert await node.find() is None
    await node.settle(3)
    assert await node.containers() == []


async def test_an_image_that_does_not_exist_backs_off_and_leaves_other_pods_alone(node: HollowNode) -> None:
    await node.create("bad", containers=[{"name": "web", "image": "none:1", "imagePullPolicy": "IfNotPresent"}])
    await node.settle(1)
    waiting = (await node.status("bad"))["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ErrImagePull"
    await node.create("good")
    assert (await node.status("good"))["phase"] == "Running"
    await node.settle(3)
    waiting = (await node.status("bad"))["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert waiting["message"].startswith('Back-off pulling image "none:1": ErrImagePull: ')
    assert "Error: ErrImagePull" in node.event_messages("Failed")
    node.runtime.add_registry_image("none:1")
    await node.settle(15)
    assert (await node.status("bad"))["phase"] == "Running"


async def test_missing_configuration_waits_for_it(node: HollowNode) -> None:
    source = {"configMapKeyRef": {"name": "settings", "key": "color"}}
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(containers=[{**container, "env": [{"name": "COLOR", "valueFrom": source}]}])
    waiting = (await node.status())["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "settings" not found'}
    node.objects.config_maps["settings"] = {"data": {"color": "red"}}
    await node.settle(6)
    (web,) = await node.running("web")
    assert "COLOR=red" in node.runtime.create_body(web.id)["Env"]


async def test_a_command_that_cannot_run_is_reported(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(start_error='exec: "nope": executable file not found in $PATH')
    await node.create()
    status = (await node.status())["containerStatuses"][0]
    assert status["state"]["waiting"]["reason"] in ("RunContainerError", "CrashLoopBackOff")
    assert status["lastState"]["terminated"]["reason"] == "ContainerCannotRun"
    assert "Error: exec:" in node.event_messages("Failed")[0]


async def test_a_volume_that_cannot_be_mounted_is_reported_and_tried_again(node: HollowNode) -> None:
    node.volumes.failure = 'MountVolume.SetUp failed for volume "x" : configmap "y" not found'
    await node.create()
    assert (await node.status())["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    assert node.volumes.failure in node.event_messages("FailedMount")
    node.volumes.failure = ""
    await node.settle(5)
    assert (await node.status())["phase"] == "Running"


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
async def test_a_changed_image_replaces_the_container(node: HollowNode, policy: str) -> None:
    await node.create(restartPolicy=policy)
    pod = await node.find()
    assert pod is not None
    patch = {"spec": {"containers": [{**pod["spec"]["containers"][0], "image": "web:2"}]}}
    await node.client.patch(PODS, "web", patch, namespace="default")
    await node.settle(1)
    (web,) = await node.running("web")
    assert web.image == "web:2"
    assert node.event_messages("Killing") == ["Container web definition changed, will be restarted"]
    status = await node.status()
    assert (status["phase"], status["containerStatuses"][0]["restartCount"]) == ("Running", 1)


async def test_a_failed_liveness_probe_restarts_the_container(node: HollowNode) -> None:
    probe = {"httpGet": {"port": 80}, "periodSeconds": 1, "failureThreshold": 2}
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "livenessProbe": probe}
    await node.create(containers=[container])
    await node.settle(3)
    assert (await node.status())["containerStatuses"][0]["restartCount"] == 0
    node.probes.answers["web"] = ProbeResult(passed=False, output="HTTP probe failed with statuscode: 500")
    await node.settle(2)
    node.probes.answers.clear()
    await node.settle(1)
    assert (await node.status())["containerStatuses"][0]["restartCount"] == 1
    assert "Container web failed liveness probe, will be restarted" in node.event_messages("Killing")
    assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in node.event_messages("Unhealthy")


async def test_readiness_follows_its_probe(node: HollowNode) -> None:
    node.probes.answers["web"] = ProbeResult(passed=False, output="no")
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "readinessProbe": probe}
    await node.create(containers=[container])
    await node.settle(2)
    status = await node.status()
    assert not status["containerStatuses"][0]["ready"]
    ready = next(item for item in status["conditions"] if item["type"] == "Ready")
    assert ready["message"] == "containers with unready status: [web]"
    node.probes.answers.clear()
    await node.settle(2)
    assert (await node.status())["containerStatuses"][0]["ready"]
    await node.crash()
    node.probes.answers["web"] = ProbeResult(passed=True)
    await node.start()
    assert (await node.status())["containerStatuses"][0]["ready"], "a restart of the agent makes no Pod unready"


async def test_host_ports_go_to_the_network_and_its_complaints_to_events(node: HollowNode) -> None:
    ports = [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}, {"containerPort": 81}]
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "ports": ports}
    sidecar = {**container, "name": "side", "restartPolicy": "Always"}
    sidecar["ports"] = [{"containerPort": 53, "hostPort": 53, "protocol": "UDP"}]
    node.network.taken_ports = {53}
    await node.create(containers=[container], initContainers=[sidecar])
    assert node.network.ports["10.244.0.2"] == [
        PortMapping(host_port=8080, container_port=80, host_ip="127.0.0.1"),
        PortMapping(host_port=53, container_port=53, protocol="UDP"),
    ]
    assert node.event_messages("HostPortConflict") == ["port 53 is taken"]
    await node.crash()
    node.network.ports.clear()
    await node.start()
    await node.settle()
    assert len(node.network.ports["10.244.0.2"]) == 2, "bound again by the next agent"
    await node.delete(grace=0)
    await node.settle()
    assert node.network.ports == {}


async def test_a_clash_in_the_hosts_network_is_told_once(node: HollowNode) -> None:
    port = {"containerPort": 80, "hostPort": 80}
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "ports": [port]}
    node.network.taken_ports = {80}
    await node.create(containers=[container], hostNetwork=True)
    assert (await node.status())["phase"] == "Running"
    await node.crash()
    await node.start()
    await node.settle()
    assert node.event_messages("HostPortConflict") == ["port 80 is taken"]


async def test_a_pod_that_ends_holds_its_port_and_one_that_is_gone_does_not(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create("old")
    await node.delete("old", grace=30)
    await node.settle()
    assert [pod["metadata"]["name"] for pod in node.workers.admitted_pods()] == ["old"]
    await node.delete("old", grace=0)
    assert list(node.workers.admitted_pods()) == []


async def test_a_rejected_pod_fails_without_a_container(node: HollowNode) -> None:
    node.rejection = lambda pod: Rejection(reason="OutOfcpu", message="Node didn't have enough resource: cpu")
    await node.create()
    status = await node.status()
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert status["message"] == "Pod was rejected: Node didn't have enough resource: cpu"
    assert node.event_messages("OutOfcpu") == ["Node didn't have enough resource: cpu"]
    assert await node.containers() == []
    await node.delete()
    assert await node.find() is None


async def test_unsupported_fields_are_named_and_nothing_runs(node: HollowNode) -> None:
    node.unsupported = lambda pod: ["spec.volumes[0].nfs"]
    await node.create()
    waiting = (await node.status())["containerStatuses"][0]["state"]["waiting"]
    assert waiting["message"] == "this node does not support: spec.volumes[0].nfs"
    assert node.event_messages("UnsupportedField") == [waiting["message"]]
    assert await node.containers() == []


async def test_an_unsupported_field_added_to_a_running_pod_is_named_and_the_pod_runs_on(node: HollowNode) -> None:
    await node.create()
    await node.crash()
    node.unsupported = lambda pod: ["spec.ephemeralContainers"]
    await node.start()
    assert node.event_messages("UnsupportedField") == ["this node does not support: spec.ephemeralContainers"]
    assert len(await node.running("web")) == 1


async def test_an_active_deadline_fails_the_pod(node: HollowNode) -> None:
    await node.create(activeDeadlineSeconds=10)
    await node.settle(12)
    status = await node.status()
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert await node.running("web") == []
    assert await node.running("POD") == []


async def test_a_program_that_must_be_process_one_gets_a_hint(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=0.5, exit_code=1)
    await node.create()
    await node.settle(5)
    (hint,) = node.event_messages("SharedProcessNamespace")
    assert "`shareProcessNamespace: false`" in hint


async def test_a_program_that_was_stopped_gets_no_hint(node: HollowNode) -> None:
    probe = {"exec": {"command": ["x"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "livenessProbe": probe}
    node.probes.answers["web"] = ProbeResult(passed=False, output="no")
    await node.create(containers=[container])
    await node.settle(5)
    assert node.event_messages("BackOff")
    assert node.event_messages("SharedProcessNamespace") == []


# --- the agent's own failures -----------------------------------------------------------------------------------------


async def test_a_restarted_agent_adopts_what_runs(node: HollowNode) -> None:
    await node.create()
    before = {record.id for record in await node.containers()}
    await node.crash()
    calls = len(node.runtime.trace)
    await node.start()
    await node.settle(3)
    assert {record.id for record in await node.containers()} == before
    verbs = {call.verb for call in node.runtime.trace[calls:]}
    assert not verbs & {"create_container", "start_container", "kill_container", "remove_container"}


async def test_a_sandbox_that_dies_while_it_is_adopted_is_replaced(
    node: HollowNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.create()
    (pause,) = await node.running("POD")
    await node.crash()
    execute = PodExecutor.execute

    async def execute_late(self: PodExecutor, pod_record: PodRecord, actions: Sequence[Action]) -> Outcome:
        if any(isinstance(action, StartSandbox) for action in actions):
            node.runtime.exit_container(pause.id, exit_code=137)
            await node.cache.refresh(pause.id)
        return await execute(self, pod_record, actions)

    monkeypatch.setattr(PodExecutor, "execute", execute_late)
    await node.start()
    await node.settle(3)
    assert [record.name[-2:] for record in await node.running("POD")] == ["_1"]
    assert [record.name[-2:] for record in await node.running("web")] == ["_1"]


async def test_a_pod_deleted_while_the_agent_was_away_is_stopped(node: HollowNode) -> None:
    await node.create()
    await node.crash()
    await node.client.delete(PODS, "web", namespace="default", grace_period_seconds=0)
    await node.start()
    await node.settle(3)
    assert await node.containers() == []


async def test_nothing_is_stopped_while_the_api_is_away(node: HollowNode) -> None:
    await node.create()
    before = {record.id for record in await node.containers()}
    node.api.fail_next(ApiError(503, "ServiceUnavailable", "away"), times=1000)
    node.api.break_watches()
    await node.settle(60)
    assert {record.id for record in await node.containers()} == before
    (web,) = await node.running("web")
    node.runtime.exit_container(web.id, exit_code=1)
    await node.settle(1)
    assert len(await node.running("web")) == 1, "self-healing needs no API"


async def test_a_lost_event_stream_is_made_good_by_listing(node: HollowNode) -> None:
    await node.create()
    node.runtime.break_events()
    (web,) = await node.running("web")
    node.runtime.exit_container(web.id, exit_code=1)
    await node.settle(1)
    (new,) = await node.running("web")
    assert new.name.endswith("_1")


async def test_an_engine_that_is_away_for_a_while_is_waited_for(node: HollowNode) -> None:
    node.runtime.inject_error("create_container", EngineUnavailableError("restarting"), times=3)
    await node.create()
    await node.settle(10)
    assert (await node.status())["phase"] == "Running"
    assert len(await node.running("POD")) == 1


INTERRUPTIBLE = ("create_container", "start_container", "inspect_container", "find_image")


@pytest.mark.parametrize("verb", INTERRUPTIBLE)
@pytest.mark.parametrize("skipped", [0, 1, 2, 3])
@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
async def test_a_crash_at_any_call_converges_without_duplicates(
    node: HollowNode, verb: str, skipped: int, after: bool
) -> None:
    class CrashError(RuntimeFailure):
        pass

    # Harmless first calls, then one whose answer is lost; the agent restarts there.
    for _ in range(skipped):
        node.runtime.inject_error(verb, EngineUnavailableError("lost"), after=after)
    node.runtime.inject_error(verb, CrashError("lost"), after=after)
    await node.create()
    await node.crash()
    await node.start()
    await node.settle(60)
    assert (await node.status())["phase"] == "Running"
    assert len(await node.running("POD")) == 1
    assert len(await node.running("web")) == 1
    (pause,) = await node.running("POD")
    (web,) = await node.running("web")
    assert node.runtime.create_body(web.id)["HostConfig"]["NetworkMode"] == f"container:{pause.id}"
    await node.delete()
    await node.settle(5)
    assert await node.containers() == []


@pytest.mark.parametrize("verb", ["kill_container", "remove_container", "inspect_container"])
@pytest.mark.parametrize("skipped", [0, 1, 2])
async def test_a_crash_while_stopping_converges(node: HollowNode, verb: str, skipped: int) -> None:
    await node.create()
    for _ in range(skipped + 1):
        node.runtime.inject_error(verb, EngineUnavailableError("lost"))
    await node.delete(grace=5)
    await node.crash()
    await node.start()
    await node.settle(30)
    assert await node.find() is None
    assert await node.containers() == []


async def test_two_pods_never_share_an_address(node: HollowNode) -> None:
    for number in range(10):
        await node.create(f"p{number}")
    await node.settle(1)
    addresses = [(await node.status(f"p{number}"))["podIP"] for number in range(10)]
    assert len(set(addresses)) == 10
