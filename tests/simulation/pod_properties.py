"""What every Pod is promised, checked at every commit and at every start and end of a container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.runtime.identity import ContainerIdentity, ContainerRole, parse_identity
from agent.runtime.protocol import ContainerRecord
from control.api.builtin_kinds import NODES, PODS
from control.api.objects import Object
from control.storage.protocol import ChangeType
from tests.simulation.engine import SimulatedEngine
from tests.simulation.history import Commit, History
from tests.simulation.judge import Judge
from tests.simulation.trace import Trace

_TERMINAL = ("Succeeded", "Failed")


class PodProperties:
    """The promises. `engines` are all engines by node name; `forced` are UIDs whose user gave up on their end."""

    def __init__(self, history: History, judge: Judge, trace: Trace, engines: Mapping[str, SimulatedEngine]) -> None:
        self.forced: set[str] = set()
        self._history = history
        self._judge = judge
        self._trace = trace
        self._engines = engines
        history.handlers.append(self._on_commit)

    def attach(self, node_name: str, engine: SimulatedEngine) -> None:
        """Look at everything that an engine does."""
        engine.watcher = lambda action, record: self._on_engine(node_name, engine, action, record)

    # --- in the API ---------------------------------------------------------------------------------------------------

    def _on_commit(self, commit: Commit) -> None:
        if not commit.key.startswith(PODS.storage_prefix):
            return
        pod, old = commit.obj, commit.previous
        assert pod is not None
        if commit.type is ChangeType.DELETED:
            self._check_gone(pod)
        elif old is not None:
            self._check_change(old, pod)

    def _check_change(self, old: Object, pod: Object) -> None:
        require, name = self._judge.require, pod["metadata"]["name"]
        same = old["metadata"]["uid"] == pod["metadata"]["uid"]
        require(same, "a_name_is_reused_after_deletion_only", f"Pod {name} changed its uid")
        before, after = old["spec"].get("nodeName"), pod["spec"].get("nodeName")
        require(not before or before == after, "a_pod_is_bound_once", f"Pod {name}: {before}, then {after}")
        was_deleting = "deletionTimestamp" in old["metadata"]
        stays = not was_deleting or "deletionTimestamp" in pod["metadata"]
        require(stays, "a_deletion_is_never_taken_back", f"Pod {name} lost its deletionTimestamp")
        phase, later = _phase(old), _phase(pod)
        require(phase not in _TERMINAL or phase == later, "a_terminal_phase_is_final", f"Pod {name}: {phase}, {later}")
        counts, later_counts = _restart_counts(old), _restart_counts(pod)
        for container, count in counts.items():
            grows = later_counts.get(container, count) >= count
            require(grows, "restart_counts_never_fall", f"Pod {name}/{container}: {count}, {later_counts}")
        generation = old["metadata"].get("generation", 0) <= pod["metadata"].get("generation", 0)
        require(generation, "generations_never_fall", f"Pod {name}")

    def _check_gone(self, pod: Object) -> None:
        """A Pod object goes when nothing of it runs. Upstream's exceptions: force, and a node that was removed."""
        uid, node_name = pod["metadata"]["uid"], pod["spec"].get("nodeName", "")
        if uid in self.forced or self._history.find(NODES, node_name) is None:
            return
        running = [record.name for _, record, identity in self._running() if identity.pod_uid == uid]
        self._judge.require(
            not running, "a_pod_goes_after_its_containers", f"Pod {pod['metadata']['name']}: {running} run"
        )

    # --- on the engines -----------------------------------------------------------------------------------------------

    def _on_engine(self, node_name: str, engine: SimulatedEngine, action: str, record: ContainerRecord) -> None:
        self._trace.write(f"engine-{node_name}", f"event {action} {record.name}")
        identity = parse_identity(record.labels)
        assert identity is not None
        if action == "start":
            self._check_start(node_name, engine, record, identity)
        elif action == "kill":
            self._check_kill(engine, record, identity)

    def _check_start(
        self, node_name: str, engine: SimulatedEngine, record: ContainerRecord, identity: ContainerIdentity
    ) -> None:
        pod = self._history.pod(identity.pod_uid)
        owner = pod["spec"].get("nodeName") if pod is not None else None
        self._judge.require(
            owner == node_name, "a_pod_runs_on_its_node_alone", f"{record.name} runs on {node_name}, bound to {owner}"
        )
        for other_node, other, other_identity in self._running():
            if other.id == record.id:
                continue
            same = (other_identity.pod_uid, other_identity.container_name)
            twice = same == (identity.pod_uid, identity.container_name)
            self._judge.require(
                not twice, "a_container_runs_once", f"{record.name} on {node_name} beside {other.name} on {other_node}"
            )
            shared = identity.pod_ip and identity.pod_ip == other_identity.pod_ip
            self._judge.require(
                not shared, "an_address_has_one_pod", f"{record.name} and {other.name} have {identity.pod_ip}"
            )

    def _check_kill(self, engine: SimulatedEngine, record: ContainerRecord, identity: ContainerIdentity) -> None:
        """An agent ends what runs only for a reason that the API or the engine shows."""
        pod = self._history.pod(identity.pod_uid)
        if pod is None or _phase(pod) in _TERMINAL or "deletionTimestamp" in pod["metadata"]:
            return
        key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        present = self._history.find(PODS, key)
        if present is None or present["metadata"]["uid"] != identity.pod_uid:
            return
        if identity.role is ContainerRole.SANDBOX:
            used = [one for one in engine.running() if (parse_identity(one.labels) or identity).sandbox_id == record.id]
            self._judge.require(not used, "nothing_is_killed_without_a_reason", f"{record.name} with {used}")
            return
        sandbox = next((one for one in engine.running() if one.id == identity.sandbox_id), None)
        images = {item["name"]: item["image"] for item in pod["spec"]["containers"]}
        reason = sandbox is None or images.get(identity.container_name) != record.image
        self._judge.require(reason, "nothing_is_killed_without_a_reason", record.name)

    def _running(self) -> Iterator[tuple[str, ContainerRecord, ContainerIdentity]]:
        for node_name, engine in self._engines.items():
            for record in engine.running():
                identity = parse_identity(record.labels)
                assert identity is not None
                yield node_name, record, identity


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _restart_counts(pod: Mapping[str, Any]) -> dict[str, int]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return {item["name"]: int(item.get("restartCount", 0)) for item in statuses}
