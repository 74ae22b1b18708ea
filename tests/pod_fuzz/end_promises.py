"""What must be so when nothing goes wrong any more: each Pod is where spec and past lead; then, that all is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.runtime.identity import parse_identity
from agent.runtime.protocol import ContainerRecord, ContainerState
from control.api.objects import Object
from control.api.quantity import quantity_value
from tests.pod_fuzz.life_promises import LifePromises, PodLife
from tests.pod_fuzz.node import FuzzNode
from tests.pod_fuzz.specs import ABSENT, LATE
from tests.pod_fuzz.status_promises import TERMINAL, Require, is_lost

QUIET_SECONDS = 20.0
#: Tries to pull an image that does not exist, in the time that a story takes: each tells of its failure, then waits.
PULLS_MAX = 10
#: Writes that one event on the engine, one verdict of a probe or one act of a user or fault may cause.
WRITES_PER_CAUSE = 3


class EndPromises:
    """Judges the end of a story."""

    def __init__(self, require: Require, node: FuzzNode, life: LifePromises, trace: Callable[[str], None]) -> None:
        self._require = require
        self._node = node
        self._life = life
        self._trace = trace

    # --- order --------------------------------------------------------------------------------------------------------

    async def judge_order(self) -> None:
        """Every Pod of the API is where it belongs."""
        for life in self._life.lives.values():
            if life.gone_at is None:
                self._judge_pod(life)
            self._judge_writes(life)
        left = set(self._node.network.ports) - self._node.cache.used_addresses()
        self._require(not left, "an_ended_pod_holds_nothing", f"addresses {left}")

    def _judge_pod(self, life: PodLife) -> None:
        name, status = life.pod["metadata"]["name"], life.pod.get("status") or {}
        deleting = life.pod["metadata"].get("deletionTimestamp")
        self._require(not deleting, "a_deleted_pod_goes", f"Pod {name}")
        running = [record for record in self._records(life) if record.state is ContainerState.RUNNING]
        names = [_name(record) for record in running]
        self._require(len(names) == len(set(names)), "a_container_runs_once", f"Pod {name}: {names}")
        phase, expected = status.get("phase"), self._phases(life, set(names))
        self._require(phase in expected, "a_pod_comes_to_its_end", f"Pod {name}: {phase}, not {expected}; {names} run")
        if _hangs(life):
            return
        if phase in TERMINAL:
            self._require(not names, "an_ended_pod_runs_nothing", f"Pod {name}: {names}")
            held = self._held(life.pod["metadata"]["uid"])
            self._require(not held, "an_ended_pod_holds_nothing", f"Pod {name}: {held}")
            return
        observed = status.get("observedGeneration")
        generation = life.pod["metadata"].get("generation")
        self._require(observed == generation, "the_last_generation_is_observed", f"{name}: {observed} of {generation}")
        told = {item["name"] for item in _statuses(status) if "running" in item["state"]}
        self._require(told == set(names) - {"POD"}, "what_runs_is_told", f"Pod {name}: {told}, engine {names}")
        for item in _statuses(status):
            self._judge_waiting(life, item, running)
        for record in running:
            self._judge_running(life, record)
        self._judge_cgroup(life)

    def _held(self, uid: str) -> list[str]:
        """What the node has of a Pod besides containers."""
        node = self._node
        cgroups = [path for path in node.cgroup_tree.pods() if path.endswith(f"pod{uid}")]
        return [*cgroups, *(["volumes"] if uid in node.volumes.mounted else [])]

    def _judge_running(self, life: PodLife, record: ContainerRecord) -> None:
        """It is what the spec wants now: image and resources."""
        spec = life.find(_name(record))
        if spec is None:
            self._require(_name(record) == "POD", "what_runs_is_of_the_spec", record.name)
            return
        if spec in (life.spec.get("ephemeralContainers") or ()):
            return
        self._require(spec["image"] == record.image, "what_runs_is_of_the_spec", f"{record.name}: {record.image}")
        status = next(item for item in _statuses(life.pod["status"]) if item["name"] == spec["name"])
        wanted = {key: value for key, value in (spec.get("resources") or {}).items() if value}
        self._require(status.get("resources") == wanted, "resizes_arrive", f"{record.name}: {status.get('resources')}")

    def _judge_cgroup(self, life: PodLife) -> None:
        """What a Pod has for all its containers together is what it asks for now."""
        asked = ((life.spec.get("resources") or {}).get("limits") or {}).get("memory")
        if asked is None:
            return
        tree, name, uid = self._node.cgroup_tree, life.pod["metadata"]["name"], life.pod["metadata"]["uid"]
        given = [tree.values(path).get("memory.max") for path in tree.pods() if path.endswith(f"pod{uid}")]
        wanted = str(quantity_value(asked))
        self._require(given == [wanted], "resizes_arrive", f"Pod {name}: memory {given}, not {wanted}")

    def _judge_waiting(self, life: PodLife, item: Object, running: list[ContainerRecord]) -> None:
        waiting = item["state"].get("waiting")
        if waiting is None:
            return
        spec = life.find(item["name"]) or {}
        reason = waiting["reason"]
        if spec.get("image") == ABSENT and reason in ("ErrImagePull", "ImagePullBackOff", "PodInitializing"):
            return
        if spec.get("image") == LATE:
            pulled = reason not in ("ErrImagePull", "ImagePullBackOff")
            self._require(pulled, "what_can_be_pulled_is", f"{life.pod['metadata']['name']}/{item['name']}: {waiting}")
        known = reason in ("CrashLoopBackOff", "PodInitializing", "ContainerCreating", "RunContainerError")
        known = known or reason in ("PostStartHookError", "ErrImagePull", "ImagePullBackOff")
        self._require(known, "waiting_has_a_reason", f"{life.pod['metadata']['name']}/{item['name']}: {waiting}")

    def _phases(self, life: PodLife, running: set[str]) -> tuple[str | None, ...]:
        """Where a Pod may stand. Several where chance (a mood, a back-off) decides."""
        spec, status = life.spec, life.pod.get("status") or {}
        if "refused" in life.pod["metadata"]["labels"]:
            return ("Failed",)
        if (life.evicted and not life.is_spared) or "activeDeadlineSeconds" in spec:
            # It may have ended by itself before.
            return TERMINAL
        if _hangs(life):
            return (None, "Pending", "Running", *TERMINAL)
        if any(is_lost(item) for item in _statuses(status)):
            # As with the kubelet, a policy of Never holds for a container that somebody removed, unless it runs again.
            return ("Pending", "Running", *TERMINAL)
        if life.is_spared or any(self._may_start_over(item) for item in life.containers()):
            return ("Pending", "Running", *TERMINAL)
        policy = spec["restartPolicy"]
        states = {item["name"]: item for item in _statuses(status)}
        failed_init = any(
            _is_over(item, policy, states.get(item["name"], {})) not in (None, 0)
            for item in spec.get("initContainers") or ()
            if item.get("restartPolicy") != "Always"
        )
        over = [_is_over(item, policy, states.get(item["name"], {})) for item in spec["containers"]]
        if all(code is not None for code in over):
            return ("Succeeded",) if all(code == 0 for code in over) else ("Failed",)
        if failed_init:
            # Unless it failed when the regular containers ran already.
            return ("Failed", "Running") if running else ("Failed",)
        started = any(
            "running" in state["state"] or state.get("containerID") or state.get("lastState")
            for state in (states.get(item["name"]) for item in spec["containers"])
            if state is not None
        )
        return ("Running", "Pending") if started else ("Pending",)

    @staticmethod
    def _may_start_over(container: Object) -> bool:
        return any(rule["action"] == "RestartAllContainers" for rule in container.get("restartPolicyRules") or ())

    def _judge_writes(self, life: PodLife) -> None:
        probes: Any = self._node.probes
        ids = {record.id for record in self._records(life)}
        verdicts = sum(probes.changes.get(container_id, 0) for container_id in ids)
        pulls = PULLS_MAX * sum(item["image"] in (ABSENT, LATE) for item in life.containers())
        causes = 3 + life.causes + life.engine_events + verdicts + pulls
        name = life.pod["metadata"]["name"]
        few = life.writes <= WRITES_PER_CAUSE * causes
        self._require(few, "writes_have_causes", f"Pod {name}: {life.writes} writes of {causes} causes")

    # --- emptiness ----------------------------------------------------------------------------------------------------

    async def judge_emptiness(self) -> None:
        """All Pods were deleted: nothing is left of them on the node, nor in the agent."""
        node = self._node
        pods = [key for key in node.api.objects if key[1] == "pods"]
        self._require(not pods, "a_deleted_pod_goes", str(pods))
        left = [record.name for record in node.engine.records()]
        self._require(not left, "no_container_is_left", str(left))
        self._require(not node.volumes.mounted, "no_volume_is_left", str(node.volumes.mounted))
        await node.garbage.step()
        self._require(not node.cgroup_tree.pods(), "no_cgroup_is_left", str(node.cgroup_tree.pods()))
        self._require(not node.network.ports, "no_address_is_left", str(node.network.ports))
        directory = node.directory / "pods"
        files = sorted(directory.iterdir()) if directory.exists() else []
        self._require(not files, "no_directory_is_left", str(files))
        kept = node.remembers({*self._life.lives, *self._life.mirror_uids, *self._life.records})
        self._require(not kept, "nothing_is_remembered", str(kept[:5]))

    def _records(self, life: PodLife) -> list[ContainerRecord]:
        uid = life.pod["metadata"]["uid"]
        found = []
        for record in self._life.records.values():
            identity = parse_identity(record.labels)
            if identity is not None and identity.pod_uid == uid:
                found.append(record)
        return found


def _name(record: ContainerRecord) -> str:
    identity = parse_identity(record.labels)
    assert identity is not None
    return identity.container_name


def _statuses(status: Object) -> list[Object]:
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [item for field in lists for item in status.get(field) or ()]


def _hangs(life: PodLife) -> bool:
    """A hook of it never ends: as with the kubelet, the Pod gets no further and its status tells nothing new."""
    hooks = [(item.get("lifecycle") or {}).get("postStart") or {} for item in life.containers()]
    return any((hook.get("exec") or {}).get("command") == ["hang"] for hook in hooks)


def _is_over(container: Object, pod_policy: str, status: Object) -> int | None:
    """The exit code of a container that ended and must not run again, else None."""
    ended = (status.get("state") or {}).get("terminated")
    if ended is None:
        return None
    code = int(ended["exitCode"])
    for rule in container.get("restartPolicyRules") or ():
        if code in rule["exitCodes"]["values"]:
            return None
    policy = container.get("restartPolicy") or pod_policy
    is_init = container["name"].startswith("init")
    again = (policy == "Always" and not (is_init and code == 0)) or (policy == "OnFailure" and code != 0)
    return None if again else code
