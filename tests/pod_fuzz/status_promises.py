"""What a Pod's status must be, whatever the agent thinks: judged by the containers' states in it and the engine's past.

Rules of the API's documentation of PodStatus, and of the kubelet's pkg/kubelet/status/generate.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.runtime.identity import parse_identity
from agent.runtime.protocol import ContainerRecord
from control.api.objects import Object
from control.api.pods import is_mirror_pod, qos_class

TERMINAL = ("Succeeded", "Failed")
LATER_PHASES: Mapping[str, tuple[str, ...]] = {
    "": ("Pending", "Running", "Succeeded", "Failed"),
    "Pending": ("Pending", "Running", "Succeeded", "Failed"),
    "Running": ("Running", "Succeeded", "Failed"),
    "Succeeded": ("Succeeded",),
    "Failed": ("Failed",),
}
LISTS = (
    ("initContainers", "initContainerStatuses"),
    ("containers", "containerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)
KUBELET_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")

Require = Callable[[object, str, str], None]


class StatusPromises:
    """Judges each status that is written. `records` are all containers that ever were, as last seen, by id."""

    def __init__(self, require: Require, records: Mapping[str, ContainerRecord], probes: Any) -> None:
        self._require = require
        self._records = records
        self._probes = probes

    def judge(self, old: Object, pod: Object) -> None:
        """Judge one write."""
        name, status, before = pod["metadata"]["name"], pod.get("status") or {}, old.get("status") or {}
        self._judge_course(name, pod, before, status)
        self._judge_pod(name, pod, status)
        if "containerStatuses" in status:
            self._judge_end_of_all(name, pod, status)
            for containers, statuses in LISTS:
                self._judge_containers(name, pod, containers, status.get(statuses) or [], before.get(statuses) or [])
            self._judge_conditions(name, pod, status, before)

    def _judge_course(self, name: str, pod: Object, before: Object, status: Object) -> None:
        old, new = before.get("phase") or "", status.get("phase") or ""
        # A Pod that lost its sandbox is initialized again.
        starts_over = (old, new) == ("Running", "Pending") and pod["spec"].get("initContainers")
        fits = new in LATER_PHASES[old] or starts_over
        self._require(fits, "phases_only_go_forward", f"Pod {name}: {old}, then {new}")
        for field in ("reason", "message"):
            # A static Pod's last reason is not known to an agent that starts.
            stays = old != new or before.get(field) == status.get(field) or is_mirror_pod(pod)
            self._require(stays, "reasons_belong_to_phases", f"Pod {name} {field}: {status.get(field)}")
        for field in ("startTime", "qosClass"):
            kept = field not in before or before[field] == status.get(field)
            self._require(kept, "what_is_set_once_stays", f"Pod {name} {field}: {before.get(field)}")
        seen, later = before.get("observedGeneration", 0), status.get("observedGeneration", 0)
        self._require(later >= seen, "observed_generations_never_fall", f"Pod {name}: {seen}, then {later}")

    def _judge_pod(self, name: str, pod: Object, status: Object) -> None:
        require = self._require
        generation = status.get("observedGeneration", 0)
        # That of a static Pod is not the one of its mirror.
        observed = is_mirror_pod(pod) or 0 < generation <= pod["metadata"]["generation"]
        require(observed, "generations_are_observed", f"{name}: {generation}")
        require(status.get("qosClass") == qos_class(pod), "qos_is_told", f"Pod {name}: {status.get('qosClass')}")
        require(status.get("startTime"), "a_start_time_is_told", f"Pod {name}")
        running = [
            item["name"]
            for _, statuses in LISTS
            for item in status.get(statuses) or ()
            if "running" in item["state"] and not statuses.startswith("eph")
        ]
        ended = status.get("phase") in TERMINAL
        require(not (ended and running), "an_ended_pod_runs_nothing", f"Pod {name}: {running} run")
        require(status.get("phase") == "Failed" or not status.get("reason"), "only_failures_have_reasons", name)
        if "refused" in pod["metadata"]["labels"] and not pod["metadata"].get("deletionTimestamp"):
            told = {item["type"] for item in status.get("conditions") or ()} & set(KUBELET_CONDITIONS)
            require(not told and "containerStatuses" not in status, "a_refused_pod_tells_nothing", f"Pod {name}")
            return
        if status.get("qosClass") == "BestEffort":
            given = (status.get("resources"), status.get("allocatedResources"))
            require(given == ({}, None), "what_a_pod_was_given_is_told", f"Pod {name}: {given}")
        else:
            require(status.get("resources"), "what_a_pod_was_given_is_told", f"Pod {name}")

    def _judge_end_of_all(self, name: str, pod: Object, status: Object) -> None:
        """All containers of an ended Pod have ended, seen or not, but those of one that was never initialized."""
        if status["phase"] not in TERMINAL:
            return
        initialized = {item["type"]: item["status"] for item in status["conditions"]}["Initialized"] == "True"
        left = [item["name"] for item in status["containerStatuses"] if "terminated" not in item["state"]]
        ended = not left or (pod["spec"].get("initContainers") and not initialized)
        self._require(ended, "an_ended_pod_has_ended_containers", f"Pod {name}: {left}")

    # --- containers ---------------------------------------------------------------------------------------------------

    def _judge_containers(
        self, name: str, pod: Object, field: str, statuses: list[Object], before: list[Object]
    ) -> None:
        specs = {item["name"]: item for item in pod["spec"].get(field) or ()}
        known = {item["name"]: item for item in before}
        for item in statuses:
            who = f"Pod {name}/{item['name']}"
            self._require(item["name"] in specs, "statuses_are_of_the_spec", who)
            old = known.get(item["name"], {})
            count, later = old.get("restartCount", 0), item["restartCount"]
            self._require(later >= count, "restart_counts_never_fall", f"{who}: {count}, then {later}")
            self._require(len(item["state"]) == 1, "a_container_has_one_state", f"{who}: {item['state']}")
            self._judge_grants(who, specs.get(item["name"], {}), item)
            self._judge_ids(who, item)
            self._judge_ready(who, specs.get(item["name"], {}), item, field)

    def _judge_grants(self, who: str, spec: Object, item: Object) -> None:
        """Mounts are told of every container, resources of every one that was made."""
        mounts, told = spec.get("volumeMounts") or [], item.get("volumeMounts") or []
        wanted = [{**mount, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else mount for mount in mounts]
        self._require(told == wanted, "mounts_are_told", f"{who}: {told}")
        given = "resources" in item or not item.get("containerID")
        self._require(given, "what_a_container_was_given_is_told", who)

    def _judge_ids(self, who: str, item: Object) -> None:
        """Ids, attempts and exit codes are the engine's."""
        record = self._record(item.get("containerID"))
        if item.get("containerID"):
            self._require(record is not None, "containers_are_the_engines", f"{who}: {item['containerID']}")
        if record is not None and "waiting" not in item["state"]:
            attempt = _attempt(record)
            # A container that was lost has the count of the attempt to come, or its own.
            fits = item["restartCount"] >= attempt
            self._require(fits, "restart_counts_are_attempts", f"{who}: {item['restartCount']} of attempt {attempt}")
        for field in ("state", "lastState"):
            ended = (item.get(field) or {}).get("terminated")
            if ended:
                self._judge_end(f"{who} {field}", item, ended, field)
        if "running" in item["state"]:
            self._require(record is not None, "what_runs_has_an_id", who)

    def _judge_end(self, who: str, item: Object, ended: Object, field: str) -> None:
        record = self._record(ended.get("containerID"))
        if record is None:
            lost = ended.get("reason") == "ContainerStatusUnknown" and ended["exitCode"] == 137
            # What ran before a regular container has succeeded, though nobody remembers it.
            lost = lost or (
                ended["exitCode"] == 0 and ended.get("message", "").startswith("Unable to get init container")
            )
            self._require(lost, "an_end_is_a_containers", f"{who}: {ended}")
            return
        code = record.exit_code
        self._require(ended["exitCode"] == code, "exit_codes_are_the_engines", f"{who}: {ended}, engine {code}")
        reason = "Completed" if code == 0 else "OOMKilled" if record.oom_killed else "Error"
        if record.error:
            reason = "ContainerCannotRun"
        self._require(ended.get("reason") == reason, "ends_have_reasons", f"{who}: {ended}, should be {reason}")
        # Waiting to run again, a container's end is its last state; so it stays if nobody sees it run again.
        unseen = (item["state"].get("terminated") or {}).get("reason") == "ContainerStatusUnknown"
        if field == "lastState" and "waiting" not in item["state"] and not unseen and item.get("containerID"):
            newest = self._record(item["containerID"])
            before = newest is not None and _attempt(record) < _attempt(newest)
            self._require(before, "the_last_state_is_an_earlier_attempts", f"{who}: {ended}")
        started, finished = ended.get("startedAt"), ended.get("finishedAt")
        self._require(started <= finished, "an_end_follows_its_start", f"{who}: {started}, {finished}")

    def _judge_ready(self, who: str, spec: Object, item: Object, field: str) -> None:
        ready, started, running = item.get("ready"), item.get("started"), "running" in item["state"]
        container_id = (item.get("containerID") or "").removeprefix("docker://")
        if field == "ephemeralContainers":
            self._require(not ready, "ephemeral_containers_are_never_ready", who)
            return
        if field == "initContainers" and spec.get("restartPolicy") != "Always":
            succeeded = (item["state"].get("terminated") or {}).get("exitCode") == 0
            self._require(bool(ready) == succeeded, "init_containers_are_ready_when_done", f"{who}: {item}")
            return
        self._require(running or not (ready or started), "only_what_runs_is_ready", f"{who}: {item}")
        self._require(started or not ready, "what_is_ready_has_started", f"{who}: {item}")
        for flag, kind in ((ready, "readiness"), (started, "startup")):
            if spec.get(f"{kind}Probe") and flag:
                passed = (container_id, kind) in self._probes.passed
                self._require(passed, "readiness_is_probed", f"{who} {kind}")

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _judge_conditions(self, name: str, pod: Object, status: Object, before: Object) -> None:
        conditions = {item["type"]: item for item in status.get("conditions") or ()}
        missing = [item for item in KUBELET_CONDITIONS if item not in conditions]
        self._require(not missing, "conditions_are_told", f"Pod {name}: {missing}")
        self._judge_transitions(name, conditions, before)
        statuses, init_statuses = status["containerStatuses"], status.get("initContainerStatuses") or []
        sidecars = _sidecars(pod)
        ready = {item["name"] for item in (*init_statuses, *statuses) if item["ready"]}
        relevant = [*sidecars, *(item["name"] for item in pod["spec"]["containers"])]
        unready = [one for one in relevant if one not in ready]
        expected = _verdict(status["phase"], unready)
        found = conditions["ContainersReady"]
        if found.get("reason") != expected[1] and _may_differ(pod, status, before, found.get("reason")):
            expected = ("False", found["reason"], found.get("message", ""))
        self._judge_condition(name, conditions, "ContainersReady", expected)
        gates = pod["spec"].get("readinessGates") or ()
        passed = all(conditions.get(gate["conditionType"], {}).get("status") == "True" for gate in gates)
        if expected[0] == "True" and not passed:
            ready = conditions["Ready"]
            closed = (ready["status"], ready.get("reason")) == ("False", "ReadinessGatesNotReady")
            # What others write may be newer than what the agent has seen.
            self._require(closed or ready["status"] == "True", "gates_are_asked", f"Pod {name}: {ready}")
        else:
            late = expected[0] == "True" and conditions["Ready"].get("reason") == "ReadinessGatesNotReady"
            if not late:
                self._judge_condition(name, conditions, "Ready", expected)
        initialized = conditions["Initialized"]
        incomplete = [
            item["name"]
            for item in init_statuses
            if not (item["started"] if item["name"] in sidecars else item["ready"])
        ]
        was = {item["type"]: item["status"] for item in before.get("conditions") or ()}.get("Initialized")
        if not incomplete or was == "True":
            self._require(initialized["status"] == "True", "initialized_is_told", f"Pod {name}: {initialized}")
        if initialized["status"] == "False":
            message = f"containers with incomplete status: [{' '.join(incomplete)}]"
            told = (initialized.get("reason"), initialized.get("message")) == ("ContainersNotInitialized", message)
            self._require(told, "initialized_says_who", f"Pod {name}: {initialized}, not {message}")

    def _judge_condition(
        self, name: str, conditions: Mapping[str, Object], type: str, expected: tuple[str, str, str]
    ) -> None:
        found = conditions.get(type, {})
        told = (found.get("status"), found.get("reason") or "", found.get("message") or "")
        self._require(told == expected, "conditions_follow_containers", f"Pod {name} {type}: {told}, not {expected}")

    def _judge_transitions(self, name: str, conditions: Mapping[str, Object], before: Object) -> None:
        old = {item["type"]: item for item in before.get("conditions") or ()}
        for condition in KUBELET_CONDITIONS:
            was, now = old.get(condition), conditions.get(condition)
            if was and now and was["status"] == now["status"]:
                # What was the case between two writes is not told, but its time is.
                kept = was["lastTransitionTime"] <= now["lastTransitionTime"]
                self._require(kept, "only_transitions_have_times", f"Pod {name} {condition}: {was}, {now}")

    def _record(self, container_id: str | None) -> ContainerRecord | None:
        return self._records.get((container_id or "").removeprefix("docker://"))


def _may_differ(pod: Object, status: Object, before: Object, reason: str | None) -> bool:
    """Conditions say how a Pod is about to end; of one that was deleted before it ran they say how it stood then."""
    goes_on = any(
        "running" in item["state"] or ("waiting" in item["state"] and item["lastState"] and not is_lost(item))
        for item in status["containerStatuses"]
    )
    ends = "activeDeadlineSeconds" in pod["spec"] or not goes_on
    if status["phase"] not in TERMINAL:
        return reason in ("PodFailed", "PodCompleted") and ends
    was_pending = before.get("phase") in (None, "Pending", "Failed")
    return bool(reason == "ContainersNotReady" and was_pending and pod["metadata"].get("deletionTimestamp"))


def is_lost(status: Object) -> bool:
    """Whether nobody saw a container end: somebody has removed it."""
    ends = [(status.get(field) or {}).get("terminated") or {} for field in ("state", "lastState")]
    return any(end.get("reason") == "ContainerStatusUnknown" for end in ends)


def _sidecars(pod: Object) -> list[str]:
    return [item["name"] for item in pod["spec"].get("initContainers") or () if item.get("restartPolicy") == "Always"]


def _attempt(record: ContainerRecord) -> int:
    identity = parse_identity(record.labels)
    assert identity is not None
    return identity.attempt


def _verdict(phase: str, unready: list[str]) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "False", "PodCompleted", ""
    if phase == "Failed":
        return "False", "PodFailed", ""
    if unready:
        return "False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "True", "", ""
