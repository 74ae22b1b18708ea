"""What the containers of a Pod are promised: who starts after whom, who is stopped why, when and in which order.

A model of its own, fed by the engine's events and the API's commits; it shares no decision with the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.runtime.identity import ContainerIdentity, ContainerRole, parse_identity
from agent.runtime.protocol import ContainerRecord, ContainerState
from agent.static_pods.manifest import HASH_ANNOTATION
from control.api.objects import Object
from control.api.pods import is_mirror_pod
from tests.pod_fuzz.status_promises import TERMINAL, Require

#: What an agent may still do on what it knew before it heard of a change; longer while something is wrong.
NEWS_SECONDS = 1.0
#: What a signal may need to arrive.
SIGNAL_SECONDS = 0.2


@dataclass(slots=True)
class PodLife:
    """What has happened to one Pod. `ends` are exit codes by container name, the newest last."""

    pod: Object
    deleted_at: datetime | None = None
    ended_at: datetime | None = None
    gone_at: datetime | None = None
    evicted: bool = False
    forced: bool = False
    is_spared: bool = False
    ends: dict[str, list[int]] = field(default_factory=dict)
    signals: dict[str, datetime] = field(default_factory=dict)
    engine_events: int = 0
    causes: int = 0
    writes: int = 0

    @property
    def spec(self) -> Object:
        """The newest spec."""
        spec: Object = self.pod["spec"]
        return spec

    def containers(self) -> Iterator[Object]:
        """Of all lists."""
        for listed in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(listed) or ()

    def find(self, name: str) -> Object | None:
        """By name."""
        return next((item for item in self.containers() if item["name"] == name), None)


class LifePromises:
    """Judges starts and signals."""

    def __init__(
        self, require: Require, now: Callable[[], datetime], records: dict[str, ContainerRecord], probes: Any
    ) -> None:
        self.lives: dict[str, PodLife] = {}
        self.mirror_uids: set[str] = set()
        self.records = records
        self.is_disturbed: Callable[[], bool] = lambda: False
        self.is_outside = False
        self._require = require
        self._now = now
        self._probes = probes

    # --- the API's side -----------------------------------------------------------------------------------------------

    def on_commit(self, event: str, pod: Object) -> None:
        """Take in what the API has. A mirror tells of a static Pod, which is no object of the API."""
        if is_mirror_pod(pod):
            self.mirror_uids.add(pod["metadata"]["uid"])
            life = self.life_of(pod)
            life.pod = {**life.pod, "status": {} if event == "DELETED" else pod.get("status") or {}}
            return
        life = self.lives.setdefault(pod["metadata"]["uid"], PodLife(pod))
        life.pod = pod
        now = self._now()
        if pod["metadata"].get("deletionTimestamp"):
            life.deleted_at = life.deleted_at or now
        if (pod.get("status") or {}).get("phase") in TERMINAL:
            life.ended_at = life.ended_at or now
        if event == "DELETED":
            life.gone_at = now
            running = [record.name for record in self._running(pod["metadata"]["uid"])]
            forced = life.forced or not pod["metadata"].get("deletionTimestamp")
            self._require(forced or not running, "a_pod_goes_after_its_containers", f"{running} run")

    def life_of(self, pod: Object) -> PodLife:
        """The life that an object of the API tells of."""
        annotations = pod["metadata"].get("annotations") or {}
        return self.lives[annotations.get(HASH_ANNOTATION) or pod["metadata"]["uid"]]

    # --- the engine's side --------------------------------------------------------------------------------------------

    def on_event(self, action: str, record: ContainerRecord) -> None:
        """Take in what happens to a container."""
        self.records[record.id] = record
        identity = parse_identity(record.labels)
        assert identity is not None
        life = self.lives.get(identity.pod_uid)
        if life is None:
            self._require(False, "containers_are_of_pods", record.name)
            return
        life.engine_events += 1
        if action == "start":
            self._judge_start(life, record, identity)
        elif action == "die":
            life.ends.setdefault(identity.container_name, []).append(record.exit_code)

    def _judge_start(self, life: PodLife, record: ContainerRecord, identity: ContainerIdentity) -> None:
        name = identity.container_name
        who = f"{record.name}"
        disturbed = self.is_disturbed()
        for moment, why in ((life.deleted_at, "deleted"), (life.ended_at, "ended"), (life.gone_at, "gone")):
            late = moment is not None and (self._now() - moment).total_seconds() > NEWS_SECONDS
            self._require(not late or disturbed, f"a_pod_that_is_{why}_starts_nothing", who)
        self._require("refused" not in life.pod["metadata"]["labels"], "a_refused_pod_starts_nothing", who)
        former = [one.name for one in self._of_former(life)]
        self._require(disturbed or not former, "a_static_pod_waits_for_its_former_form", f"{who}: {former} run")
        running = list(self._running(identity.pod_uid))
        twice = [one.name for one in running if one.id != record.id and _name(one) == name]
        self._require(not twice, "a_container_runs_once", f"{who} beside {twice}")
        if identity.role is ContainerRole.SANDBOX:
            others = [one for one in running if one.id != record.id]
            self._require(not others, "a_sandbox_is_first", f"{who}: {[one.name for one in others]} run")
            return
        sandbox = self.records.get(identity.sandbox_id)
        joined = sandbox is not None and sandbox.state is ContainerState.RUNNING
        self._require(joined, "a_container_joins_its_pods_sandbox", who)
        self._judge_order(life, identity, who)

    def _judge_order(self, life: PodLife, identity: ContainerIdentity, who: str) -> None:
        """Init containers one after the other, then the regular ones; sidecars have started before who follows."""
        initial = life.spec.get("initContainers") or []
        names = [item["name"] for item in initial]
        if (life.find(identity.container_name) or {}) in (life.spec.get("ephemeralContainers") or ()):
            return
        mine = [record for record in self._of_sandbox(identity) if record.started_at]
        regular = {item["name"] for item in life.spec["containers"]}
        if any(_name(record) in regular for record in mine if record.name != who):
            return  # initialized already
        before = initial[: names.index(identity.container_name)] if identity.container_name in names else initial
        for item in before:
            own = [record for record in mine if _name(record) == item["name"]]
            if item.get("restartPolicy") == "Always":
                done = any(self._has_started(item, record) for record in own)
            else:
                done = any(record.state is ContainerState.EXITED and record.exit_code == 0 for record in own)
            self._require(done, "init_containers_come_first", f"{who} before {item['name']}")

    def _has_started(self, sidecar: Object, record: ContainerRecord) -> bool:
        return not sidecar.get("startupProbe") or (record.id, "startup") in self._probes.passed

    # --- signals ------------------------------------------------------------------------------------------------------

    def on_signal(self, record: ContainerRecord, signal: str) -> None:
        """Somebody stops a container."""
        if self.is_outside or record.state is not ContainerState.RUNNING:
            return
        identity = parse_identity(record.labels)
        assert identity is not None
        life = self.lives[identity.pod_uid]
        if identity.role is ContainerRole.SANDBOX:
            others = [one.name for one in self._running(identity.pod_uid) if self._is_of(one, record.id)]
            self._require(not others, "a_sandbox_is_last", f"{record.name}: {others} run")
            return
        self._require(self._may_stop(life, record, identity), "nothing_is_stopped_without_a_reason", record.name)
        if signal == "SIGKILL":
            self._judge_kill(life, record)
        elif record.id not in life.signals:
            life.signals[record.id] = self._now()
            self._judge_stop_order(life, record, identity)

    def _may_stop(self, life: PodLife, record: ContainerRecord, identity: ContainerIdentity) -> bool:
        """The reasons of the kubelet; who has one may be stopped."""
        if self._is_ending(life):
            return True
        spec = life.find(identity.container_name)
        sandbox = self.records.get(identity.sandbox_id)
        if spec is None or sandbox is None or sandbox.state is not ContainerState.RUNNING:
            return True
        if spec["image"] != record.image or spec.get("resizePolicy"):
            return True
        if any((record.id, kind) in self._probes.failed for kind in ("liveness", "startup")):
            return True
        if (spec.get("lifecycle") or {}).get("postStart"):
            return True
        return _starts_over(life)

    def _is_ending(self, life: PodLife) -> bool:
        """Deleted, ended, evicted, out of time, or with nothing left to do."""
        if life.deleted_at or life.gone_at or life.evicted or life.ended_at:
            return True
        if "activeDeadlineSeconds" in life.spec:
            return True
        return self._is_finished(life)

    def _is_finished(self, life: PodLife) -> bool:
        """No regular container runs, or an init container has failed."""
        regular = {item["name"] for item in life.spec["containers"]}
        running = {_name(record) for record in self._running(life.pod["metadata"]["uid"])}
        return not regular & running

    def _judge_kill(self, life: PodLife, record: ContainerRecord) -> None:
        """Nobody is killed before the shortest grace period that may apply to it is over."""
        first = life.signals.get(record.id)
        shortest = self._shortest_grace(life, record)
        if first is None:
            may = shortest <= 0 or _has_pre_stop(life, record) or _starts_over(life)
            self._require(may or self.is_disturbed(), "a_signal_comes_before_the_kill", record.name)
            return
        waited = (self._now() - first).total_seconds()
        # It counts from the decision; what a signal needs to arrive is not added.
        granted = waited >= shortest - SIGNAL_SECONDS or self.is_disturbed()
        self._require(granted, "grace_is_granted", f"{record.name}: {waited} of {shortest} s")

    def _shortest_grace(self, life: PodLife, record: ContainerRecord) -> float:
        """Seconds between the first signal and the kill."""
        spec = life.find(_name(record)) or {}
        graces = [float(life.spec["terminationGracePeriodSeconds"])]
        for kind in ("livenessProbe", "startupProbe"):
            if "terminationGracePeriodSeconds" in (spec.get(kind) or {}):
                graces.append(float(spec[kind]["terminationGracePeriodSeconds"]))
        if life.evicted or life.gone_at:
            graces.append(1.0)
        if "deletionGracePeriodSeconds" in life.pod["metadata"]:
            graces.append(float(life.pod["metadata"]["deletionGracePeriodSeconds"]))
        if _has_pre_stop(life, record) or _starts_over(life) or self._waits_for_others(life):
            return 0.0
        if life.deleted_at:
            # The period counts from the deletion: what was signalled late has the rest, yet a moment.
            return min(2.0, *graces)
        return min(graces)

    def _waits_for_others(self, life: PodLife) -> bool:
        """The grace period is the Pod's: who waits for the end of another has what that one left."""
        return bool(_sidecar_names(life)) or any(item.get("lifecycle") for item in life.containers())

    def _judge_stop_order(self, life: PodLife, record: ContainerRecord, identity: ContainerIdentity) -> None:
        """Sidecars of a Pod that ends go last, the last of them first, as long as its grace period lasts."""
        sidecars = _sidecar_names(life)
        name = identity.container_name
        if name not in sidecars or not (life.deleted_at or life.ended_at) or self.is_disturbed():
            return
        if not self._is_sandbox_alive(identity):
            return
        later = sidecars[sidecars.index(name) + 1 :]
        uid = identity.pod_uid
        regular = [item["name"] for item in life.spec["containers"]]
        before = [one for one in self._running(uid) if _name(one) in (*later, *regular) and not _is_sandbox(one)]
        waits = [one.name for one in before if not self._has_had_its_time(life, one)]
        own_reason = any((record.id, kind) in self._probes.failed for kind in ("liveness", "startup"))
        self._require(own_reason or not waits, "sidecars_stop_last", f"{record.name} before {waits}")

    def _has_had_its_time(self, life: PodLife, record: ContainerRecord) -> bool:
        """The Pod's grace period is over, or this one has had all of it."""
        grace = float(life.spec["terminationGracePeriodSeconds"])
        if life.evicted or life.gone_at:
            grace = min(1.0, grace)
        grace = min(grace, float(life.pod["metadata"].get("deletionGracePeriodSeconds", grace)))
        if _has_pre_stop(life, record):
            return True
        begun = [moment for moment in (life.deleted_at, life.signals.get(record.id)) if moment is not None]
        return bool(begun) and (self._now() - min(begun)).total_seconds() >= grace - SIGNAL_SECONDS

    # --- questions ----------------------------------------------------------------------------------------------------

    def _is_sandbox_alive(self, identity: ContainerIdentity) -> bool:
        sandbox = self.records.get(identity.sandbox_id)
        return sandbox is not None and sandbox.state is ContainerState.RUNNING

    def _running(self, uid: str) -> Iterator[ContainerRecord]:
        for record in self.records.values():
            identity = parse_identity(record.labels)
            if identity is not None and identity.pod_uid == uid and record.state is ContainerState.RUNNING:
                yield record

    def _of_former(self, life: PodLife) -> Iterator[ContainerRecord]:
        """What runs of other Pods of the same name."""
        for uid, other in self.lives.items():
            if other is not life and other.pod["metadata"]["name"] == life.pod["metadata"]["name"]:
                yield from self._running(uid)

    def _of_sandbox(self, identity: ContainerIdentity) -> list[ContainerRecord]:
        return [record for record in self.records.values() if self._is_of(record, identity.sandbox_id)]

    @staticmethod
    def _is_of(record: ContainerRecord, sandbox_id: str) -> bool:
        identity = parse_identity(record.labels)
        return identity is not None and identity.sandbox_id == sandbox_id


def _name(record: ContainerRecord) -> str:
    identity = parse_identity(record.labels)
    assert identity is not None
    return identity.container_name


def _sidecar_names(life: PodLife) -> list[str]:
    return [item["name"] for item in life.spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]


def _is_sandbox(record: ContainerRecord) -> bool:
    identity = parse_identity(record.labels)
    assert identity is not None
    return identity.role is ContainerRole.SANDBOX


def _has_pre_stop(life: PodLife, record: ContainerRecord) -> bool:
    return bool(((life.find(_name(record)) or {}).get("lifecycle") or {}).get("preStop"))


def _starts_over(life: PodLife) -> bool:
    return any(
        rule["action"] == "RestartAllContainers"
        for item in life.containers()
        for rule in item.get("restartPolicyRules") or ()
    )
